"""Overlapping windows over a video of any length, and their outputs averaged back to single seconds.

Windows of T seconds start every ``T // 2`` seconds, and the last one ends with the video. A window's weight in the
average falls linearly from its middle to its ends, so a second counts most where it has neighbours on both sides.

Shapes: S seconds of the video, W windows, T segments (seconds) of a window.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor


def window_starts(seconds: int, segments: int) -> list[int]:
    """Return the first second of every window; ValueError for no second, or no segment."""
    if seconds < 1 or segments < 1:
        raise ValueError(f"{seconds} seconds in windows of {segments}: both must be at least 1")
    last = max(0, seconds - segments)
    return [*range(0, last, hop(segments)), last]


def hop(segments: int) -> int:
    """Return the seconds from one window's start to the next."""
    return max(1, segments // 2)


def cut(rows: Float[Tensor, "S *rest"], segments: int) -> Float[Tensor, "W T *rest"]:
    """Return the rows of every window; there must be at least `segments` rows."""
    return torch.stack([rows[start : start + segments] for start in window_starts(len(rows), segments)])


def average(values: Float[Tensor, "W T *rest"], starts: Sequence[int], seconds: int) -> Float[Tensor, "S *rest"]:
    """Return the weighted mean of each second over its windows, in float32; values beyond `seconds` are dropped.

    Sums are in float64, so that the value of a second in only one window is bit-identical.

    Args:
        values: one for each window and segment.
        starts: from :func:`window_starts`.
        seconds: S.
    """
    segments, ones = values.shape[1], [1 for _ in values.shape[2:]]
    place = torch.arange(segments, dtype=torch.float64)
    weight = torch.minimum(place + 1, segments - place).reshape(-1, *ones)
    length = starts[-1] + segments
    total = torch.zeros(length, *values.shape[2:], dtype=torch.float64)
    weights = torch.zeros(length, *ones, dtype=torch.float64)
    for window, start in zip(values.double(), starts, strict=True):
        total[start : start + segments] += weight * window
        weights[start : start + segments] += weight
    return (total / weights)[:seconds].float()
