"""Events with float times from a dense model, for a video of any length.

A model of window topology takes the whole video, as in training: its work is linear in the length. Any other takes
overlapping windows: every point in time counts in the window whose middle is nearest, and soft-NMS joins what two
windows found of the same event.

Shapes: S seconds of the video, W windows of T seconds with R features a second, L points of a window, C classes.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Final, NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

from avsgn_pyg.graph.detection import DenseOutput, Detection, decode_dense, soft_nms
from avsgn_pyg.predictor.windows import window_starts

#: Features that a model takes at once, in windows.
BATCH: Final = 2048
#: Score of an event that is shown, where none is given.
ABOVE: Final = 0.4


class Found(NamedTuple):
    """Events by time, and the highest probability of each class in every second."""

    events: tuple[Detection, ...]
    category: Float[Tensor, "S C"]


@torch.inference_mode()
def find_events(
    model: Callable[[Tensor, Tensor], DenseOutput], audio: Float[Tensor, "W TR da"], visual: Float[Tensor, "W TR dv"],
    *, seconds: int, rate: int, whole: bool, limit: int, threshold: float, sigma: float, above: float,
) -> Found:
    """Return the events of a video with a score above `above`.

    Args:
        model: maps the features of some windows to their output.
        seconds: S; the windows are those of :func:`.windows.window_starts`.
        whole: whether the model takes the windows as one video.
        limit, threshold, sigma: of decoding, :func:`avsgn_pyg.graph.detection.decode_dense`; the limit is a window's.
    """
    length = audio.shape[1] // rate
    starts = window_starts(seconds, length)
    if whole and len(starts) > 1:
        inside = _nearest((torch.arange(audio.shape[1]) + 0.5) / rate, starts, length)
        audio, visual = audio[inside][None], visual[inside][None]
        starts, length, limit = [0], seconds, limit * math.ceil(seconds / length)
    size = max(1, BATCH // audio.shape[1])
    found: list[Detection] = []
    category = torch.zeros(seconds, 0)
    for first in range(0, len(starts), size):
        chosen = slice(first, first + size)
        output = model(audio[chosen], visual[chosen])
        begin = torch.tensor(starts[chosen], dtype=torch.float32)
        output = replace(_on_cpu(output), mask=_nearest(output.times.cpu(), starts, length)[chosen])
        for start, events in zip(starts[chosen], decode_dense(output, limit=limit, threshold=threshold, sigma=sigma,
                                                              durations=seconds - begin), strict=True):
            found += (event._replace(start=event.start + start, end=event.end + start) for event in events)
        category = _by_second(category, output, begin, seconds)
    found = _joined(found, threshold, sigma) if len(starts) > 1 else found
    return Found(tuple(sorted((event for event in found if event.score > above), key=lambda event: event.start)),
                 category)


def _on_cpu(output: DenseOutput) -> DenseOutput:
    return DenseOutput(output.scores.float().cpu(), output.distances.float().cpu(), output.times.float().cpu())


def _nearest(times: Float[Tensor, "L"], starts: Sequence[int], length: int) -> Tensor:
    """Return [W, L] whether a window is the one whose middle is nearest to the point, of those that have it."""
    begin = torch.tensor(starts, dtype=torch.float32)[:, None]
    edges = (begin[1:] + begin[:-1] + length) / 2
    low = torch.cat((begin.new_full((1, 1), -torch.inf), edges))
    high = torch.cat((edges, begin.new_full((1, 1), torch.inf)))
    place = begin + times
    return (place >= low) & (place < high)


def _by_second(category: Tensor, output: DenseOutput, begin: Tensor, seconds: int) -> Float[Tensor, "S C"]:
    """Add the highest probability of each class among a second's points to those of earlier windows."""
    scores = output.scores[output.mask].sigmoid()
    place = (begin[:, None] + output.times)[output.mask].long().clamp(max=seconds - 1)
    category = category if category.numel() else scores.new_zeros(seconds, scores.shape[1])
    return category.scatter_reduce(0, place[:, None].expand_as(scores), scores, "amax")


def _joined(events: Sequence[Detection], threshold: float, sigma: float) -> list[Detection]:
    """Lower the scores of events that several windows found, by soft-NMS within each class."""
    kept = []
    for category in {event.category for event in events}:
        start, end, score = torch.tensor([event[1:] for event in events if event.category == category]).T[:, None]
        rows = soft_nms(score, start, end, steps=score.shape[1], threshold=threshold, sigma=sigma)
        kept += (Detection(category, first, last, best) for best, first, last in
                 zip(*(row[0].tolist() for row in rows), strict=True) if best > threshold)
    return kept
