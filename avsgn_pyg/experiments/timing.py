"""Timing on a machine that other work disturbs: variants taken in turn, compared within a round.

A round times every variant once, in a shuffled order, each after one call that is not timed. What slows a
whole round slows all of its variants, so ratios are taken within rounds and their median is what is reported.
On a CPU the clock counts this process's own seconds of computing, not the time it waited for its turn.
What takes seconds a call gets fewer rounds, and what takes microseconds is called many times in a sample.
"""

from __future__ import annotations

import math
import random
import statistics
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import NamedTuple

import torch

Clock = Callable[[], float]
Samples = dict[str, list[float]]

#: Seconds that the calls of one sample fill, and from which a call is long enough to need none before it.
FILL, SLOW = 0.05, 0.5
#: Rounds below which no budget goes.
LEAST_ROUNDS = 3


@dataclass(frozen=True)
class Variant:
    """Something to be timed.

    Attributes:
        run: what is timed.
        calls: calls in one sample; a sample is the mean of them. Many, where one call takes microseconds.
        warm: the call before a sample; ``None`` takes `run`.
    """

    run: Callable[[], object]
    calls: int = 1
    warm: Callable[[], object] | None = None


class Quartiles(NamedTuple):
    """First quartile, median, third quartile."""

    low: float
    median: float
    high: float


def clock(device: torch.device) -> Clock:
    """Seconds of computing by this process; on a GPU, seconds on the wall after the queue has drained."""
    if device.type == "cpu":
        return time.process_time

    def drained() -> float:
        torch.cuda.synchronize(device)
        return time.perf_counter()

    return drained


def interleave(variants: Mapping[str, Variant], rounds: int, *, read: Clock, seed: int = 0,
               tick: Callable[[], object] = lambda: None, budget: float = math.inf) -> Samples:
    """Seconds a call, `rounds` samples of every variant; sample i of each belongs to round i.

    Args:
        read: a clock, from :func:`clock`.
        seed: of the orders within the rounds.
        tick: called after every sample.
        budget: seconds by `read` after which no further round begins, once there were LEAST_ROUNDS of them.

    Raises:
        ValueError: no variant, or fewer than one round.
    """
    if not variants or rounds < 1:
        raise ValueError(f"{len(variants)} variants and {rounds} rounds; timing needs at least one of each")
    order, shuffler = list(variants), random.Random(seed)
    samples: Samples = {name: [] for name in variants}
    start = read()
    for number in range(rounds):
        if number >= LEAST_ROUNDS and read() - start > budget:
            break
        shuffler.shuffle(order)
        for name in order:
            samples[name].append(_sample(variants[name], read))
            tick()
    return samples


def paced(run: Callable[[], object], read: Clock) -> Variant:
    """`run` with as many calls a sample as fill FILL seconds, by a second call; slow work was warmed by its first."""
    start = read()
    run()
    if read() - start >= SLOW:
        return Variant(run, warm=lambda: None)
    seconds = _sample(Variant(run, warm=lambda: None), read)
    return Variant(run, calls=min(max(int(FILL / max(seconds, 1e-6)), 1), 200))


def _sample(variant: Variant, read: Clock) -> float:
    (variant.warm or variant.run)()
    start = read()
    for _ in range(variant.calls):
        variant.run()
    return (read() - start) / variant.calls


def quartiles(values: Sequence[float]) -> Quartiles:
    """Quartiles of at least one value, interpolated between the values."""
    if len(values) == 1:
        return Quartiles(values[0], values[0], values[0])
    return Quartiles(*statistics.quantiles(values, n=4, method="inclusive"))


def ratios(samples: Samples, name: str, reference: str) -> Quartiles:
    """How many times `reference`'s seconds `name` takes, round by round."""
    return quartiles([ours / theirs for ours, theirs in zip(samples[name], samples[reference], strict=True)])


def exponent(sizes: Sequence[float | int], seconds: Sequence[float]) -> float:
    """b of the fit ``seconds = a sizes^b``, least squares on logarithms.

    Raises:
        ValueError: fewer than two sizes.
    """
    if len(set(sizes)) < 2:
        raise ValueError(f"sizes={list(sizes)}: an exponent needs two of them or more")
    slope, _ = statistics.linear_regression([math.log(size) for size in sizes], [math.log(t) for t in seconds])
    return slope


@contextmanager
def threads(count: int) -> Iterator[None]:
    """`count` threads for torch inside the block, as many as before after it."""
    before = torch.get_num_threads()
    torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(before)
