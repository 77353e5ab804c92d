"""Scores of single segments: accuracy, class accuracy, confusion matrix, AUC of the relevance.

Shapes: N videos, T segments of one second, C event classes; label C is background. Counts are integers up to the last
division, so a score does not depend on the order or the batching of the videos.

Videos of mixed lengths are padded to T: `mask` [N, T] is False for padded segments, which no score includes.
"""

from __future__ import annotations

import math
from typing import Final

import torch
from jaxtyping import Bool, Float, Int, Num
from torch import Tensor

from avsgn_pyg.graph.localization import Localization, decode, decode_segments
from avsgn_pyg.graph.schema import NO_EVENT

Mask = Bool[Tensor, "N T"] | None

#: Name of label C in tables and figures.
BACKGROUND: Final = "background"


def percent(part: int, whole: int) -> float:
    """Return 100 · part / whole; ``nan`` if `whole` is 0."""
    return 100.0 * part / whole if whole else math.nan


def segment_targets(category: Int[Tensor, "N"], relevance: Num[Tensor, "N T"], classes: int) -> Int[Tensor, "N T"]:
    """Return the true label of every segment: the video's class inside its event, background (= `classes`) outside.

    Args:
        category: class of the video, 0..C-1, or ``NO_EVENT`` (-1) for a video that is background throughout.
        relevance: 1 in the event's seconds, 0 in the others.
        classes: C.

    Raises:
        ValueError: shapes that do not fit, a class outside -1..C-1, a relevance other than 0 and 1, or an event second
            in a ``NO_EVENT`` video; the message names the first such video.
    """
    if category.ndim != 1 or relevance.ndim != 2 or len(category) != len(relevance):
        raise ValueError("category and relevance must be [videos] and [videos, segments], "
                         f"got {list(category.shape)} and {list(relevance.shape)}")
    outside = (category < NO_EVENT) | (category >= classes)
    _check(~outside, f"category must lie in {NO_EVENT}..{classes - 1}", category)
    _check(((relevance == 0) | (relevance == 1)).all(-1), "relevance must be 0 or 1", relevance)
    lost = (category == NO_EVENT) & (relevance != 0).any(-1)
    _check(~lost, f"category {NO_EVENT} means no event, but relevance is 1 in some seconds", relevance)
    return torch.where(relevance != 0, category[:, None].long(), classes)


def _check(good: Bool[Tensor, "N"], rule: str, values: Tensor) -> None:
    if not good.all():
        video = int((~good).nonzero()[0])
        raise ValueError(f"video {video} of {len(good)}: {rule}; got {values[video].tolist()}")


def zero_padding(values: Num[Tensor, "N T *k"], mask: Mask) -> Num[Tensor, "N T *k"]:
    """Return the values with 0 in the padding; unchanged without a mask.

    Raises:
        ValueError: the mask has another shape, or a video without a segment.
    """
    if mask is None:
        return values
    if mask.shape != values.shape[:2] or not bool(mask.any(-1).all()):
        raise ValueError(f"mask must be {list(values.shape[:2])} with a segment in every video, got {list(mask.shape)}")
    return values.masked_fill(~mask.view(*mask.shape, *(1 for _ in values.shape[2:])), 0)


def check_outputs(category: Tensor, relevance: Tensor, labels: Tensor, segment_scores: Tensor | None = None) -> None:
    """Check that a model's outputs fit the N videos of the targets and are finite.

    Args:
        category: class logits, to be [N, C].
        relevance: relevance logits, to be [N, T].
        labels: true segment labels, [N, T].
        segment_scores: to be [N, T, C + 1], or ``None``.

    Raises:
        ValueError: names the tensor, the expected and the found shape, or the first video with nan or inf.
    """
    videos, segments = labels.shape
    if not labels.numel():
        raise ValueError(f"nothing to score: the targets have shape {[videos, segments]}")
    if category.ndim != 2 or len(category) != videos:
        raise ValueError(f"category logits must be [{videos}, classes], got {list(category.shape)}")
    classes = category.shape[1]
    expected = [("category logits", category, [videos, classes]), ("relevance logits", relevance, [videos, segments])]
    if segment_scores is not None:
        expected.append(("segment scores", segment_scores, [videos, segments, classes + 1]))
    for name, values, shape in expected:
        if list(values.shape) != shape:
            raise ValueError(f"{name} must be {shape}, got {list(values.shape)}")
        finite = values.flatten(1).isfinite().all(-1)
        if not finite.all():
            raise ValueError(f"{name} of video {int((~finite).nonzero()[0])} of {videos} contain nan or inf")


def predict(
    category: Float[Tensor, "N C"], relevance: Float[Tensor, "N T"], tau: float,
    segment_scores: Float[Tensor, "N T C1"] | None = None, mask: Mask = None,
) -> Int[Tensor, "N T"]:
    """Return the predicted label of every segment: of `segment_scores` if there are any, else by `tau`.

    Padding is background.

    Raises:
        ValueError: `tau` outside [0, 1).
    """
    if not 0.0 <= tau < 1.0:
        raise ValueError(f"tau={tau} must lie in [0, 1): it cuts the sigmoid of the relevance logits")
    if segment_scores is None:
        return decode(category, relevance, tau, mask)
    labels = decode_segments(segment_scores)
    return labels if mask is None else labels.masked_fill(~mask, category.shape[-1])


def labels(output: Localization, tau: float) -> Int[Tensor, "N T"]:
    """Return :func:`predict` of a model's output."""
    return predict(output.category, output.relevance, tau, output.segment_scores, output.mask)


def accuracy(predicted: Int[Tensor, "N T"], target: Int[Tensor, "N T"], mask: Mask = None) -> float:
    """Return the percentage of all segments of all videos that are right; never a mean of batch means."""
    right = _segments(predicted == target, mask)
    return percent(int(right.sum()), right.numel())


def correct_per_video(
    predicted: Int[Tensor, "N T"], target: Int[Tensor, "N T"], mask: Mask = None
) -> Float[Tensor, "N"]:
    """Return the share (0..1, float64) of each video's segments that are right, for the bootstrap."""
    right = predicted == target
    return right.double().mean(-1) if mask is None else (right & mask).sum(-1).double() / mask.sum(-1)


def class_accuracy(category_logits: Float[Tensor, "N C"], category: Int[Tensor, "N"]) -> float:
    """Return the percentage of the videos *that have an event* whose class is the first maximum of the logits."""
    right = category_logits.argmax(-1) == category
    return percent(int(right.sum()), int((category != NO_EVENT).sum()))


def confusion_matrix(
    predicted: Int[Tensor, "N T"], target: Int[Tensor, "N T"], labels: int, mask: Mask = None
) -> Int[Tensor, "labels labels"]:
    """Return the number of segments by true (row) and predicted (column) label; `labels` is C + 1."""
    cells = _segments(target * labels + predicted, mask)
    return torch.bincount(cells, minlength=labels * labels).view(labels, labels)


def relevance_auc(logits: Float[Tensor, "N T"], relevance: Num[Tensor, "N T"], mask: Mask = None) -> float:
    """Return the area under the ROC curve of event against background seconds, percent; ``nan`` if one is missing.

    It is the chance that a random event second ranks above a random background second, a tie counting half. It ranks
    logits, because their sigmoid saturates into ties.
    """
    levels, level = _segments(logits, mask).unique(return_inverse=True)
    event = _segments(relevance, mask) != 0
    positive = torch.bincount(level[event], minlength=len(levels))
    negative = torch.bincount(level[~event], minlength=len(levels))
    below = negative.cumsum(0) - negative
    # Doubled, so that half a point for a tie stays an integer.
    won = int((positive * (2 * below + negative)).sum())
    return percent(won, 2 * int(positive.sum()) * int(negative.sum()))


def _segments(values: Num[Tensor, "N T"] | Bool[Tensor, "N T"], mask: Mask) -> Tensor:
    """Return the values of all segments in one row, without padding."""
    return values.flatten() if mask is None else values[mask]


def best_tau(
    category_logits: Float[Tensor, "N C"], relevance_logits: Float[Tensor, "N T"], category: Int[Tensor, "N"],
    relevance: Num[Tensor, "N T"], mask: Mask = None,
) -> float:
    """Return the tau in [0, 1) with which :func:`~avsgn_pyg.graph.localization.decode` labels most segments correctly.

    The search is exact: every tau between two neighbouring sigmoid values decodes alike, so each such gap is scored
    once. Of the best gaps the one whose tau is nearest 0.5 wins (the lower of two); its tau is 0.5 if the gap contains
    it, else its middle, rounded to the logits' float type as in ``decode``. Tune on validation, never on test.

    Args:
        category_logits: class logits of the videos.
        relevance_logits: event-relevance logits of the segments.
        category: true class, or ``NO_EVENT`` (-1).
        relevance: 1 in the event's seconds, 0 in the others.
        mask: as for :func:`avsgn_pyg.metrics.evaluate`.

    Raises:
        ValueError: shapes that do not fit, labels out of range, or logits that are not finite.
    """
    relevance, relevance_logits = zero_padding(relevance, mask), zero_padding(relevance_logits, mask)
    target = segment_targets(category, relevance, category_logits.shape[-1])
    check_outputs(category_logits, relevance_logits, target)
    mask = torch.ones_like(target, dtype=torch.bool) if mask is None else mask
    probability = relevance_logits.sigmoid()[mask]
    edges = torch.cat([probability.new_zeros(1), probability, probability.new_ones(1)]).unique()
    right_as_event = target == category_logits.argmax(-1, keepdim=True)
    right_as_background = target == category_logits.shape[-1]
    # Gap i is [edges[i], edges[i + 1]): the seconds at edges[0..i] become background, those above stay events.
    gain = (right_as_background.long() - right_as_event.long())[mask]
    gains = torch.zeros(len(edges), dtype=torch.long, device=edges.device)
    gains.scatter_add_(0, torch.searchsorted(edges, probability), gain)
    right = gains.cumsum(0)[:-1]
    tau = _inside(edges[:-1], edges[1:])[right == right.max()]
    return tau[(tau.double() - 0.5).abs().argmin()].item()


def _inside(low: Float[Tensor, "G"], high: Float[Tensor, "G"]) -> Float[Tensor, "G"]:
    """Return one value of each gap [low, high): 0.5 if the gap contains it, else the middle."""
    middle = ((low.double() + high.double()) / 2).to(low.dtype)
    # The middle of two neighbouring floats may round up to `high`, which is outside.
    middle = torch.where(middle < high, middle, low)
    return torch.where((low <= 0.5) & (high > 0.5), torch.full_like(low, 0.5), middle)
