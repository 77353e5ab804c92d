"""AVSGN with the label text as its classifier: no weight is specific to a class: a new label is a new text node.

Cosines of every second to every label become probabilities by the calibration of the training-free rule
(:mod:`avsgn_pyg.graph.training_free`); training adds a map of the features, which starts at zero:

    x' = x + W x        p_m(t, c) = softmax over c of x'_t label_c / temperature - log prior_c
    class(c) = log mean_t p_audio(t, c) + log mean_t p_visual(t, c), weighted by the gate of the other modality (Eq. 9)

The relevance of a second follows from the evidence of the clip's label around it and from the fused features (Eq. 11).

Shapes: B videos, T segments, C labels, M anchors (training seconds), d_a / d_v widths of the encoders, D width.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Mapping, Sequence
from typing import Any, Final

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float
from torch import Tensor, nn
from torch_geometric.data import Batch

from avsgn_pyg.graph.localization import Localization
from avsgn_pyg.graph.schema import AUDIO, VISUAL
from avsgn_pyg.graph.training_free import Calibration
from avsgn_pyg.model.avsgn import AVSGN, Aligned
from avsgn_pyg.model.cmgi import Interaction
from avsgn_pyg.model.inputs import LabelText

#: Training seconds that are kept to calibrate any labels.
ANCHORS: Final = 512
#: Scale of the learned maps: Adam's steps have one size, and at 1 the maps would leave the text space in a few of them.
MAP_SCALE: Final = 0.15
#: Log probabilities below this, relative to chance, are all the same to the relevance.
LEAST: Final = -8.0


class LabelEvidence(nn.Module):
    """Log probability of every label in every second of one modality, relative to chance.

    Args:
        width: of the encoder, d.
        dropout: rate on the features that enter the learned map.
    """

    def __init__(self, width: int, dropout: float) -> None:
        super().__init__()
        self.map = nn.Linear(width, width, bias=False)
        nn.init.zeros_(self.map.weight)
        self.dropout = nn.Dropout(dropout)
        self.register_buffer("anchors", F.normalize(torch.randn(ANCHORS, width), dim=-1))

    def calibrate(self, seconds: Float[Tensor, "M d"]) -> None:
        """Keep seconds of training clips, evenly spread over them; their annotations are not needed."""
        rows = torch.linspace(0, len(seconds) - 1, ANCHORS).long()
        self.anchors.copy_(F.normalize(seconds[rows].float(), dim=-1))

    def forward(self, rows: Float[Tensor, "B T d"], labels: Float[Tensor, "C d"]) -> Float[Tensor, "B T C"]:
        """0 where a label is as probable as chance, log C where it is certain."""
        rows, labels = F.normalize(rows.float(), dim=-1), F.normalize(labels.float(), dim=-1)
        with torch.no_grad():
            scale = Calibration.of(self.anchors @ labels.T, prior=False).temperature
            prior = ((self.anchors + MAP_SCALE * self.map(self.anchors)) @ labels.T / scale).softmax(-1).mean(0).log()
        mapped = rows + MAP_SCALE * self.map(self.dropout(rows))
        return (mapped @ labels.T / scale - prior).log_softmax(-1) + math.log(len(labels))


class TextHead(nn.Module):
    """Class and relevance of any labels (Eq. 9-11 and 14 with the label bank instead of classifiers).

    Args:
        dim: D.
        audio_width, visual_width: d_a and d_v.
        gates: ``scalar`` or ``vector``, as in :class:`~avsgn_pyg.model.head.LocalizationHead`.
        dropout: rate on the fused features.
        input_dropout: rate on the features that enter the learned maps.
        hidden: width of the layer between the curves and the relevance.
    """

    def __init__(self, dim: int, audio_width: int, visual_width: int, *, gates: str = "scalar", bias: bool = True,
                 dropout: float = 0.1, input_dropout: float = 0.0, hidden: int = 16) -> None:
        super().__init__()
        width = {"scalar": 1, "vector": dim}[gates]
        self.audio_gate, self.visual_gate = nn.Linear(dim, width, bias), nn.Linear(dim, width, bias)
        self.heard = LabelEvidence(audio_width, input_dropout)
        self.seen = LabelEvidence(visual_width, input_dropout)
        self.curves = nn.Sequential(nn.Conv1d(4, hidden, 3, padding=1), nn.ReLU(), nn.Conv1d(hidden, 1, 1))
        self.relevance = nn.Linear(dim, 1, bias)
        self.dropout = nn.Dropout(dropout)

    def forward(self, audio: Float[Tensor, "B T D"], visual: Float[Tensor, "B T D"], mask: Bool[Tensor, "B T"] | None,
                encoder: Mapping[str, Tensor], labels: LabelText) -> dict[str, Any]:
        """Fields of a :class:`~avsgn_pyg.graph.localization.Localization`.

        Args:
            audio, visual: the interacted streams.
            mask: False for padded seconds.
            encoder: the encoders' features, ``audio`` [B, T, d_a] and ``visual`` [B, T, d_v].
            labels: their text, ``audio`` [C, d_a] and ``visual`` [C, d_v].
        """
        gates = {AUDIO: self.audio_gate(audio).sigmoid(), VISUAL: self.visual_gate(visual).sigmoid()}
        heard, seen = self.heard(encoder[AUDIO], labels.audio), self.seen(encoder[VISUAL], labels.visual)
        real = heard.new_ones(heard.shape[:2]) if mask is None else mask.to(heard.dtype)
        by_audio, by_visual = (real * gates[name].mean(-1).to(heard.dtype) for name in (AUDIO, VISUAL))
        category = mean_over_time(heard, by_visual) + mean_over_time(seen, by_audio)  # Eq. 9 and 10
        by_both = by_audio * by_visual
        curves = self.curves(label_curves((heard, seen), category.detach().softmax(-1), real).mT)[:, 0]
        fused = visual * gates[AUDIO] + audio * gates[VISUAL]  # Eq. 9
        return {"category": category, "relevance": curves + self.relevance(self.dropout(fused)).squeeze(-1),
                "gate_category": mean_over_time(heard, by_both) + mean_over_time(seen, by_both),  # Eq. 14
                "gates": gates}


def mean_over_time(log: Float[Tensor, "B T C"], weight: Float[Tensor, "B T"]) -> Float[Tensor, "B C"]:
    """The logarithm of the weighted mean of probabilities over seconds."""
    share = weight / weight.sum(1, keepdim=True)
    return (log + share.clamp_min(torch.finfo(share.dtype).tiny).log()[..., None]).logsumexp(1)


def label_curves(evidence: Sequence[Float[Tensor, "B T C"]], label: Float[Tensor, "B C"],
                 real: Float[Tensor, "B T"]) -> Float[Tensor, "B T 4"]:
    """Evidence of the clip's label in every second, by sound and by picture: the value, and the value less its maximum.

    Args:
        evidence: of sound and of picture.
        label: probabilities of the clip's label.
        real: 0 for padded seconds, where the curves are 0 too.
    """
    found = []
    for log in evidence:
        curve = torch.einsum("btc,bc->bt", log.clamp_min(LEAST), label)
        highest = curve.masked_fill(real == 0, -math.inf).amax(1, keepdim=True)
        found += [curve, (curve - highest).clamp_min(LEAST)]
    return torch.stack(found, -1) / -LEAST * real[..., None]


class OpenAVSGN(AVSGN):
    """AVSGN with :class:`TextHead`: the labels of its text nodes are its classes, and others may replace them."""

    def localize(self, aligned: Aligned, interaction: Interaction, batch: Batch) -> Localization:
        """Section 3.5 with label text in place of classifiers."""
        streams = self.interacted(interaction, batch)
        output = self.head(streams.audio, streams.visual, aligned.mask, aligned.encoder, self.label_text)
        return Localization(**output, adjacency=interaction.adjacency, mask=aligned.mask,
                            stages=self.stages(aligned, streams))

    def calibrate(self, audio: Float[Tensor, "N T da"], visual: Float[Tensor, "N T dv"],
                  mask: Bool[Tensor, "N T"] | None = None) -> None:
        """Keep seconds of training clips, by which any labels are calibrated."""
        for evidence, rows in ((self.head.heard, audio), (self.head.seen, visual)):
            evidence.calibrate(rows.flatten(0, 1) if mask is None else rows[mask])

    def with_labels(self, audio: Float[Tensor, "L da"], visual: Float[Tensor, "L dv"]) -> OpenAVSGN:
        """Return the model with other labels; its batches need 2 L text nodes. All weights are shared with this one."""
        other = copy.copy(self)
        other._modules = dict(self._modules)
        other.label_text = LabelText(visual, audio, rows=None).to(self.label_text.visual.device)
        return other
