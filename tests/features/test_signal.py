"""Statistics through a fixed projection: what they distinguish, and what they do not claim."""

from __future__ import annotations

import pickle

import pytest
import torch
from torch import Tensor

from avsgn_pyg.errors import EncoderError
from avsgn_pyg.features.signal import SignalAudio, SignalFrames, sound_statistics, text_codes

TIME = torch.arange(48_000) / 48_000


def sound(kind: str, seed: int) -> Tensor:
    """A second of a kind of sound [48000], at a loudness and pitch of its own, over a little noise."""
    draw = torch.Generator().manual_seed(seed)
    turn, loud = torch.rand(2, generator=draw).tolist()
    low = torch.sin(2 * torch.pi * (440 + 40 * turn) * TIME)
    waves = {
        "low": low,
        "high": torch.sin(2 * torch.pi * (3000 + 300 * turn) * TIME),
        "noise": 0.3 * torch.randn(48_000, generator=draw),
        "tremolo": low * (0.5 + 0.5 * torch.sin(2 * torch.pi * 5 * TIME)),
        "clicks": (TIME % (0.08 + 0.02 * turn) < 0.004) * torch.sin(2 * torch.pi * 1000 * TIME),
        "nothing": torch.zeros(48_000),
    }
    return (0.05 + 0.5 * loud) * waves[kind] + 0.003 * torch.randn(48_000, generator=draw)


def picture(kind: str, seed: int) -> Tensor:
    """A thing of some colour and shape [120, 160, 3], anywhere on a grey wall of some brightness."""
    draw = torch.Generator().manual_seed(seed)
    right, down, light = torch.rand(3, generator=draw).tolist()
    y, x = torch.meshgrid(torch.arange(120.0), torch.arange(160.0), indexing="ij")
    across, along = (x - 40 - 80 * right).abs(), (y - 30 - 60 * down).abs()
    disc = across.square() + along.square() < 24**2
    shapes = {
        "red disc": (disc, (220, 40, 40)), "blue disc": (disc, (40, 40, 220)),
        "red bar": ((across < 6) & (along < 40), (220, 40, 40)),
        "white stripes": ((across < 25) & (along < 25) & (x // 4 % 2 == 0), (240, 240, 240)),
        "nothing": (disc & ~disc, (0, 0, 0)),
    }
    where, colour = shapes[kind]
    wall = torch.full((120, 160, 3), 90 + 40 * light) + 4 * torch.randn(120, 160, 3, generator=draw)
    wall[where] = torch.tensor(colour, dtype=torch.float32)
    return wall.clamp(0, 255).to(torch.uint8)


SOUNDS = ("low", "high", "noise", "tremolo", "clicks", "nothing")
PICTURES = ("red disc", "blue disc", "red bar", "white stripes", "nothing")


def encode(pictures: Tensor, encoder: SignalFrames) -> Tensor:
    return encoder.encode_frames(encoder.prepare(pictures))


def nearest_centre(rows: Tensor) -> float:
    """Share of the second half of each class's rows [K, n, d] that lie nearest the mean of its first half."""
    half = rows.shape[1] // 2
    distance = torch.cdist(rows[:, half:].flatten(0, 1), rows[:, :half].mean(1))
    return (distance.argmin(1).unflatten(0, (len(rows), -1)) == torch.arange(len(rows))[:, None]).float().mean().item()


def test_kinds_of_sound_and_of_picture_are_distinguished():
    waves = torch.stack([torch.stack([sound(kind, seed) for seed in range(8)]) for kind in SOUNDS])
    assert nearest_centre(SignalAudio().encode_audio(waves)) > 0.95
    frames = torch.stack([picture(kind, seed) for kind in PICTURES for seed in range(16)])
    # Chance is 0.2; things lie anywhere on walls of any brightness.
    assert nearest_centre(encode(frames, SignalFrames()).unflatten(0, (len(PICTURES), -1))) > 0.7


def test_loudness_matters_less_than_the_kind_of_sound():
    waves = torch.stack([0.1 * sound("clicks", 1), sound("clicks", 1), sound("low", 1)])
    quiet, loud, other = SignalAudio().encode_audio(waves[None])[0]
    assert quiet @ loud > 0.8 > 0.5 > other @ loud


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


@pytest.mark.parametrize("level", [0.0, 1.0, -1.0, 1e-30])
def test_constant_sound_and_flat_pictures_have_finite_features(level: float):
    rows = SignalAudio().encode_audio(torch.full((1, 1, 48_000), level))
    flat = encode(torch.full((1, 3, 5, 3), int(255 * abs(level)), dtype=torch.uint8), SignalFrames())
    for found in (rows, flat):
        assert found.isfinite().all() and found.norm() == pytest.approx(1, abs=1e-5)


def test_batch_size_changes_nothing():
    waves = torch.stack([sound(kind, 5) for kind in SOUNDS]).unflatten(0, (2, 3))
    whole, single = SignalAudio(width=40).encode_audio(waves), SignalAudio(width=40, batch_size=1).encode_audio(waves)
    assert whole.shape == (2, 3, 40) and whole.dtype == torch.float32 and torch.allclose(whole, single, atol=1e-6)
    assert torch.allclose(whole.norm(dim=-1), torch.ones(2, 3)) and torch.pdist(whole.flatten(0, 1)).min() > 0
    pictures = torch.stack([picture(kind, 5) for kind in PICTURES])
    assert torch.allclose(encode(pictures, SignalFrames()), encode(pictures, SignalFrames(batch_size=2)), atol=1e-6)


def test_empty_inputs_give_empty_outputs():
    assert encode(torch.zeros(0, 4, 4, 3, dtype=torch.uint8), SignalFrames()).shape == (0, 128)
    assert SignalAudio().encode_audio(torch.zeros(2, 0, 48_000)).shape == (2, 0, 128)
    assert SignalFrames().encode_text([]).shape == (0, 128)


def test_the_preparation_is_small_and_pickles():
    encoder, frames = SignalFrames(), picture("red disc", 1)[None]
    pickled = pickle.dumps(encoder.preparation)
    assert len(pickled) < 500 and torch.equal(pickle.loads(pickled)(frames), encoder.prepare(frames))


def test_the_projection_keeps_distances():
    waves = torch.stack([sound(kind, seed) for kind in SOUNDS for seed in range(2)])
    before = torch.nn.functional.normalize(sound_statistics(waves), dim=-1)
    after = SignalAudio(width=2048).encode_audio(waves[None])[0]
    assert (before @ before.T - after @ after.T).abs().max() < 0.12


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
