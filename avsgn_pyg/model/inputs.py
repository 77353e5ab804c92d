"""Section 3.2: what enters the network, and how the label text becomes text nodes.

``T = Phi_t([T_CLIP; T_CLAP])``: the two banks are stacked along the *label* axis and ``Phi_t`` acts on that axis,
which gives as many text rows as there are segments. Encoder widths need not agree: with `width` set, one
linear adapter a stream brings them together (the paper's encoders are all 512 wide and need none).

Letters: B videos, T segments, C classes, d width of CMSA, d_a / d_v widths of the encoders.
"""

from __future__ import annotations

import math

import torch
from jaxtyping import Float
from torch import Tensor, nn


class LabelText(nn.Module):
    """The label bank, a part of the model, as text rows that are the same for every video.

    Args:
        visual: [C, d_v] label embeddings of CLIP's text encoder, or ``None`` to learn them.
        audio: [C, d_a] label embeddings of CLAP's text encoder, or ``None`` likewise.
        rows: T' text rows made by ``Phi_t``; ``None`` keeps the 2C labels themselves (`text_slots: per_class`).
    """

    def __init__(self, visual: Tensor, audio: Tensor, *, rows: int | None, learned: bool = False) -> None:
        super().__init__()
        for name, bank in (("visual", visual), ("audio", audio)):
            if learned:
                self.register_parameter(name, nn.Parameter(bank.clone()))
            else:
                self.register_buffer(name, bank.clone())
        labels = len(visual) + len(audio)
        self.rows = rows or labels
        self.project = nn.Linear(labels, rows) if rows else None

    def forward(self, adapt_visual: nn.Module, adapt_audio: nn.Module) -> Float[Tensor, "R d"]:
        """Text rows of width d; each bank passes its own modality's adapter first."""
        bank = torch.cat((adapt_visual(self.visual), adapt_audio(self.audio)))
        return bank if self.project is None else self.project(bank.T).T


class Adapter(nn.Sequential):
    """Encoder features to CMSA's width: optional layer norm, dropout, and a linear map where widths differ.

    With ``width=None`` and ``norm=False`` this is the identity up to dropout: the paper's own input.
    """

    def __init__(self, features: int, width: int | None, *, norm: bool, dropout: float) -> None:
        steps: list[nn.Module] = [nn.LayerNorm(features)] if norm else []
        steps.append(nn.Dropout(dropout))
        if width is not None:
            steps.append(nn.Linear(features, width))
        super().__init__(*steps)


class NoTime(nn.Module):
    """The paper's text names no time encoding: rows pass unchanged."""

    def forward(self, rows: Float[Tensor, "B T d"]) -> Float[Tensor, "B T d"]:
        return rows


class LearnedTime(nn.Module):
    """One learned [d] vector a second, added to the rows; tied to the number of segments it was made for."""

    def __init__(self, segments: int, width: int) -> None:
        super().__init__()
        self.position = nn.Parameter(0.02 * torch.randn(segments, width))

    def forward(self, rows: Float[Tensor, "B T d"]) -> Float[Tensor, "B T d"]:
        return rows + self.position


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
    """A learned score for "how many seconds later", added to attention scores before their softmax.

    One table a head; offsets beyond `reach` seconds share its last entry, so any length works. It starts at
    ``-slope * |offset|``: near seconds are heard first.
    """

    def __init__(self, heads: int, reach: int = 9, slope: float = 0.3) -> None:
        super().__init__()
        self.reach = reach
        offset = torch.arange(-reach, reach + 1).abs()
        self.score = nn.Parameter((-slope * offset).repeat(heads, 1))

    def forward(self, rows: int) -> Float[Tensor, "h T T"]:
        """[h, T, T] scores; entry (i, j) belongs to target second i and source second j."""
        seconds = torch.arange(rows, device=self.score.device)
        offset = (seconds[None, :] - seconds[:, None]).clamp(-self.reach, self.reach) + self.reach
        return self.score[:, offset]
