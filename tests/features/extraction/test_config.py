"""Settings become a plan and two encoders, and an option of no encoder is refused."""

from __future__ import annotations

from pathlib import Path

import pytest

from avsgn_pyg.common.errors import EncoderError
from avsgn_pyg.features.choice import EncoderChoice
from avsgn_pyg.features.extraction.config import OPTIONS, ExtractionConfig

HERE = {"videos": Path("v"), "out": Path("f.h5")}
SIGNAL = {**HERE, "visual": "signal", "audio": "signal", "device": "cpu"}


def test_words_of_the_command_line_become_options_of_their_encoder():
    config = ExtractionConfig(**HERE, visual_model="ViT-B-16", tokenizer="words", audio_pass="video",
                              visual_options=["width=512"])
    assert config.choice("visual") == EncoderChoice("clip", {"width": 512, "model": "ViT-B-16"})
    assert config.choice("audio") == EncoderChoice("clap", {"tokenizer": "words", "audio_pass": "video"})
    assert {word.replace("-", "_") for word in OPTIONS} <= set(ExtractionConfig.__dataclass_fields__)


def test_only_encoders_with_weights_may_fetch():
    config = ExtractionConfig(**HERE, audio="signal", download=True)
    assert config.choice("visual").options == {"download": True} and config.choice("audio").options == {}


def test_encoders_get_their_placement_and_foreign_options_are_refused():
    visual, audio = ExtractionConfig(**SIGNAL, batch_size=7).encoders()
    assert (visual.batch_size, audio.batch_size, audio.device.type) == (7, 7, "cpu")
    with pytest.raises(EncoderError, match="tokenizer"):
        ExtractionConfig(**SIGNAL, tokenizer="x").encoders()


def test_class_names_come_from_the_annotations_or_in_the_order_of_the_labels(tmp_path: Path):
    (tmp_path / "a.mp4").touch()
    (tmp_path / "rows.txt").write_text("Flute&a&good&0&2\nBark&b&good&0&2")
    (tmp_path / "classes.txt").write_text("Bark\nFlute\n")
    place = {"videos": tmp_path, "out": tmp_path / "f.h5"}
    assert ExtractionConfig(**place).plan().categories is None
    place["annotations"] = tmp_path / "rows.txt"
    assert ExtractionConfig(**place).plan().categories == ("Flute", "Bark")
    plan = ExtractionConfig(**place, labels=tmp_path / "classes.txt", shard="2/2").plan()
    assert plan.categories == ("Bark", "Flute") and [each.id for each in plan.missing] == ["b"]
