"""Seeds trained together are the seeds trained alone; a CUDA graph is the eager step."""

from __future__ import annotations

import dataclasses

import pytest
import torch

from avsgn_pyg.experiments.gpu import GraphedStep, SeedsTogether, compiled_pass
from avsgn_pyg.experiments.workload import Engine, Workload, ready_batch

SITES = ("attention", "features", "graph", "head")
STILL = Workload(videos=4, segments=4, width=16, classes=3, batch_size=4,
                 overrides=("model.dim=8", *(f"model.dropout.{site}=0" for site in SITES)))


def test_each_of_the_seeds_together_descends_as_it_does_alone():
    together = SeedsTogether(STILL, seeds=3)
    alone = [Engine.of(dataclasses.replace(STILL, seed=number), "cpu") for number in range(3)]
    batch = ready_batch(alone[0].train, 4)
    start = {name: value.detach().clone() for name, value in together.parameters.items()}
    for _ in range(3):
        together()
        for engine in alone:
            engine.step(batch)
    for name, value in together.parameters.items():
        assert not torch.equal(value, start[name]) and not torch.equal(value[0], value[1])
        for number, engine in enumerate(alone):
            expected = dict(engine.parts.model.named_parameters())[name.removeprefix("model.")]
            torch.testing.assert_close(value[number], expected, rtol=0, atol=5e-5)


def test_seeds_drop_values_of_their_own():
    dropped = dataclasses.replace(STILL, overrides=("model.dim=8",))
    together = SeedsTogether(dropped, seeds=2)
    for value in together.parameters.values():
        value.data[1] = value.data[0]
    one, two = together.losses()
    assert one != two


def test_a_pass_as_recorded_gives_the_total_and_every_gradient():
    eager, _ = compiled_pass(STILL, "cpu")
    total, *gradients = eager()
    assert torch.isfinite(total) and any(gradient.abs().max() > 0 for gradient in gradients)


@pytest.mark.gpu
def test_a_graphed_step_moves_the_weights_as_the_eager_one_does():
    graphed, eager = GraphedStep(STILL), GraphedStep(STILL)
    graphed()
    eager.eager()
    for mine, theirs in zip(graphed.parameters, eager.parameters, strict=True):
        torch.testing.assert_close(mine, theirs, rtol=0, atol=1e-5)


@pytest.mark.gpu
def test_a_graphed_step_takes_the_videos_it_is_given():
    graphed = GraphedStep(dataclasses.replace(STILL, videos=9))
    index = torch.tensor([8, 7, 6, 5], device="cuda")
    graphed(index)
    assert torch.equal(graphed.inputs[0], graphed.videos.audio[index])
