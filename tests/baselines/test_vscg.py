"""VSCG: what a video is about, and how every second is read with it."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F

from avsgn_pyg.baselines.vscg import VSCG, EventRepresentation, SemanticConsistency, VSCGObjective

SMALL = {"hidden": 4, "between": 6, "width": 5}


@pytest.mark.parametrize("segments", [8, 9, 10, 11])
def test_eight_to_eleven_seconds_are_halved_twice(segments: int):
    about = EventRepresentation(4)
    rows = torch.randn(3, segments, 4)
    halved = F.max_pool1d(about.first(rows.mT).relu(), 2)
    expected = F.max_pool1d(about.second(halved).relu(), 2)
    assert expected.shape[-1] == 2
    assert torch.allclose(about(rows), expected.permute(2, 0, 1), atol=1e-6)


@pytest.mark.parametrize("segments", [1, 2, 3, 7, 60])
def test_videos_of_any_length_come_down_to_two_steps(segments: int):
    assert EventRepresentation(4)(torch.randn(2, segments, 4)).shape == (2, 2, 2)


def test_both_streams_are_read_from_what_both_are_about():
    block = SemanticConsistency(4, 0.1).eval()
    audio, visual = torch.randn(2, 6, 4), torch.randn(2, 6, 4)
    start = 0.5 * (block.about(audio) + block.about(visual))
    heard, _ = block.audio_time(audio, start)
    seen, _ = block.visual_time(visual, start)
    found = block(audio, visual)
    assert torch.allclose(found[0], block.norm(block.audio_out(heard)), atol=1e-6)
    assert torch.allclose(found[1], block.norm(block.visual_out(seen)), atol=1e-6)


def test_the_class_is_read_from_the_maximum_over_time(shape, make_batch):
    model = VSCG(**shape, supervision="full", **SMALL).eval()
    answer = model(make_batch())
    fused = answer.stages["propagated"]["fused"]
    assert torch.allclose(answer.category, model.category(fused.max(1).values), atol=1e-6)
    assert torch.allclose(answer.relevance, model.relevance(fused)[..., 0], atol=1e-6)


def test_losses_by_supervision():
    assert VSCGObjective(supervision="full").names == ("relevance", "category", "pair")
    assert VSCGObjective(supervision="weak").names == ("mil",)
