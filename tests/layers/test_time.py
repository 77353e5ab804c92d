"""Time encodings equal their formulas."""

from __future__ import annotations

import math

import pytest
import torch

from avsgn_pyg.layers.time import LearnedTime, RelativeTime, SinusoidalTime, SubgraphTime

B, T, D = 2, 6, 7


def test_sinusoidal_time_is_sines_and_cosines_of_the_second():
    time = SinusoidalTime(D, scale=0.5)
    wave = time(torch.zeros(B, T, D))
    for second, column in ((3, 0), (5, 4)):
        angle = second / 1e4 ** (column / D)
        assert math.isclose(wave[1, second, column].item(), 0.5 * math.sin(angle), abs_tol=1e-5)
        assert math.isclose(wave[1, second, column + 1].item(), 0.5 * math.cos(angle), abs_tol=1e-5)


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


def test_subgraph_time_has_a_table_for_each_relation():
    time = SubgraphTime((True, False), slope=2.0)
    score = time(*offset_and_relation(3, 4))
    assert score.shape == (7, 7) and not score[3:].any() and not score[:, 3:].any()
    assert score[0].tolist()[:3] == [0.0, -2.0, -4.0]
    time.relations["01"].score.data.fill_(5.0)
    assert (time(*offset_and_relation(3, 4))[:3, 3:] == 5).all()


@pytest.mark.parametrize(("timed", "rows"), [((True, True), (4, 4)), ((True, False), (4, 3))])
def test_scores_of_edges_are_entries_of_the_matrix(timed: tuple, rows: tuple):
    time = SubgraphTime(timed, slope=0.7).double()
    for relation in time.relations.values():
        relation.score.data.normal_()
    offset, relation = offset_and_relation(*rows)
    whole, edges = time(offset, relation), time(offset.flatten(), relation.flatten())
    torch.testing.assert_close(edges, whole.flatten())
    probe = torch.randn_like(edges)
    torch.testing.assert_close(torch.autograd.grad(edges, list(time.parameters()), probe),
                               torch.autograd.grad(whole.flatten(), list(time.parameters()), probe))


def test_learned_time_adds_a_vector_to_each_second_up_to_its_length():
    time, rows = LearnedTime(T, D), torch.randn(B, T - 2, D)
    assert torch.equal(time(rows), rows + time.position[: T - 2])
    with pytest.raises(ValueError, match="time_encoding=learned"):
        time(torch.randn(B, T + 1, D))
