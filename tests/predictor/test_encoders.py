"""Which encoders a checkpoint gets, and which it refuses."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from avsgn_pyg.engine.checkpoint import CheckpointError, load_checkpoint
from avsgn_pyg.features.encoder import EncoderChoice, EncoderError, make_audio_encoder, make_frame_encoder
from avsgn_pyg.predictor.encoders import rebuild, refuse_other_classes

SAME, OTHER = EncoderChoice("signal", {"width": 16}), EncoderChoice("signal", {"width": 32})


def made(**choices: EncoderChoice) -> dict[str, Any]:
    makers = {"visual": make_frame_encoder, "audio": make_audio_encoder}
    return {kind: makers[kind](choice, device="cpu") for kind, choice in choices.items()}


def test_encoders_are_those_of_the_training_features(checkpoint, provenance, recwarn) -> None:
    found = rebuild(load_checkpoint(checkpoint()), device="cpu")
    said = provenance()
    assert found.visual.revision == said["visual"]["revision"]
    assert found.audio.revision == said["audio"]["revision"]
    assert found.frames_per_segment == 2
    assert found.checked
    assert not [warning for warning in recwarn if "unchecked" in str(warning.message)]


@pytest.mark.parametrize("kind", ["visual", "audio"])
def test_another_revision_is_refused(checkpoint, provenance, kind: str) -> None:
    said = provenance(label_text={})
    said[kind]["revision"] = "f" * 64
    with pytest.raises(EncoderError, match=rf"epoch-0001: {kind} encoder 'signal' has revision .* made with f{{12}}"):
        rebuild(load_checkpoint(checkpoint(features=said)), device="cpu")


@pytest.mark.parametrize("kind", ["visual", "audio"])
def test_a_given_encoder_of_another_revision_is_refused_with_both_named(checkpoint, provenance, kind: str) -> None:
    recorded = provenance()[kind]["revision"][:12]
    given = made(**{kind: OTHER})
    with pytest.raises(EncoderError, match=rf"by 'signal', revision {recorded}; 'signal', revision "
                                           rf"{given[kind].revision[:12]}, was given"):
        rebuild(load_checkpoint(checkpoint()), given, device="cpu")


def test_a_choice_of_another_name_is_refused_with_both_named(checkpoint) -> None:
    with pytest.raises(EncoderError, match=r"by 'signal', revision \w+; 'clip' was given"):
        rebuild(load_checkpoint(checkpoint()), {"visual": EncoderChoice("clip")}, device="cpu")


def test_options_of_a_choice_replace_the_recorded_ones_and_are_still_checked(checkpoint) -> None:
    folder = load_checkpoint(checkpoint())
    assert rebuild(folder, {"visual": SAME, "audio": EncoderChoice("signal")}, device="cpu").checked
    with pytest.raises(EncoderError, match="has revision"):
        rebuild(folder, {"visual": OTHER}, device="cpu")


@pytest.mark.parametrize(
    "features", [{"audio": "audio_feature.h5", "visual": "visual_feature.h5"}, {}, {"made by": "somebody"}]
)
def test_features_without_a_record_say_what_is_missing(checkpoint, features: dict) -> None:
    with pytest.raises(EncoderError, match=r"of 'made', .* without a record of their visual encoder.*--visual"):
        rebuild(load_checkpoint(checkpoint(features=features)), device="cpu")
    with pytest.raises(EncoderError, match="record of their audio encoder"):
        rebuild(load_checkpoint(checkpoint("again", features=features)), {"visual": SAME}, device="cpu")


def test_encoders_in_place_of_a_missing_record_are_taken_with_a_warning(checkpoint) -> None:
    folder = load_checkpoint(checkpoint(features={"audio": "a.h5", "visual": "v.h5"}))
    with pytest.warns(UserWarning, match="unchecked: its features do not say which visual and audio encoder"):
        found = rebuild(folder, {"visual": SAME, "audio": SAME}, device="cpu")
    assert not found.checked


def test_another_width_is_refused_even_unchecked(checkpoint) -> None:
    folder = load_checkpoint(checkpoint(features={}))
    with pytest.raises(EncoderError, match="visual features 16 wide, the visual encoder 'signal' gives 32"):
        rebuild(folder, {"visual": OTHER, "audio": SAME}, device="cpu")


def test_an_encoder_of_no_modality_is_refused(checkpoint) -> None:
    with pytest.raises(EncoderError, match=r"\['video'\]: a model takes visual and audio"):
        rebuild(load_checkpoint(checkpoint()), {"video": SAME}, device="cpu")


def test_label_text_of_another_encoder_than_the_features_is_refused(checkpoint, provenance) -> None:
    said = provenance()
    said["label_text"]["audio"] = "e" * 64
    with pytest.raises(EncoderError, match=r"audio label text was made by revision e{12}, its audio features by"):
        rebuild(load_checkpoint(checkpoint(features=said)), device="cpu")


def test_a_label_bank_of_files_of_its_own_is_not_compared(checkpoint, provenance) -> None:
    said = provenance()
    said["label_text"]["audio"] = "e" * 64
    files = {"files": {"audio label text": {}, "visual label text": {}}}
    assert rebuild(load_checkpoint(checkpoint(features=said, data=files)), device="cpu").checked


def test_class_names_other_than_the_banks_are_refused(checkpoint) -> None:
    swapped = ("bell", "rain & wind", "dog")
    with pytest.raises(CheckpointError, match=r"label bank is of other classes .* is not '(dog|rain & wind)'"):
        rebuild(load_checkpoint(checkpoint(categories=swapped)), device="cpu")


def test_a_learned_bank_is_nobodys_text(checkpoint) -> None:
    folder = checkpoint(model={"text": {"bank": "learned"}}, categories=("x", "y", "z"))
    assert rebuild(load_checkpoint(folder), device="cpu").checked


def test_more_names_than_rows_are_refused(checkpoint) -> None:
    found = load_checkpoint(checkpoint())
    refuse_other_classes(found)
    meta = found.meta.model_copy(update={"categories": (*found.meta.categories, "extra")})
    with pytest.raises(CheckpointError, match=r"names 4 classes .* its visual label bank has 3 rows"):
        refuse_other_classes(replace(found, meta=meta))
