"""A verification passes on what the store was made from, and says by how much anything else differs."""

from __future__ import annotations

import dataclasses
import shutil
from pathlib import Path

import pytest

from avsgn_pyg.common.errors import EncoderError, ExtractionError
from avsgn_pyg.data.feature_store import read_store, write_store
from avsgn_pyg.features.choice import EncoderChoice
from avsgn_pyg.features.extraction.config import ExtractionConfig
from avsgn_pyg.features.extraction.extract import run_extraction
from avsgn_pyg.features.extraction.verify import verify


@pytest.fixture
def config(root: Path) -> ExtractionConfig:
    """Settings whose store is written: a, b and c, and short, which is shorter."""
    signal = EncoderChoice("signal", {"width": 16})
    config = ExtractionConfig(
        videos=root / "videos", annotations=root / "Annotations.txt", out=root / "f.h5", visual=signal, audio=signal,
        segments=2, own_length=True, workers=0, progress=False,
    )
    run_extraction(config)
    return config


def test_a_store_passes_in_features_and_label_text(config: ExtractionConfig):
    # The store records its encoders and segments.
    other = dataclasses.replace(config, segments=7, own_length=False, visual=EncoderChoice("clip"),
                                audio=EncoderChoice("clap"), download=True)
    report = verify(dataclasses.replace(other, annotations=None), 99)
    assert report.passed and report.encoded == 4
    assert [line.split(":")[0] for line in report.lines[1:]] == [
        "pass  audio", "pass  visual", "pass  audio label text", "pass  visual label text"]
    assert verify(config, 2).encoded == 2


@pytest.mark.parametrize(("made", "asked"), [
    ({"rate": 2}, {"rate": 1, "segments": 9}), ({"own_length": False}, {"own_length": True}),
])
def test_a_store_is_compared_at_its_rate_and_with_its_padding(config: ExtractionConfig, made: dict, asked: dict):
    made = dataclasses.replace(config, **made, overwrite=True)
    run_extraction(made)
    assert verify(dataclasses.replace(made, **asked)).passed


@pytest.mark.parametrize("kind", ["audio", "visual"])
def test_spoiled_features_fail_with_the_number(config: ExtractionConfig, kind: str):
    store = read_store(config.out)
    write_store(config.out, dataclasses.replace(store, **{kind: -getattr(store, kind)}))
    report = verify(config)
    assert not report.passed and f"FAIL  {kind}: least cosine -1.000000" in report.table()
    assert report.table().count("FAIL") == 1


@pytest.mark.parametrize(("name", "reason"), [("bad", "not a media file"), ("short", "has 1 segments now, 2 in")])
def test_a_video_that_cannot_be_read_or_has_another_length_fails(config: ExtractionConfig, name: str, reason: str):
    shutil.copy(config.videos / f"{name}.mp4", config.videos / "b.mp4")
    report = verify(config)
    assert not report.passed and "FAIL  b" in report.table() and reason in report.table()


def test_another_encoder_than_the_recorded_one_is_refused(config: ExtractionConfig):
    with pytest.raises(EncoderError, match="revision"):
        verify(dataclasses.replace(config, visual=EncoderChoice("signal", {"width": 24})))


def test_a_store_without_its_videos_or_without_a_record_is_refused(config: ExtractionConfig):
    (config.videos / "else").mkdir()
    shutil.copy(config.videos / "a.mp4", config.videos / "else" / "x.mp4")
    with pytest.raises(ExtractionError, match="0 of them are here"):
        verify(dataclasses.replace(config, videos=config.videos / "else", annotations=None))
    write_store(config.out, dataclasses.replace(read_store(config.out), provenance={}))
    with pytest.raises(ExtractionError, match=r"f\.h5: .*tools/extract_features\.py"):
        verify(config)
