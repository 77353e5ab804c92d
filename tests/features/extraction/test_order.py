"""A command line becomes a plan and two encoders, and says which option belongs to no encoder."""

from __future__ import annotations

from pathlib import Path

import pytest

from avsgn_pyg.features.compute import EncoderError
from avsgn_pyg.features.encoder import EncoderChoice
from avsgn_pyg.features.extraction.jobs import ExtractionError
from avsgn_pyg.features.extraction.order import OPTIONS, Order, carry_out

HERE = {"videos": Path("v"), "out": Path("f.h5")}


def test_words_of_the_command_line_become_options_of_their_encoder():
    order = Order(**HERE, visual_model="ViT-B-16", tokenizer="words", audio_pass="video", visual_options=["width=512"])
    assert order.choice("visual") == EncoderChoice("clip", {"width": 512, "model": "ViT-B-16"})
    assert order.choice("audio") == EncoderChoice("clap", {"tokenizer": "words", "audio_pass": "video"})


def test_fetching_is_told_to_encoders_with_weights_alone():
    order = Order(**HERE, audio="signal", download=True)
    assert order.choice("visual").options == {"download": True} and order.choice("audio").options == {}


def test_every_word_is_a_field():
    fields = set(Order.__dataclass_fields__)
    assert {word.replace("-", "_") for word in OPTIONS} <= fields


def test_encoders_get_their_place_and_foreign_options_are_refused():
    visual, audio = Order(**HERE, visual="signal", audio="signal", device="cpu", batch_size=7).encoders()
    assert (visual.batch_size, audio.batch_size, audio.device.type) == (7, 7, "cpu")
    with pytest.raises(EncoderError, match="'signal' has no option 'tokenizer'"):
        Order(**HERE, visual="signal", audio="signal", tokenizer="x", device="cpu").encoders()


def test_the_plan_knows_the_annotated_classes_in_the_order_that_was_given(tmp_path: Path):
    (tmp_path / "a.mp4").touch()
    (tmp_path / "rows.txt").write_text("Flute&a&good&0&2\nBark&b&good&0&2")
    (tmp_path / "classes.txt").write_text("Bark\nFlute\n")
    place = {"videos": tmp_path, "out": tmp_path / "f.h5"}
    assert Order(**place).plan().categories is None
    assert Order(**place, annotations=tmp_path / "rows.txt").plan().categories == ("Flute", "Bark")
    given = Order(**place, annotations=tmp_path / "rows.txt", labels=tmp_path / "classes.txt", shard="2/2").plan()
    assert given.categories == ("Bark", "Flute") and [each.id for each in given.missing] == ["b"]


def test_a_cluster_reads_one_length_and_says_what_does_not(tmp_path: Path):
    (tmp_path / "a.mp4").touch()
    order = Order(videos=tmp_path, out=tmp_path / "f.h5", visual="signal", audio="signal", device="cpu", engine="ray",
                  own_length=True)
    with pytest.raises(ExtractionError, match=r"engine=ray reads videos of one length; .* use --shard"):
        carry_out(order)
