"""A verification passes on what the store was made of, and says by how much anything else differs."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path

import pytest

from avsgn_pyg.data.feature_store import read_store, write_store
from avsgn_pyg.data.h5 import DataError
from avsgn_pyg.features.compute import EncoderError
from avsgn_pyg.features.extraction.extract import extract
from avsgn_pyg.features.extraction.jobs import ExtractionError, plan_folder
from avsgn_pyg.features.extraction.verify import verify
from avsgn_pyg.features.signal import SignalAudio, SignalFrames


@pytest.fixture
def root(tmp_path: Path, make_clip: Callable[..., Path]) -> Path:
    (tmp_path / "videos").mkdir()
    for number in range(4):
        make_clip(tmp_path / "videos" / f"{number}.mp4", seconds=2.0, size=(64, 48), audio_from=0.2 * number)
    plan = plan_folder(tmp_path / "videos", ("Bark", "Flute"))
    extract(plan, tmp_path / "f.h5", SignalFrames(width=16), SignalAudio(width=16), segments=2, workers=0,
            progress=False, frames_per_segment=2)
    return tmp_path


def test_a_sound_store_passes_in_features_and_label_text(root: Path):
    check = verify(plan_folder(root / "videos"), root / "f.h5", 2)
    assert check.passed and check.ids == ("0", "2")
    assert [each.what for each in check.agreements] == ["audio", "visual", "audio label text", "visual label text"]
    assert all(each.cosine > 0.999999 and each.difference < 1e-6 for each in check.agreements)
    assert len(verify(plan_folder(root / "videos"), root / "f.h5", 99).ids) == 4


@pytest.mark.parametrize("kind", ["audio", "visual"])
def test_features_that_were_spoiled_fail_with_the_number(root: Path, kind: str):
    store = read_store(root / "f.h5")
    write_store(root / "f.h5", dataclasses.replace(store, **{kind: -getattr(store, kind)}))
    check = verify(plan_folder(root / "videos"), root / "f.h5")
    assert not check.passed and [each.what for each in check.agreements if not each.passed] == [kind]
    assert f"FAIL  {kind}: least cosine -1.000000" in check.table()


def test_a_video_that_cannot_be_read_any_more_fails(root: Path):
    (root / "videos" / "1.mp4").write_bytes(b"nothing")
    check = verify(plan_folder(root / "videos"), root / "f.h5")
    assert not check.passed and "FAIL  1: not a media file" in check.table()


def test_another_encoder_than_the_recorded_one_is_refused(root: Path):
    with pytest.raises(EncoderError, match="revision"):
        verify(plan_folder(root / "videos"), root / "f.h5", options={"visual": {"width": 24}})


def test_a_store_without_its_videos_or_without_a_record_is_refused(root: Path, make_clip: Callable[..., Path]):
    (root / "else").mkdir()
    make_clip(root / "else" / "x.mp4", seconds=1.0, size=(64, 48))
    with pytest.raises(ExtractionError, match="0 of its videos are here"):
        verify(plan_folder(root / "else"), root / "f.h5")
    write_store(root / "f.h5", dataclasses.replace(read_store(root / "f.h5"), provenance={}))
    with pytest.raises(DataError, match=r"f\.h5: its features were not made by tools/extract_features\.py"):
        verify(plan_folder(root / "videos"), root / "f.h5")


def test_a_store_at_their_own_length_passes_and_a_video_of_another_length_fails(
    root: Path, make_clip: Callable[..., Path]
):
    make_clip(root / "videos" / "1.mp4", seconds=1.0, size=(64, 48))
    plan = plan_folder(root / "videos")
    extract(plan, root / "own.h5", SignalFrames(width=16), SignalAudio(width=16), segments=2, workers=0,
            progress=False, own_length=True)
    assert read_store(root / "own.h5").lengths.tolist() == [2, 1, 2, 2]
    assert verify(plan, root / "own.h5").passed
    make_clip(root / "videos" / "1.mp4", seconds=2.0, size=(64, 48))
    check = verify(plan_folder(root / "videos"), root / "own.h5")
    assert not check.passed and "FAIL  1: has 2 seconds now, 1 in the store" in check.table()
