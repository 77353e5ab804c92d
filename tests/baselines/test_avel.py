"""AVEL: the dual residual block by its formula, and C + 1 scores a second."""

from __future__ import annotations

import pytest
import torch

from avsgn_pyg.baselines.avel import AVEL, Concatenation, DualResidual


@pytest.mark.parametrize("blocks", [1, 2])
def test_dmrn_adds_the_mean_of_both_transformed_streams_to_each(blocks: int):
    block = DualResidual(4, blocks)
    audio, visual = torch.randn(2, 3, 4), torch.randn(2, 3, 4)

    def transform(layers, h):
        first, _, last = layers
        return (h @ first.weight.T + first.bias).tanh() @ last.weight.T + last.bias

    one, two = audio, visual
    for _ in range(blocks):
        merged = 0.5 * (transform(block.transform_audio, one) + transform(block.transform_visual, two))
        one, two = (one + merged).tanh(), (two + merged).tanh()
    assert torch.allclose(block(audio, visual), 0.5 * (one + two), atol=1e-6)


def test_weak_fusion_concatenates_the_streams():
    fuse = Concatenation(4, 5)
    audio, visual = torch.randn(2, 3, 4), torch.randn(2, 3, 4)
    expected = (torch.cat((audio.relu(), visual.relu()), -1) @ fuse.narrow.weight.T + fuse.narrow.bias).relu()
    assert torch.allclose(fuse(audio, visual), expected, atol=1e-6)


@pytest.mark.parametrize("fusion", ["dmrn", "concat"])
def test_every_second_is_scored_over_classes_and_background(fusion: str, shape, make_batch):
    output = AVEL(**shape, supervision="full", hidden=4, fusion=fusion)(make_batch())
    assert output.segment_scores.shape == (4, 6, 4)
    assert torch.equal(output.category, output.segment_scores[..., :3].amax(1))


def test_every_second_depends_on_the_whole_video(shape, make_batch):
    model = AVEL(**shape, supervision="full", hidden=4)
    audio, visual = torch.randn(4, 6, 10), torch.randn(4, 6, 14)
    before = model(make_batch(audio, visual)).segment_scores
    audio[:, 5] += 1
    after = model(make_batch(audio, visual)).segment_scores
    assert (before - after).abs().amax((0, 2)).gt(1e-7).all()
