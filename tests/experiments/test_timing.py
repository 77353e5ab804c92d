"""Interleaved timing on a clock that the test holds."""

from __future__ import annotations

import time

import pytest
import torch

from avsgn_pyg.experiments.timing import Variant, clock, interleave, quartiles, ratios, threads


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
