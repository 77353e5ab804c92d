"""Time encodings for any length; tests/model/test_section3.py has their formulas."""

from __future__ import annotations

import pytest
import torch

from avsgn_pyg.layers.time import LearnedTime, RelativeTime

B, T, D = 2, 6, 7


def offset_and_relation(*rows: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Seconds from target (row) to source (column), and the relation, of the nodes of two modalities."""
    second = torch.cat([torch.arange(count) for count in rows])
    part = torch.arange(len(rows)).repeat_interleave(torch.tensor(rows))
    return second - second[:, None], 2 * part[:, None] + part


def test_relative_time_depends_on_the_offset_for_any_length():
    time = RelativeTime(2, reach=3)
    time.score.data.normal_()
    score = time(offset_and_relation(9)[0])
    assert score.shape == (2, 9, 9)
    for i in range(9):
        for j in range(9):
            assert torch.equal(score[:, i, j], time.score[:, max(-3, min(3, j - i)) + 3])


def test_learned_time_adds_a_vector_to_each_second_up_to_its_length():
    time, rows = LearnedTime(T, D), torch.randn(B, T - 2, D)
    assert torch.equal(time(rows), rows + time.position[: T - 2])
    with pytest.raises(ValueError, match="time_encoding=learned"):
        time(torch.randn(B, T + 1, D))
