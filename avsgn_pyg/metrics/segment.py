"""Metrics that read one segment at a time: accuracy, class accuracy, confusion, relevance AUC.

Letters: N videos, T segments of one second, C event classes, background is label C. Counts are kept as
integers up to the last division, so a score does not depend on how the videos are ordered or batched.

Videos of mixed lengths are filled up to T: `mask` [N, T] is False where a segment is none. It is counted nowhere.
"""

from __future__ import annotations

from typing import Final

import torch
from jaxtyping import Bool, Float, Int, Num
from torch import Tensor

from avsgn_pyg.graph.schema import NO_EVENT
from avsgn_pyg.localization import decode, decode_segments

Mask = Bool[Tensor, "N T"] | None

#: How label C is called in tables and figures.
BACKGROUND: Final = "background"


def percent(part: int, whole: int) -> float:
    """100 · part / whole, ``nan`` where the whole is nothing."""
    return 100.0 * part / whole if whole else float("nan")


def segment_targets(
    category: Int[Tensor, "N"], relevance: Num[Tensor, "N T"], classes: int
) -> Int[Tensor, "N T"]:
    """True label of every segment: the video's class where its event is, background (= `classes`) elsewhere.

    Args:
        category: class of the video, 0..C-1, or ``NO_EVENT`` (-1) for a video that is background throughout.
        relevance: 1 in the event's seconds, 0 in the others.
        classes: C.

    Raises:
        ValueError: shapes that do not fit, a class outside -1..C-1, a relevance other than 0 and 1, or an
            event second in a ``NO_EVENT`` video; the message names the first such video.
    """
    if category.ndim != 1 or relevance.ndim != 2 or len(category) != len(relevance):
        raise ValueError(f"targets are category {list(category.shape)} and relevance "
                         f"{list(relevance.shape)}, but must be [videos] and [videos, segments]")
    outside = (category < NO_EVENT) | (category >= classes)
    _refuse(outside, f"category must lie in {NO_EVENT}..{classes - 1}", category)
    _refuse(((relevance != 0) & (relevance != 1)).any(-1), "relevance must be 0 or 1", relevance)
    lost = (category == NO_EVENT) & (relevance != 0).any(-1)
    _refuse(lost, f"category {NO_EVENT} means no event, but relevance marks seconds of one", relevance)
    return torch.where(relevance != 0, category[:, None].long(), classes)


def _refuse(bad: Bool[Tensor, "N"], rule: str, values: Tensor) -> None:
    if bad.any():
        video = int(bad.nonzero()[0])
        raise ValueError(f"video {video} of {len(bad)}: {rule}; got {values[video].tolist()}")


def emptied(values: Num[Tensor, "N T *k"], mask: Mask) -> Num[Tensor, "N T *k"]:
    """The values with 0 wherever `mask` says that there is no segment; those given where there is no mask.

    Raises:
        ValueError: the mask is of another shape, or leaves a video without a segment.
    """
    if mask is None:
        return values
    if mask.shape != values.shape[:2] or not bool(mask.any(-1).all()):
        raise ValueError(f"mask is {list(mask.shape)}, but must be {list(values.shape[:2])} with a segment in every "
                         "video")
    return values.masked_fill(~mask.view(*mask.shape, *(1 for _ in values.shape[2:])), 0)


def check_answers(
    category: Tensor, relevance: Tensor, labels: Tensor, segment_scores: Tensor | None = None
) -> None:
    """Refuse logits that do not fit the N videos of the targets, or that are not numbers.

    Args:
        category: class logits, to be [N, C].
        relevance: relevance logits, to be [N, T].
        labels: true segment labels, [N, T].
        segment_scores: to be [N, T, C + 1], or ``None``.

    Raises:
        ValueError: names the tensor, the shape that came and the one that would work, or the first video
            whose logits hold nan or inf.
    """
    videos, segments = labels.shape
    if not labels.numel():
        raise ValueError(f"nothing to score: the targets have shape {[videos, segments]}")
    if category.ndim != 2 or len(category) != videos:
        raise ValueError(f"category logits are {list(category.shape)}, but must be [{videos}, classes]")
    classes = category.shape[1]
    wanted = [("category logits", category, [videos, classes])]
    wanted.append(("relevance logits", relevance, [videos, segments]))
    if segment_scores is not None:
        wanted.append(("segment scores", segment_scores, [videos, segments, classes + 1]))
    for name, values, shape in wanted:
        if list(values.shape) != shape:
            raise ValueError(f"{name} are {list(values.shape)}, but must be {shape}")
        broken = ~values.flatten(1).isfinite().all(-1)
        if broken.any():
            raise ValueError(f"{name} of video {int(broken.nonzero()[0])} of {videos} hold nan or inf")


def predict(
    category: Float[Tensor, "N C"],
    relevance: Float[Tensor, "N T"],
    tau: float,
    segment_scores: Float[Tensor, "N T C1"] | None = None,
    mask: Mask = None,
) -> Int[Tensor, "N T"]:
    """Predicted label of every segment: from `segment_scores` alone where a model gives them, else by `tau`.

    What `mask` leaves out is background.

    Raises:
        ValueError: `tau` outside [0, 1).
    """
    if not 0.0 <= tau < 1.0:
        raise ValueError(f"tau={tau} must lie in [0, 1): it cuts the sigmoid of the relevance logits")
    if segment_scores is None:
        return decode(category, relevance, tau, mask)
    labels = decode_segments(segment_scores)
    return labels if mask is None else labels.masked_fill(~mask, category.shape[-1])


def accuracy(predicted: Int[Tensor, "N T"], target: Int[Tensor, "N T"], mask: Mask = None) -> float:
    """Percent of all segments of all videos that are right; never a mean of batch means."""
    right = predicted == target
    right = right.flatten() if mask is None else right[mask]
    return percent(int(right.sum()), right.numel())


def correct_per_video(
    predicted: Int[Tensor, "N T"], target: Int[Tensor, "N T"], mask: Mask = None
) -> Float[Tensor, "N"]:
    """Share (0..1, float64) of each video's segments that are right: what the bootstrap resamples."""
    right = predicted == target
    return right.double().mean(-1) if mask is None else (right & mask).sum(-1).double() / mask.sum(-1)


def class_accuracy(category_logits: Float[Tensor, "N C"], category: Int[Tensor, "N"]) -> float:
    """Percent of the videos *that have an event* whose class is the first maximum of the logits.

    A ``NO_EVENT`` video has no class to be right about and is left out.
    """
    right = category_logits.argmax(-1) == category
    return percent(int(right.sum()), int((category != NO_EVENT).sum()))


def confusion_matrix(
    predicted: Int[Tensor, "N T"], target: Int[Tensor, "N T"], labels: int, mask: Mask = None
) -> Int[Tensor, "labels labels"]:
    """Segments of true label i (row) called j (column), background last; `labels` is C + 1."""
    cells = target * labels + predicted
    cells = cells.flatten() if mask is None else cells[mask]
    return torch.bincount(cells, minlength=labels * labels).view(labels, labels)


def relevance_auc(logits: Float[Tensor, "N T"], relevance: Num[Tensor, "N T"], mask: Mask = None) -> float:
    """Area under the ROC curve of event against background seconds, percent; ``nan`` if one is missing.

    The chance that a random event second outranks a random background second, a tie counting half. It
    reads logits, not their sigmoid, because the sigmoid saturates into ties.
    """
    logits, relevance = (part.flatten() if mask is None else part[mask] for part in (logits, relevance))
    levels, level = logits.unique(return_inverse=True)
    event = relevance != 0
    positive = torch.bincount(level[event], minlength=len(levels))
    negative = torch.bincount(level[~event], minlength=len(levels))
    below = negative.cumsum(0) - negative
    # Doubled, so that half a point for a tie stays an integer.
    won = int((positive * (2 * below + negative)).sum())
    return percent(won, 2 * int(positive.sum()) * int(negative.sum()))
