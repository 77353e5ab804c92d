"""Windows cover every second, and their average is what a slow loop makes it."""

from __future__ import annotations

import pytest
import torch

from avsgn_pyg.predictor.windows import average, cut, window_starts


@pytest.mark.parametrize(("seconds", "segments", "starts"), [
    (1, 10, [0]), (10, 10, [0]), (11, 10, [0, 1]), (23, 10, [0, 5, 10, 13]), (4, 1, [0, 1, 2, 3]), (5, 3, [0, 1, 2]),
])
def test_windows_begin_every_half_window_and_the_last_ends_with_the_video(seconds, segments, starts) -> None:
    assert window_starts(seconds, segments) == starts


@pytest.mark.parametrize("segments", [1, 2, 3, 7, 10])
def test_every_second_lies_in_a_window(segments: int) -> None:
    for seconds in range(1, 40):
        starts = window_starts(seconds, segments)
        covered = {second for start in starts for second in range(start, start + segments)}
        assert covered >= set(range(seconds))
        assert len(set(starts)) == len(starts)
        assert starts[-1] + segments == max(seconds, segments)


@pytest.mark.parametrize(("seconds", "rest"), [(11, ()), (23, (3,)), (47, (2, 4))])
def test_the_average_is_that_of_a_loop_over_windows_and_seconds(seconds: int, rest: tuple[int, ...]) -> None:
    starts = window_starts(seconds, 10)
    values = torch.rand(len(starts), 10, *rest)
    found = average(values, starts, seconds)
    for second in range(seconds):
        total, weights = torch.zeros(rest, dtype=torch.float64), 0.0
        for window, start in enumerate(starts):
            place = second - start
            if 0 <= place < 10:
                weight = min(place + 1, 10 - place)
                total += weight * values[window, place].double()
                weights += weight
        torch.testing.assert_close(found[second], (total / weights).float())


@pytest.mark.parametrize("seconds", [3, 10])
def test_one_window_is_kept_bit_identical_without_the_seconds_beyond_the_video(seconds: int) -> None:
    values = torch.rand(1, 10, 2)
    assert torch.equal(average(values, [0], seconds), values[0, :seconds])


def test_cutting_then_averaging_gives_the_rows_back() -> None:
    rows = torch.rand(23, 4)
    torch.testing.assert_close(average(cut(rows, 10), window_starts(23, 10), 23), rows)
