"""F-scores that average over the classes of each video, then over videos: of OV-AVE, and of parsing (LLP).

Shapes: N videos, T segments of one second, K classes.

    segment level   true positives are seconds of a class that are predicted and true
    event level     an event is a maximal run of seconds of one class. A predicted event with IoU >= 0.5 to a true one
                    of its class is a true positive, any other a false one; a true event without such a match is missed

    F of one class of one video   2 TP / (2 TP + FP + FN), if the class is predicted or true in that video
    F of a video                  mean over *those* classes (not over all K); 1 if there are none

On OV-AVE (Zhou et al., *Towards Open-Vocabulary Audio-Visual Event Localization*, CVPR 2025), every second has one
label, background is a class as any other, and all labels, seen or unseen, are candidates in every video.
"""

from __future__ import annotations

import math
from typing import Final, NamedTuple

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float, Int
from torch import Tensor

from avsgn_pyg.graph.localization import events, overlap
from avsgn_pyg.metrics.interval import Interval, bootstrap_interval

#: IoU from which events match.
IOU: Final = 0.5

Counts = Int[Tensor, "3 N K"]


def video_f(counts: Counts) -> Float[Tensor, "N"]:
    """Return the F of each video (0..1, float64) from its true positives, false positives and misses of each class."""
    hits, wrong, missed = counts
    found = 2 * hits.double()
    whole = found + wrong + missed
    present = whole > 0
    each = torch.where(present, found / whole.clamp_min(1), 0.0).sum(-1)
    classes = present.sum(-1)
    return torch.where(classes > 0, each / classes.clamp_min(1), 1.0)


def count_seconds(predicted: Bool[Tensor, "N T K"], true: Bool[Tensor, "N T K"]) -> Counts:
    """Return true positives, false positives and misses of every class of every video in seconds."""
    return torch.stack([(predicted & true).sum(1), (predicted & ~true).sum(1), (~predicted & true).sum(1)])


def count_events(predicted: Bool[Tensor, "N T K"], true: Bool[Tensor, "N T K"], iou: float = IOU) -> Counts:
    """Return the same in events."""
    counts = torch.zeros(3, len(predicted), predicted.shape[-1], dtype=torch.int64)
    for video, category in (predicted | true).any(1).nonzero().tolist():
        found, truth = (events(marks[video, :, category].long(), 0) for marks in (predicted, true))
        hits = sum(any(overlap(one, other) >= iou for other in truth) for one in found)
        missed = sum(all(overlap(one, other) < iou for one in found) for other in truth)
        counts[:, video, category] = torch.tensor([hits, len(found) - hits, missed])
    return counts


class OpenScores(NamedTuple):
    """OV-AVE's scores of some videos, percent; ``nan`` without a video.

    Attributes:
        accuracy: of all seconds, background included.
        segment_f, event_f: mean over videos of the F at segment and at event level.
        intervals: name of a score -> its 95 % bootstrap interval over videos; empty without replicates.
        videos: how many were scored.
    """

    accuracy: float
    segment_f: float
    event_f: float
    intervals: dict[str, Interval]
    videos: int


def evaluate_open_vocabulary(
    predicted: Int[Tensor, "N T"], target: Int[Tensor, "N T"], unseen: Bool[Tensor, "N"], *, classes: int,
    replicates: int = 0, seed: int = 0,
) -> dict[str, OpenScores]:
    """Return the scores of ``seen``, ``unseen`` and ``total`` videos.

    Args:
        predicted, target: label of every second, 0 to `classes` - 1, or `classes` for background.
        unseen: whether the class under which a video is listed was not trained; also told of a video without an event.
        classes: number of all labels, seen and unseen, without background.
        replicates: resamples of the intervals; 0: none.
        seed: of the resamples.

    Raises:
        ValueError: shapes that do not fit, or a label out of range.
    """
    if predicted.shape != target.shape or unseen.shape != target.shape[:1]:
        raise ValueError(f"predicted and target must have one shape [N, T] and unseen [N], got "
                         f"{list(predicted.shape)}, {list(target.shape)} and {list(unseen.shape)}")
    for name, labels in (("predicted", predicted), ("target", target)):
        if labels.numel() and not 0 <= int(labels.min()) <= int(labels.max()) <= classes:
            raise ValueError(f"{name}: labels from {int(labels.min())} to {int(labels.max())}; expected 0 to "
                             f"{classes}, which is background")
    found, truth = (F.one_hot(labels.cpu().long(), classes + 1).bool() for labels in (predicted, target))
    shares = {"accuracy": (predicted == target).double().mean(-1).cpu(),
              "segment_f": video_f(count_seconds(found, truth)), "event_f": video_f(count_events(found, truth))}
    groups = {"seen": ~unseen.cpu(), "unseen": unseen.cpu(), "total": torch.ones(len(unseen), dtype=torch.bool)}
    return {name: _scores({key: each[group] for key, each in shares.items()}, replicates, seed)
            for name, group in groups.items()}


def _scores(shares: dict[str, Float[Tensor, "n"]], replicates: int, seed: int) -> OpenScores:
    videos = len(shares["accuracy"])
    means = {name: 100.0 * each.mean().item() if videos else math.nan for name, each in shares.items()}
    intervals = {name: bootstrap_interval(each, replicates, seed) for name, each in shares.items()
                 } if replicates and videos else {}
    return OpenScores(**means, intervals=intervals, videos=videos)
