"""Everything that belongs beside a segment accuracy, in one frozen :class:`Report`."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import Any, NamedTuple

from jaxtyping import Float, Int, Num
from torch import Tensor

from avsgn_pyg.metrics.event import event_f1
from avsgn_pyg.metrics.interval import Interval, bootstrap_interval
from avsgn_pyg.metrics.segment import (
    BACKGROUND,
    Mask,
    accuracy,
    check_answers,
    class_accuracy,
    confusion_matrix,
    correct_per_video,
    emptied,
    percent,
    predict,
    relevance_auc,
    segment_targets,
)


class Majority(NamedTuple):
    """The split's most frequent segment label (the first, if two are), and what always saying it scores."""

    label: str
    value: float


class Row(NamedTuple):
    """One line of a table: the metric, its value as text, what it means."""

    name: str
    value: str
    help: str


@dataclass(frozen=True, eq=False)
class Report:
    """Scores of one model on one split; percent, and ``nan`` where a share is 0/0.

    Attributes:
        segment_accuracy: share of all segments labelled right (the headline of Table 1).
        segment_accuracy_interval: its 95 % bootstrap interval over videos; ``None`` if none was asked for.
        class_accuracy: videos with an event whose class is right.
        background_precision, background_recall, background_f1: of the background label over segments.
        relevance_auc: event against background seconds, ranked by the relevance logits.
        event_f1: IoU threshold -> micro F1 of events.
        all_foreground_oracle: score of the *true* class on every second: the line to be read against.
        force_all_foreground: score of the model's own class on every second.
        majority: the most frequent label and its score.
        per_class_accuracy: label name -> share of its true segments labelled right (background last).
        confusion: [C + 1, C + 1] segments, true label by row, background last.
        tau: the threshold; ``None`` where 29-way segment scores decided instead.
        videos, segments: how many were scored.
    """

    segment_accuracy: float
    segment_accuracy_interval: Interval | None
    class_accuracy: float
    background_precision: float
    background_recall: float
    background_f1: float
    relevance_auc: float
    event_f1: dict[float, float]
    all_foreground_oracle: float
    force_all_foreground: float
    majority: Majority
    per_class_accuracy: dict[str, float]
    confusion: Int[Tensor, "C1 C1"]
    tau: float | None
    videos: int
    segments: int

    def as_dict(self) -> dict[str, Any]:
        """Plain values for JSON: names as above, ``nan`` as ``None``, IoU thresholds as text."""
        return {item.name: _plain(getattr(self, item.name)) for item in fields(self)}

    def rows(self) -> list[Row]:
        """The table that is printed under a run, headline first."""
        return [
            Row("segment accuracy", self._headline(), "segments labelled right [95 % interval over videos]"),
            Row("all-foreground oracle", _text(self.all_foreground_oracle), "the true class on every second"),
            Row(f"majority ({self.majority.label})", _text(self.majority.value), "the most frequent label"),
            Row("force all foreground", _text(self.force_all_foreground), "its own class on every second"),
            Row("class accuracy", _text(self.class_accuracy), "videos with an event whose class is right"),
            Row("background F1", _text(self.background_f1), "harmonic mean of the next two"),
            Row("background precision", _text(self.background_precision), "of the seconds called background"),
            Row("background recall", _text(self.background_recall), "of the true background seconds"),
            Row("relevance AUC", _text(self.relevance_auc), "an event second outranks a background second"),
            *(Row(f"event F1 @ {iou}", _text(value), f"events of the right class found with IoU >= {iou}")
              for iou, value in self.event_f1.items()),
        ]

    def _headline(self) -> str:
        if self.segment_accuracy_interval is None:
            return _text(self.segment_accuracy)
        lo, hi = self.segment_accuracy_interval
        return f"{_text(self.segment_accuracy)} [{_text(lo)}, {_text(hi)}]"


def evaluate(
    category_logits: Float[Tensor, "N C"],
    relevance_logits: Float[Tensor, "N T"],
    category: Int[Tensor, "N"],
    relevance: Num[Tensor, "N T"],
    *,
    categories: Sequence[str],
    tau: float,
    bootstrap: int = 2000,
    seed: int = 0,
    segment_scores: Float[Tensor, "N T C1"] | None = None,
    mask: Mask = None,
) -> Report:
    """Score a model's answers for one whole split.

    A segment is labelled with the first maximum of the video's class logits where
    ``sigmoid(relevance) > tau``, else background; with `segment_scores`, with their first maximum, while
    the class accuracy and the all-foreground line still read the class logits.

    Args:
        category_logits: class logits of the videos.
        relevance_logits: event-relevance logits of the segments.
        category: true class; ``NO_EVENT`` (-1) means that the video is background throughout, and it is
            left out of the class accuracy.
        relevance: 1 in the event's seconds, 0 in the others.
        categories: the C class names.
        tau: threshold in [0, 1).
        bootstrap: resamples of the videos for the interval; 0 for none.
        seed: of the resampling.
        segment_scores: logits of models that score every segment over C + 1 labels.
        mask: False where a segment only fills a shorter video up: whatever stands there, it counts nowhere. ``None``
            where all videos are as long.

    Raises:
        ValueError: shapes that do not fit, names that are not C different ones, labels out of range,
            logits that are not finite, or a tau outside [0, 1).
    """
    classes = len(categories)
    _check_names(categories, category_logits.shape[-1])
    relevance, relevance_logits = emptied(relevance, mask), emptied(relevance_logits, mask)
    segment_scores = None if segment_scores is None else emptied(segment_scores, mask)
    target = segment_targets(category, relevance, classes)
    check_answers(category_logits, relevance_logits, target, segment_scores)
    predicted = predict(category_logits, relevance_logits, tau, segment_scores, mask)
    forced = category_logits.argmax(-1, keepdim=True).expand_as(target)
    shares = correct_per_video(predicted, target, mask)
    seconds = None if mask is None else mask.sum(-1)
    confusion = confusion_matrix(predicted, target, classes + 1, mask).cpu()
    found, called, true = _background(confusion)
    segments = int(confusion.sum())
    return Report(
        segment_accuracy=accuracy(predicted, target, mask),
        segment_accuracy_interval=bootstrap_interval(shares, bootstrap, seed, seconds=seconds) if bootstrap else None,
        class_accuracy=class_accuracy(category_logits, category),
        background_precision=percent(found, called),
        background_recall=percent(found, true),
        background_f1=percent(2 * found, called + true),
        relevance_auc=relevance_auc(relevance_logits, relevance, mask),
        event_f1=event_f1(predicted, target, classes),
        all_foreground_oracle=percent(segments - true, segments),
        force_all_foreground=accuracy(forced, target, mask),
        majority=_majority(confusion, categories),
        per_class_accuracy=_per_class(confusion, categories),
        confusion=confusion,
        tau=tau if segment_scores is None else None,
        videos=len(target),
        segments=segments,
    )


def _check_names(categories: Sequence[str], classes: int) -> None:
    if len(categories) != classes:
        raise ValueError(f"{len(categories)} class names for {classes} class logits; give one name each")
    if len({*categories, BACKGROUND}) != classes + 1:
        raise ValueError(f"class names must differ from each other and from {BACKGROUND!r}, "
                         f"got {list(categories)}")


def _background(confusion: Int[Tensor, "C1 C1"]) -> tuple[int, int, int]:
    """Background segments that are right, called and true."""
    return int(confusion[-1, -1]), int(confusion[:, -1].sum()), int(confusion[-1].sum())


def _majority(confusion: Int[Tensor, "C1 C1"], categories: Sequence[str]) -> Majority:
    true = confusion.sum(-1)
    label = int(true.argmax())
    return Majority((*categories, BACKGROUND)[label], percent(int(true[label]), int(true.sum())))


def _per_class(confusion: Int[Tensor, "C1 C1"], categories: Sequence[str]) -> dict[str, float]:
    right, true = confusion.diagonal().tolist(), confusion.sum(-1).tolist()
    return {name: percent(*pair) for name, *pair in zip((*categories, BACKGROUND), right, true, strict=True)}


def _text(value: float) -> str:
    return "–" if math.isnan(value) else f"{value:.2f}"


def _plain(value: Any) -> Any:
    if isinstance(value, Tensor):
        return value.tolist()
    if isinstance(value, dict):
        return {str(key): _plain(inner) for key, inner in value.items()}
    if isinstance(value, Majority):
        return value._asdict()
    if isinstance(value, tuple):
        return [_plain(inner) for inner in value]
    return None if isinstance(value, float) and math.isnan(value) else value
