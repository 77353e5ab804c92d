"""The dense head: times, reach, padding, and every convolution and topology under it."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from avsgn_pyg.common.config import load_config
from avsgn_pyg.engine.zoo import Shape, build_model, text_nodes, topology
from avsgn_pyg.graph.build import build_batch
from avsgn_pyg.graph.detection import DenseOutput
from avsgn_pyg.model.dense import DenseHead, halve, run_length

C, WIDTH = 3, 8
LABELS = replace(Shape(WIDTH, WIDTH, 9, C), rate=2)


def run(lengths: list[int], audio: torch.Tensor, visual: torch.Tensor, *settings: str) -> DenseOutput:
    """The output of an untrained model for videos of these lengths, seconds one after the other."""
    config = load_config(None, ["data.kind=dense", "data.name=d", "data.features=f.h5", "model.text.slots=per_class",
                                "model.dim=16", "model.text.bank=learned", *settings])
    torch.manual_seed(1)
    model = build_model(config.model, LABELS, dense=config.dense).eval()
    return model(build_batch(audio, visual, text_nodes=text_nodes(config.model, LABELS), lengths=torch.tensor(lengths),
                             topology=topology(config.model)))


@pytest.mark.parametrize("settings", [
    [], ["dense.levels=3"], ["model.cmgi.topology=window", "model.cmgi.window=2", "model.time_encoding=relative"],
    ["model.cmgi.conv=gat"], ["model.cmgi.conv={av: gatv2, vt: sage, at: transformer}"], ["dense.layers=0"],
    ["model.cmgi.subgraphs=[av]", "model.cmsa.inter_text=false"],
], ids=str)
def test_a_video_has_the_same_output_in_a_batch_of_mixed_lengths(settings: list[str]):
    audio, visual = torch.randn(2, 12, WIDTH)
    together = run([3, 9], audio, visual, *settings)
    alone = run([3], audio[:3], visual[:3], *settings)
    points = alone.scores.shape[1]
    assert together.mask.sum(1).tolist() == [points, together.scores.shape[1]]
    for name in ("scores", "distances"):
        own = getattr(together, name)[0][together.mask[0]]
        torch.testing.assert_close(own, getattr(alone, name)[0], atol=1e-5, rtol=1e-4)
    assert (alone.distances > 0).all() and alone.adjacency.keys() <= {"av", "vt", "at"}


def test_points_of_a_level_are_the_middles_of_its_steps_and_reach_twice_as_far():
    head = DenseHead(4, rate=2, levels=3, reach=1.5)
    output = head(*torch.randn(2, 1, 5, 4), torch.randn(1, 2 * C, 4))
    assert output.times.tolist() == [0.25, 0.75, 1.25, 1.75, 2.25, 0.5, 1.5, 2.5, 1.0, 3.0]
    assert output.reach[[0, 5, 8]].tolist() == [[0, 1.5], [1.5, 3], [3, float("inf")]]
    assert output.scores.shape == (1, 10, C) and output.distances.shape == (1, 10, C, 2) and output.mask is None


def test_an_untrained_head_finds_hardly_any_event():
    output = DenseHead(16)(*torch.randn(2, 2, 7, 16), torch.randn(2, 2 * C, 16))
    assert output.scores.sigmoid().mean() < 0.05


def test_a_class_is_its_text_nodes():
    head, (audio, visual), text = DenseHead(8).eval(), torch.randn(2, 1, 6, 8), torch.randn(1, 2 * C, 8)
    order = torch.tensor([2, 0, 1])
    shuffled = head(audio, visual, text[:, torch.cat((order, order + C))])
    output = head(audio, visual, text)
    torch.testing.assert_close(shuffled.scores, output.scores[..., order])
    torch.testing.assert_close(shuffled.distances, output.distances[:, :, order])


def test_halving_takes_the_maximum_of_two_steps_without_padding():
    rows = torch.tensor([[[-1.0], [-2], [-3]], [[-4], [7], [8]]])
    found, mask = halve(rows, torch.tensor([[True] * 3, [True, False, False]]))
    assert found.flatten().tolist() == [-1, -3, -4, 0] and mask.tolist() == [[True, True], [True, False]]
    assert halve(rows[:1], None)[0].flatten().tolist() == [-1, -3]


@pytest.mark.parametrize("steps", [1, 2, 7, 8])
def test_a_run_length_sums_the_products_of_going_on(steps: int):
    goes_on, runs, run = torch.rand(2, steps, 3), [], torch.zeros(2, 3)
    for step in range(steps):
        run = goes_on[:, step] * (1 + run)
        runs.append(run)
    torch.testing.assert_close(run_length(goes_on), torch.stack(runs, 1))
    certain = (torch.arange(steps) > 0).float()[None, :, None]
    assert run_length(certain).flatten().tolist() == list(range(steps))
