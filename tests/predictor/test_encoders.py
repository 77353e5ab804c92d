"""Which encoders a checkpoint gets, and which are refused."""

from __future__ import annotations

import itertools
from typing import Any

import pytest

from avsgn_pyg.engine.checkpoint import CheckpointError, load_checkpoint
from avsgn_pyg.features.encoder import EncoderChoice, EncoderError, make_audio_encoder, make_frame_encoder
from avsgn_pyg.predictor.encoders import load_encoders, with_download

SAME, OTHER = EncoderChoice("signal", {"width": 16}), EncoderChoice("signal", {"width": 32})


@pytest.fixture
def load(checkpoint):
    """Encoders of a checkpoint with these options."""
    numbers = itertools.count()

    def run(given=None, **options):
        found = load_checkpoint(checkpoint(f"epoch-{next(numbers)}", **options))
        return load_encoders(found, given, device="cpu")

    return run


def built(kind: str, choice: EncoderChoice) -> Any:
    return {"visual": make_frame_encoder, "audio": make_audio_encoder}[kind](choice, device="cpu")


def test_encoders_are_those_of_the_training_features(load, provenance, recwarn) -> None:
    found, record = load(), provenance()
    assert found.visual.revision == record["visual"]["revision"]
    assert found.audio.revision == record["audio"]["revision"]
    assert found.frames_per_segment == 2 and found.checked
    assert not [warning for warning in recwarn if "unchecked" in str(warning.message)]


@pytest.mark.parametrize("kind", ["visual", "audio"])
def test_another_revision_than_the_recorded_one_is_refused_with_both_named(load, provenance, kind: str) -> None:
    encoder, record = built(kind, OTHER), provenance(label_text={})
    with pytest.raises(EncoderError, match=rf"{record[kind]['revision'][:12]}.*{encoder.revision[:12]}"):
        load({kind: encoder})
    record[kind]["revision"] = "f" * 64
    with pytest.raises(EncoderError, match=rf"epoch-1: {kind} encoder .* revision .* f{{12}}"):
        load(features=record)


@pytest.mark.parametrize(("name", "given"), [
    ("clip", None), ("clip", EncoderChoice("clip", {"weights": "a.pt"})), ("signal", None)])
def test_missing_weights_may_be_downloaded_on_request(checkpoint, provenance, monkeypatch, name: str, given) -> None:
    def build(record, kind, *, options, device):
        asked[kind] = options
        return built(kind, SAME)

    asked, record = {}, provenance()
    record["visual"]["name"] = name
    found = load_checkpoint(checkpoint(features=record))
    monkeypatch.setattr("avsgn_pyg.predictor.encoders.encoder_from_record", build)
    load_encoders(found, {"visual": given} if given else None, download=True, device="cpu")
    expected = {"download": True} if name == "clip" else {}
    assert asked == {"visual": {**(given.options if given else {}), **expected}, "audio": {}}
    assert with_download(EncoderChoice("clap")).options == {"download": True}


def test_a_choice_of_another_name_is_refused_with_both_named(load) -> None:
    with pytest.raises(EncoderError, match=r"'signal'.*'clip' was given"):
        load({"visual": EncoderChoice("clip")})


def test_options_of_a_choice_replace_the_recorded_ones_and_are_still_checked(checkpoint) -> None:
    found = load_checkpoint(checkpoint())
    assert load_encoders(found, {"visual": SAME, "audio": EncoderChoice("signal")}, device="cpu").checked
    with pytest.raises(EncoderError, match="revision"):
        load_encoders(found, {"visual": OTHER}, device="cpu")


@pytest.mark.parametrize("features", [{"audio": "a.h5", "visual": "v.h5"}, {"made by": "somebody"}])
def test_features_without_a_record_need_both_encoders_by_name(checkpoint, features: dict) -> None:
    found = load_checkpoint(checkpoint(features=features))
    with pytest.raises(EncoderError, match=r"'made'.*record of their visual encoder.*--visual"):
        load_encoders(found, device="cpu")
    with pytest.raises(EncoderError, match="record of their audio encoder"):
        load_encoders(found, {"visual": SAME}, device="cpu")
    with pytest.warns(UserWarning, match="unchecked.*visual and audio"):
        assert not load_encoders(found, {"visual": SAME, "audio": built("audio", SAME)}, device="cpu").checked


def test_another_width_or_kind_is_refused_even_unchecked(load) -> None:
    with pytest.raises(EncoderError, match=r"visual features 16 wide.*'signal' returns features 32 wide"):
        load({"visual": OTHER, "audio": SAME}, features={})
    with pytest.raises(EncoderError, match=r"\['video'\]: expected visual and audio"):
        load({"video": SAME})


def test_a_label_bank_of_other_classes_or_another_encoder_is_refused(load, provenance) -> None:
    record = provenance()
    record["label_text"]["audio"] = "e" * 64
    with pytest.raises(CheckpointError, match=r"label bank .* is not '(dog|rain & wind)'.*revision"):
        load(features=record, categories=("bell", "rain & wind", "dog"))


@pytest.mark.parametrize(
    "options", [{"model": {"text": {"bank": "learned"}}}, {"provenance": {"files": {"audio label text": {}}}}]
)
def test_a_label_bank_that_is_not_of_the_store_is_not_compared(load, options: dict) -> None:
    assert load(categories=("x", "y", "z"), **options).checked
