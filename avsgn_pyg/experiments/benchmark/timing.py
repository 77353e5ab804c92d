"""Timing on a machine that other work disturbs: variants take turns, so that they can be compared within a round.

On a CPU, seconds are those that this process computed, not those that it waited for a core.
"""

from __future__ import annotations

import math
import random
import time
from collections.abc import Callable, Mapping

import torch

#: Seconds that the calls of one sample fill, and from which a call needs none before it to warm up.
FILL, SLOW = 0.05, 0.5
#: Rounds that are run whatever the budget is.
LEAST_ROUNDS = 3


def clock(device: str = "cpu") -> Callable[[], float]:
    """Return a clock of this process's CPU seconds; on a GPU, of wall seconds when all queued work is done."""
    if device == "cpu":
        return time.process_time

    def synchronized() -> float:
        torch.cuda.synchronize(device)
        return time.perf_counter()

    return synchronized


def sampler(run: Callable[[], object], read: Callable[[], float] = time.process_time) -> Callable[[], float]:
    """Return a function that takes one sample: the mean seconds of as many calls of `run` as fill FILL.

    `run` is called once or twice to find their number; short work also before each sample, untimed.
    """

    def seconds(calls: int) -> float:
        start = read()
        for _ in range(calls):
            run()
        return (read() - start) / calls

    first = seconds(1)
    calls = 1 if first >= SLOW else min(max(int(FILL / max(seconds(1), 1e-6)), 1), 200)

    def sample() -> float:
        if first < SLOW:
            run()
        return seconds(calls)

    return sample


def interleave(samplers: Mapping[str, Callable[[], float]], rounds: int, *, seed: int = 0,
               budget: float = math.inf) -> dict[str, list[float]]:
    """Return up to `rounds` samples of every variant; each round takes one of each, in shuffled order.

    Args:
        samplers: name of the variant -> function that returns seconds.
        seed: of the orders.
        budget: wall seconds after which no further round begins, once there were LEAST_ROUNDS.
    """
    order, shuffler, start = list(samplers), random.Random(seed), time.monotonic()
    samples: dict[str, list[float]] = {name: [] for name in samplers}
    for number in range(rounds):
        if number >= LEAST_ROUNDS and time.monotonic() - start > budget:
            break
        shuffler.shuffle(order)
        for name in order:
            samples[name].append(samplers[name]())
    return samples
