"""Settings become a plan and two encoders, and an option of no encoder is refused."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from avsgn_pyg.common.command_line import Parser
from avsgn_pyg.common.errors import EncoderError
from avsgn_pyg.features.choice import EncoderChoice, add_encoders, take_encoders
from avsgn_pyg.features.extraction.config import ExtractionConfig

SIGNAL = EncoderChoice("signal")
HERE = ExtractionConfig(videos=Path("v"), out=Path("f.h5"), visual=SIGNAL, audio=SIGNAL, device="cpu", batch_size=7)


def test_words_of_the_command_line_become_options_of_their_encoder():
    parser = Parser(None)
    add_encoders(parser, "clip", "clap")
    words = "--visual-model ViT-B-16 --tokenizer words --audio-pass video --visual-options width=512"
    assert take_encoders(parser.parse_args(words.split())) == {
        "visual": EncoderChoice("clip", {"width": 512, "model": "ViT-B-16"}),
        "audio": EncoderChoice("clap", {"tokenizer": "words", "audio_pass": "video"})}


def test_only_encoders_with_weights_may_fetch():
    config = replace(HERE, visual=EncoderChoice("clip"), download=True)
    assert config.choice("visual").options == {"download": True} and config.choice("audio").options == {}


def test_encoders_get_their_placement_and_foreign_options_are_refused():
    visual, audio = HERE.encoders()
    assert (visual.batch_size, audio.batch_size, audio.device.type) == (7, 7, "cpu")
    with pytest.raises(EncoderError, match="tokenizer"):
        replace(HERE, audio=EncoderChoice("signal", {"tokenizer": "x"})).encoders()


def test_class_names_come_from_the_annotations_or_in_the_order_of_the_labels(tmp_path: Path):
    (tmp_path / "a.mp4").touch()
    (tmp_path / "rows.txt").write_text("Flute&a&good&0&2\nBark&b&good&0&2")
    (tmp_path / "classes.txt").write_text("Bark\nFlute\n")
    config = replace(HERE, videos=tmp_path)
    assert config.plan().categories is None
    config = replace(config, annotations=tmp_path / "rows.txt")
    assert config.plan().categories == ("Flute", "Bark")
    plan = replace(config, labels=tmp_path / "classes.txt", shard="2/2").plan()
    assert plan.categories == ("Bark", "Flute") and [each.id for each in plan.missing] == ["b"]
