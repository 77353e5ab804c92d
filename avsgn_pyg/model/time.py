"""Time encodings: the paper names none; its graphs and attentions do not know which second follows which.

``learned`` and ``sinusoidal`` are added to the rows that enter CMSA. ``relative`` is added to attention scores
(between audio and visual seconds in Eq. 4-5, and in every subgraph's Eq. 7), so it works for any length.

Letters: B videos, T segments, R text rows, d width, h heads, N nodes of a subgraph.
"""

from __future__ import annotations

import math

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn


class NoTime(nn.Module):
    """The paper's text names no time encoding: rows pass unchanged."""

    def forward(self, rows: Float[Tensor, "B T d"]) -> Float[Tensor, "B T d"]:
        return rows


class LearnedTime(nn.Module):
    """One learned [d] vector a second, added to the rows; a video may have fewer seconds, not more."""

    def __init__(self, segments: int, width: int) -> None:
        super().__init__()
        self.position = nn.Parameter(0.02 * torch.randn(segments, width))

    def forward(self, rows: Float[Tensor, "B T d"]) -> Float[Tensor, "B T d"]:
        if rows.shape[1] > len(self.position):
            raise ValueError(f"time_encoding=learned knows {len(self.position)} seconds, the batch has "
                             f"{rows.shape[1]}; sinusoidal and relative take any number")
        return rows + self.position[: rows.shape[1]]


class SinusoidalTime(nn.Module):
    """Sines and cosines of geometrically spaced periods, with a learned scale; works for any number of segments."""

    def __init__(self, width: int, scale: float = 0.1) -> None:
        super().__init__()
        self.width = width
        self.scale = nn.Parameter(torch.tensor(scale))

    def forward(self, rows: Float[Tensor, "B T d"]) -> Float[Tensor, "B T d"]:
        seconds = torch.arange(rows.shape[1], device=rows.device, dtype=rows.dtype)
        half = torch.arange(0, self.width, 2, device=rows.device, dtype=rows.dtype)
        angle = seconds[:, None] * torch.exp(half * (-math.log(1e4) / self.width))
        wave = torch.stack((angle.sin(), angle.cos()), dim=-1).flatten(1)[:, : self.width]
        return rows + self.scale * wave


class RelativeTime(nn.Module):
    """A learned score for "how many seconds away", one table a head, added to attention scores.

    Offsets beyond `reach` seconds share its last entries. Tables start at ``-slope * |offset|``: near seconds are
    heard first, and at slope 1.5 a second hears itself and its partner in the other modality most.
    """

    def __init__(self, heads: int = 1, *, reach: int = 9, slope: float = 1.5) -> None:
        super().__init__()
        self.reach = reach
        self.score = nn.Parameter((-slope * torch.arange(-reach, reach + 1).abs()).repeat(heads, 1))

    def forward(self, segments: int) -> Float[Tensor, "h T T"]:
        """Entry (i, j) belongs to target second i and source second j."""
        second = torch.arange(segments, device=self.score.device)
        return self.at(second[None, :] - second[:, None])

    def at(self, offset: Int[Tensor, "*E"]) -> Float[Tensor, "h *E"]:
        """The scores of sources so many seconds after their targets."""
        return self.score[:, offset.clamp(-self.reach, self.reach) + self.reach]


class SubgraphTime(nn.Module):
    """Scores for Eq. 7 of one subgraph: a :class:`RelativeTime` between seconds, one number where text takes part.

    Args:
        timed: for each of the subgraph's two modalities, whether its rows are seconds.
        slope: of the tables at the start.
    """

    def __init__(self, timed: tuple[bool, bool], *, slope: float = 1.5) -> None:
        super().__init__()
        self.relations = nn.ModuleDict({
            f"{target}{source}": RelativeTime(slope=slope) if timed[target] and timed[source] else Level()
            for target in (0, 1) for source in (0, 1)
        })

    def forward(self, first: int, second: int) -> Float[Tensor, "N N"]:
        """Scores of a subgraph with so many rows of each modality, targets along rows."""
        rows = (first, second)
        blocks = [
            [self.relations[f"{target}{source}"](rows[target])[0].expand(rows[target], rows[source])
             for source in (0, 1)]
            for target in (0, 1)
        ]
        return torch.cat([torch.cat(line, dim=1) for line in blocks])

    def at(self, target: Int[Tensor, "*E"], source: Int[Tensor, "*E"], first: int) -> Float[Tensor, "*E"]:
        """Scores of single edges, from nodes in a subgraph whose first modality has `first` rows."""
        score = self.relations["00"].score.new_zeros(target.shape)
        offset = source - source.ge(first) * first - target + target.ge(first) * first
        for name, relation in self.relations.items():
            here = (target >= first).eq(bool(int(name[0]))) & (source >= first).eq(bool(int(name[1])))
            score = torch.where(here, relation.at(offset)[0], score)
        return score


class Level(nn.Module):
    """One learned score for a whole relation; it starts at zero."""

    def __init__(self) -> None:
        super().__init__()
        self.score = nn.Parameter(torch.zeros(1, 1, 1))

    def forward(self, segments: int) -> Float[Tensor, "1 1 1"]:
        return self.score

    def at(self, offset: Int[Tensor, "*E"]) -> Float[Tensor, "1 *E"]:
        """The one score, wherever it is asked for."""
        return self.score.flatten().expand(1, *offset.shape)
