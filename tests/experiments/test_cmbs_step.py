"""CMBS's shape trains, reads all of its parts, and has the published sizes."""

from __future__ import annotations

import dataclasses

import torch

from avsgn_pyg.experiments.cmbs_step import CMBSShape, CMBSStep
from avsgn_pyg.experiments.workload import Workload


def test_a_step_moves_every_parameter_and_lowers_the_loss():
    torch.manual_seed(0)
    step = CMBSStep(dataclasses.replace(Workload(), batch_size=3, segments=4))
    for group in step.optimizer.param_groups:
        group["lr"] = 1e-3
    before = [value.detach().clone() for value in step.network.parameters()]
    first = step.network.eval()(*step.inputs)
    for _ in range(5):
        step()
    assert step.network(*step.inputs) < first
    assert all(not torch.equal(old, new) for old, new in zip(before, step.network.parameters(), strict=True))


def test_the_network_has_the_size_of_the_published_one_without_its_attention_over_regions():
    weights = sum(value.numel() for value in CMBSShape().parameters())
    assert 7e6 < weights < 9e6
