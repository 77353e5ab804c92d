"""ActionFormer: the pyramid's points, the window of attention, batches of mixed length."""

from __future__ import annotations

import math

import pytest
import torch

from avsgn_pyg.baselines.actionformer import ActionFormer, Block
from avsgn_pyg.graph.build import build_batch
from avsgn_pyg.graph.detection import DenseOutput

AUDIO, VISUAL = torch.randn(2, 16, 12, generator=torch.Generator().manual_seed(0))


def run(model: ActionFormer, rows: slice, lengths: list[int]) -> DenseOutput:
    return model(build_batch(AUDIO[rows], VISUAL[rows], text_nodes=1, lengths=torch.tensor(lengths)))


@pytest.fixture(scope="module")
def model() -> ActionFormer:
    torch.manual_seed(0)
    return ActionFormer(audio_width=12, visual_width=12, classes=3, rate=2, dim=16, levels=3, reach=2.0).eval()


def test_a_video_has_the_same_output_in_a_batch_of_mixed_lengths(model: ActionFormer):
    together, alone = run(model, slice(16), [5, 11]), run(model, slice(5), [5])
    assert together.mask.sum(1).tolist() == [5 + 3 + 2, 11 + 6 + 3] and alone.mask is None
    for name in ("scores", "distances"):
        own = getattr(together, name)[0][together.mask[0]]
        torch.testing.assert_close(own, getattr(alone, name)[0], atol=1e-5, rtol=1e-4)


def test_points_are_the_middles_of_the_steps_of_each_level(model: ActionFormer):
    output = run(model, slice(5), [5])
    assert output.times.tolist() == [0.25, 0.75, 1.25, 1.75, 2.25, 0.5, 1.5, 2.5, 1, 3]
    assert output.reach[[0, 5, 8]].tolist() == [[0, 2], [2, 4], [4, math.inf]]
    assert output.scores.sigmoid().mean() < 0.05 and (output.distances >= 0).all()


def test_a_step_attends_to_the_window_around_it():
    block, rows = Block(8, 2, reach=2, dropout=0.0).eval(), torch.randn(1, 9, 8)
    before = block(rows, None)
    rows[0, 4, 0] += 1  # in one feature: the norm before the attention removes a shift of all
    assert (block(rows, None) != before).any(-1)[0].nonzero().flatten().tolist() == [2, 3, 4, 5, 6]


def test_heads_must_divide_the_width():
    with pytest.raises(ValueError, match="heads=3"):
        ActionFormer(audio_width=12, visual_width=12, classes=3, rate=1, dim=16, heads=3)
