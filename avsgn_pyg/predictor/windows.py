"""A video of any length as overlapping windows of the length a model was trained on, and back to single seconds.

Letters: S seconds of the video, T segments of a window, W windows.

Windows begin every ``T // 2`` seconds and the last one ends with the video, so that every second lies in one
window at least and, away from the ends, in two. What the windows say of a second is averaged with a weight that falls
linearly from the window's middle to its edges: a second counts where it has neighbours on both sides, and nothing
jumps where a window begins.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor


def window_starts(seconds: int, segments: int) -> list[int]:
    """First second of every window; ``[0]`` where the video is no longer than a window.

    Raises:
        ValueError: no second, or no segment.
    """
    if seconds < 1 or segments < 1:
        raise ValueError(f"{seconds} seconds in windows of {segments}: both must be at least 1")
    last = max(0, seconds - segments)
    return [*range(0, last, hop(segments)), last]


def hop(segments: int) -> int:
    """Seconds from one window to the next."""
    return max(1, segments // 2)


def cut(rows: Float[Tensor, "S d"], segments: int) -> Float[Tensor, "W T d"]:
    """The rows of every window; `rows` must be at least a window long."""
    return torch.stack([rows[start : start + segments] for start in window_starts(len(rows), segments)])


def window_weights(segments: int) -> Float[Tensor, "T"]:
    """1 at a window's first and last second, rising by 1 a second to its middle; float64."""
    place = torch.arange(segments, dtype=torch.float64)
    return torch.minimum(place + 1, segments - place)


def average(values: Float[Tensor, "W T *rest"], starts: Sequence[int], seconds: int) -> Float[Tensor, "S *rest"]:
    """Weighted mean of what the windows that cover a second say of it; float32.

    Sums run in float64: a second that lies in one window keeps its value to the bit.

    Args:
        values: one a window and segment.
        starts: of :func:`window_starts`.
        seconds: S; what a window says beyond the video's end is left out.
    """
    segments = values.shape[1]
    weight = window_weights(segments).reshape(-1, *(1 for _ in values.shape[2:]))
    length = starts[-1] + segments
    total = torch.zeros(length, *values.shape[2:], dtype=torch.float64)
    weights = torch.zeros(length, *(1 for _ in values.shape[2:]), dtype=torch.float64)
    for window, start in zip(values.double(), starts, strict=True):
        total[start : start + segments] += weight * window
        weights[start : start + segments] += weight
    return (total / weights)[:seconds].float()
