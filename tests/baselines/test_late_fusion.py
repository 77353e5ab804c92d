"""The floor: two modalities that do not meet before their answers."""

from __future__ import annotations

import pytest
import torch

from avsgn_pyg.baselines.late_fusion import LateFusion, LateFusionObjective


@pytest.fixture
def model(shape) -> LateFusion:
    return LateFusion(**shape, supervision="full", dim=8).eval()


def test_the_answer_is_the_mean_of_two_modalities_by_themselves(model, make_batch):
    audio, visual = torch.randn(4, 6, 10), torch.randn(4, 6, 14)
    answer = model(make_batch(audio, visual))
    heard, seen = model.audio(audio), model.visual(visual)
    assert torch.allclose(answer.category, (heard[0] + seen[0]) / 2)
    assert torch.allclose(answer.relevance, (heard[1] + seen[1]) / 2)


def test_sound_does_not_change_what_sight_adds(model, make_batch):
    audio, other = torch.randn(2, 4, 6, 10)
    visual, instead = torch.randn(2, 4, 6, 14)
    by_sight = [model(make_batch(sound, visual)).relevance - model(make_batch(sound, instead)).relevance
                for sound in (audio, other)]
    assert torch.allclose(*by_sight, atol=1e-6)


def test_a_second_s_relevance_does_not_depend_on_other_seconds(model, make_batch):
    audio, visual = torch.randn(4, 6, 10), torch.randn(4, 6, 14)
    before = model(make_batch(audio, visual)).relevance
    audio[:, 3], visual[:, 3] = 0, 0
    after = model(make_batch(audio, visual)).relevance
    others = [0, 1, 2, 4, 5]
    assert torch.equal(before[:, others], after[:, others]) and not torch.equal(before[:, 3], after[:, 3])


def test_names_of_the_losses():
    assert LateFusionObjective(supervision="full").names == ("category", "relevance")
    assert LateFusionObjective(supervision="weak").names == ("mil",)
