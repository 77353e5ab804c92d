"""Interleaved timing on a clock that the test holds."""

from __future__ import annotations

import time

import pytest
import torch

from avsgn_pyg.experiments.timing import (
    FILL,
    LEAST_ROUNDS,
    SLOW,
    Variant,
    clock,
    exponent,
    interleave,
    paced,
    quartiles,
    ratios,
    threads,
)


class Bench:
    """A clock and variants that move it; `log` says who ran."""

    def __init__(self) -> None:
        self.now, self.log = 0.0, []

    def read(self) -> float:
        return self.now

    def costs(self, name: str, seconds: float):
        def run() -> None:
            self.log.append(name)
            self.now += seconds
        return run


def test_every_round_holds_every_variant_once_each_after_its_warm_call():
    bench = Bench()
    variants = {name: Variant(bench.costs(name, 1.0), warm=bench.costs(f"warm {name}", 9.0))
                for name in "abc"}
    samples = interleave(variants, 8, read=bench.read)
    assert samples == {name: [1.0] * 8 for name in "abc"}
    rounds = [bench.log[start : start + 6] for start in range(0, 48, 6)]
    for one in rounds:
        assert sorted(one[1::2]) == ["a", "b", "c"]
        assert one[0::2] == [f"warm {name}" for name in one[1::2]]
    assert len({tuple(one) for one in rounds}) > 1


def test_the_variant_itself_is_the_warm_call_and_a_sample_is_the_mean_of_its_calls():
    bench = Bench()
    ticks = []
    samples = interleave({"a": Variant(bench.costs("a", 2.0), calls=5)}, 3, read=bench.read,
                         tick=lambda: ticks.append(1))
    assert samples == {"a": [2.0, 2.0, 2.0]}
    assert len(bench.log) == 3 * 6 and len(ticks) == 3


def test_ratios_are_taken_within_rounds():
    """A slow second round slows both; the ratio of the medians would be 2, not 3."""
    found = ratios({"ours": [3.0, 30.0, 6.0], "theirs": [1.0, 10.0, 3.0]}, "ours", "theirs")
    assert found.median == 3.0


@pytest.mark.parametrize(("values", "expected"), [
    ([7.0], (7.0, 7.0, 7.0)), ([1.0, 2.0, 3.0, 4.0, 5.0], (2.0, 3.0, 4.0)), ([4.0, 2.0], (2.5, 3.0, 3.5)),
])
def test_quartiles_interpolate_between_values(values, expected):
    assert quartiles(values) == expected


@pytest.mark.parametrize(("variants", "rounds"), [({}, 1), ({"a": Variant(lambda: None)}, 0)])
def test_nothing_to_time_is_an_error(variants, rounds):
    with pytest.raises(ValueError, match="at least one of each"):
        interleave(variants, rounds, read=time.perf_counter)


def test_the_cpu_clock_does_not_count_waiting():
    read = clock(torch.device("cpu"))
    start = read()
    time.sleep(0.2)
    assert read() - start < 0.1


def test_threads_come_back_after_an_error():
    before = torch.get_num_threads()
    inside = []
    with pytest.raises(ZeroDivisionError), threads(before + 1):
        inside.append(torch.get_num_threads() / len(inside))
    with threads(before + 1):
        inside.append(torch.get_num_threads())
    assert inside == [before + 1]
    assert torch.get_num_threads() == before


def test_a_budget_ends_the_rounds_but_leaves_the_least_number():
    bench = Bench()
    dear = {"a": Variant(bench.costs("a", 10.0))}
    assert len(interleave(dear, 9, read=bench.read, budget=1.0)["a"]) == LEAST_ROUNDS
    assert len(interleave(dear, 9, read=bench.read, budget=85.0)["a"]) == 5
    assert len(interleave(dear, 2, read=bench.read, budget=1.0)["a"]) == 2


def test_short_work_is_called_often_and_slow_work_is_not_called_to_warm_itself():
    bench = Bench()
    short = paced(bench.costs("short", FILL / 10), bench.read)
    assert short.calls in (9, 10) and short.warm is None
    bench.log.clear()
    slow = paced(bench.costs("slow", 2 * SLOW), bench.read)
    assert bench.log == ["slow"] and slow.calls == 1
    interleave({"slow": slow}, 2, read=bench.read)
    assert bench.log == ["slow"] * 3


@pytest.mark.parametrize("power", [0.5, 1.0, 2.0])
def test_the_exponent_of_a_power_is_found(power):
    sizes = [10, 60, 300]
    assert exponent(sizes, [3.0 * size**power for size in sizes]) == pytest.approx(power)


def test_one_size_has_no_exponent():
    with pytest.raises(ValueError, match="two of them"):
        exponent([10, 10], [1.0, 2.0])
