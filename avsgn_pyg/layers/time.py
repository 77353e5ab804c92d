"""Time encodings, an option: the paper has none, so its attention and graphs ignore the order of seconds.

``learned`` and ``sinusoidal`` are added to the rows that enter CMSA. ``relative`` is added to attention scores
(between audio and visual seconds in Eq. 4-5, and in every subgraph's Eq. 7), so it works for any length.

Shapes: B videos, T segments, R text rows, d width, h heads, N nodes of a subgraph.
"""

from __future__ import annotations

import math

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn


class NoTime(nn.Module):
    """No time encoding, as in the paper: rows pass unchanged."""

    def forward(self, rows: Float[Tensor, "B T d"]) -> Float[Tensor, "B T d"]:
        return rows


class LearnedTime(nn.Module):
    """One learned [d] vector per second, added to the rows; a video may have fewer seconds, not more."""

    def __init__(self, segments: int, width: int) -> None:
        super().__init__()
        self.position = nn.Parameter(0.02 * torch.randn(segments, width))

    def forward(self, rows: Float[Tensor, "B T d"]) -> Float[Tensor, "B T d"]:
        if rows.shape[1] > len(self.position):
            raise ValueError(f"time_encoding=learned has vectors for {len(self.position)} seconds, got videos of "
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
    """A learned score for "how many seconds apart", one table per head, added to attention scores.

    Offsets beyond `reach` seconds share its last entries. Tables start at ``-slope * |offset|``, so that near seconds
    weigh most: at slope 1.5 a second attends chiefly to itself and to the same second of the other modality.
    """

    def __init__(self, heads: int = 1, *, reach: int = 9, slope: float = 1.5) -> None:
        super().__init__()
        self.reach = reach
        self.score = nn.Parameter((-slope * torch.arange(-reach, reach + 1).abs()).repeat(heads, 1))

    def forward(self, offset: Int[Tensor, "*E"]) -> Float[Tensor, "h *E"]:
        """The score of a source `offset` seconds after its target."""
        return self.score[:, self.entry(offset)]

    def entry(self, offset: Int[Tensor, "*E"]) -> Int[Tensor, "*E"]:
        """The column of the table for each offset."""
        return offset.clamp(-self.reach, self.reach) + self.reach


class Level(nn.Module):
    """One learned score for a whole relation, whatever the offset; it starts at zero."""

    def __init__(self) -> None:
        super().__init__()
        self.score = nn.Parameter(torch.zeros(1, 1))

    def entry(self, offset: Int[Tensor, "*E"]) -> Int[Tensor, "*E"]:
        """The column of the table for each offset: the only one."""
        return torch.zeros_like(offset)


class SubgraphTime(nn.Module):
    """Scores for Eq. 7 of one subgraph: :class:`RelativeTime` between seconds, :class:`Level` where text takes part.

    Args:
        timed: for each of the subgraph's two modalities, whether its nodes are seconds.
        slope: of the tables at the start.
    """

    def __init__(self, timed: tuple[bool, bool], *, slope: float = 1.5) -> None:
        super().__init__()
        self.relations = nn.ModuleDict({
            f"{target}{source}": RelativeTime(slope=slope) if timed[target] and timed[source] else Level()
            for target in (0, 1) for source in (0, 1)
        })

    def forward(self, offset: Int[Tensor, "*E"], relation: Int[Tensor, "*E"]) -> Float[Tensor, "*E"]:
        """Scores of edges.

        Args:
            offset: seconds from target to source.
            relation: ``2 * target + source``, each 0 or 1 for the subgraph's first or second modality.
        """
        entry, first = torch.zeros_like(offset), 0
        for number, table in enumerate(self.relations.values()):
            entry = torch.where(relation == number, table.entry(offset) + first, entry)
            first += table.score.numel()
        scores = torch.cat([table.score.flatten() for table in self.relations.values()])
        return scores.index_select(0, entry.flatten()).view(offset.shape)
