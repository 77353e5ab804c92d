"""Losses and objectives of our model (Eq. 12-18) and of the baselines: named terms and their weighted sum.

A term keeps one name from the objective to the log to the ablation row: ``category``, ``relevance``, ``gate``,
``consistency``, ``mil``, ``segment`` (29-way cross-entropy, used for Table 4's row that cannot be trained as printed),
and ``pasted`` (not from the paper: a weak objective that localizes). Losses take *logits*. Weak terms never receive the
segment labels.

Shapes: B videos, T segments, C classes (background is C), K scores per video. ``category`` is NO_EVENT (-1) for a video
without an event, which is left out of every class loss. ``mask`` is False for padded seconds, which are left out
of every loss.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float, Int
from torch import Tensor

from avsgn_pyg.graph.localization import Localization
from avsgn_pyg.graph.schema import AUDIO, CATEGORY, NO_EVENT, RELEVANCE, VISUAL

Scalar = Float[Tensor, ""]
Mask = Bool[Tensor, "B T"] | None

#: Eq. 16 and Eq. 17-18.
DEFAULT_LOSSES = {"full": ("relevance", "category", "gate", "consistency"), "weak": ("mil", "gate")}


def at_least_single(x: Tensor) -> Tensor:
    """Convert half precision, too coarse for a logarithm, to float32; leave other types."""
    return x.float() if x.dtype in (torch.float16, torch.bfloat16) else x


def mean_over(values: Float[Tensor, "B T"], mask: Mask) -> Scalar:
    """Mean over segments without padding."""
    return values.mean() if mask is None else values.masked_fill(~mask, 0).sum() / mask.sum()


def class_loss(logits: Float[Tensor, "B C"], category: Int[Tensor, "B"], smoothing: float = 0.0) -> Scalar:
    """Cross-entropy of a video's class (Eq. 12, 14, 17), mean over the videos with an event."""
    total = F.cross_entropy(at_least_single(logits), category, ignore_index=NO_EVENT, reduction="sum",
                            label_smoothing=smoothing)
    return total / (category != NO_EVENT).sum().clamp(min=1)


def relevance_loss(relevance: Float[Tensor, "B T"], target: Float[Tensor, "B T"], mask: Mask = None) -> Scalar:
    """Eq. 13 without its indicator, which has no gradient: binary cross-entropy on logits, mean over segments."""
    logits = at_least_single(relevance)
    return mean_over(F.binary_cross_entropy_with_logits(logits, target.to(logits.dtype), reduction="none"), mask)


def consistency_loss(audio: Float[Tensor, "B T D"], visual: Float[Tensor, "B T D"], target: Float[Tensor, "B T"],
                     margin: float = 1.0, mask: Mask = None) -> Scalar:
    """Eq. 15 on unit vectors: the modalities are pulled together in event seconds and pushed `margin` apart in others.

    The distance is Euclidean, not squared, with a small constant under the root so that equal vectors have a gradient.
    It is at most 2, and at most sqrt(2) for non-negative features (ReLU without a norm after it).
    """
    gap = F.normalize(at_least_single(visual), dim=-1) - F.normalize(at_least_single(audio), dim=-1)
    distance = (gap.square().sum(-1) + 1e-8).sqrt()
    return mean_over(target * distance + (1 - target) * (margin - distance).clamp(min=0), mask)


def pasted_loss(relevance: Float[Tensor, "B T"], pasted: Float[Tensor, "B T"], category: Int[Tensor, "B"],
                mask: Mask = None) -> Scalar:
    """Relevance under weak supervision: seconds that augmentation pasted over are background by construction.

    Where one modality was replaced by another class, the event is no longer both audible and visible, so the target is
    0, as in every second of a video without an event. The remaining seconds have target 1, although some are background
    too. The loss is ``mean(softplus(r))`` over background plus ``mean(softplus(-r))`` over the rest, so that both sides
    weigh the same whatever their number.
    """
    logits = at_least_single(relevance)
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
    each = F.cross_entropy(at_least_single(scores).flatten(0, 1), label.flatten(), reduction="none")
    return mean_over(each.view_as(target), mask)


def pool_max(scores: Float[Tensor, "B T C"], relevance: Float[Tensor, "B T"], k: int,
             mask: Mask = None) -> Float[Tensor, "B C"]:
    """The maximum over seconds."""
    return _without_padding(scores, mask).amax(1)


def pool_mean(scores: Float[Tensor, "B T C"], relevance: Float[Tensor, "B T"], k: int,
              mask: Mask = None) -> Float[Tensor, "B C"]:
    """The mean over seconds."""
    if mask is None:
        return scores.mean(1)
    return scores.masked_fill(~mask[..., None], 0).sum(1) / mask.sum(1, keepdim=True)


def pool_topk(scores: Float[Tensor, "B T C"], relevance: Float[Tensor, "B T"], k: int,
              mask: Mask = None) -> Float[Tensor, "B C"]:
    """The mean of the k highest seconds of each class, or of all if the video is shorter."""
    highest = _without_padding(scores, mask).topk(min(k, scores.shape[1]), dim=1).values
    if mask is None:
        return highest.mean(1)
    found = mask.sum(1).clamp(max=k)[:, None]
    there = torch.arange(highest.shape[1], device=scores.device) < found
    return highest.masked_fill(~there[..., None], 0).sum(1) / found


def pool_attention(scores: Float[Tensor, "B T C"], relevance: Float[Tensor, "B T"], k: int,
                   mask: Mask = None) -> Float[Tensor, "B C"]:
    """The mean weighted by the softmax over time of the relevance."""
    weight = _without_padding(relevance[..., None], mask).softmax(1)
    return (weight * scores if mask is None else (weight * scores).masked_fill(~mask[..., None], 0)).sum(1)


def _without_padding(rows: Float[Tensor, "B T w"], mask: Mask) -> Float[Tensor, "B T w"]:
    return rows if mask is None else rows.masked_fill(~mask[..., None], -math.inf)


#: Choices for ``MIL(s)`` of Eq. 17, which the paper does not specify.
POOLING: dict[str, Callable[[Tensor, Tensor, int, Tensor | None], Tensor]] = {
    "max": pool_max, "mean": pool_mean, "topk": pool_topk, "attention": pool_attention}


def joint_scores(category: Float[Tensor, "B C"], relevance: Float[Tensor, "B T"]) -> Float[Tensor, "B T C"]:
    """``s[t, c] = sigmoid(r_t) e_c``: both heads expanded to [T, C] and multiplied (before Eq. 17; CMRAN)."""
    return at_least_single(relevance).sigmoid()[..., None] * at_least_single(category)[:, None]


def joint_probabilities(category: Float[Tensor, "B C"], relevance: Float[Tensor, "B T"]) -> Float[Tensor, "B T C"]:
    """``s[t, c] = sigmoid(r_t) softmax(e)_c``: the scores of Eq. 10 and 11 as printed, multiplied (before Eq. 17)."""
    return joint_scores(at_least_single(category).softmax(-1), relevance)


def probability_loss(pooled: Float[Tensor, "B C"], category: Int[Tensor, "B"], _: float = 0.0) -> Scalar:
    """Eq. 17 on :func:`joint_probabilities`: -log of the class's pooled score, mean over the videos with an event."""
    log = pooled.clamp(min=torch.finfo(pooled.dtype).tiny).log()
    total = F.nll_loss(log, category, ignore_index=NO_EVENT, reduction="sum")
    return total / (category != NO_EVENT).sum().clamp(min=1)


#: ``objective.mil_scores``: the scores that Eq. 17 pools, and the loss of the pooled ones.
MIL_SCORES: dict[str, tuple[Callable[[Tensor, Tensor], Tensor], Callable[[Tensor, Tensor, float], Tensor]]] = {
    "logits": (joint_scores, class_loss), "softmax": (joint_probabilities, probability_loss)}


#: ``(output, category [B], target [B, T] or None) -> scalar``. The target is the event seconds under full supervision;
#: under weak supervision, the seconds that augmentation pasted over, or ``None``.
Loss = Callable[[Localization, Tensor, "Tensor | None"], Tensor]


@dataclass(frozen=True)
class Term:
    """A named loss, its weight in the sum, and the fraction of training after which it joins the sum."""

    loss: Loss
    weight: float = 1.0
    since: float = 0.0


class Objective:
    """Named losses of one supervision and their weighted sum.

    Args:
        supervision: ``full`` or ``weak``.
        full, weak: the terms of each, in the order of the log.
    """

    #: The labels of a batch that a call takes after the output.
    labels = (CATEGORY, RELEVANCE)

    def __init__(self, supervision: str, *, full: Mapping[str, Term], weak: Mapping[str, Term]) -> None:
        self.supervision = supervision
        self.terms = dict({"full": full, "weak": weak}[supervision])
        self.progress = 1.0

    @property
    def names(self) -> tuple[str, ...]:
        """The losses that are summed."""
        return tuple(self.terms)

    def begin(self, progress: float) -> None:
        """Set the fraction of training completed; the trainer calls this before every epoch."""
        self.progress = progress

    def __call__(self, output: Localization, category: Int[Tensor, "B"],
                 relevance: Float[Tensor, "B T"] | None = None,
                 pasted: Float[Tensor, "B T"] | None = None) -> dict[str, Tensor]:
        """Return each named loss, unweighted.

        Args:
            relevance: 1 in event seconds; not used under weak supervision.
            pasted: 1 where augmentation replaced one modality. This is drawn at random and thus no label.
        """
        target = relevance if self.supervision == "full" else pasted
        return {name: term.loss(output, category, target) for name, term in self.terms.items()}

    def total(self, losses: Mapping[str, Tensor]) -> Scalar:
        """Return the weighted sum to minimize (Eq. 16 or 18); terms that have not begun have weight 0."""
        weight = {name: term.weight * (self.progress >= term.since) for name, term in self.terms.items()}
        return torch.stack([weight[name] * loss for name, loss in losses.items()]).sum()


class AVSGNObjective(Objective):
    """Eq. 16 (full) or 18 (weak), or any of their losses.

    Args:
        supervision: ``full`` or ``weak``.
        losses: the losses to sum; ``None``: all of the equation.
        relevance_weight: weight of the relevance loss, a mean over segments; T gives the paper's sum (below Eq. 16).
        pasted_weight: weight of the loss ``pasted``.
        consistency_weight: lambda of Eq. 16.
        margin: m of Eq. 15.
        mil_pooling, mil_topk: ``MIL`` of Eq. 17.
        mil_scores: a key of :data:`MIL_SCORES`.
        label_smoothing: of the class losses; 0 in the paper.
    """

    def __init__(self, supervision: str = "full", *, losses: Sequence[str] | None = None, relevance_weight: float = 1.0,
                 pasted_weight: float = 3.0, consistency_weight: float = 0.01, margin: float = 1.0,
                 mil_pooling: str = "max", mil_topk: int = 4, mil_scores: str = "logits",
                 label_smoothing: float = 0.0) -> None:
        pool, (joint, compare) = POOLING[mil_pooling], MIL_SCORES[mil_scores]

        def gate(output: Localization, category: Tensor, _: Tensor | None) -> Tensor:
            return class_loss(output.gate_category, category, label_smoothing)

        def mil(output: Localization, category: Tensor, _: Tensor | None) -> Tensor:
            scores = joint(output.category, output.relevance)
            pooled = pool(scores, at_least_single(output.relevance), mil_topk, output.mask)
            return compare(pooled, category, label_smoothing)

        def pasted(output: Localization, category: Tensor, where: Tensor) -> Tensor:
            return pasted_loss(output.relevance, where, category, output.mask)

        def consistency(output: Localization, _: Tensor, relevance: Tensor) -> Tensor:
            stage = output.stages["cmgi"]
            return consistency_loss(stage[AUDIO], stage[VISUAL], relevance, margin, output.mask)

        terms = {
            "category": Term(category_term(label_smoothing)), "gate": Term(gate), "mil": Term(mil),
            "pasted": Term(pasted, pasted_weight), "relevance": Term(relevance_term, relevance_weight),
            "consistency": Term(consistency, consistency_weight), "segment": Term(segment_term),
        }
        chosen = {name: terms[name] for name in losses or DEFAULT_LOSSES[supervision]}
        super().__init__(supervision, full=chosen, weak=chosen)


def category_term(smoothing: float = 0.0) -> Loss:
    """The class of the video (Eq. 12)."""

    def loss(output: Localization, category: Tensor, _: Tensor | None) -> Tensor:
        return class_loss(output.category, category, smoothing)

    return loss


def relevance_term(output: Localization, _: Tensor, relevance: Tensor) -> Tensor:
    """Event or background in every second (Eq. 13)."""
    return relevance_loss(output.relevance, relevance, output.mask)


def segment_term(output: Localization, category: Tensor, relevance: Tensor) -> Tensor:
    """Class or background in every second."""
    return segment_loss(output.segment_scores, category, relevance, output.mask)
