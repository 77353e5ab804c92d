"""Every file of a data set can be identified again."""

from __future__ import annotations

from pathlib import Path

import pytest

from avsgn_pyg.config import DataConfig
from avsgn_pyg.data import sources
from avsgn_pyg.data.dataset import load_dataset


def test_a_small_file_is_hashed_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "a.txt"
    path.write_bytes(b"abc")
    record = sources.file_record(path)
    assert record == {
        "file": "a.txt",
        "bytes": 3,
        "sha256": "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad",
        "hashed": "whole file",
    }
    monkeypatch.setattr(sources, "DIGEST_BYTES", 64)  # read byte by byte
    assert sources.file_record(path) == record


def test_a_large_file_is_sampled_with_its_start_and_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sources, "DIGEST_BYTES", 128)
    path, seen = tmp_path / "a.h5", set()
    for content in (bytes(1000), b"1" + bytes(999), bytes(999) + b"1", bytes(1001)):
        path.write_bytes(content)
        record = sources.file_record(path)
        assert record["hashed"] == "size and 64 evenly spread samples of 2 bytes"
        seen.add(record["sha256"])
    assert len(seen) == 4


def test_every_file_of_a_data_set_is_on_record(ave_composite_root: Path) -> None:
    labels = {"audio_labels": "text_audio.npy", "visual_labels": "text_visual.npy"}
    provenance = load_dataset(DataConfig(root=ave_composite_root, **labels)).provenance
    assert {role: record["file"] for role, record in provenance["files"].items()} == {
        "annotations": "Annotations.txt",
        "train split": "train_order.h5",
        "val split": "val_order.h5",
        "audio features": "audio_feature.h5",
        "visual features": "visual_feature.h5",
        "audio label text": "text_audio.npy",
        "visual label text": "text_visual.npy",
    }
