"""The loss that is not the paper's: background that augmentation made, under weak supervision."""

from __future__ import annotations

import pytest
import torch

from avsgn_pyg.graph.schema import NO_EVENT
from avsgn_pyg.localization import Localization
from avsgn_pyg.losses import Objective, pasted_loss

LOGITS = torch.tensor([[2.0, -1.0, 0.5], [0.0, 3.0, -2.0]], dtype=torch.float64)
PASTED = torch.tensor([[1.0, 0.0, 0.0], [0.0, 0.0, 1.0]], dtype=torch.float64)
CATEGORY = torch.tensor([1, 0])


def nats(probability: float) -> float:
    return -torch.tensor(probability, dtype=torch.float64).log().item()


def test_pasted_seconds_are_background_and_the_others_event():
    event = LOGITS.sigmoid()
    background = (nats(1 - event[0, 0].item()) + nats(1 - event[1, 2].item())) / 2
    own = sum(nats(event[v, t].item()) for v, t in ((0, 1), (0, 2), (1, 0), (1, 1))) / 4
    assert pasted_loss(LOGITS, PASTED, CATEGORY).item() == pytest.approx(background + own)


def test_a_video_without_an_event_is_background_throughout():
    all_over = pasted_loss(LOGITS, torch.tensor([[1.0, 0, 0], [1.0, 1.0, 1.0]]), CATEGORY)
    assert torch.equal(pasted_loss(LOGITS, PASTED, torch.tensor([1, NO_EVENT])), all_over)


def test_nothing_pasted_leaves_the_pull_towards_event():
    loss = pasted_loss(LOGITS, torch.zeros_like(PASTED), CATEGORY)
    assert loss.item() == pytest.approx(torch.nn.functional.softplus(-LOGITS).mean().item())


def test_padding_counts_on_neither_side():
    real = torch.tensor([[True, True, False], [True, True, True]])
    other = LOGITS.masked_fill(~real, 99.0)
    assert torch.equal(pasted_loss(LOGITS, PASTED, CATEGORY, real), pasted_loss(other, PASTED, CATEGORY, real))
    assert not torch.equal(pasted_loss(LOGITS, PASTED, CATEGORY), pasted_loss(other, PASTED, CATEGORY))


def test_the_weak_objective_reads_what_was_pasted_and_no_segment_label():
    objective = Objective("weak", losses=("mil", "gate", "pasted"), pasted_weight=2.0)
    answer = Localization(torch.randn(2, 3), LOGITS.float(), gate_category=torch.randn(2, 3))
    given = (None, torch.ones(2, 3), torch.zeros(2, 3))
    losses = [objective(answer, CATEGORY, labels, pasted=PASTED) for labels in given]
    assert losses[0] == losses[1] == losses[2]
    assert torch.equal(losses[0]["pasted"], pasted_loss(LOGITS.float(), PASTED, CATEGORY))
    rest = losses[0]["mil"] + losses[0]["gate"]
    assert objective.total(losses[0]).item() == pytest.approx((rest + 2 * losses[0]["pasted"]).item())
