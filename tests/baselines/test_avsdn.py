"""AVSDN: the fused states of the encoders initialize the decoder."""

from __future__ import annotations

import torch

from avsgn_pyg.baselines.avsdn import AVSDN, StateFusion


def test_states_are_fused_by_a_residual_block_on_rectified_states():
    fuse = StateFusion(4)
    audio, visual = torch.randn(2, 3, 4), torch.randn(2, 3, 4)
    one, two = audio.clamp(min=0), visual.clamp(min=0)
    merged = (fuse.audio(one) + fuse.visual(two)) / 2
    assert torch.allclose(fuse(audio, visual), ((one + merged).tanh() + (two + merged).tanh()) / 2, atol=1e-6)


def test_the_decoder_starts_from_the_fused_states(shape, make_batch):
    model = AVSDN(**shape, supervision="full", hidden=4)
    audio, visual = torch.randn(4, 6, 10), torch.randn(4, 6, 14)
    (_, (h_a, c_a)), (_, (h_v, c_v)) = model.read_audio(audio), model.read_visual(visual)
    start = (model.fuse(h_a, h_v), model.fuse(c_a, c_v))
    decoded, _ = model.decode(torch.cat((audio, visual), -1), start)
    output = model(make_batch(audio, visual))
    assert torch.allclose(output.segment_scores, model.scores(decoded.relu()), atol=1e-6)
    cold, _ = model.decode(torch.cat((audio, visual), -1))
    assert not torch.allclose(decoded, cold)
