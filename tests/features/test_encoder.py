"""Building encoders from their names and records, and label text."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import pytest
import torch
from jaxtyping import Float
from torch import Tensor

from avsgn_pyg.common.errors import EncoderError
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
from avsgn_pyg.features.signal import SignalFrames


class Written(SignalFrames):
    """An encoder of one's own, which keeps the texts that it encodes."""

    name = "written"

    def __init__(self, *, constant: bool = False, **options: Any) -> None:
        super().__init__(**options)
        self.constant = constant

    def encode_text(self, texts: Sequence[str]) -> Float[Tensor, "P d"]:
        self.texts = list(texts)
        return super().encode_text(["the same"] * len(texts) if self.constant else texts)


@pytest.fixture
def written(monkeypatch: pytest.MonkeyPatch) -> FrameEncoder:
    monkeypatch.setitem(encoders.FRAME_ENCODERS, "written", lambda: Written)
    return make_frame_encoder(EncoderChoice("written", {"constant": False}), device="cpu", batch_size=3)


@pytest.fixture
def audio() -> AudioEncoder:
    return make_audio_encoder(EncoderChoice("signal", {"width": 16}), device="cpu")


def test_another_encoder_is_one_class_and_one_row(written: FrameEncoder, audio: AudioEncoder):
    assert isinstance(written, FrameEncoder) and not isinstance(written, AudioEncoder) and written.batch_size == 3
    assert isinstance(audio, AudioEncoder) and not isinstance(audio, FrameEncoder)


def test_options_are_parsed_from_words():
    words = ["model=ViT-B-16", "width=512", "fused=true", "weights=null", "tokenizer=/a=b", "gain=0.5"]
    assert EncoderChoice.parse("clip", words) == EncoderChoice("clip", {
        "model": "ViT-B-16", "width": 512, "fused": True, "weights": None, "tokenizer": "/a=b", "gain": 0.5,
    })


@pytest.mark.parametrize("word", ["model", "=3"])
def test_a_word_without_a_value_is_an_error(word: str):
    with pytest.raises(EncoderError, match="KEY=VALUE"):
        EncoderChoice.parse("clip", [word])


@pytest.mark.parametrize(("name", "options", "batch_size", "message"), [
    ("clop", {}, 1, "'clop'; choose one of clip, pe_av, signal"),
    ("signal", {"wide": 3}, 1, "no option 'wide'; it has width"),
    ("signal", {"width": "wide"}, 1, "width='wide': Input should be a valid integer"),
    ("signal", {}, 0, "batch_size"),
])
def test_a_wrong_choice_is_an_error(name: str, options: dict, batch_size: int, message: str):
    with pytest.raises(EncoderError, match=message):
        make_frame_encoder(EncoderChoice(name, options), batch_size=batch_size)


def test_a_package_that_is_not_installed_is_named(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setitem(encoders.AUDIO_ENCODERS, "lost", choice._class("nowhere", "Lost"))
    with pytest.raises(EncoderError, match=r"needs avsgn_pyg.features.nowhere, not installed here: pip install"):
        make_audio_encoder(EncoderChoice("lost"))


def test_the_error_names_the_extra_of_a_package(monkeypatch: pytest.MonkeyPatch):
    for package, extra in (("laion_clap", "laion"), ("open_clip", "extract")):
        assert f"avsgn_pyg[{extra}]" in str(choice.not_installed("x", ModuleNotFoundError(name=package)))


def test_an_encoder_is_rebuilt_from_its_record(audio: AudioEncoder):
    record = json.loads(json.dumps(audio.record()))
    again, sound = encoder_from_record(record, "audio", device="cpu", batch_size=2), torch.randn(1, 2, 48_000)
    assert again.batch_size == 2 and torch.equal(audio.encode_audio(sound), again.encode_audio(sound))
    for kind, options in (("audio", {"width": 32}), ("visual", {})):
        with pytest.raises(EncoderError, match="'signal' has revision"):
            encoder_from_record(record, kind, options=options)
    with pytest.raises(EncoderError, match=r"lacks .*revision"):
        encoder_from_record({"name": "signal", "options": {}}, "audio")


def test_labels_are_prompted_as_in_the_paper(written: FrameEncoder, audio: AudioEncoder):
    text = label_text(written, audio, ["Bark", "Frying (food) {hot}"])
    assert written.texts == ["This photo contains the Bark", "This photo contains the Frying (food) {hot}"]
    assert torch.equal(text.audio[0], audio.encode_text(["This sound contains the Bark"])[0])
    assert text.visual.shape == (2, 128) and text.audio.shape == (2, 16)
    label_text(written, audio, ["Bark"], {**PROMPTS, "visual": "{} is seen"})
    assert written.texts == ["Bark is seen"]


@pytest.mark.parametrize("template", ["a photo", "{} and {}"])
def test_a_template_needs_one_place_for_the_name(written: FrameEncoder, audio: AudioEncoder, template: str):
    with pytest.raises(EncoderError, match="visual prompt"):
        label_text(written, audio, ["Bark"], {**PROMPTS, "visual": template})


def test_two_labels_with_one_embedding_are_an_error(written: FrameEncoder, audio: AudioEncoder):
    written.constant = True
    with pytest.raises(EncoderError, match="'Bark' and 'Violin'"):
        label_text(written, audio, ["Bark", "Violin"])
