"""PSP's propagation and CPSP's video triplet equal loops over their formulas."""

from __future__ import annotations

import math

import pytest
import torch

from avsgn_pyg.baselines.pairs import (
    PositiveSamplePropagation,
    pair_similarity_loss,
    positive,
    video_triplet_loss,
)
from avsgn_pyg.graph.schema import NO_EVENT

D = 4


def test_similarities_above_the_threshold_are_normalized():
    found = positive(torch.tensor([[[6.0, 3.0, 1.0, -5.0], [-1.0, -2.0, -3.0, 0.0]]]), 0.1)
    assert torch.allclose(found, torch.tensor([[[2 / 3, 1 / 3, 0, 0], [0, 0, 0, 0.0]]]), atol=1e-6)


def test_a_second_sums_similar_seconds_of_the_other_modality():
    block = PositiveSamplePropagation(D, 0.2, 0.1).eval()
    audio, visual = torch.randn(1, 5, D), torch.randn(1, 5, D)
    visual_keys, audio_keys = block.visual_key(visual)[0].detach(), block.audio_key(audio)[0].detach()
    audio_values, visual_values = block.audio_value(audio)[0], block.visual_value(visual)[0]
    alike = [[max(0.0, float(visual_keys[s] @ audio_keys[t]) / math.sqrt(D)) for t in range(5)] for s in range(5)]

    def shares(row: list[float]) -> list[float]:
        kept = [x / sum(row) if sum(row) else 0.0 for x in row]
        kept = [x if x > 0.2 else 0.0 for x in kept]
        return [x / sum(kept) if sum(kept) else 0.0 for x in kept]

    out_audio, out_visual = block(audio, visual)
    for second in range(5):
        to_visual = shares(alike[second])
        to_audio = shares([alike[s][second] for s in range(5)])
        new_visual = visual[0, second] + sum(w * audio_values[t] for t, w in enumerate(to_visual))
        new_audio = audio[0, second] + sum(w * visual_values[s] for s, w in enumerate(to_audio))
        assert torch.allclose(out_visual[0, second], block.norm(block.visual_out(new_visual)), atol=1e-5)
        assert torch.allclose(out_audio[0, second], block.norm(block.audio_out(new_audio)), atol=1e-5)


def test_pair_similarity_compares_normalized_cosines_with_normalized_labels():
    audio = torch.tensor([[[1.0, 0.0], [1.0, 0.0], [1.0, 0.0]]])
    visual = torch.tensor([[[2.0, 0.0], [-1.0, 0.0], [1.0, 1.0]]])  # cosines 1, -1, 1 / sqrt 2
    cosines = [1.0, 0.0, 1 / math.sqrt(2)]
    shares = [c / sum(cosines) for c in cosines]
    expected = sum((s - t) ** 2 for s, t in zip(shares, (0.5, 0.5, 0.0), strict=True)) / 3
    found = pair_similarity_loss(audio, visual, torch.tensor([[1.0, 1.0, 0.0]]))
    assert found.item() == pytest.approx(expected, rel=1e-5)


def test_a_video_without_an_event_has_a_target_of_zero():
    same = torch.ones(1, 4, 2)
    assert pair_similarity_loss(same, same, torch.zeros(1, 4)).item() == pytest.approx(1 / 16)
    assert pair_similarity_loss(same, -same, torch.zeros(1, 4)) == 0


def triplet(fused: torch.Tensor, category: list[int], margin: float, negatives: int) -> float:
    """The video level, video by video."""
    rows = (fused / fused.norm(dim=-1, keepdim=True)).mean(1)
    losses = []
    for one, label in enumerate(category):
        away = [(rows[one] - row).norm().item() for row in rows]
        others = sorted(d for d, c in zip(away, category, strict=True) if c not in (label, NO_EVENT))[:negatives]
        if label == NO_EVENT or not others:
            continue
        farthest = max(d for d, c in zip(away, category, strict=True) if c == label)
        losses.append(max(0.0, margin + farthest - sum(others) / len(others)))
    return sum(losses) / max(1, len(losses))


@pytest.mark.parametrize("category", [
    [0, 1, 0, 2, 1, 3], [0, 0, 0, 0, 0, 0], [0, NO_EVENT, 1, NO_EVENT, 0, 1], [NO_EVENT] * 6, [0, 1, 2, 3, 4, 5]])
def test_the_video_triplet_is_its_formula(category: list[int]):
    fused = torch.randn(6, 3, D)
    found = video_triplet_loss(fused, torch.tensor(category), 0.6, 3)
    assert found.item() == pytest.approx(triplet(fused, category, 0.6, 3), abs=1e-5)
    same = torch.ones(6, 3, D, requires_grad=True)
    video_triplet_loss(same, torch.tensor(category), 0.2, 3).backward()
    assert same.grad is None or same.grad.isfinite().all()
