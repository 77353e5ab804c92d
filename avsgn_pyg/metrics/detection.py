"""Mean average precision (mAP) of several events a video with times in seconds, by ActivityNet's protocol.

For one class and one temporal IoU (tIoU): the detections of all videos are taken from the highest score down. One is
right if an event of its class in its video, not yet taken by another detection, has at least this tIoU with it, and
takes the one with the highest. The average precision is the area under precision over recall, where the precision at a
recall is the highest at this or a greater one. The mAP is its mean over the classes that have events; the mean mAP is
the mean over the thresholds .1, .2, ..., .9, as on UnAV-100 (Geng et al., CVPR 2023).

Shapes: N videos, K events of one video, n detections of one class, R resamples, S thresholds. Scores are percent.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, fields
from typing import Any, Final, NamedTuple

import numpy as np
from jaxtyping import Bool, Float, Int

from avsgn_pyg.graph.detection import Detection
from avsgn_pyg.metrics.interval import Interval
from avsgn_pyg.metrics.report import Row, plain

#: tIoU thresholds of the mean mAP.
TIOU: Final = (0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9)
#: A tIoU that is lower than the threshold by at most this reaches it: times are rounded, in files and in float32.
TOLERANCE: Final = 1e-4


@dataclass(frozen=True, eq=False)
class DetectionReport:
    """Scores of one model's detections on one split; percent, and ``nan`` if no class has an event.

    Attributes:
        mean_map: mean of `map` over the thresholds, the main score.
        mean_map_interval: its 95 % bootstrap interval over videos; ``None`` without replicates.
        map: tIoU threshold -> mAP.
        per_class: class -> average precision, mean over the thresholds; ``nan`` for a class without events.
        videos, events, detections: how many were scored.
        resampled: [R] mean mAP of each resample; the same seed draws the same videos for every model, so that the
            difference of two models' is paired. ``None`` without replicates.
    """

    mean_map: float
    mean_map_interval: Interval | None
    map: dict[float, float]
    per_class: dict[str, float]
    videos: int
    events: int
    detections: int
    resampled: Float[np.ndarray, "R"] | None = None

    def rows(self) -> list[Row]:
        """Return the lines of the printed table: the mean mAP, and the mAP at the thresholds that UnAV-100 reports."""
        lo, hi = self.mean_map_interval or (None, None)
        interval = "" if lo is None else f" [{lo:.1f}, {hi:.1f}]"
        span = f"tIoU {min(self.map):g} to {max(self.map):g}"
        return [
            Row("mean mAP", f"{self.mean_map:.1f}{interval}", f"mean over {span} [95 % interval over videos]"),
            *(Row(f"mAP @ {threshold:g}", f"{value:.1f}", "mean over classes of the average precision")
              for threshold, value in self.map.items() if threshold >= 0.5),
        ]

    def as_dict(self) -> dict[str, Any]:
        """Return plain values for JSON: names as above but `resampled`, ``nan`` as ``None``, thresholds as text."""
        return {item.name: plain(getattr(self, item.name)) for item in fields(self) if item.name != "resampled"}


def evaluate_detections(
    detections: Sequence[Sequence[Detection]], events: Sequence[Any], categories: Sequence[str], *,
    thresholds: Sequence[float] = TIOU, replicates: int = 0, seed: int = 0,
) -> DetectionReport:
    """Score the detections of N videos.

    Args:
        detections: of each video, in any order.
        events: of each video, [K, 3] tensor or array of class, start and end in seconds.
        categories: name of each class.
        thresholds: tIoU from which a detection is right.
        replicates: resamples of the interval over videos; 0: no interval.
        seed: of the resamples.

    Raises:
        ValueError: no video, not one list of detections per video, a threshold outside (0, 1], or the video with a
            class, time or score that is impossible.
    """
    if not len(events) or len(detections) != len(events):
        raise ValueError(f"detections of {len(detections)} videos and events of {len(events)}: expected one list of "
                         "detections for each video, and at least one video")
    if not thresholds or not all(0.0 < threshold <= 1.0 for threshold in thresholds):
        raise ValueError(f"thresholds={list(thresholds)} must lie in (0, 1]: each is an intersection over union")
    truth = [np.asarray(video, dtype=np.float64).reshape(-1, 3) for video in events]
    found = [np.array(video, dtype=np.float64).reshape(-1, 4) for video in detections]
    for number, (one, other) in enumerate(zip(truth, found, strict=True)):
        _check(one, f"event of video {number}", len(categories))
        _check(other, f"detection of video {number}", len(categories))
    matches = [_match(found, truth, category, np.array(thresholds)) for category in range(len(categories))]
    ap = _average_precisions(matches, np.ones((1, len(truth)), dtype=np.int64))[0]
    present = ap[~np.isnan(ap[:, 0])]
    maps = present.mean(0) if len(present) else np.full(len(thresholds), math.nan)
    resampled = _resample(matches, len(truth), replicates, seed) if replicates else None
    return DetectionReport(
        float(maps.mean()), None if resampled is None else percentiles(resampled),
        dict(zip(thresholds, maps.tolist(), strict=True)), dict(zip(categories, ap.mean(1).tolist(), strict=True)),
        len(truth), sum(map(len, truth)), sum(map(len, found)), resampled)


class _Matches(NamedTuple):
    """The detections of one class, from the highest score down.

    Attributes:
        video: [n] index of the detection's video.
        right: [S, n] whether the detection is right.
        events: [N] number of events of this class in each video.
    """

    video: Int[np.ndarray, "n"]
    right: Bool[np.ndarray, "S n"]
    events: Int[np.ndarray, "N"]


def _match(
    found: Sequence[np.ndarray], truth: Sequence[np.ndarray], category: int, thresholds: Float[np.ndarray, "S"]
) -> _Matches:
    """Match the detections of one class; those of different videos do not compete."""
    videos, rights, scores, events = [], [], [], []
    for number, (one, other) in enumerate(zip(found, truth, strict=True)):
        one, other = one[one[:, 0] == category], other[other[:, 0] == category]
        one = one[np.argsort(-one[:, 3], kind="stable")]
        videos.append(np.full(len(one), number))
        rights.append(_right(one[:, 1:3], other[:, 1:], thresholds))
        scores.append(one[:, 3])
        events.append(len(other))
    order = np.argsort(-np.concatenate(scores), kind="stable")
    return _Matches(np.concatenate(videos)[order], np.concatenate(rights, 1)[:, order], np.array(events))


def _right(
    found: Float[np.ndarray, "n 2"], truth: Float[np.ndarray, "K 2"], thresholds: Float[np.ndarray, "S"]
) -> Bool[np.ndarray, "S n"]:
    """Whether each detection of one video and class, given from the highest score down, is right at each threshold."""
    right = np.zeros((len(thresholds), len(found)), dtype=bool)
    free = np.ones((len(thresholds), len(truth)), dtype=bool)
    reached = temporal_iou(found, truth)[:, None] + TOLERANCE
    for column in np.flatnonzero((reached >= thresholds.min()).any((1, 2))):
        left = np.where(free, reached[column], 0.0)
        best = left.argmax(1)
        rows = np.flatnonzero(left.max(1) >= thresholds)
        right[rows, column], free[rows, best[rows]] = True, False
    return right


def temporal_iou(one: Float[np.ndarray, "n 2"], other: Float[np.ndarray, "K 2"]) -> Float[np.ndarray, "n K"]:
    """Return the shared seconds over the joint seconds of all pairs of intervals, none of which may be empty."""
    start = np.maximum(one[:, None, 0], other[None, :, 0])
    end = np.minimum(one[:, None, 1], other[None, :, 1])
    shared = (end - start).clip(0)
    length = np.diff(one) + np.diff(other).T
    return shared / (length - shared)


def _average_precisions(matches: Iterable[_Matches], drawn: Int[np.ndarray, "R N"]) -> Float[np.ndarray, "R C S"]:
    """Return the average precisions if each video is there as often as it was drawn; ``nan`` without an event.

    Only the precisions at right detections count: at a wrong one, precision is lower than before it.
    """
    classes = []
    for video, right, events in matches:
        weight = drawn[:, video]
        taken, positives = weight.cumsum(1), drawn @ events
        ap = np.zeros((len(drawn), len(right)))
        for row, hits in enumerate(map(np.flatnonzero, right)):
            gained = weight[:, hits]
            precision = gained.cumsum(1) / np.maximum(taken[:, hits], 1)
            best = np.maximum.accumulate(precision[:, ::-1], 1)[:, ::-1]
            ap[:, row] = (gained * best).sum(1)
        with np.errstate(invalid="ignore"):
            classes.append(100.0 * ap / np.where(positives, positives, np.nan)[:, None])
    return np.stack(classes, 1)


def percentiles(values: Float[np.ndarray, "R"]) -> Interval:
    """Return the 95 % percentile interval of resampled scores, or of their difference to another model's."""
    return Interval(*np.percentile(values, [2.5, 97.5]).tolist())


def _resample(matches: Sequence[_Matches], videos: int, replicates: int, seed: int) -> Float[np.ndarray, "R"]:
    """Return the mean mAP of each draw of as many videos, over the classes that have events in it."""
    draw = np.random.default_rng(seed).multinomial(videos, np.full(videos, 1 / videos), size=replicates)
    ap = np.concatenate([_average_precisions(matches, part) for part in np.array_split(draw, -(-replicates // 256))])
    present = ~np.isnan(ap[..., 0])
    return np.where(present[..., None], ap, 0.0).sum((1, 2)) / present.sum(1).clip(1) / ap.shape[-1]


def _check(rows: np.ndarray, name: str, classes: int) -> None:
    """Check class, start and end (and score) of every row."""
    good = np.isfinite(rows).all(1) & (rows[:, 0] >= 0) & (rows[:, 0] < classes) & (rows[:, 1] < rows[:, 2])
    if not good.all():
        raise ValueError(f"{name}: {rows[~good][0].tolist()} must be a class from 0 to {classes - 1}, a start before "
                         "an end in seconds, and of a detection its score")
