"""CPSP: Zhou, Guo, Wang, "Contrastive Positive Sample Propagation along the Audio-Visual Event Line", TPAMI 2023.

In short: PSP's propagation with two heads (relevance of each second, class from the mean over time), and a contrast of
features at three levels. *Pair*: PSP's AVPS. *Segment*: an event second should be closer to the video's other event
seconds than to its background, ``-log(P / (P + N))`` with P the sum over event seconds and N the mean over background
of ``exp(cos / t)``. *Video*: the farthest video of the same class should be closer, by a margin, than the nearest
videos of other classes. Weak: the maximum over time of ``sigmoid(r_t) e_c`` against the class, and the video level with
another margin.

AVEL's audio-guided attention runs first; on segment vectors there is one region, and it is left out.

The published code differs: its segment loss sums over the wrong axis, so event seconds are never compared with
background: the loss is a constant without gradient. Here each event second is contrasted with the background, as in the
paper. Its weak script uses a loss that is missing from its files; its weak loss is a multi-label soft margin on
softmaxed scores (``soft_margin``). It selects on val.

Shapes: B videos, T segments, D width, C classes.
"""

from __future__ import annotations

from typing import ClassVar, Literal

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float
from torch import Tensor, nn
from torch_geometric.data import HeteroData

from avsgn_pyg.baselines.common import FULL_ONLY, WEAK_ONLY, joint_term
from avsgn_pyg.baselines.pairs import (
    PROPAGATED,
    PositiveSamplePropagation,
    RecurrentStreams,
    mean_of,
    pair_term,
    video_triplet_loss,
)
from avsgn_pyg.baselines.regions import AudioGuidedAttention, OneRegion, region_streams
from avsgn_pyg.graph.localization import Localization
from avsgn_pyg.graph.schema import AUDIO, VISUAL
from avsgn_pyg.model.losses import Objective, Term, at_least_single, category_term, relevance_term


class CPSP(nn.Module):
    """The network; arguments are those of :class:`avsgn_pyg.baselines.psp.PSP`."""

    def __init__(self, *, audio_width: int, visual_width: int, segments: int, classes: int, supervision: str,
                 regions: bool = False, hidden: int = 128, between: int = 256, width: int = 128,
                 threshold: float = 0.099, dropout: float = 0.1) -> None:
        super().__init__()
        self.choose = AudioGuidedAttention(audio_width, visual_width) if regions else OneRegion()
        self.encode = RecurrentStreams(audio_width, visual_width, between=between, width=width, hidden=hidden)
        self.propagate = PositiveSamplePropagation(2 * hidden, threshold, dropout)
        self.relevance = nn.Linear(2 * hidden, 1)
        self.category = nn.Linear(2 * hidden, classes)

    def forward(self, batch: HeteroData) -> Localization:
        audio, visual = region_streams(batch)
        audio, visual = self.propagate(*self.encode(audio, self.choose(audio, visual)))
        fused = mean_of(audio, visual)
        return Localization(self.category(fused.mean(1)), self.relevance(fused).squeeze(-1),
                            stages={PROPAGATED: {AUDIO: audio, VISUAL: visual, "fused": fused}})


def segment_contrast_loss(fused: Float[Tensor, "B T D"], target: Float[Tensor, "B T"], temperature: float
                          ) -> Float[Tensor, ""]:
    """The segment level, mean over the event seconds of a video, then over the videos with an event.

    An event second is one of its own positives. A video without background has loss 0. The sums are computed in
    logarithms, because ``exp(cos / t)`` overflows for temperatures below .011.
    """
    rows = F.normalize(at_least_single(fused), dim=-1)
    likeness = rows @ rows.mT / temperature
    event = target > 0
    negative = _log_sum(likeness, ~event) - (~event).sum(-1, keepdim=True).clamp(min=1).log()
    counted = event & (~event).any(-1, keepdim=True)
    each = torch.where(counted, F.softplus(negative - _log_sum(likeness, event)), 0)
    return (each.sum(-1) / event.sum(-1).clamp(min=1)).sum() / event.any(-1).sum().clamp(min=1)


def _log_sum(likeness: Float[Tensor, "B T T"], columns: Bool[Tensor, "B T"]) -> Float[Tensor, "B T"]:
    """Log-sum-exp over `columns`, or over all columns if a video has none, so that it stays finite."""
    taken = columns | ~columns.any(-1, keepdim=True)
    return likeness.masked_fill(~taken[:, None], -torch.inf).logsumexp(-1)


class CPSPObjective(Objective):
    """Full: relevance, class and the three contrasts. Weak: multiple-instance loss on ``sigmoid(r_t) e_c``, and videos.

    Args:
        supervision: ``full`` or ``weak``.
        pair_weight, segment_weight, video_weight: weights of the losses of the three levels.
        temperature: t of the segment level, more than 0.
        margin: of the video level; ``None`` is .2 under full and .6 under weak supervision.
        negatives: number of nearest videos of other classes over which the video level averages.
        video_loss: the weak loss.
    """

    only: ClassVar = {"pair_weight": FULL_ONLY, "segment_weight": FULL_ONLY, "temperature": FULL_ONLY,
                      "video_loss": WEAK_ONLY}

    def __init__(self, *, supervision: str, pair_weight: float = 100.0, segment_weight: float = 0.01,
                 video_weight: float = 1.0, temperature: float = 0.6, margin: float | None = None, negatives: int = 3,
                 video_loss: Literal["cross_entropy", "soft_margin"] = "cross_entropy") -> None:
        if not temperature > 0:
            raise ValueError(f"temperature={temperature:g} divides cosines; it must be more than 0, such as 0.6")
        margin = {"full": 0.2, "weak": 0.6}[supervision] if margin is None else margin

        def segment(output: Localization, _: Tensor, relevance: Tensor) -> Tensor:
            return segment_contrast_loss(output.stages[PROPAGATED]["fused"], relevance, temperature)

        def video(output: Localization, category: Tensor, _: Tensor | None) -> Tensor:
            return video_triplet_loss(output.stages[PROPAGATED]["fused"], category, margin, negatives)

        super().__init__(
            supervision,
            full={"relevance": Term(relevance_term), "category": Term(category_term()),
                  "pair": Term(pair_term, pair_weight), "contrast": Term(segment, segment_weight),
                  "video": Term(video, video_weight)},
            weak={"mil": Term(joint_term(video_loss)), "video": Term(video, video_weight)},
        )
