"""Losses on logits, and objectives as named terms."""

from __future__ import annotations

import math

import pytest
import torch
import torch.nn.functional as F

from avsgn_pyg.graph.localization import Localization
from avsgn_pyg.graph.schema import NO_EVENT
from avsgn_pyg.model.losses import (
    AVSGNObjective,
    Objective,
    Term,
    category_term,
    class_loss,
    pasted_loss,
    probability_loss,
    relevance_loss,
    relevance_term,
    segment_loss,
)

LOGITS = torch.tensor([[2.0, -1.0, 0.5], [0.0, 3.0, -2.0]], dtype=torch.float64)
PASTED = torch.tensor([[1.0, 0.0, 0.0], [0.0, 0.0, 1.0]], dtype=torch.float64)
CATEGORY = torch.tensor([1, 0])


def test_class_losses_of_a_batch_without_an_event_are_zero():
    nothing = torch.tensor([NO_EVENT, NO_EVENT])
    assert class_loss(torch.randn(2, 3), nothing) == probability_loss(torch.rand(2, 3), nothing) == 0


def test_class_losses_of_half_precision_are_float32():
    assert class_loss(torch.randn(2, 3, dtype=torch.bfloat16), torch.tensor([0, 2])).dtype == torch.float32


def test_a_pooled_probability_of_zero_has_a_finite_loss():
    assert probability_loss(torch.tensor([[0.0, 1.0]]), torch.tensor([0])).isfinite()


def test_padding_counts_in_no_mean():
    mask = torch.tensor([[True, True, False], [True, True, True]])
    wrong = torch.zeros(2, 3).masked_fill(~mask, 99.0)
    scores = torch.stack((wrong, *torch.zeros(3, 2, 3)), -1)  # in the padding, class 0, which is wrong
    assert relevance_loss(wrong, torch.zeros(2, 3), mask).item() == pytest.approx(math.log(2))
    assert segment_loss(scores, torch.tensor([1, 0]), torch.ones(2, 3), mask).item() == pytest.approx(math.log(4))


def test_a_term_has_a_weight_and_joins_the_total_after_its_share_of_training():
    objective = Objective("full", full={"a": Term(category_term(), 3.0), "b": Term(relevance_term, 2.0, since=0.5)},
                          weak={})
    losses = {"a": torch.tensor(1.0), "b": torch.tensor(3.0)}
    assert objective.total(losses) == 9
    for trained, total in ((0.0, 3), (0.49, 3), (0.5, 9), (0.9, 9)):
        objective.begin(trained)
        assert objective.total(losses) == total


def test_pasted_seconds_are_background_and_all_others_event():
    background = (F.softplus(LOGITS[0, 0]) + F.softplus(LOGITS[1, 2])) / 2
    event = F.softplus(-LOGITS[[0, 0, 1, 1], [1, 2, 0, 1]]).mean()
    torch.testing.assert_close(pasted_loss(LOGITS, PASTED, CATEGORY), background + event)
    torch.testing.assert_close(pasted_loss(LOGITS, torch.zeros_like(PASTED), CATEGORY), F.softplus(-LOGITS).mean())


def test_a_video_without_an_event_counts_as_pasted_throughout():
    expected = pasted_loss(LOGITS, torch.tensor([[1.0, 0, 0], [1.0, 1.0, 1.0]]), CATEGORY)
    assert torch.equal(pasted_loss(LOGITS, PASTED, torch.tensor([1, NO_EVENT])), expected)


def test_padding_does_not_change_the_pasted_loss():
    mask = torch.tensor([[True, True, False], [True, True, True]])
    other = LOGITS.masked_fill(~mask, 99.0)
    assert torch.equal(pasted_loss(LOGITS, PASTED, CATEGORY, mask), pasted_loss(other, PASTED, CATEGORY, mask))


def test_the_weak_objective_uses_pasted_seconds_and_no_segment_labels():
    objective = AVSGNObjective("weak", losses=("mil", "gate", "pasted"), pasted_weight=2.0)
    output = Localization(torch.randn(2, 3), LOGITS.float(), gate_category=torch.randn(2, 3))
    one, two = (objective(output, CATEGORY, labels, pasted=PASTED) for labels in (None, torch.ones(2, 3)))
    assert one == two and torch.equal(one["pasted"], pasted_loss(LOGITS.float(), PASTED, CATEGORY))
    total = one["mil"] + one["gate"] + 2 * one["pasted"]
    assert objective.total(one).item() == pytest.approx(total.item())
