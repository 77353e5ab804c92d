"""Uncertainty of a score: bootstrap over videos, spread over seeds.

Seconds of one video resemble each other, so videos are resampled, never seconds. Inputs are shares in 0..1 of each
video's segments that are right (:func:`~avsgn_pyg.metrics.correct_per_video`), results are percent. The accuracy of a
resample weighs each video by its `seconds`, as the accuracy itself does. Each call uses a new generator:
the same seed gives the same interval, and the global random state does not change.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence
from typing import Final, NamedTuple

import torch
from jaxtyping import Float, Int
from torch import Tensor

#: How many drawn videos are held in memory at a time.
CHUNK: Final = 1 << 20


class Interval(NamedTuple):
    """Percentile bootstrap interval, percent."""

    lo: float
    hi: float


class Difference(NamedTuple):
    """Accuracy of a minus accuracy of b, in points, and its bootstrap interval."""

    difference: float
    lo: float
    hi: float


class Summary(NamedTuple):
    """Scores of several seeds: mean and sample standard deviation (n - 1; ``nan`` for one seed)."""

    mean: float
    std: float
    n: int


def bootstrap_interval(
    correct_per_video: Float[Tensor, "*seeds N"], replicates: int, seed: int, level: float = 0.95,
    seconds: Int[Tensor, "N"] | None = None,
) -> Interval:
    """Return the interval of the accuracy over draws of other videos of the same kind.

    Args:
        correct_per_video: [N] share of each video's segments that are right, or [S, N] for S seeds of one model, which
            are averaged on each video. :func:`mean_std_interval` gives the spread over seeds.
        replicates: number of resamples.
        seed: of the draw.
        level: share of the replicates inside the interval.
        seconds: segments of each video; ``None`` if all have as many.

    Raises:
        ValueError: no videos, shares outside 0..1, fewer than one replicate, a level outside (0, 1), or not one
            number of seconds per video.
    """
    shares = _shares(correct_per_video)
    return _interval(_resampled_means(shares, replicates, seed, _weights(seconds, len(shares))), level)


def paired_bootstrap(
    correct_a: Float[Tensor, "*seeds_a N"], correct_b: Float[Tensor, "*seeds_b N"], replicates: int, seed: int,
    level: float = 0.95, seconds: Int[Tensor, "N"] | None = None,
) -> Difference:
    """Return how much better a is than b *on the same videos*; the models differ if the interval excludes 0.

    Both are scored on the same resampled videos, so the difficulty of the videos cancels. Arguments and errors are
    those of :func:`bootstrap_interval`; a and b may have different numbers of seeds.

    Raises:
        ValueError: also if a and b have different numbers of videos.
    """
    a, b = _shares(correct_a), _shares(correct_b)
    if len(a) != len(b):
        raise ValueError(f"a has {len(a)} videos and b {len(b)}; a paired comparison needs the same videos")
    weights = _weights(seconds, len(a))
    means = _resampled_means(a - b, replicates, seed, weights)
    return Difference(100.0 * _mean(a - b, weights).item(), *_interval(means, level))


def mean_std_interval(values: Sequence[float]) -> Summary:
    """Return mean and sample standard deviation of several seeds' scores, in their own unit.

    Both are ``nan`` if one score is (an AUC on a split of one kind of segment, say): a mean over the other seeds would
    be mistaken for one over all.

    Raises:
        ValueError: no values.
    """
    if not values:
        raise ValueError("no scores to summarise; expected one per seed")
    if any(math.isnan(value) for value in values):
        return Summary(math.nan, math.nan, len(values))
    std = statistics.stdev(values) if len(values) > 1 else math.nan
    return Summary(statistics.fmean(values), std, len(values))


def _shares(correct: Float[Tensor, "*seeds N"]) -> Float[Tensor, "N"]:
    """Check the shares and average them over the seeds."""
    if correct.ndim not in (1, 2) or not correct.numel():
        raise ValueError(f"correctness must be [videos] or [seeds, videos] and not empty, got {list(correct.shape)}")
    if not ((correct >= 0) & (correct <= 1)).all():
        raise ValueError("correctness must be a share of the video's segments, 0..1, "
                         f"got values from {correct.min().item()} to {correct.max().item()}")
    return correct.detach().cpu().double().view(-1, correct.shape[-1]).mean(0)


def _weights(seconds: Tensor | None, videos: int) -> Float[Tensor, "N"] | None:
    """Return the weight of each video; ``None`` if all count alike."""
    if seconds is None:
        return None
    if seconds.shape != (videos,) or not (seconds > 0).all():
        raise ValueError(f"seconds must be one positive number for each of {videos} videos, got {seconds.tolist()}")
    return None if (seconds == seconds[0]).all() else seconds.cpu().double()


def _mean(values: Float[Tensor, "*R N"], weights: Float[Tensor, "*R N"] | None) -> Float[Tensor, "*R"]:
    return values.mean(-1) if weights is None else (values * weights).sum(-1) / weights.sum(-1)


def _resampled_means(
    values: Float[Tensor, "N"], replicates: int, seed: int, weights: Float[Tensor, "N"] | None = None
) -> Float[Tensor, "R"]:
    if replicates < 1:
        raise ValueError(f"replicates={replicates} must be at least 1; a steady interval takes a thousand")
    # Sorted by value, then weight: the interval depends on which videos there are, not on their order.
    order = torch.arange(len(values)) if weights is None else weights.argsort(stable=True)
    order = order[values[order].argsort(stable=True)]
    values, weights = values[order], None if weights is None else weights[order]
    generator = torch.Generator().manual_seed(seed)
    rows = max(1, CHUNK // len(values))
    means = []
    for start in range(0, replicates, rows):
        drawn = torch.randint(len(values), (min(rows, replicates - start), len(values)), generator=generator)
        means.append(_mean(values[drawn], None if weights is None else weights[drawn]))
    return torch.cat(means)


def _interval(means: Float[Tensor, "R"], level: float) -> Interval:
    if not 0.0 < level < 1.0:
        raise ValueError(f"level={level} must lie in (0, 1), for example 0.95")
    tails = torch.tensor([(1 - level) / 2, (1 + level) / 2], dtype=means.dtype)
    return Interval(*(100.0 * means.quantile(tails)).tolist())
