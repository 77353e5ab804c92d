"""VSCG: the event representation of a video, and how every second uses it."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F

from avsgn_pyg.baselines.vscg import VSCG, EventRepresentation, SemanticConsistency

SMALL = {"hidden": 4, "between": 6, "width": 5}


@pytest.mark.parametrize("segments", [1, 3, 60])
def test_a_video_of_any_length_has_two_steps(segments: int):
    assert EventRepresentation(4)(torch.randn(2, segments, 4)).shape == (2, 2, 2)


@pytest.mark.parametrize("segments", [8, 11])
def test_eight_to_eleven_seconds_are_halved_twice(segments: int):
    about = EventRepresentation(4)
    rows = torch.randn(3, segments, 4)
    halved = F.max_pool1d(about.first(rows.mT).relu(), 2)
    expected = F.max_pool1d(about.second(halved).relu(), 2)
    assert expected.shape[-1] == 2
    assert torch.allclose(about(rows), expected.permute(2, 0, 1), atol=1e-6)


def test_both_streams_start_from_the_mean_event_representation():
    block = SemanticConsistency(4, 0.1).eval()
    audio, visual = torch.randn(2, 6, 4), torch.randn(2, 6, 4)
    start = 0.5 * (block.about(audio) + block.about(visual))
    audio_rows, _ = block.audio_time(audio, start)
    visual_rows, _ = block.visual_time(visual, start)
    found = block(audio, visual)
    assert torch.allclose(found[0], block.norm(block.audio_out(audio_rows)), atol=1e-6)
    assert torch.allclose(found[1], block.norm(block.visual_out(visual_rows)), atol=1e-6)


def test_the_class_is_read_from_the_maximum_over_time(shape, make_batch):
    model = VSCG(**shape, supervision="full", **SMALL).eval()
    output = model(make_batch())
    fused = output.stages["propagated"]["fused"]
    assert torch.allclose(output.category, model.category(fused.max(1).values), atol=1e-6)
    assert torch.allclose(output.relevance, model.relevance(fused)[..., 0], atol=1e-6)
