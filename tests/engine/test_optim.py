from __future__ import annotations

import copy

import pytest
import torch
from torch import nn

from avsgn_pyg.config import TrainConfig
from avsgn_pyg.engine.optim import (
    build_average,
    build_optimizer,
    build_schedule,
    flatten_moments,
    learning_rate_multiplier,
    restore_moments,
)


def step(model: nn.Module, optimizer: torch.optim.Optimizer, seed: int) -> None:
    torch.manual_seed(seed)
    optimizer.zero_grad()
    model(torch.randn(5, 4)).square().mean().backward()
    optimizer.step()


def network() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(4, 3), nn.LayerNorm(3), nn.Linear(3, 2))


def test_fused_adam_takes_the_steps_of_plain_adam() -> None:
    ours, plain = network(), network()
    fused, single = build_optimizer(ours, 0.1), torch.optim.Adam(plain.parameters(), lr=0.1, foreach=False)
    assert fused.defaults["fused"] is True
    for seed in range(5):
        step(ours, fused, seed)
        step(plain, single, seed)
    for a, b in zip(ours.parameters(), plain.parameters(), strict=True):
        torch.testing.assert_close(a, b)


def test_weight_decay_applies_to_matrices_only() -> None:
    model = network()
    before = copy.deepcopy(dict(model.named_parameters()))
    optimizer = build_optimizer(model, 0.1, weight_decay=0.5)
    for parameter in model.parameters():
        parameter.grad = torch.zeros_like(parameter)
    optimizer.step()
    for name, parameter in model.named_parameters():
        expected = before[name] * (0.95 if parameter.ndim == 2 else 1.0)
        torch.testing.assert_close(parameter.detach(), expected.detach())


def test_a_frozen_model_has_nothing_to_optimize() -> None:
    with pytest.raises(ValueError, match="Linear"):
        build_optimizer(nn.Linear(2, 2).requires_grad_(False), 0.1)


@pytest.mark.parametrize(("options", "steps_per_epoch", "rates"), [
    ({}, 53, {0: 1.0, 529: 1.0, 530: 0.5, 1059: 0.5, 1060: 0.25, 1590: 0.125, 10_599: 0.125}),
    ({"schedule": "cosine", "epochs": 4}, 10, {0: 1.0, 20: 0.5, 40: 0.0}),
    ({"schedule": "constant", "warmup_epochs": 0.5}, 8, {0: 0.25, 1: 0.5, 2: 0.75, 3: 1.0, 9: 1.0}),
])
def test_learning_rates(options: dict, steps_per_epoch: int, rates: dict[int, float]) -> None:
    recipe = TrainConfig(**options)
    for number, rate in rates.items():
        assert learning_rate_multiplier(number, steps_per_epoch, recipe) == pytest.approx(rate, abs=1e-12)


@pytest.mark.parametrize("schedule", ["step", "cosine", "constant"])
def test_a_resumed_schedule_has_the_rates_of_an_uninterrupted_one(schedule: str) -> None:
    recipe = TrainConfig(schedule=schedule, milestones=(1, 2), epochs=4, warmup_epochs=1.5)

    def rates(start: int, stop: int) -> list[float]:
        model = network()
        optimizer = build_optimizer(model, recipe.learning_rate)
        scheduler = build_schedule(optimizer, recipe, 5, step=start)
        found = []
        for seed in range(start, stop):
            found.append(optimizer.param_groups[0]["lr"])
            step(model, optimizer, seed)
            scheduler.step()
        return found

    assert rates(0, 20) == rates(0, 7) + rates(7, 20)


def test_an_average_without_decay_copies_parameters_and_buffers() -> None:
    model = nn.Sequential(nn.Linear(4, 3), nn.BatchNorm1d(3))
    average = build_average(model)
    step(model, build_optimizer(model, 0.1), 0)
    average.update_parameters(model)
    for name, value in model.state_dict().items():
        assert torch.equal(average.module.state_dict()[name], value), name


def test_the_moving_average_follows_its_recursion() -> None:
    model, decay, expected = nn.Linear(2, 1, bias=False), 0.6, None
    average = build_average(model, decay)
    for n, value in enumerate((1.0, 3.0, 2.0, 7.0, 5.0, 4.0, 0.0, 9.0, 1.0, 6.0)):
        model.weight.data.fill_(value)
        average.update_parameters(model)
        rate = min(decay, (1 + n) / (10 + n))
        expected = value if expected is None else rate * expected + (1 - rate) * value
        torch.testing.assert_close(average.module.weight.data, torch.full((1, 2), expected))


def test_an_optimizer_restored_from_its_moments_takes_the_very_same_step() -> None:
    model = network()
    optimizer = build_optimizer(model, 0.1, weight_decay=0.01)
    for seed in range(3):
        step(model, optimizer, seed)
    twin = copy.deepcopy(model)
    other = build_optimizer(twin, 0.1, weight_decay=0.01)
    restore_moments(twin, other, flatten_moments(model, optimizer))
    step(model, optimizer, 9)
    step(twin, other, 9)
    for name, value in model.state_dict().items():
        assert torch.equal(twin.state_dict()[name], value), name
