from __future__ import annotations

import copy

import pytest
import torch
from torch import nn

from avsgn_pyg.common.settings import TrainConfig
from avsgn_pyg.engine.optim import build_average, build_optimizer, learning_rate_multiplier
from avsgn_pyg.layers.time import LearnedTime, SubgraphTime
from avsgn_pyg.model.head import LocalizationHead


def network() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(4, 3), nn.LayerNorm(3), nn.Linear(3, 2))


@pytest.mark.parametrize("decayed", ["weights", "matrices"])
def test_weight_decay_applies_to_weight_matrices_and_to_tables_only_if_asked(decayed: str) -> None:
    model = nn.ModuleList([network(), SubgraphTime((True, False)), LearnedTime(4, 3), LocalizationHead(3, 2)])
    before = copy.deepcopy(dict(model.named_parameters()))
    optimizer = build_optimizer(model, 0.1, 0.5, decayed)
    for parameter in model.parameters():
        parameter.grad = torch.zeros_like(parameter)
    optimizer.step()
    shrunk = {name for name, parameter in model.named_parameters() if not torch.equal(parameter, before[name])}
    wanted = {name for name, parameter in before.items() if parameter.ndim == 2 and parameter.any()}
    tables = {name for name in wanted if name.endswith((".score", ".position"))}
    assert len(tables) == 2 and shrunk == (wanted if decayed == "matrices" else wanted - tables)
    for name, parameter in model.named_parameters():
        torch.testing.assert_close(parameter.detach(), before[name].detach() * (0.95 if name in shrunk else 1.0))


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


def test_the_moving_average_follows_its_recursion() -> None:
    model, decay, expected = nn.Linear(2, 1, bias=False), 0.6, None
    average = build_average(model, decay)
    for n, value in enumerate((1.0, 3.0, 2.0, 7.0, 5.0, 4.0, 0.0, 9.0, 1.0, 6.0)):
        model.weight.data.fill_(value)
        average.update_parameters(model)
        rate = min(decay, (1 + n) / (10 + n))
        expected = value if expected is None else rate * expected + (1 - rate) * value
        torch.testing.assert_close(average.module.weight.data, torch.full((1, 2), expected))
