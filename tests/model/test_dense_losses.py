"""Which point learns which event, and the losses on it, against hand-worked cases."""

from __future__ import annotations

import math

import pytest
import torch

from avsgn_pyg.graph.detection import DenseOutput
from avsgn_pyg.model.dense_losses import DenseObjective, assign, diou_loss, focal_loss, interval_iou

C = 3


def output(videos: int = 1, points: int = 6, **more: torch.Tensor) -> DenseOutput:
    """Seconds with their middle as point."""
    return DenseOutput(torch.zeros(videos, points, C), torch.ones(videos, points, C, 2), torch.arange(points) + 0.5,
                       **more)


def test_a_point_learns_the_event_around_it_with_float_boundaries():
    present, distances = assign(output(), torch.tensor([[[1, 1.25, 3.5], [-1, -1, -1]]]))
    assert present.nonzero().tolist() == [[0, 1, 1], [0, 2, 1], [0, 3, 1]]
    assert distances[0, 1:4, 1].tolist() == [[0.25, 2], [1.25, 1], [2.25, 0]]
    assert not distances[~present].any()


def test_overlapping_events_of_other_classes_are_learned_together_and_of_one_class_the_shortest():
    events = torch.tensor([[[0, 0, 6], [2, 2, 4], [0, 2, 4.0]]])
    present, distances = assign(output(), events)
    assert present[0, :, 0].all() and present[0, :, 2].tolist() == [False, False, True, True, False, False]
    assert distances[0, :, 0].sum(-1).tolist() == [6, 6, 2, 2, 6, 6]


def test_padding_and_points_of_another_reach_learn_nothing():
    events = torch.tensor([[[0, 0, 6.0]]])
    mask = torch.tensor([[True] * 4 + [False] * 2])
    assert assign(output(mask=mask), events).present[0, :, 0].tolist() == mask[0].tolist()
    reach = torch.tensor([[0, 5.0]] * 3 + [[5.0, math.inf]] * 3)  # larger distances: 5.5 4.5 3.5 3.5 4.5 5.5
    assert assign(output(reach=reach), events).present[0, :, 0].tolist() == [False, True, True, False, False, True]


def test_a_batch_without_events_has_a_finite_loss_and_gradient():
    found = output()
    found.scores.requires_grad_(), found.distances.requires_grad_()
    for events in (torch.zeros(1, 0, 3), torch.full((1, 2, 3), -1.0)):
        losses = DenseObjective()(found, events)
        DenseObjective().total(losses).backward()
        assert losses["interval"] == 0 and losses["score"] > 0 and found.scores.grad.isfinite().all()


def test_iou_and_diou_of_intervals():
    predicted, true = torch.tensor([[1.0, 1], [2, 0], [1, 3]]), torch.tensor([[1.0, 1], [0, 2], [1, 1]])
    assert interval_iou(predicted, true).tolist() == [1, 0, 0.5]
    # Centres 2 s apart within 4 s; 1 s apart within 4 s.
    assert diou_loss(predicted, true).tolist() == pytest.approx([0, 1 + 0.25, 0.5 + 1 / 16])


def test_focal_loss_is_the_weighted_cross_entropy_at_gamma_0_and_small_for_easy_points():
    scores, target = torch.tensor([2.0, -1]), torch.tensor([1.0, 0])
    cross = torch.tensor([math.log1p(math.exp(-2)), math.log1p(math.exp(-1))])
    torch.testing.assert_close(focal_loss(scores, target, alpha=0.4, gamma=0.0), cross * torch.tensor([0.4, 0.6]))
    missing = torch.tensor([1 - 1 / (1 + math.exp(-2)), 1 / (1 + math.exp(1))])
    torch.testing.assert_close(focal_loss(scores, target, alpha=0.5, gamma=2.0), 0.5 * cross * missing**2)


def test_losses_are_means_over_points_with_an_event_and_leave_out_padding():
    torch.manual_seed(0)
    whole = DenseOutput(torch.randn(1, 4, C), torch.rand(1, 4, C, 2), torch.arange(4) + 0.5)
    padded = DenseOutput(torch.cat((whole.scores, torch.full((1, 2, C), 50.0)), 1),
                         torch.cat((whole.distances, torch.rand(1, 2, C, 2)), 1), torch.arange(6) + 0.5,
                         mask=torch.tensor([[True] * 4 + [False] * 2]))
    objective, events = DenseObjective(interval_weight=3.0), torch.tensor([[[1, 0.1, 3.9]]])
    one, two = objective(whole, events), objective(padded, events)
    torch.testing.assert_close(one, two)
    mean = diou_loss(whole.distances[0, :, 1], assign(whole, events).distances[0, :, 1]).mean()
    torch.testing.assert_close(one["interval"], mean)
    torch.testing.assert_close(objective.total(one), one["score"] + 3 * mean)
