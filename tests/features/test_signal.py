"""Statistics through a fixed projection: what they distinguish, and what they do not claim."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from avsgn_pyg.common.errors import EncoderError
from avsgn_pyg.features.signal import SignalAudio, SignalFrames, text_codes

TIME = torch.arange(48_000) / 48_000


def encode(pictures: Tensor, encoder: SignalFrames) -> Tensor:
    return encoder.encode_frames(encoder.preparation(pictures))


#: Features of version 1 of a tone of 440 Hz, and of a ramp from black to white.
TONE = [0.323, -0.252, -0.672, -0.247, 0.157, -0.333, 0.072, -0.423]
RAMP = [-0.066, 0.094, -0.189, -0.191, 0.371, -0.588, -0.654, -0.063]


def test_features_are_those_of_their_version():
    """Fails when the features change: then VERSION must rise, and these numbers with it."""
    tone = SignalAudio(width=8).encode_audio(torch.sin(2 * torch.pi * 440 * TIME)[None, None])[0, 0]
    ramp = torch.arange(256, dtype=torch.uint8)[None, None, :, None].expand(1, 64, -1, 3)
    assert tone.tolist() == pytest.approx(TONE, abs=2e-3)
    assert encode(ramp, SignalFrames(width=8))[0].tolist() == pytest.approx(RAMP, abs=2e-3)
    assert SignalAudio().revision == "71032f44297ea45105128f709641127789f0e78820d5c633f28c0b49c01cc87b"
    assert SignalFrames().revision == "c2be8c95c6ef8618c319eca1daacfb0df7cc7fb58a7621ccda6da977625d84ab"


@pytest.mark.parametrize("level", [0.0, 1.0, 1e-30])
def test_constant_sound_and_flat_pictures_have_finite_features(level: float):
    rows = SignalAudio().encode_audio(torch.full((1, 1, 48_000), level))
    flat = encode(torch.full((1, 3, 5, 3), int(255 * abs(level)), dtype=torch.uint8), SignalFrames())
    for found in (rows, flat):
        assert found.isfinite().all() and found.norm() == pytest.approx(1, abs=1e-5)


def test_batch_size_changes_nothing_and_empty_inputs_give_empty_outputs():
    waves = 0.3 * torch.randn(2, 3, 48_000)
    whole, single = SignalAudio(width=40).encode_audio(waves), SignalAudio(width=40, batch_size=1).encode_audio(waves)
    assert whole.shape == (2, 3, 40) and whole.dtype == torch.float32 and torch.allclose(whole, single, atol=1e-6)
    assert torch.allclose(whole.norm(dim=-1), torch.ones(2, 3)) and torch.pdist(whole.flatten(0, 1)).min() > 0
    pictures = torch.randint(256, (5, 120, 160, 3), dtype=torch.uint8)
    assert torch.allclose(encode(pictures, SignalFrames()), encode(pictures, SignalFrames(batch_size=2)), atol=1e-6)
    assert encode(pictures[:0], SignalFrames()).shape == SignalFrames().encode_text([]).shape == (0, 128)
    assert SignalAudio().encode_audio(waves[:, :0]).shape == (2, 0, 128)


def test_texts_have_codes_without_meaning():
    codes = text_codes(["dog", "puppy", "violin", "dog"], 512)
    assert torch.equal(codes[0], codes[3]) and torch.allclose(codes.norm(dim=-1), torch.ones(4))
    assert (codes[:3] @ codes[:3].T - torch.eye(3)).abs().max() < 0.2
    assert "no meaning" in SignalAudio().record()["note"]


def test_options_are_checked_and_part_of_the_revision():
    assert len({made.revision for made in (SignalAudio(), SignalFrames(), SignalAudio(width=64))}) == 3
    assert SignalAudio(precision="bf16").record()["precision"] == "fp32"
    with pytest.raises(EncoderError, match="width=4"):
        SignalAudio(width=4)
