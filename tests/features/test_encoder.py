"""The table of encoders, rebuilding one from its record, and label text."""

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

from avsgn_pyg.features import choice
from avsgn_pyg.features import encoder as encoders
from avsgn_pyg.features.encoder import (
    PROMPTS,
    AudioEncoder,
    EncoderChoice,
    EncoderError,
    FrameEncoder,
    encoder_from_record,
    label_text,
    make_audio_encoder,
    make_frame_encoder,
)


class MeanColour:
    """Another encoder, whole: a picture is its mean colour, a text its length and first letters."""

    name = "mean-colour"
    width = 3

    def __init__(
        self, *, gain: float = 1.0, deaf: bool = False, device: torch.device, precision: str, batch_size: int
    ) -> None:
        self.gain, self.deaf = gain, deaf
        self.device, self.precision, self.batch_size = device, precision, batch_size
        self.revision = hashlib.sha256(f"mean colour {gain}".encode()).hexdigest()
        self.preparation = _scaled

    def prepare(self, frames: UInt8[Tensor, "F H W 3"]) -> Tensor:
        return self.preparation(frames)

    def encode_frames(self, prepared: Tensor) -> Float[Tensor, "F d"]:
        return torch.nn.functional.normalize(prepared.mean((1, 2)) * self.gain, dim=-1)

    def encode_text(self, texts: Sequence[str]) -> Float[Tensor, "P d"]:
        self.heard = list(texts)
        rows = [[1.0, 1.0, 1.0] if self.deaf else [float(ord(letter)) for letter in text[-3:]] for text in texts]
        return torch.nn.functional.normalize(torch.tensor(rows), dim=-1)

    def record(self) -> dict[str, Any]:
        return {"name": self.name, "options": {"gain": self.gain}, "width": 3, "revision": self.revision}


def _scaled(frames: UInt8[Tensor, "F H W 3"]) -> Tensor:
    return frames.float() / 255


@pytest.fixture
def mean_colour(monkeypatch: pytest.MonkeyPatch) -> EncoderChoice:
    """It stands in the table by one row."""
    monkeypatch.setitem(encoders.FRAME_ENCODERS, "mean-colour", lambda: MeanColour)
    return EncoderChoice("mean-colour", {"gain": 2.0})


def test_another_encoder_is_one_class_and_one_row(mean_colour: EncoderChoice):
    made = make_frame_encoder(mean_colour, device="cpu", batch_size=3)
    assert isinstance(made, FrameEncoder) and made.gain == 2.0 and made.batch_size == 3
    red = torch.tensor([200, 0, 0], dtype=torch.uint8).expand(1, 4, 5, 3)
    assert made.encode_frames(made.prepare(red)).tolist() == [[1, 0, 0]]


@pytest.mark.parametrize("kind", ["visual", "audio"])
def test_the_signal_encoder_meets_the_protocol_of_its_kind(kind: str):
    make = {"visual": make_frame_encoder, "audio": make_audio_encoder}[kind]
    made = make(EncoderChoice("signal"))
    assert isinstance(made, FrameEncoder if kind == "visual" else AudioEncoder)
    assert not isinstance(made, AudioEncoder if kind == "visual" else FrameEncoder)


# --- Choosing ------------------------------------------------------------------------------------


def test_options_are_read_from_words():
    words = ["model=ViT-B-16", "width=512", "fused=true", "weights=null", "tokenizer=/a=b", "gain=0.5"]
    assert EncoderChoice.parse("clip", words) == EncoderChoice("clip", {
        "model": "ViT-B-16", "width": 512, "fused": True, "weights": None, "tokenizer": "/a=b", "gain": 0.5,
    })


@pytest.mark.parametrize("word", ["model", "=3", ""])
def test_a_word_that_is_no_option_is_refused(word: str):
    with pytest.raises(EncoderError, match="is not KEY=VALUE"):
        EncoderChoice.parse("clip", [word])


@pytest.mark.parametrize(("choice", "message"), [
    (EncoderChoice("clop"), "no visual encoder is called 'clop'; choose one of clip, signal"),
    (EncoderChoice("clap"), "no visual encoder is called 'clap'"),
    (EncoderChoice("signal", {"wide": 3}), "'signal' has no option 'wide'; it has width"),
    (EncoderChoice("signal", {"device": "cpu"}), "'signal' has no option 'device'"),
    (EncoderChoice("signal", {"width": "wide"}), "'signal' was given width='wide': Input should be a valid integer"),
    (EncoderChoice("signal", {"width": True}), "'signal' was given width=True"),
])
def test_a_choice_that_cannot_be_made_is_refused(choice: EncoderChoice, message: str):
    with pytest.raises(EncoderError, match=message):
        make_frame_encoder(choice)


def test_a_batch_holds_something():
    with pytest.raises(EncoderError, match="batch_size=0"):
        make_audio_encoder(EncoderChoice("signal"), batch_size=0)


def test_a_package_that_is_not_installed_is_named(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setitem(encoders.AUDIO_ENCODERS, "lost", choice._in("nowhere", "Lost"))
    with pytest.raises(EncoderError, match=r"needs avsgn_pyg.features.nowhere, not installed here: pip install"):
        make_audio_encoder(EncoderChoice("lost"))


# --- Records -------------------------------------------------------------------------------------


def test_an_encoder_is_rebuilt_from_its_record():
    made = make_audio_encoder(EncoderChoice("signal", {"width": 24}))
    record = json.loads(json.dumps(made.record()))
    again = encoder_from_record(record, "audio", device="cpu", batch_size=2)
    sound = torch.randn(1, 2, 48_000)
    assert again.batch_size == 2 and torch.equal(made.encode_audio(sound), again.encode_audio(sound))


def test_another_encoder_than_the_record_says_is_refused(mean_colour: EncoderChoice):
    record = make_frame_encoder(mean_colour).record()
    assert encoder_from_record(record, "visual").gain == 2.0
    with pytest.raises(EncoderError, match=r"'mean-colour' has revision .*the features were made with"):
        encoder_from_record(record, "visual", options={"gain": 3.0})


def test_a_record_that_says_too_little_is_refused():
    with pytest.raises(EncoderError, match=r"the audio encoder's record lacks \['revision'\]"):
        encoder_from_record({"name": "signal", "options": {}}, "audio")


def test_a_record_of_the_other_kind_is_refused():
    record = make_audio_encoder(EncoderChoice("signal")).record()
    with pytest.raises(EncoderError, match="has revision"):
        encoder_from_record(record, "visual")


def test_a_preparation_travels_without_its_encoder(mean_colour: EncoderChoice):
    prepared = pickle.loads(pickle.dumps(make_frame_encoder(mean_colour).preparation))
    assert prepared(torch.full((1, 2, 2, 3), 255, dtype=torch.uint8)).eq(1).all()


# --- Label text ----------------------------------------------------------------------------------


def test_labels_are_prompted_as_in_the_paper(mean_colour: EncoderChoice):
    visual, audio = make_frame_encoder(mean_colour), make_audio_encoder(EncoderChoice("signal", {"width": 16}))
    text = label_text(visual, audio, ["Bark", "Frying (food) {hot}"])
    assert visual.heard == ["This photo contains the Bark", "This photo contains the Frying (food) {hot}"]
    assert torch.equal(text.audio[0], audio.encode_text(["This sound contains the Bark"])[0])
    assert text.visual.shape == (2, 3) and text.audio.shape == (2, 16)


def test_templates_are_the_users(mean_colour: EncoderChoice):
    visual, audio = make_frame_encoder(mean_colour), make_audio_encoder(EncoderChoice("signal"))
    label_text(visual, audio, ["Bark"], {**PROMPTS, "visual": "{} is seen"})
    assert visual.heard == ["Bark is seen"]


@pytest.mark.parametrize("template", ["a photo", "{} and {}", ""])
def test_a_template_needs_a_place_for_the_name(mean_colour: EncoderChoice, template: str):
    visual, audio = make_frame_encoder(mean_colour), make_audio_encoder(EncoderChoice("signal"))
    with pytest.raises(EncoderError, match=r"visual prompt .* must hold \{\} once"):
        label_text(visual, audio, ["Bark"], {**PROMPTS, "visual": template})


def test_labels_that_are_one_to_an_encoder_are_refused(mean_colour: EncoderChoice):
    visual = make_frame_encoder(EncoderChoice("mean-colour", {"deaf": True}))
    with pytest.raises(EncoderError, match=r"gives 'Bark' and 'Violin' one visual text embedding; check its tokenizer"):
        label_text(visual, make_audio_encoder(EncoderChoice("signal")), ["Bark", "Violin"])


def test_one_label_is_enough(mean_colour: EncoderChoice):
    text = label_text(make_frame_encoder(mean_colour), make_audio_encoder(EncoderChoice("signal")), ["Bark"])
    assert len(text.audio) == 1
