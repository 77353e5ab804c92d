"""Interleaved timing on a clock that the test holds."""

from __future__ import annotations

import time
from collections.abc import Callable

import pytest

from avsgn_pyg.benchmark import timing
from avsgn_pyg.benchmark.timing import FILL, LEAST_ROUNDS, SLOW, clock, interleave, sampler


class Bench:
    """A clock, and work that moves it; `log` holds what ran."""

    def __init__(self) -> None:
        self.now, self.log = 0.0, []

    def read(self) -> float:
        return self.now

    def work(self, name: str, seconds: float) -> Callable[[], float]:
        def run() -> float:
            self.log.append(name)
            self.now += seconds
            return seconds
        return run


def test_every_round_has_every_variant_once_in_changing_order() -> None:
    bench = Bench()
    samples = interleave({name: bench.work(name, 1.0) for name in "abc"}, 8)
    assert samples == {name: [1.0] * 8 for name in "abc"}
    rounds = [tuple(bench.log[start : start + 3]) for start in range(0, 24, 3)]
    assert all(sorted(one) == ["a", "b", "c"] for one in rounds) and len(set(rounds)) > 1


def test_short_work_fills_a_sample_after_a_call_that_is_not_timed() -> None:
    bench = Bench()
    sample = sampler(bench.work("short", FILL / 4), bench.read)
    assert len(bench.log) == 2
    assert sample() == pytest.approx(FILL / 4) and len(bench.log) == 2 + 1 + 4


def test_slow_work_is_called_once_for_each_sample() -> None:
    bench = Bench()
    sample = sampler(bench.work("slow", 2 * SLOW), bench.read)
    assert [sample(), sample()] == [2 * SLOW, 2 * SLOW] and len(bench.log) == 3


@pytest.mark.parametrize(("rounds", "budget", "expected"), [(9, 1.0, LEAST_ROUNDS), (9, 85.0, 9 - 4), (2, 1.0, 2)])
def test_a_budget_ends_the_rounds_after_the_least_number(
        monkeypatch: pytest.MonkeyPatch, rounds: int, budget: float, expected: int) -> None:
    bench = Bench()
    monkeypatch.setattr(timing.time, "monotonic", bench.read)
    assert len(interleave({"a": bench.work("a", 20.0)}, rounds, budget=budget)["a"]) == expected


def test_the_cpu_clock_does_not_count_waiting() -> None:
    read = clock()
    start = read()
    time.sleep(0.2)
    assert read() - start < 0.1
