"""Late fusion, a lower bound without interaction: the modalities meet only when their logits are averaged. No paper.

Each modality has a hidden layer, a class head on its maximum over time, and a relevance head on every second, like
AVSGN and the methods that follow CMRAN. A method's gain over this is due to interaction between the modalities.

Shapes: B videos, T segments, D width, C classes.
"""

from __future__ import annotations

from typing import ClassVar, Literal

from jaxtyping import Float
from torch import Tensor, nn
from torch_geometric.data import HeteroData

from avsgn_pyg.baselines.common import FULL_ONLY, WEAK_ONLY, joint_term, streams
from avsgn_pyg.graph.localization import Localization
from avsgn_pyg.model.losses import Objective, Term, category_term, relevance_term


class Branch(nn.Module):
    """One modality: features [B, T, d] -> class logits [B, C] and relevance logits [B, T]."""

    def __init__(self, width: int, dim: int, classes: int, dropout: float) -> None:
        super().__init__()
        self.hidden = nn.Sequential(nn.Dropout(dropout), nn.Linear(width, dim), nn.ReLU(), nn.Dropout(dropout))
        self.category = nn.Linear(dim, classes)
        self.relevance = nn.Linear(dim, 1)

    def forward(self, rows: Float[Tensor, "B T d"]) -> tuple[Float[Tensor, "B C"], Float[Tensor, "B T"]]:
        hidden = self.hidden(rows)
        return self.category(hidden.amax(1)), self.relevance(hidden).squeeze(-1)


class LateFusion(nn.Module):
    """The mean of two modalities' logits.

    Args:
        audio_width, visual_width, segments, classes, supervision: set by the data and the objective.
        dim: D, width of each modality's hidden layer.
        dropout: dropout rate on features and hidden layer.
    """

    def __init__(self, *, audio_width: int, visual_width: int, segments: int, classes: int, supervision: str,
                 dim: int = 256, dropout: float = 0.2) -> None:
        super().__init__()
        self.audio = Branch(audio_width, dim, classes, dropout)
        self.visual = Branch(visual_width, dim, classes, dropout)

    def forward(self, batch: HeteroData) -> Localization:
        audio, visual = streams(batch)
        branches = zip(self.audio(audio), self.visual(visual), strict=True)
        category, relevance = ((one + two) / 2 for one, two in branches)
        return Localization(category, relevance)


class LateFusionObjective(Objective):
    """Full: class and relevance. Weak: the maximum over time of ``sigmoid(r_t) e_c`` against the class.

    Args:
        supervision: ``full`` or ``weak``.
        relevance_weight: weight of the relevance loss.
        video_loss: the weak loss (:data:`avsgn_pyg.baselines.common.VIDEO_LOSSES`).
    """

    only: ClassVar = {"relevance_weight": FULL_ONLY, "video_loss": WEAK_ONLY}

    def __init__(self, *, supervision: str, relevance_weight: float = 1.0,
                 video_loss: Literal["cross_entropy", "soft_margin"] = "cross_entropy") -> None:
        super().__init__(
            supervision,
            full={"category": Term(category_term()), "relevance": Term(relevance_term, relevance_weight)},
            weak={"mil": Term(joint_term(video_loss))},
        )
