"""Section 3.5: cross-gating and the classifiers, Eq. 9-11, and the logits that Eq. 14 needs.

All scores are *logits* (gates are not); losses take logits.

Shapes: B videos, T segments, D width, C classes.
"""

from __future__ import annotations

import math
from typing import NamedTuple

from jaxtyping import Bool, Float
from torch import Tensor, nn

Mask = Bool[Tensor, "B T"] | None


def over_time(rows: Float[Tensor, "B T w"], mask: Mask) -> Float[Tensor, "B w"]:
    """The maximum over time of every column, without padding."""
    return (rows if mask is None else rows.masked_fill(~mask[..., None], -math.inf)).amax(1)


class Localized(NamedTuple):
    """The head's output for a batch; the fields are those of :class:`avsgn_pyg.graph.localization.Localization`."""

    category: Float[Tensor, "B C"]
    relevance: Float[Tensor, "B T"]
    gate_category: Float[Tensor, "B C"]
    gates: dict[str, Tensor]
    segment_scores: Float[Tensor, "B T C1"] | None


class TwoHeads(nn.Module):
    """Eq. 10 and 11: the class of the video from its per-feature maximum over time, the relevance of each second."""

    def __init__(self, dim: int, classes: int, dropout: float, bias: bool = True) -> None:
        super().__init__()
        self.category = nn.Linear(dim, classes, bias)
        self.relevance = nn.Linear(dim, 1, bias)
        self.dropout = nn.Dropout(dropout)

    def forward(self, fused: Float[Tensor, "B T D"], mask: Mask = None) -> tuple[Tensor, Tensor, None]:
        """[B, C] class logits, [B, T] relevance logits."""
        category = self.category(self.dropout(over_time(fused, mask)))
        return category, self.relevance(self.dropout(fused)).squeeze(-1), None


class SegmentScores(nn.Module):
    """One layer over C classes and background for every second (AVEL); class and relevance are derived from it."""

    def __init__(self, dim: int, classes: int, dropout: float, bias: bool = True) -> None:
        super().__init__()
        self.scores = nn.Linear(dim, classes + 1, bias)
        self.dropout = nn.Dropout(dropout)

    def forward(self, fused: Float[Tensor, "B T D"], mask: Mask = None) -> tuple[Tensor, Tensor, Tensor]:
        """[B, C] highest score of each class, [B, T] log-odds of "some class" over background, [B, T, C + 1]."""
        scores = self.scores(self.dropout(fused))
        classes, background = scores[..., :-1], scores[..., -1]
        return over_time(classes, mask), classes.logsumexp(-1) - background, scores


class LocalizationHead(nn.Module):
    """``F = V* g_a + A* g_v`` with ``g = sigmoid(X w)``, then class and relevance.

    Args:
        dim: D.
        classes: C, background not counted.
        gates: ``scalar`` (one number per second and modality, as in Fig. 4) or ``vector`` (D of them).
        segment_scores: score every segment over C + 1 classes in one layer (AVEL's head, for the loss
            ``segment``); class and relevance are then computed from these scores, without further layers.
        dropout: rate on the fused features before every classifier.
        bias: whether gates and classifiers have biases, which the paper does not print.
    """

    def __init__(self, dim: int, classes: int, *, gates: str = "scalar", segment_scores: bool = False,
                 dropout: float = 0.1, bias: bool = True) -> None:
        super().__init__()
        gate_width = {"scalar": 1, "vector": dim}[gates]
        self.audio_gate = nn.Linear(dim, gate_width, bias)
        self.visual_gate = nn.Linear(dim, gate_width, bias)
        self.gate_category = nn.Linear(dim, classes, bias)
        self.classify = (SegmentScores if segment_scores else TwoHeads)(dim, classes, dropout, bias)
        self.dropout = nn.Dropout(dropout)

    def forward(self, audio: Float[Tensor, "B T D"], visual: Float[Tensor, "B T D"], mask: Mask = None) -> Localized:
        """`mask` is False for padded seconds, which are excluded from every maximum over time."""
        gates = {"audio": self.audio_gate(audio).sigmoid(), "visual": self.visual_gate(visual).sigmoid()}
        fused = visual * gates["audio"] + audio * gates["visual"]  # Eq. 9
        gated = gates["audio"] * gates["visual"] * fused
        category, relevance, segment_scores = self.classify(fused, mask)
        gate_category = self.gate_category(self.dropout(over_time(gated, mask)))  # Eq. 14
        return Localized(category, relevance, gate_category, gates, segment_scores)
