"""Late fusion: the mean of two modalities that do not interact."""

from __future__ import annotations

import pytest
import torch

from avsgn_pyg.baselines.common import PreparedInputs
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


def test_inputs_can_be_normalized_and_dropped_before_any_baseline(model, make_batch):
    audio, visual = torch.randn(4, 6, 10), torch.randn(4, 6, 14)
    plain = make_batch(audio, visual)
    prepared = PreparedInputs(model=model, audio_width=10, visual_width=14, input_norm=True, input_dropout=0.5).eval()
    output, scaled = prepared(plain), prepared(make_batch(7 * audio + 1, visual))
    assert torch.allclose(output.relevance, scaled.relevance, atol=1e-4)
    assert not torch.allclose(output.relevance, model(plain).relevance)
    assert torch.equal(plain["audio"].x[0], audio[0, 0])
    assert not torch.equal(prepared.train()(plain).relevance, prepared(plain).relevance)
