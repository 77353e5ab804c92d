"""The inputs, outputs and weak losses that baselines share."""

from __future__ import annotations

import math

import pytest
import torch

from avsgn_pyg.baselines.common import from_segment_scores, joint_term, pooled_term, soft_margin_loss
from avsgn_pyg.graph.localization import Localization, decode, decode_segments
from avsgn_pyg.graph.schema import NO_EVENT


def test_segment_scores_give_category_and_relevance():
    scores = torch.tensor([[[1.0, 2.0, 0.5], [3.0, -1.0, 4.0]]])
    output = from_segment_scores(scores)
    assert output.category.tolist() == [[3.0, 2.0]]
    assert output.relevance[0, 0].item() == pytest.approx(math.log(math.exp(1) + math.exp(2)) - 0.5, rel=1e-5)
    assert decode_segments(output.segment_scores).tolist() == [[1, 2]]
    assert decode(output.category, output.relevance, 0.5).tolist() == [[0, 2]]


def sigmoid(x: float) -> float:
    return 1 / (1 + math.exp(-x))


def test_soft_margin_without_an_event_is_zero_and_of_half_precision_float32():
    assert soft_margin_loss(torch.randn(2, 3), torch.tensor([NO_EVENT, NO_EVENT])) == 0
    assert soft_margin_loss(torch.randn(2, 3, dtype=torch.bfloat16), torch.tensor([0, 2])).dtype == torch.float32


def test_soft_margin_is_a_sigmoid_on_probabilities():
    p = torch.tensor([0.3, -1.2, 2.0]).softmax(-1).tolist()
    expected = -(math.log(sigmoid(p[0])) + math.log(sigmoid(-p[1])) + math.log(sigmoid(-p[2]))) / 3
    found = soft_margin_loss(torch.tensor([[0.3, -1.2, 2.0], [9.0, 0.0, 0.0]]), torch.tensor([0, NO_EVENT]))
    assert found.item() == pytest.approx(expected, rel=1e-5)


def test_joint_term_takes_the_highest_second_of_each_class():
    output = Localization(torch.tensor([[2.0, -3.0]]), torch.tensor([[0.0, 1.0, -1.0]]))
    logits = [2 * sigmoid(1), -3 * sigmoid(-1)]  # a class with a negative logit is highest where relevance is lowest
    expected = math.log(1 + math.exp(logits[1] - logits[0]))
    assert joint_term("cross_entropy")(output, torch.tensor([0]), None).item() == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize(("pooling", "pooled"), [("max", [3.0, 1.0]), ("mean", [1.0, 0.5])])
def test_pooled_term_pools_scores_over_time(pooling: str, pooled: list[float]):
    output = from_segment_scores(torch.tensor([[[3.0, 0.0], [-1.0, 1.0]]]))
    expected = math.log(1 + math.exp(pooled[1] - pooled[0]))
    found = pooled_term("cross_entropy", pooling)(output, torch.tensor([0]), None)
    assert found.item() == pytest.approx(expected, rel=1e-5)
