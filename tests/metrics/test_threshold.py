"""The best threshold against trying every one."""

from __future__ import annotations

import itertools

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from avsgn_pyg.localization import decode
from avsgn_pyg.metrics import accuracy, best_tau, segment_targets


def accuracy_at(answers, tau):
    target = segment_targets(answers.category, answers.relevance, answers.category_logits.shape[1])
    return accuracy(decode(answers.category_logits, answers.relevance_logits, tau), target)


def every_tau(answers):
    """0, 0.5, and each sigmoid value with its two float neighbours, as far as they lie in [0, 1)."""
    values = answers.relevance_logits.sigmoid().flatten()
    around = [values, values.nextafter(torch.zeros_like(values)), values.nextafter(torch.ones_like(values))]
    return [tau for tau in (0.0, 0.5, *torch.cat(around).tolist()) if 0 <= tau < 1]


@given(
    seed=st.integers(0, 10**6),
    videos=st.integers(1, 6),
    scale=st.sampled_from([1e-7, 0.01, 1.0, 20.0, 100.0]),
    dtype=st.sampled_from([torch.float32, torch.float64]),
)
def test_no_other_threshold_decodes_better(make_answers, seed, videos, scale, dtype):
    answers = make_answers(seed, videos)
    answers = answers._replace(relevance_logits=(answers.relevance_logits * scale).to(dtype))
    tau = best_tau(*answers)
    assert 0 <= tau < 1
    assert accuracy_at(answers, tau) == max(accuracy_at(answers, other) for other in every_tau(answers))


def test_neighbouring_floats_are_told_apart():
    steps = torch.tensor(0.7).logit() + 2.0**-22 * torch.arange(60)
    rounded_up = 0
    for pair in itertools.pairwise(steps):
        logits = torch.stack(pair)[None]
        low, high = logits.sigmoid()[0].double()
        if low == high:
            continue
        rounded_up += int(((low + high) / 2).float() == high)
        tau = best_tau(torch.tensor([[1.0, 0.0]]), logits, torch.tensor([0]), torch.tensor([[0.0, 1.0]]))
        assert decode(torch.tensor([[1.0, 0.0]]), logits, tau).tolist() == [[2, 0]]
    # The pairs whose middle is no float of its own are the hard ones; some must have come.
    assert rounded_up > 5


def test_one_half_wins_where_it_is_as_good_as_any():
    logits = torch.tensor([[-3.0, 1.0]])
    assert best_tau(torch.tensor([[1.0, 0.0]]), logits, torch.tensor([0]), torch.tensor([[0.0, 1.0]])) == 0.5
    # Everything is right whatever tau is: the class is wrong and no segment is background.
    assert best_tau(torch.tensor([[0.0, 1.0]]), logits, torch.tensor([0]), torch.ones(1, 2)) == 0.5


def test_of_two_equally_good_gaps_the_one_nearer_one_half_wins():
    # Right by turns: background below 0.2, event at 0.2, background at 0.6, event at 0.9.
    logits = torch.tensor([[0.1, 0.2, 0.6, 0.9]]).logit()
    tau = best_tau(torch.tensor([[1.0]]), logits, torch.tensor([0]), torch.tensor([[0.0, 1.0, 0.0, 1.0]]))
    assert tau == pytest.approx(0.75)
    logits = torch.tensor([[0.1, 0.4, 0.8, 0.9]]).logit()
    tau = best_tau(torch.tensor([[1.0]]), logits, torch.tensor([0]), torch.tensor([[0.0, 1.0, 0.0, 1.0]]))
    assert tau == pytest.approx(0.25)


@given(seed=st.integers(0, 10**6), padding=st.sampled_from([0.0, 3.0, float("nan")]))
def test_padding_moves_no_threshold(make_answers, mix, seed, padding):
    answers, mask = mix(make_answers(seed), padding)
    tau = best_tau(*answers, mask)
    target = segment_targets(answers.category, answers.relevance.masked_fill(~mask, 0), 3)

    def right(tau):
        return int((decode(answers.category_logits, answers.relevance_logits, tau) == target)[mask].sum())

    real = answers._replace(relevance_logits=answers.relevance_logits[mask])
    assert right(tau) == max(right(other) for other in every_tau(real))
    assert tau == best_tau(*mix(make_answers(seed), -2.0)[0], mask)
