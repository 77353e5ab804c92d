"""Predictions by the bin of their probability."""

from __future__ import annotations

import pytest
import torch

from avsgn_pyg.metrics.calibration import reliability


def test_the_calibration_error_is_the_mean_gap_of_the_bins():
    found = reliability(torch.tensor([0.95, 0.92, 0.31, 0.35]), torch.tensor([True, False, True, False]))
    assert found.count[[3, 9]].tolist() == [2, 2] and found.count.sum() == 4
    torch.testing.assert_close(found.predicted[[3, 9]], torch.tensor([0.33, 0.935]).double(), rtol=1e-5, atol=0)
    assert found.observed[[3, 9]].tolist() == [0.5, 0.5]
    assert found.error == pytest.approx(100 * (abs(1.87 - 1) + abs(0.66 - 1)) / 4, rel=1e-5)


def test_a_probability_of_one_is_in_the_last_bin():
    assert reliability(torch.ones(3), torch.ones(3, dtype=torch.bool)).count.tolist() == [0] * 9 + [3]


@pytest.mark.parametrize("numbers", [[], [0.5, 1.5], [float("nan")]])
def test_other_numbers_are_refused(numbers: list[float]):
    with pytest.raises(ValueError, match="probabilities"):
        reliability(torch.tensor(numbers), torch.ones(len(numbers), dtype=torch.bool))
