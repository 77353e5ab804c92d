"""Late fusion: the mean of two modalities that do not interact."""

from __future__ import annotations

import pytest
import torch

from avsgn_pyg.baselines.late_fusion import LateFusion


@pytest.fixture
def model(shape) -> LateFusion:
    return LateFusion(**shape, supervision="full", dim=8).eval()


def test_the_output_is_the_mean_of_two_separate_modalities(model, make_batch):
    audio, visual = torch.randn(4, 6, 10), torch.randn(4, 6, 14)
    output = model(make_batch(audio, visual))
    by_audio, by_visual = model.audio(audio), model.visual(visual)
    assert torch.allclose(output.category, (by_audio[0] + by_visual[0]) / 2)
    assert torch.allclose(output.relevance, (by_audio[1] + by_visual[1]) / 2)


def test_a_second_s_relevance_does_not_depend_on_other_seconds(model, make_batch):
    audio, visual = torch.randn(4, 6, 10), torch.randn(4, 6, 14)
    before = model(make_batch(audio, visual)).relevance
    audio[:, 3], visual[:, 3] = 0, 0
    after = model(make_batch(audio, visual)).relevance
    others = [0, 1, 2, 4, 5]
    assert torch.equal(before[:, others], after[:, others]) and not torch.equal(before[:, 3], after[:, 3])
