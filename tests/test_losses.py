"""Losses on logits, and objectives as named terms."""

from __future__ import annotations

import math

import pytest
import torch

from avsgn_pyg.baselines.common import from_segment_scores
from avsgn_pyg.graph.schema import NO_EVENT
from avsgn_pyg.localization import Localization
from avsgn_pyg.losses import (
    AVSGNObjective,
    Objective,
    Term,
    category_term,
    class_loss,
    joint_term,
    pasted_loss,
    pooled_term,
    relevance_loss,
    relevance_term,
    segment_loss,
    soft_margin_loss,
)

LOGITS = torch.tensor([[2.0, -1.0, 0.5], [0.0, 3.0, -2.0]], dtype=torch.float64)
PASTED = torch.tensor([[1.0, 0.0, 0.0], [0.0, 0.0, 1.0]], dtype=torch.float64)
CATEGORY = torch.tensor([1, 0])


def sigmoid(x: float) -> float:
    return 1 / (1 + math.exp(-x))


def test_class_loss_is_the_mean_over_videos_with_an_event():
    logits = torch.tensor([[1.0, 2.0], [5.0, -5.0], [0.0, 0.0]])
    expected = (-math.log(sigmoid(1.0)) - math.log(0.5)) / 2
    assert class_loss(logits, torch.tensor([1, NO_EVENT, 0])).item() == pytest.approx(expected, rel=1e-5)


def test_a_batch_without_any_event_has_class_losses_of_zero():
    nothing = torch.tensor([NO_EVENT, NO_EVENT])
    assert class_loss(torch.randn(2, 3), nothing) == soft_margin_loss(torch.randn(2, 3), nothing) == 0


def test_soft_margin_is_a_sigmoid_on_probabilities():
    p = torch.tensor([0.3, -1.2, 2.0]).softmax(-1).tolist()
    expected = -(math.log(sigmoid(p[0])) + math.log(sigmoid(-p[1])) + math.log(sigmoid(-p[2]))) / 3
    found = soft_margin_loss(torch.tensor([[0.3, -1.2, 2.0], [9.0, 0.0, 0.0]]), torch.tensor([0, NO_EVENT]))
    assert found.item() == pytest.approx(expected, rel=1e-5)


def test_soft_margin_of_28_classes_is_bounded():
    right, wrong = torch.full((1, 28), -50.0), torch.full((1, 28), -50.0)
    right[0, 0], wrong[0, 1] = 50, 50
    best, worst = (soft_margin_loss(logits, torch.tensor([0])).item() for logits in (right, wrong))
    assert 0.67 < best < 0.69 and 0.71 < worst < 0.72


def test_relevance_loss_is_binary_cross_entropy_of_the_seconds():
    found = relevance_loss(torch.tensor([[2.0, -1.0]]), torch.tensor([[1.0, 1.0]]))
    assert found.item() == pytest.approx(-(math.log(sigmoid(2)) + math.log(sigmoid(-1))) / 2, rel=1e-5)


def test_segment_loss_calls_every_second_of_a_video_without_an_event_background():
    scores = torch.randn(2, 2, 3)
    log_p = scores.log_softmax(-1)
    expected = -(log_p[0, 0, 1] + log_p[0, 1, 2] + log_p[1, 0, 2] + log_p[1, 1, 2]) / 4
    found = segment_loss(scores, torch.tensor([1, NO_EVENT]), torch.tensor([[1.0, 0.0], [1.0, 0.0]]))
    assert found.item() == pytest.approx(expected.item(), rel=1e-5)


def test_joint_term_takes_the_highest_second_of_each_class():
    answer = Localization(torch.tensor([[2.0, -3.0]]), torch.tensor([[0.0, 1.0, -1.0]]))
    logits = [2 * sigmoid(1), -3 * sigmoid(-1)]  # a class with a negative logit is highest where relevance is lowest
    expected = math.log(1 + math.exp(logits[1] - logits[0]))
    assert joint_term("cross_entropy")(answer, torch.tensor([0]), None).item() == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize(("pooling", "pooled"), [("max", [3.0, 1.0]), ("mean", [1.0, 0.5])])
def test_pooled_term_pools_scores_over_time(pooling: str, pooled: list[float]):
    answer = from_segment_scores(torch.tensor([[[3.0, 0.0], [-1.0, 1.0]]]))
    expected = math.log(1 + math.exp(pooled[1] - pooled[0]))
    found = pooled_term("cross_entropy", pooling)(answer, torch.tensor([0]), None)
    assert found.item() == pytest.approx(expected, rel=1e-5)


def test_weak_objectives_receive_no_segment_labels():
    seen = []

    def spy(answer, category, relevance):
        seen.append(relevance)
        return torch.tensor(1.0)

    weak = Objective("weak", full={}, weak={"mil": Term(spy, 2.0)})
    answer = Localization(torch.randn(1, 2), torch.randn(1, 3))
    losses = weak(answer, torch.tensor([0]), torch.ones(1, 3))
    assert seen == [None] and weak.names == ("mil",) and weak.total(losses) == 2


def test_total_weighs_each_term():
    full = Objective("full", full={"a": Term(category_term(), 3.0), "b": Term(relevance_term, 0.5)}, weak={})
    assert full.total({"a": torch.tensor(2.0), "b": torch.tensor(4.0)}) == 8


def test_a_term_that_has_not_begun_is_logged_and_not_summed():
    late = Objective("full", full={"a": Term(category_term()), "b": Term(relevance_term, 2.0, since=0.5)}, weak={})
    losses = {"a": torch.tensor(1.0), "b": torch.tensor(3.0)}
    assert late.total(losses) == 7
    for trained, total in ((0.0, 1), (0.49, 1), (0.5, 7), (0.9, 7)):
        late.begin(trained)
        assert late.total(losses) == total


def test_half_precision_is_converted_to_float32():
    logits = torch.randn(2, 3, dtype=torch.bfloat16)
    for loss in (class_loss, soft_margin_loss):
        assert loss(logits, torch.tensor([0, 2])).dtype == torch.float32


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
    mask = torch.tensor([[True, True, False], [True, True, True]])
    other = LOGITS.masked_fill(~mask, 99.0)
    assert torch.equal(pasted_loss(LOGITS, PASTED, CATEGORY, mask), pasted_loss(other, PASTED, CATEGORY, mask))
    assert not torch.equal(pasted_loss(LOGITS, PASTED, CATEGORY), pasted_loss(other, PASTED, CATEGORY))


def test_the_weak_objective_reads_what_was_pasted_and_no_segment_label():
    objective = AVSGNObjective("weak", losses=("mil", "gate", "pasted"), pasted_weight=2.0)
    answer = Localization(torch.randn(2, 3), LOGITS.float(), gate_category=torch.randn(2, 3))
    given = (None, torch.ones(2, 3), torch.zeros(2, 3))
    losses = [objective(answer, CATEGORY, labels, pasted=PASTED) for labels in given]
    assert losses[0] == losses[1] == losses[2]
    assert torch.equal(losses[0]["pasted"], pasted_loss(LOGITS.float(), PASTED, CATEGORY))
    rest = losses[0]["mil"] + losses[0]["gate"]
    assert objective.total(losses[0]).item() == pytest.approx((rest + 2 * losses[0]["pasted"]).item())
