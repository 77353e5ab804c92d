"""Losses on logits, objectives as tables of terms, and the streams that every baseline reads."""

from __future__ import annotations

import math

import pytest
import torch

from avsgn_pyg.baselines.common import (
    Term,
    TermObjective,
    category_term,
    class_loss,
    from_segment_scores,
    joint_term,
    pooled_term,
    relevance_loss,
    relevance_term,
    segment_loss,
    soft_margin_loss,
    streams,
)
from avsgn_pyg.graph.schema import NO_EVENT
from avsgn_pyg.localization import Localization, decode, decode_segments


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


def test_soft_margin_of_28_classes_is_confined():
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


def test_class_and_relevance_are_read_from_segment_scores():
    scores = torch.tensor([[[1.0, 2.0, 0.5], [3.0, -1.0, 4.0]]])
    answer = from_segment_scores(scores)
    assert answer.category.tolist() == [[3.0, 2.0]]
    assert answer.relevance[0, 0].item() == pytest.approx(math.log(math.exp(1) + math.exp(2)) - 0.5, rel=1e-5)
    assert decode_segments(answer.segment_scores).tolist() == [[1, 2]]
    assert decode(answer.category, answer.relevance, 0.5).tolist() == [[0, 2]]


def test_weak_objectives_hand_no_second_s_label_on():
    seen = []

    def spy(answer, category, relevance):
        seen.append(relevance)
        return torch.tensor(1.0)

    weak = TermObjective("weak", full={}, weak={"mil": Term(spy, 2.0)})
    answer = Localization(torch.randn(1, 2), torch.randn(1, 3))
    losses = weak(answer, torch.tensor([0]), torch.ones(1, 3))
    assert seen == [None] and weak.names == ("mil",) and weak.total(losses) == 2


def test_total_weighs_each_term():
    full = TermObjective("full", full={"a": Term(category_term, 3.0), "b": Term(relevance_term, 0.5)}, weak={})
    assert full.total({"a": torch.tensor(2.0), "b": torch.tensor(4.0)}) == 8


def test_a_term_that_has_not_begun_is_seen_and_not_summed():
    late = TermObjective("full", full={"a": Term(category_term), "b": Term(relevance_term, 2.0, since=0.5)}, weak={})
    losses = {"a": torch.tensor(1.0), "b": torch.tensor(3.0)}
    assert late.total(losses) == 7
    for trained, total in ((0.0, 1), (0.49, 1), (0.5, 7), (0.9, 7)):
        late.begin(trained)
        assert late.total(losses) == total


def test_half_precision_is_brought_to_single():
    logits = torch.randn(2, 3, dtype=torch.bfloat16)
    for loss in (class_loss, soft_margin_loss):
        assert loss(logits, torch.tensor([0, 2])).dtype == torch.float32


def test_streams_are_the_features_as_they_were_given(make_batch):
    audio, visual = torch.randn(4, 6, 10), torch.randn(4, 6, 14)
    for given, found in zip((audio, visual), streams(make_batch(audio, visual)), strict=True):
        assert torch.equal(given, found)
