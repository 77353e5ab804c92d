"""Intervals: exact small cases, the textbook width, determinism."""

from __future__ import annotations

import math
import statistics

import pytest
import torch
from jaxtyping import TypeCheckError

from avsgn_pyg.metrics import bootstrap_interval, mean_std_interval, paired_bootstrap


def shares(seed, *shape):
    return torch.randint(0, 11, shape, generator=torch.Generator().manual_seed(seed)).double() / 10


# Resamples of two videos with all and none of their seconds right: both, one of each twice, both.
@pytest.mark.parametrize(("seconds", "one_of_each"), [(None, 50), (torch.tensor([9, 1]), 90)])
def test_two_videos_have_the_interval_that_enumeration_gives(seconds, one_of_each):
    correct = torch.tensor([1.0, 0.0])
    assert bootstrap_interval(correct, 4000, 0, seconds=seconds) == (0, 100)
    assert bootstrap_interval(correct, 4000, 0, level=0.4, seconds=seconds) == (one_of_each, one_of_each)
    difference = paired_bootstrap(correct, 1 - correct, 200, 0, seconds=seconds).difference
    assert difference == pytest.approx(2 * one_of_each - 100)


def test_the_width_is_that_of_the_standard_error():
    correct = shares(1, 400)
    lo, hi = bootstrap_interval(correct, 4000, 0)
    error = 100 * statistics.pstdev(correct.tolist()) / math.sqrt(400)
    middle = 100 * statistics.fmean(correct.tolist())
    assert (hi - lo) / 2 == pytest.approx(1.96 * error, rel=0.06)
    assert (hi + lo) / 2 == pytest.approx(middle, abs=0.2 * error)


def test_a_seed_gives_one_interval_whatever_the_order_of_the_videos():
    correct, before = shares(2, 50), torch.get_rng_state()
    order = torch.randperm(50, generator=torch.Generator().manual_seed(0))
    once, seconds = bootstrap_interval(correct, 300, 7), torch.arange(50) % 7 + 1
    assert once == bootstrap_interval(correct, 300, 7) == bootstrap_interval(correct[order], 300, 7)
    assert once != bootstrap_interval(correct, 300, 8)
    mixed = bootstrap_interval(correct, 300, 7, seconds=seconds)
    assert mixed == bootstrap_interval(correct[order], 300, 7, seconds=seconds[order])
    assert torch.equal(before, torch.get_rng_state())


def test_several_seeds_are_averaged_on_the_same_resampled_videos():
    correct = shares(4, 3, 60)
    assert bootstrap_interval(correct, 500, 0) == bootstrap_interval(correct.mean(0), 500, 0)
    # Seeds that fail on different videos make a steadier mean than any one of them.
    lo, hi = bootstrap_interval(torch.stack([shares(4, 60), 1 - shares(4, 60)]), 500, 0)
    assert (lo, hi) == pytest.approx((50, 50))


def test_a_paired_difference_is_signed_and_holds_its_value():
    a, b = shares(6, 2, 200), shares(7, 200) * 0.7
    difference, lo, hi = paired_bootstrap(a, b, 1000, 0)
    assert difference == pytest.approx(100 * (a.mean() - b.mean()).item())
    assert 0 < lo < difference < hi
    assert paired_bootstrap(b, a, 1000, 0).difference == pytest.approx(-difference)


def test_different_videos_cannot_be_paired():
    # Under test the shapes in the signature speak first.
    with pytest.raises((ValueError, TypeCheckError), match=r"a has 3 videos and b 4|correct_b"):
        paired_bootstrap(torch.zeros(3), torch.zeros(4), 10, 0)


@pytest.mark.parametrize(("correct", "replicates", "level", "message"), [
    (torch.tensor([7.0, 3.0]), 10, 0.95, "from 3.0 to 7.0"),
    (torch.tensor([math.nan]), 10, 0.95, "nan"),
    (torch.zeros(0), 10, 0.95, r"got \[0\]"),
    (torch.zeros(1, 2, 3), 10, 0.95, r"got \[1, 2, 3\]"),
    (torch.zeros(3), 0, 0.95, "replicates=0"),
    (torch.zeros(3), 10, 1.0, "level=1.0"),
])
def test_what_cannot_be_resampled_is_refused(correct, replicates, level, message):
    with pytest.raises(ValueError, match=message):
        bootstrap_interval(correct, replicates, 0, level)


def test_the_spread_over_seeds_is_the_sample_deviation():
    assert mean_std_interval([70.0, 74.0, 75.0]) == (73.0, pytest.approx(math.sqrt(7)), 3)
    mean, std, n = mean_std_interval([70.0])
    assert (mean, n) == (70.0, 1) and math.isnan(std)
    with pytest.raises(ValueError, match="no scores"):
        mean_std_interval([])
    assert all(map(math.isnan, mean_std_interval([math.nan, 70.0, 71.0])[:2]))
