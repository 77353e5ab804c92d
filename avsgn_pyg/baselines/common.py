"""What every baseline needs: a batch as two streams, losses on logits, and an objective as a table of terms.

Letters: B videos, T segments, C classes (background is C), K columns of a video's scores. ``category`` is NO_EVENT
(-1) for a video without an event; such a video is left out of every class loss.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor
from torch_geometric.data import HeteroData

from avsgn_pyg.graph.schema import AUDIO, NO_EVENT, VISUAL
from avsgn_pyg.graph.views import dense_view
from avsgn_pyg.localization import Localization

Scalar = Float[Tensor, ""]

#: For a class's ``only`` (:func:`avsgn_pyg.baselines.options.build_with`): the option is read under that supervision.
FULL_ONLY: Final = ("supervision", "full")
WEAK_ONLY: Final = ("supervision", "weak")

#: An answer, the videos' classes [B] and, under full supervision only, their event seconds [B, T] -> a scalar.
Loss = Callable[[Localization, Tensor, "Tensor | None"], Tensor]


def streams(batch: HeteroData) -> tuple[Float[Tensor, "B T a"], Float[Tensor, "B T v"]]:
    """Audio and visual features of a batch, a row per second.

    Raises:
        ValueError: the videos differ in length (recurrent baselines were published for one length), or the two
            modalities do.
    """
    audio, visual = dense_view(batch, AUDIO), dense_view(batch, VISUAL)
    if audio.shape[:2] != visual.shape[:2]:
        raise ValueError(f"audio and visual nodes are the same seconds, but {tuple(audio.shape[:2])} and "
                         f"{tuple(visual.shape[:2])} came")
    return audio, visual


def at_least_single(x: Tensor) -> Tensor:
    """Half precision is too coarse for a logarithm; anything finer stays as it is."""
    return x.float() if x.dtype in (torch.float16, torch.bfloat16) else x


def class_loss(logits: Float[Tensor, "B K"], category: Int[Tensor, "B"]) -> Scalar:
    """Cross-entropy of the video's class, averaged over the videos that have an event."""
    total = F.cross_entropy(at_least_single(logits), category, ignore_index=NO_EVENT, reduction="sum")
    return total / (category != NO_EVENT).sum().clamp(min=1)


def soft_margin_loss(logits: Float[Tensor, "B K"], category: Int[Tensor, "B"]) -> Scalar:
    """The weak loss of AVEL's line as its code has it: multi-label soft margin on *softmaxed* scores.

    Probabilities pass a second sigmoid there, so with 28 classes the loss stays between .68 and .72 and its gradients
    are small.
    """
    known = category != NO_EVENT
    target = F.one_hot(category.clamp(min=0), logits.shape[-1]).to(at_least_single(logits).dtype)
    each = F.multilabel_soft_margin_loss(at_least_single(logits).softmax(-1), target, reduction="none")
    return (each * known).sum() / known.sum().clamp(min=1)


#: How a weak objective compares a video's pooled scores with its class.
VIDEO_LOSSES: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
    "cross_entropy": class_loss, "soft_margin": soft_margin_loss}


def relevance_loss(relevance: Float[Tensor, "B T"], target: Float[Tensor, "B T"]) -> Scalar:
    """Binary cross-entropy on logits, mean over all seconds."""
    logits = at_least_single(relevance)
    return F.binary_cross_entropy_with_logits(logits, target.to(logits.dtype))


def segment_loss(scores: Float[Tensor, "B T K"], category: Int[Tensor, "B"], target: Float[Tensor, "B T"]) -> Scalar:
    """Cross-entropy of every second over the C classes and background, the last column."""
    background = scores.shape[-1] - 1
    label = torch.where((target > 0) & (category != NO_EVENT)[:, None], category[:, None], background)
    return F.cross_entropy(at_least_single(scores).flatten(0, 1), label.flatten())


def joint_scores(category: Float[Tensor, "B C"], relevance: Float[Tensor, "B T"]) -> Float[Tensor, "B T C"]:
    """``sigmoid(r_t) e_c``: a second's share of the video's class scores (CMRAN and those after it)."""
    return at_least_single(relevance).sigmoid()[..., None] * at_least_single(category)[:, None]


def from_segment_scores(scores: Float[Tensor, "B T K"], **more: object) -> Localization:
    """The answer of a model with C + 1 scores a second.

    Class and relevance are derived: a class's highest second, and the log-odds of "some class" over background.
    """
    classes, background = scores[..., :-1], scores[..., -1]
    relevance = classes.logsumexp(-1) - background
    return Localization(classes.amax(1), relevance, segment_scores=scores, **more)


@dataclass(frozen=True)
class Term:
    """One named loss, its weight in the sum, and the share of training after which it joins the sum."""

    loss: Loss
    weight: float = 1.0
    since: float = 0.0


class TermObjective:
    """Named losses of one supervision and their weighted sum.

    Args:
        supervision: ``full`` or ``weak``.
        full, weak: the terms of each, in the order of the log.
    """

    def __init__(self, supervision: str, *, full: Mapping[str, Term], weak: Mapping[str, Term]) -> None:
        self.supervision = supervision
        self.terms = dict({"full": full, "weak": weak}[supervision])
        self.trained = 1.0

    def begin(self, trained: float) -> None:
        """Hear which share of training is behind; until then every term counts."""
        self.trained = trained

    @property
    def names(self) -> tuple[str, ...]:
        """The losses that are summed."""
        return tuple(self.terms)

    def __call__(self, answer: Localization, category: Int[Tensor, "B"],
                 relevance: Float[Tensor, "B T"] | None = None) -> dict[str, Tensor]:
        """Each named loss by itself, unweighted. Under weak supervision the seconds' labels stop here."""
        if self.supervision == "weak":
            relevance = None
        return {name: term.loss(answer, category, relevance) for name, term in self.terms.items()}

    def total(self, losses: Mapping[str, Tensor]) -> Scalar:
        """The weighted sum that is descended; a term that has not begun weighs 0."""
        terms = {name: self.terms[name] for name in losses}
        weights = {name: term.weight * (self.trained >= term.since) for name, term in terms.items()}
        return torch.stack([weights[name] * loss for name, loss in losses.items()]).sum()


def category_term(answer: Localization, category: Tensor, _: Tensor | None) -> Tensor:
    """Class of the video."""
    return class_loss(answer.category, category)


def relevance_term(answer: Localization, _: Tensor, relevance: Tensor) -> Tensor:
    """Event or background, second by second."""
    return relevance_loss(answer.relevance, relevance)


def segment_term(answer: Localization, category: Tensor, relevance: Tensor) -> Tensor:
    """Class or background, second by second."""
    return segment_loss(answer.segment_scores, category, relevance)


def joint_term(video_loss: str) -> Loss:
    """The weak loss of two-head models: highest second of :func:`joint_scores` against the video's class."""
    compare = VIDEO_LOSSES[video_loss]

    def loss(answer: Localization, category: Tensor, _: Tensor | None) -> Tensor:
        return compare(joint_scores(answer.category, answer.relevance).amax(1), category)

    return loss


def pooled_term(video_loss: str, pooling: str) -> Loss:
    """The weak loss of segment-scoring models: scores pooled over time against the video's class."""
    compare, pool = VIDEO_LOSSES[video_loss], {"max": torch.amax, "mean": torch.mean}[pooling]

    def loss(answer: Localization, category: Tensor, _: Tensor | None) -> Tensor:
        return compare(pool(answer.segment_scores, dim=1), category)

    return loss
