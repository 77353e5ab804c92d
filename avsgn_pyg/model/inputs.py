"""Section 3.2: adapters for encoder features, and the label text as text nodes.

``T = Phi_t([T_CLIP; T_CLAP])``: the two banks are stacked along the *label* axis and ``Phi_t`` acts on that axis,
which gives as many text rows as there are segments. Encoder widths need not agree: with `width` set, one
linear adapter per stream maps them to it (the paper's encoders all have width 512 and need none).

Shapes: B videos, T segments, R text rows, C classes, d width of CMSA, d_a / d_v widths of the encoders.
"""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor, nn


class LabelText(nn.Module):
    """The label bank, a part of the model, as text rows that are the same for every video.

    Args:
        visual: [C, d_v] label embeddings of CLIP's text encoder, or ``None`` to learn them.
        audio: [C, d_a] label embeddings of CLAP's text encoder, or ``None`` in the same way.
        rows: R text rows made by ``Phi_t``; ``None`` keeps the 2C labels themselves (``model.text.slots=per_class``).
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
