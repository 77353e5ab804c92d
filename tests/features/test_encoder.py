"""Building encoders from their names and records, and label text."""

from __future__ import annotations

import hashlib
import json
import pickle
from collections.abc import Sequence
from typing import Any

import pytest
import torch
from jaxtyping import Float, UInt8
from torch import Tensor

from avsgn_pyg.errors import EncoderError
from avsgn_pyg.features import choice
from avsgn_pyg.features import encoder as encoders
from avsgn_pyg.features.encoder import (
    PROMPTS,
    AudioEncoder,
    EncoderChoice,
    FrameEncoder,
    encoder_from_record,
    label_text,
    make_audio_encoder,
    make_frame_encoder,
)


class MeanColour:
    """A whole encoder: a picture becomes its mean colour, a text its last letters."""

    name = "mean-colour"
    width = 3

    def __init__(
        self, *, gain: float = 1.0, constant: bool = False, device: torch.device, precision: str, batch_size: int
    ) -> None:
        self.gain, self.constant = gain, constant
        self.device, self.precision, self.batch_size = device, precision, batch_size
        self.revision = hashlib.sha256(f"mean colour {gain}".encode()).hexdigest()
        self.preparation = _scaled

    def prepare(self, frames: UInt8[Tensor, "F H W 3"]) -> Tensor:
        return self.preparation(frames)

    def encode_frames(self, prepared: Tensor) -> Float[Tensor, "F d"]:
        return torch.nn.functional.normalize(prepared.mean((1, 2)) * self.gain, dim=-1)

    def encode_text(self, texts: Sequence[str]) -> Float[Tensor, "P d"]:
        self.texts = list(texts)
        rows = [[1.0, 1.0, 1.0] if self.constant else [float(ord(letter)) for letter in text[-3:]] for text in texts]
        return torch.nn.functional.normalize(torch.tensor(rows), dim=-1)

    def record(self) -> dict[str, Any]:
        return {"name": self.name, "options": {"gain": self.gain}, "width": 3, "revision": self.revision}


def _scaled(frames: UInt8[Tensor, "F H W 3"]) -> Tensor:
    return frames.float() / 255


@pytest.fixture
def mean_colour(monkeypatch: pytest.MonkeyPatch) -> EncoderChoice:
    monkeypatch.setitem(encoders.FRAME_ENCODERS, "mean-colour", lambda: MeanColour)
    return EncoderChoice("mean-colour", {"gain": 2.0})


@pytest.fixture
def audio() -> AudioEncoder:
    return make_audio_encoder(EncoderChoice("signal", {"width": 16}), device="cpu")


def test_another_encoder_is_one_class_and_one_row(mean_colour: EncoderChoice):
    made = make_frame_encoder(mean_colour, device="cpu", batch_size=3)
    assert isinstance(made, FrameEncoder) and made.gain == 2.0 and made.batch_size == 3
    red = torch.tensor([200, 0, 0], dtype=torch.uint8).expand(1, 4, 5, 3)
    assert made.encode_frames(pickle.loads(pickle.dumps(made.preparation))(red)).tolist() == [[1, 0, 0]]


def test_the_signal_encoders_have_the_interface_of_their_kind(audio: AudioEncoder):
    visual = make_frame_encoder(EncoderChoice("signal"))
    assert isinstance(visual, FrameEncoder) and not isinstance(visual, AudioEncoder)
    assert isinstance(audio, AudioEncoder) and not isinstance(audio, FrameEncoder)


def test_options_are_parsed_from_words():
    words = ["model=ViT-B-16", "width=512", "fused=true", "weights=null", "tokenizer=/a=b", "gain=0.5"]
    assert EncoderChoice.parse("clip", words) == EncoderChoice("clip", {
        "model": "ViT-B-16", "width": 512, "fused": True, "weights": None, "tokenizer": "/a=b", "gain": 0.5,
    })


@pytest.mark.parametrize("word", ["model", "=3", ""])
def test_a_word_without_a_value_is_an_error(word: str):
    with pytest.raises(EncoderError, match="KEY=VALUE"):
        EncoderChoice.parse("clip", [word])


@pytest.mark.parametrize(("name", "options", "batch_size", "message"), [
    ("clop", {}, 1, "'clop'; choose one of clip, signal"),
    ("clap", {}, 1, "'clap'; choose one of clip, signal"),
    ("signal", {"wide": 3}, 1, "no option 'wide'; it has width"),
    ("signal", {"device": "cpu"}, 1, "no option 'device'"),
    ("signal", {"width": "wide"}, 1, "width='wide': Input should be a valid integer"),
    ("signal", {"width": True}, 1, "width=True"),
    ("signal", {}, 0, "batch_size"),
])
def test_a_wrong_choice_is_an_error(name: str, options: dict, batch_size: int, message: str):
    with pytest.raises(EncoderError, match=message):
        make_frame_encoder(EncoderChoice(name, options), batch_size=batch_size)


def test_a_package_that_is_not_installed_is_named(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setitem(encoders.AUDIO_ENCODERS, "lost", choice._class("nowhere", "Lost"))
    with pytest.raises(EncoderError, match=r"needs avsgn_pyg.features.nowhere, not installed here: pip install"):
        make_audio_encoder(EncoderChoice("lost"))


def test_an_encoder_is_rebuilt_from_its_record(audio: AudioEncoder):
    again = encoder_from_record(json.loads(json.dumps(audio.record())), "audio", device="cpu", batch_size=2)
    sound = torch.randn(1, 2, 48_000)
    assert again.batch_size == 2 and torch.equal(audio.encode_audio(sound), again.encode_audio(sound))


def test_a_record_that_does_not_fit_is_an_error(mean_colour: EncoderChoice, audio: AudioEncoder):
    record = make_frame_encoder(mean_colour).record()
    assert encoder_from_record(record, "visual").gain == 2.0
    with pytest.raises(EncoderError, match=r"'mean-colour' has revision"):
        encoder_from_record(record, "visual", options={"gain": 3.0})
    with pytest.raises(EncoderError, match="has revision"):
        encoder_from_record(audio.record(), "visual")
    with pytest.raises(EncoderError, match=r"lacks .*revision"):
        encoder_from_record({"name": "signal", "options": {}}, "audio")


def test_labels_are_prompted_as_in_the_paper(mean_colour: EncoderChoice, audio: AudioEncoder):
    visual = make_frame_encoder(mean_colour)
    text = label_text(visual, audio, ["Bark", "Frying (food) {hot}"])
    assert visual.texts == ["This photo contains the Bark", "This photo contains the Frying (food) {hot}"]
    assert torch.equal(text.audio[0], audio.encode_text(["This sound contains the Bark"])[0])
    assert text.visual.shape == (2, 3) and text.audio.shape == (2, 16)
    assert len(label_text(visual, audio, ["Bark"], {**PROMPTS, "visual": "{} is seen"}).audio) == 1
    assert visual.texts == ["Bark is seen"]


@pytest.mark.parametrize("template", ["a photo", "{} and {}", ""])
def test_a_template_needs_one_place_for_the_name(mean_colour: EncoderChoice, audio: AudioEncoder, template: str):
    with pytest.raises(EncoderError, match="visual prompt"):
        label_text(make_frame_encoder(mean_colour), audio, ["Bark"], {**PROMPTS, "visual": template})


def test_two_labels_with_one_embedding_are_an_error(mean_colour: EncoderChoice, audio: AudioEncoder):
    visual = make_frame_encoder(EncoderChoice("mean-colour", {"constant": True}))
    with pytest.raises(EncoderError, match="'Bark' and 'Violin'"):
        label_text(visual, audio, ["Bark", "Violin"])
