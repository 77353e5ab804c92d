"""AVEL: the dual residual block by its formula, and C + 1 scores a second."""

from __future__ import annotations

import pytest
import torch

from avsgn_pyg.baselines.avel import AVEL, AVELObjective, Concatenation, DualResidual


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


def test_after_one_block_swapped_residuals_fuse_to_the_same():
    block = DualResidual(4, 1)
    audio, visual = torch.randn(2, 3, 4), torch.randn(2, 3, 4)
    merged = (block.transform_audio(audio) + block.transform_visual(visual)) / 2
    swapped = ((visual + merged).tanh() + (audio + merged).tanh()) / 2  # sight takes sound's residual, and back
    assert torch.allclose(block(audio, visual), swapped, atol=1e-6)


def test_the_weak_row_s_fusion_lays_the_streams_side_by_side():
    fuse = Concatenation(4, 5)
    audio, visual = torch.randn(2, 3, 4), torch.randn(2, 3, 4)
    expected = (torch.cat((audio.relu(), visual.relu()), -1) @ fuse.narrow.weight.T + fuse.narrow.bias).relu()
    assert torch.allclose(fuse(audio, visual), expected, atol=1e-6)


@pytest.mark.parametrize("fusion", ["dmrn", "concat"])
def test_every_second_is_scored_over_classes_and_background(fusion: str, shape, make_batch):
    answer = AVEL(**shape, supervision="full", hidden=4, fusion=fusion)(make_batch())
    assert answer.segment_scores.shape == (4, 6, 4)
    assert torch.equal(answer.category, answer.segment_scores[..., :3].amax(1))


def test_a_second_hears_the_whole_video(shape, make_batch):
    model = AVEL(**shape, supervision="full", hidden=4)
    audio, visual = torch.randn(4, 6, 10), torch.randn(4, 6, 14)
    before = model(make_batch(audio, visual)).segment_scores
    audio[:, 5] += 1
    after = model(make_batch(audio, visual)).segment_scores
    assert (before - after).abs().amax((0, 2)).gt(1e-7).all()


def test_losses_by_supervision(shape, make_batch, category, relevance):
    answer = AVEL(**shape, supervision="full", hidden=4)(make_batch())
    assert AVELObjective(supervision="full").names == ("segment",)
    assert AVELObjective(supervision="weak").names == ("mil",)
    pooled = {p: AVELObjective(supervision="weak", pooling=p)(answer, category, relevance) for p in ("max", "mean")}
    assert pooled["max"] != pooled["mean"]
