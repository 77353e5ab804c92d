"""Rows on long videos: the whole network with the window topology, its time, its memory and how both grow."""

from __future__ import annotations

from collections.abc import Iterator

import torch

from avsgn_pyg.experiments.memory import peak_bytes
from avsgn_pyg.experiments.rows import Row
from avsgn_pyg.experiments.timing import clock, exponent, interleave, paced, quartiles
from avsgn_pyg.experiments.workload import Workload, long_pass

EXPONENT_LIMIT, PEAK_LIMIT_MIB = 1.1, 4096.0
#: Shorter videos are mostly overhead: an exponent fitted over these alone is not judged.
JUDGED_FROM = 3600
MEBIBYTE = 2**20


def window_rows(workload: Workload) -> Iterator[Row]:
    """One video of every length, forward and backward; the lengths take turns within a round."""
    read, lengths = clock(torch.device("cpu")), workload.long
    variants = {str(length): paced(long_pass((workload, length)), read) for length in lengths}
    samples = interleave(variants, workload.rounds, read=read, seed=workload.seed, budget=workload.budget)
    rounds = len(samples[str(lengths[0])])
    for length in lengths:
        yield Row.over_rounds(f"window, T={length}: forward and backward", quartiles(samples[str(length)]), "s",
                              note=f"whole network, one video, text.slots=per_class, {rounds} rounds")
    by_round = [exponent(lengths, seconds) for seconds in zip(*(samples[str(n)] for n in lengths), strict=True)]
    yield Row.over_rounds("window: exponent in T, time", quartiles(by_round), "exponent",
                          at_most=EXPONENT_LIMIT if max(lengths) >= JUDGED_FROM else None,
                          note=f"fitted within each round over T = {', '.join(map(str, lengths))}")
    yield from _peaks(workload)


def _peaks(workload: Workload) -> Iterator[Row]:
    if not workload.memory:
        yield Row.absent("window: peak memory", "MiB", "peaks were not asked for")
        return
    found: dict[int, float] = {}
    for length in workload.long:
        peak = peak_bytes(long_pass, (workload, length), calls=1)
        name = f"window, T={length}: peak memory"
        if peak is None:
            yield Row.absent(name, "MiB", "only Linux tells the peak of a process")
            continue
        found[length] = peak / MEBIBYTE
        yield Row(name, found[length], "MiB", at_most=PEAK_LIMIT_MIB, note="one pass in a fresh process, one sample")
    if len(found) > 1:
        yield Row("window: exponent in T, peak memory", exponent(list(found), list(found.values())), "exponent",
                  note="a constant part (weights' gradients, libraries) makes short videos look dear")
