"""Videos of mixed lengths lie filled up in memory and end to end in a file; the way back loses nothing."""

from __future__ import annotations

import pytest
import torch

from avsgn_pyg.data.h5 import DataError
from avsgn_pyg.data.lengths import checked_lengths, end_to_end, filled_up, told

LENGTHS = torch.tensor([2, 4, 1])


def test_filling_up_and_laying_end_to_end_are_each_other_s_way_back() -> None:
    seconds = torch.randn(7, 5)
    filled = filled_up(seconds, LENGTHS)
    assert filled.shape == (3, 4, 5) and not filled[0, 2:].any()
    assert torch.equal(end_to_end(filled, LENGTHS), seconds)


def test_seconds_that_the_lengths_do_not_add_up_to_are_refused() -> None:
    with pytest.raises(DataError, match=r"videos of 7 seconds together need .* got \[6, 5\]"):
        filled_up(torch.zeros(6, 5), LENGTHS)


def test_lengths_that_fill_nothing_are_none() -> None:
    assert checked_lengths(torch.tensor([4, 4]), 2, 4) is None
    assert checked_lengths(LENGTHS, 3, 4).tolist() == [2, 4, 1]


@pytest.mark.parametrize("lengths", [[0, 4], [2, 5], [4], [[2, 4]]])
def test_lengths_that_cannot_be_are_refused(lengths: list) -> None:
    with pytest.raises(DataError, match=r"lengths must be \[2\], one a video, from 1 to 4 seconds; got \["):
        checked_lengths(torch.tensor(lengths), 2, 4)


def test_a_span_is_told_in_words() -> None:
    assert (told((10, 10)), told((6, 14))) == ("10", "6 to 14")


@pytest.mark.parametrize("lengths", [[-1, 3], [0, 2], []])
def test_lengths_that_no_video_can_have_are_refused_before_anything_is_filled(lengths: list[int]):
    with pytest.raises(DataError, match="each a second or more"):
        filled_up(torch.ones(2, 3), torch.tensor(lengths, dtype=torch.int64))
