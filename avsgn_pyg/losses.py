"""Objectives, Eq. 12-18: named losses and their weighted sum.

Every loss keeps one name from here to the log to the ablation row: ``category``, ``relevance``, ``gate``,
``consistency``, ``mil``, ``segment`` (the 29-way cross-entropy that stands in for Table 4's untrainable row), and
``pasted`` (not the paper's: a weak objective that localizes).
Losses take *logits*. Weak losses are never given the segment labels.

Letters: B videos, T segments, C classes (background is C). ``category`` is NO_EVENT (-1) for a video without
an event; such a video is left out of every class loss. ``mask`` (an answer's) is False where a second is padding,
which takes part in no loss.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float, Int
from torch import Tensor

from avsgn_pyg.graph.schema import AUDIO, NO_EVENT, VISUAL
from avsgn_pyg.localization import Localization

Scalar = Float[Tensor, ""]
Mask = Bool[Tensor, "B T"] | None

#: Eq. 16 and Eq. 17-18.
DEFAULT_LOSSES = {"full": ("relevance", "category", "gate", "consistency"), "weak": ("mil", "gate")}


def _at_least_single(x: Tensor) -> Tensor:
    """Half precision, as autocast leaves it, is too coarse for a logarithm; anything finer stays as it is."""
    return x.float() if x.dtype in (torch.float16, torch.bfloat16) else x


def mean_over(values: Float[Tensor, "B T"], mask: Mask) -> Scalar:
    """The mean over segments, padding left out."""
    return values.mean() if mask is None else values.masked_fill(~mask, 0).sum() / mask.sum()


def class_loss(logits: Float[Tensor, "B C"], category: Int[Tensor, "B"], smoothing: float = 0.0) -> Scalar:
    """Cross-entropy of a video's class (Eq. 12, 14, 17), averaged over the videos that have an event."""
    total = F.cross_entropy(_at_least_single(logits), category, ignore_index=NO_EVENT, reduction="sum",
                            label_smoothing=smoothing)
    return total / (category != NO_EVENT).sum().clamp(min=1)


def relevance_loss(relevance: Float[Tensor, "B T"], target: Float[Tensor, "B T"], mask: Mask = None) -> Scalar:
    """Eq. 13 without its indicator, which has no gradient: binary cross-entropy on logits, mean over segments."""
    logits = _at_least_single(relevance)
    return mean_over(F.binary_cross_entropy_with_logits(logits, target.to(logits.dtype), reduction="none"), mask)


def consistency_loss(audio: Float[Tensor, "B T D"], visual: Float[Tensor, "B T D"], target: Float[Tensor, "B T"],
                     margin: float = 1.0, mask: Mask = None) -> Scalar:
    """Eq. 15 on unit rows: event seconds draw the modalities together, others hold them `margin` apart.

    The distance is Euclidean, not squared, with a floor under the root so that equal rows have a gradient. Unit
    rows are at most 2 apart, and at most sqrt(2) where features are not negative (ReLU without a norm after it).
    """
    gap = F.normalize(_at_least_single(visual), dim=-1) - F.normalize(_at_least_single(audio), dim=-1)
    distance = (gap.square().sum(-1) + 1e-8).sqrt()
    return mean_over(target * distance + (1 - target) * (margin - distance).clamp(min=0), mask)


def pasted_loss(relevance: Float[Tensor, "B T"], pasted: Float[Tensor, "B T"], category: Int[Tensor, "B"],
                mask: Mask = None) -> Scalar:
    """Relevance from what weak supervision knows: seconds that were pasted over are background, by construction.

    Where another class was laid over one modality, the event is no longer both heard and seen, so the target is 0,
    as it is throughout a video without an event. The video's own seconds count as event: most are, and those that
    are not look like the pasted ones, which outvote them. The loss is ``mean(softplus(r))`` over the background and
    ``mean(softplus(-r))`` over the own seconds, summed, so that neither side wins by its number.
    """
    logits = _at_least_single(relevance)
    background = (pasted > 0) | (category == NO_EVENT)[:, None]
    own = ~background if mask is None else ~background & mask
    background = background if mask is None else background & mask
    parts = ((background, F.softplus(logits)), (own, F.softplus(-logits)))
    return torch.stack([torch.where(here, cost, 0).sum() / here.sum().clamp(min=1) for here, cost in parts]).sum()


def segment_loss(scores: Float[Tensor, "B T C1"], category: Int[Tensor, "B"], target: Float[Tensor, "B T"],
                 mask: Mask = None) -> Scalar:
    """Per-segment cross-entropy over the C classes and background (AVEL's objective), mean over segments."""
    background = scores.shape[-1] - 1
    label = torch.where((target > 0) & (category != NO_EVENT)[:, None], category[:, None], background)
    each = F.cross_entropy(_at_least_single(scores).flatten(0, 1), label.flatten(), reduction="none")
    return mean_over(each.view_as(target), mask)


def pool_max(scores: Float[Tensor, "B T C"], relevance: Float[Tensor, "B T"], k: int,
             mask: Mask = None) -> Float[Tensor, "B C"]:
    """The highest second of each class."""
    return _without_padding(scores, mask).amax(1)


def pool_mean(scores: Float[Tensor, "B T C"], relevance: Float[Tensor, "B T"], k: int,
              mask: Mask = None) -> Float[Tensor, "B C"]:
    """All seconds alike."""
    if mask is None:
        return scores.mean(1)
    return scores.masked_fill(~mask[..., None], 0).sum(1) / mask.sum(1, keepdim=True)


def pool_topk(scores: Float[Tensor, "B T C"], relevance: Float[Tensor, "B T"], k: int,
              mask: Mask = None) -> Float[Tensor, "B C"]:
    """Mean of the k highest seconds of each class (all of them where the video is shorter)."""
    highest = _without_padding(scores, mask).topk(min(k, scores.shape[1]), dim=1).values
    if mask is None:
        return highest.mean(1)
    found = mask.sum(1).clamp(max=k)[:, None]
    there = torch.arange(highest.shape[1], device=scores.device) < found
    return highest.masked_fill(~there[..., None], 0).sum(1) / found


def pool_attention(scores: Float[Tensor, "B T C"], relevance: Float[Tensor, "B T"], k: int,
                   mask: Mask = None) -> Float[Tensor, "B C"]:
    """Seconds weighted by the softmax over time of their relevance."""
    weight = _without_padding(relevance[..., None], mask).softmax(1)
    return (weight * scores if mask is None else (weight * scores).masked_fill(~mask[..., None], 0)).sum(1)


def _without_padding(rows: Float[Tensor, "B T w"], mask: Mask) -> Float[Tensor, "B T w"]:
    return rows if mask is None else rows.masked_fill(~mask[..., None], -math.inf)


#: ``MIL(s)`` of Eq. 17; the paper does not say which.
POOLING: dict[str, Callable[[Tensor, Tensor, int, Tensor | None], Tensor]] = {
    "max": pool_max, "mean": pool_mean, "topk": pool_topk, "attention": pool_attention}


def joint_scores(category: Float[Tensor, "B C"], relevance: Float[Tensor, "B T"]) -> Float[Tensor, "B T C"]:
    """``s[t, c] = sigmoid(r_t) e_c``: both heads expanded to [T, C] and fused (before Eq. 17)."""
    return relevance.sigmoid()[..., None] * category[:, None]


@dataclass(frozen=True)
class Objective:
    """Named losses of one supervision and their weights.

    Attributes:
        supervision: ``full`` (Eq. 16) or ``weak`` (Eq. 18).
        losses: which are summed; ``None`` is all that the supervision's equation has.
        relevance_weight: of the mean over segments; T is the paper's own sum over segments (below Eq. 16).
        pasted_weight: of the loss ``pasted`` (this project's own).
        consistency_weight: lambda of Eq. 16.
        margin: m of Eq. 15.
        mil_pooling, mil_topk: ``MIL`` of Eq. 17.
        label_smoothing: of the class losses; 0 is the paper's.
    """

    supervision: str = "full"
    losses: Sequence[str] | None = None
    relevance_weight: float = 1.0
    pasted_weight: float = 3.0
    consistency_weight: float = 0.01
    margin: float = 1.0
    mil_pooling: str = "max"
    mil_topk: int = 4
    label_smoothing: float = 0.0

    @property
    def names(self) -> tuple[str, ...]:
        """The losses that are summed, in the equation's order."""
        return tuple(self.losses or DEFAULT_LOSSES[self.supervision])

    def __call__(self, answer: Localization, category: Int[Tensor, "B"],
                 relevance: Float[Tensor, "B T"] | None = None,
                 pasted: Float[Tensor, "B T"] | None = None) -> dict[str, Tensor]:
        """Each named loss by itself, unweighted.

        `relevance` [B, T] is 1 in event seconds; under weak supervision it stops here. `pasted` [B, T] is 1 where
        augmentation laid another class over one modality, which is no label: it was drawn.
        """
        if self.supervision == "weak":
            relevance = pasted
        return {name: getattr(self, f"_{name}")(answer, category, relevance) for name in self.names}

    def total(self, losses: Mapping[str, Tensor]) -> Scalar:
        """The weighted sum that is descended (Eq. 16 or 18)."""
        weight = {"relevance": self.relevance_weight, "consistency": self.consistency_weight,
                  "pasted": self.pasted_weight}
        return torch.stack([weight.get(name, 1.0) * loss for name, loss in losses.items()]).sum()

    def _category(self, answer: Localization, category: Tensor, _: Tensor | None) -> Tensor:
        return class_loss(answer.category, category, self.label_smoothing)

    def _gate(self, answer: Localization, category: Tensor, _: Tensor | None) -> Tensor:
        return class_loss(answer.gate_category, category, self.label_smoothing)

    def _mil(self, answer: Localization, category: Tensor, _: Tensor | None) -> Tensor:
        scores = joint_scores(_at_least_single(answer.category), _at_least_single(answer.relevance))
        pooled = POOLING[self.mil_pooling](scores, _at_least_single(answer.relevance), self.mil_topk,
                                           answer.mask)
        return class_loss(pooled, category, self.label_smoothing)

    def _pasted(self, answer: Localization, category: Tensor, pasted: Tensor) -> Tensor:
        return pasted_loss(answer.relevance, pasted, category, answer.mask)

    def _relevance(self, answer: Localization, _: Tensor, relevance: Tensor) -> Tensor:
        return relevance_loss(answer.relevance, relevance, answer.mask)

    def _consistency(self, answer: Localization, _: Tensor, relevance: Tensor) -> Tensor:
        stage = answer.stages["cmgi"]
        return consistency_loss(stage[AUDIO], stage[VISUAL], relevance, self.margin, answer.mask)

    def _segment(self, answer: Localization, category: Tensor, relevance: Tensor) -> Tensor:
        return segment_loss(answer.segment_scores, category, relevance, answer.mask)
