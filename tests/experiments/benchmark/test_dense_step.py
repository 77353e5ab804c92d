"""The hand-written step is the model: same loss, same gradients, same places of dropout."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import torch

from avsgn_pyg.common.config import ConfigError, load_config
from avsgn_pyg.experiments.benchmark.dense_step import DenseNetwork, DenseStep
from avsgn_pyg.experiments.benchmark.workload import Workload
from avsgn_pyg.graph.schema import NO_EVENT

SITES = ("attention", "features", "graph", "head")
TINY = Workload(segments=6, width=32, classes=4, batch_size=5, overrides=("model.dim=16",))


@pytest.fixture(autouse=True)
def _float64() -> Iterator[None]:
    torch.set_default_dtype(torch.float64)
    yield
    torch.set_default_dtype(torch.float32)


def make_step(*overrides: str) -> DenseStep:
    """A step whose biases and norms are random too, and whose videos have one without an event."""
    step = DenseStep(TINY.but(*overrides))
    for parameter in step.model.parameters():
        parameter.data += 0.05 * torch.randn_like(parameter)
    step.engine.train.category[2] = NO_EVENT
    return step


def model_loss(step: DenseStep) -> torch.Tensor:
    return step.engine.loss(step.engine.first(TINY.batch_size))


@pytest.mark.parametrize("changes", [
    [],
    ["model.cmsa.residual=intra", "model.cmgi.layers=3", "objective.margin=0.7"],
    ["model.cmsa.residual=inter", "model.cmgi.backend=native", "model.cmsa.heads=2"],
])
def test_loss_and_every_gradient_equal_the_models(changes: list[str]) -> None:
    step = make_step(*(f"model.dropout.{site}=0" for site in SITES), *changes)
    expected, found = model_loss(step), step.loss()
    torch.testing.assert_close(found, expected, rtol=1e-12, atol=1e-12)
    names, parameters = zip(*step.model.named_parameters(), strict=True)
    for name, mine, theirs in zip(names, torch.autograd.grad(found, parameters),
                                  torch.autograd.grad(expected, parameters), strict=True):
        assert theirs.abs().max() > 1e-9, f"{name}: a gradient of zero would prove nothing"
        torch.testing.assert_close(mine, theirs, rtol=1e-9, atol=1e-12, msg=name)


def test_steps_descend_as_the_trainers_do() -> None:
    quiet = [f"model.dropout.{site}=0" for site in SITES]
    by_hand, trainer = make_step(*quiet), make_step(*quiet)
    trainer.model.load_state_dict(by_hand.model.state_dict())
    start = [parameter.clone() for parameter in by_hand.model.parameters()]
    for _ in range(3):
        by_hand()
        trainer.engine.step(trainer.engine.first(TINY.batch_size))
    for before, mine, theirs in zip(start, by_hand.model.parameters(), trainer.model.parameters(), strict=True):
        assert not torch.equal(mine, before)
        torch.testing.assert_close(mine, theirs, rtol=0, atol=1e-9)


@pytest.mark.parametrize("change", ["model.cmgi.conv=gat", "model.dropout.input=0.1"])
def test_another_network_is_refused(change: str) -> None:
    with pytest.raises(ConfigError, match="hand-written step"):
        DenseNetwork({}, load_config(None, [change]).model)
