"""Text similarity equals its formula, video by video."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F

from avsgn_pyg.graph.open_vocabulary import Temperatures, label_scores, pooled

B, T, L, DA, DV = 3, 5, 4, 6, 8


def test_scores_are_sums_of_cosines_over_relevant_seconds():
    audio, visual, relevance = torch.randn(B, T, DA), torch.randn(B, T, DV), torch.rand(B, T)
    audio_text, visual_text = torch.randn(L, DA), torch.randn(L, DV)
    found = label_scores(audio, visual, relevance, audio_text, visual_text, Temperatures(0.5, 0.25))
    for b in range(B):
        a, v = ((relevance[b, :, None] * rows[b]).sum(0) for rows in (audio, visual))
        for label in range(L):
            wanted = F.cosine_similarity(a, audio_text[label], dim=0) / 0.5
            wanted = wanted + F.cosine_similarity(v, visual_text[label], dim=0) / 0.25
            torch.testing.assert_close(found[b, label], wanted)


def test_seconds_without_relevance_have_no_weight_unless_all_are():
    features, relevance = torch.randn(2, T, DA), torch.zeros(2, T)
    relevance[0, 2] = 0.3
    found = pooled(features, relevance)
    torch.testing.assert_close(found[0], F.normalize(features[0, 2], dim=-1))
    torch.testing.assert_close(found[1], F.normalize(features[1].mean(0), dim=-1))


@pytest.mark.parametrize("temperatures", [(0.0, 1.0), (1.0, -0.1)])
def test_a_temperature_must_be_positive(temperatures):
    with pytest.raises(ValueError, match="positive"):
        label_scores(torch.ones(1, 1, 2), torch.ones(1, 1, 2), torch.ones(1, 1), torch.ones(2, 2), torch.ones(2, 2),
                     Temperatures(*temperatures))
