"""Statistics through a fixed projection: what they tell apart, and what they do not claim."""

from __future__ import annotations

import pickle

import pytest
import torch
from torch import Tensor

from avsgn_pyg.features.compute import EncoderError
from avsgn_pyg.features.signal import SignalAudio, SignalFrames, picture_statistics, sound_statistics, text_codes

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


def nearest_centre(rows: Tensor) -> float:
    """Share of the second half of each class's rows [K, n, d] that lie nearest the mean of its first half."""
    half = rows.shape[1] // 2
    distance = torch.cdist(rows[:, half:].flatten(0, 1), rows[:, :half].mean(1))
    return (distance.argmin(1).unflatten(0, (len(rows), -1)) == torch.arange(len(rows))[:, None]).float().mean().item()


def test_kinds_of_sound_lie_apart():
    waves = torch.stack([torch.stack([sound(kind, seed) for seed in range(8)]) for kind in SOUNDS])
    assert nearest_centre(SignalAudio().encode_audio(waves)) > 0.95


def test_kinds_of_picture_lie_apart():
    frames = torch.stack([picture(kind, seed) for kind in PICTURES for seed in range(16)])
    encoder = SignalFrames()
    rows = encoder.encode_frames(encoder.prepare(frames)).unflatten(0, (len(PICTURES), -1))
    # Chance is 0.2; things lie anywhere on walls of any brightness.
    assert nearest_centre(rows) > 0.7


def test_loudness_does_not_drown_what_is_heard():
    encoder = SignalAudio()
    quiet, loud, other = encoder.encode_audio(
        torch.stack([0.1 * sound("clicks", 1), sound("clicks", 1), sound("low", 1)])[None])[0]
    assert quiet @ loud > 0.8 > 0.5 > other @ loud


def test_rows_have_unit_length_and_stay_the_same():
    waves = torch.stack([sound(kind, 3) for kind in SOUNDS])[None]
    rows = SignalAudio(width=40).encode_audio(waves)
    assert rows.shape == (1, len(SOUNDS), 40) and rows.dtype == torch.float32
    assert torch.allclose(rows.norm(dim=-1), torch.ones(1, len(SOUNDS)))
    assert torch.equal(rows, SignalAudio(width=40).encode_audio(waves))
    assert len(rows[0].unique(dim=0)) == len(SOUNDS)


#: What version 1 makes of a tone of 440 Hz, and of a ramp from black to white.
HEARD = [0.323, -0.252, -0.672, -0.247, 0.157, -0.333, 0.072, -0.423]
SEEN = [-0.066, 0.094, -0.189, -0.191, 0.371, -0.588, -0.654, -0.063]


def test_features_are_those_of_the_version_they_carry():
    """Fails when the features change: then VERSION must rise, and these numbers with it."""
    heard = SignalAudio(width=8).encode_audio(torch.sin(2 * torch.pi * 440 * TIME)[None, None])[0, 0]
    encoder = SignalFrames(width=8)
    ramp = torch.arange(256, dtype=torch.uint8)[None, None, :, None].expand(1, 64, -1, 3)
    seen = encoder.encode_frames(encoder.prepare(ramp))[0]
    assert heard.tolist() == pytest.approx(HEARD, abs=2e-3)
    assert seen.tolist() == pytest.approx(SEEN, abs=2e-3)


@pytest.mark.parametrize("level", [0.0, 1.0, -1.0, 1e-30])
def test_silence_and_constants_have_features(level: float):
    rows = SignalAudio().encode_audio(torch.full((1, 1, 48_000), level))
    assert rows.isfinite().all() and rows.norm() == pytest.approx(1, abs=1e-5)


@pytest.mark.parametrize("level", [0, 255])
def test_flat_pictures_have_features(level: int):
    encoder = SignalFrames()
    rows = encoder.encode_frames(encoder.prepare(torch.full((1, 3, 5, 3), level, dtype=torch.uint8)))
    assert rows.isfinite().all() and rows.norm() == pytest.approx(1, abs=1e-5)


def test_batches_change_nothing():
    waves = torch.stack([sound(kind, 5) for kind in SOUNDS]).unflatten(0, (2, 3))
    whole, single = SignalAudio().encode_audio(waves), SignalAudio(batch_size=1).encode_audio(waves)
    assert torch.allclose(whole, single, atol=1e-6)
    prepared = SignalFrames().prepare(torch.stack([picture(kind, 5) for kind in PICTURES]))
    whole, single = SignalFrames().encode_frames(prepared), SignalFrames(batch_size=2).encode_frames(prepared)
    assert torch.allclose(whole, single, atol=1e-6)


def test_nothing_gives_nothing():
    encoder = SignalFrames()
    assert encoder.encode_frames(encoder.prepare(torch.zeros(0, 4, 4, 3, dtype=torch.uint8))).shape == (0, 128)
    assert SignalAudio().encode_audio(torch.zeros(2, 0, 48_000)).shape == (2, 0, 128)
    assert encoder.encode_text([]).shape == (0, 128)


def test_the_preparation_is_small_and_pickles():
    encoder, frames = SignalFrames(), picture("red disc", 1)[None]
    parcel = pickle.dumps(encoder.preparation)
    assert len(parcel) < 500 and torch.equal(pickle.loads(parcel)(frames), encoder.prepare(frames))
    assert encoder.prepare(frames).shape == (1, 3, 64, 64)


def test_the_projection_keeps_distances():
    waves = torch.stack([sound(kind, seed) for kind in SOUNDS for seed in range(2)])
    before = torch.nn.functional.normalize(sound_statistics(waves), dim=-1)
    after = SignalAudio(width=2048).encode_audio(waves[None])[0]
    assert (before @ before.T - after @ after.T).abs().max() < 0.12


def test_mirrored_pictures_differ():
    frame = picture("red disc", 2)
    seen = picture_statistics(SignalFrames().prepare(torch.stack([frame, frame.flip(1)])))
    assert not torch.allclose(seen[0], seen[1], atol=1e-3)


def test_texts_have_codes_without_meaning():
    codes = text_codes(["dog", "puppy", "violin", "dog"], 512)
    assert torch.equal(codes[0], codes[3]) and torch.allclose(codes.norm(dim=-1), torch.ones(4))
    nearness = codes[:3] @ codes[:3].T - torch.eye(3)
    assert nearness.abs().max() < 0.2
    for encoder in (SignalAudio(), SignalFrames()):
        assert "no meaning" in encoder.record()["note"]


def test_revisions_tell_kinds_and_widths_apart():
    encoders = (SignalAudio(), SignalFrames(), SignalAudio(width=64), SignalFrames(width=64))
    assert len({encoder.revision for encoder in encoders}) == 4


def test_bf16_is_not_claimed():
    encoder = SignalAudio(precision="bf16")
    assert encoder.precision == encoder.record()["precision"] == "fp32"


def test_a_width_too_small_is_refused():
    with pytest.raises(EncoderError, match="width=4"):
        SignalAudio(width=4)
