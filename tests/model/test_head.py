"""The head: gates, and scores of classes and background."""

from __future__ import annotations

import torch

from avsgn_pyg.model.head import LocalizationHead

B, T, D, C = 2, 5, 8, 3


def test_the_audio_gate_weighs_vision_and_the_visual_gate_audio():
    head = LocalizationHead(D, C, dropout=0.0)
    head.audio_gate.bias.data.fill_(-1e4)
    audio, visual = torch.randn(B, T, D), torch.randn(B, T, D)
    found = head(audio, visual)
    assert not found.gates["audio"].any()
    other = head(audio, visual + 3 * torch.randn(B, T, D))
    head.visual_gate.weight.data.zero_()
    assert torch.allclose(head(audio, visual).relevance, head(audio, torch.randn(B, T, D)).relevance)
    assert not torch.allclose(found.relevance, other.relevance)  # its own gate is open


def test_segment_scores_give_class_and_relevance():
    found = LocalizationHead(D, C, segment_scores=True, dropout=0.0)(torch.randn(B, T, D), torch.randn(B, T, D))
    scores = found.segment_scores
    assert scores.shape == (B, T, C + 1)
    torch.testing.assert_close(found.category, scores[..., :C].max(1).values)
    torch.testing.assert_close(found.relevance.sigmoid(), 1 - scores.softmax(-1)[..., C])
