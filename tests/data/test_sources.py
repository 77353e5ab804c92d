"""Sound files that are not of one data set are told apart, and every file can be known again."""

from __future__ import annotations

import logging
import time
from pathlib import Path

import h5py
import numpy as np
import pytest
import torch

from avsgn_pyg.config import DataConfig
from avsgn_pyg.data import sources
from avsgn_pyg.data.ave import Annotations, Splits, read_annotations, read_splits
from avsgn_pyg.data.dataset import load_dataset
from avsgn_pyg.data.h5 import DataError

LINES = ("Bark&a&good&0&10", "Flute&b&good&1&3", "Bark&c&good&0&0", "Flute&b&good&1&3")


@pytest.fixture
def annotations(tmp_path: Path) -> Annotations:
    (tmp_path / "Annotations.txt").write_text("\n".join(LINES))
    return read_annotations(tmp_path / "Annotations.txt")


def write(root: Path, split: str, rows: list[int], lines: list[str]) -> None:
    with h5py.File(root / f"{split}_order.h5", "w") as file:
        file["order"] = np.asarray(rows)
    (root / f"{split}Set.txt").write_text("\n".join(lines))


def rows(*values: int) -> torch.Tensor:
    return torch.tensor(values)


def test_segments_that_no_event_reaches_name_both_numbers_and_files(tmp_path: Path, annotations: Annotations):
    sources.refuse_other_time_scale(annotations, (tmp_path / "a.h5",))
    longer = read_annotations(annotations.path, segments=20)
    with pytest.raises(
        DataError,
        match=r"a\.h5, .*v\.h5: 20 segments .*Annotations\.txt ends at second 10; .*"
        r"another length, or their axes transposed\?",
    ):
        sources.refuse_other_time_scale(longer, (tmp_path / "a.h5", tmp_path / "v.h5"))


def test_rows_that_three_splits_leave_out_are_counted_and_named(tmp_path: Path, annotations: Annotations):
    sources.refuse_left_over_rows(annotations, Splits(rows(3, 0), rows(1), rows(2)), tmp_path, "order")
    with pytest.raises(
        DataError,
        match=r"train_order\.h5, .*test_order\.h5: 1 of the 4 rows of .*"
        r"Annotations\.txt are in no split, first row 1 \(b\)",
    ):
        sources.refuse_left_over_rows(annotations, Splits(rows(3), rows(0), rows(2)), tmp_path, "order")
    with pytest.raises(DataError, match=r"testSet\.txt: 1 of"):
        sources.refuse_left_over_rows(annotations, Splits(rows(3), rows(0), rows(2)), tmp_path, "txt")


def test_left_over_rows_are_a_warning_where_a_split_has_no_file(
    tmp_path: Path, annotations: Annotations, caplog: pytest.LogCaptureFixture
):
    with caplog.at_level(logging.WARNING):
        sources.refuse_left_over_rows(annotations, Splits(rows(0, 1, 3), rows(2)), tmp_path, "order")
        assert not caplog.records
        sources.refuse_left_over_rows(annotations, Splits(rows(0, 1), rows(2)), tmp_path, "order")
    assert "1 of the 4 rows" in caplog.text
    assert "first row 3 (b)" in caplog.text


@pytest.mark.parametrize("given", [[LINES[0], LINES[1]], [LINES[1], LINES[0]]])
def test_forms_that_hold_the_same_videos_agree_in_any_sequence(
    tmp_path: Path, annotations: Annotations, given: list[str]
):
    write(tmp_path, "train", [0, 3], given)
    sources.refuse_split_forms_that_disagree(tmp_path, annotations)


@pytest.mark.parametrize(
    ("order", "lines", "message"),
    [
        ([0, 2], LINES[:2], r"val_order\.h5, entry 1: 'Bark&c&good&0&0' is not in .*valSet\.txt"),
        ([0, 1, 3], LINES[:2], r"val_order\.h5, entry 2: 'Flute&b&good&1&3' is not in"),
        ([0], LINES[:2], r"valSet\.txt, entry 1: 'Flute&b&good&1&3' is not in .*val_order\.h5"),
        ([0, 4], LINES[:2], r"val_order\.h5: row 4, but .* has rows 0 to 3"),
    ],
)
def test_forms_that_disagree_name_the_first_entry(
    tmp_path: Path, annotations: Annotations, order: list[int], lines: tuple[str, ...], message: str
):
    write(tmp_path, "val", order, list(lines))
    with pytest.raises(DataError, match=message):
        sources.refuse_split_forms_that_disagree(tmp_path, annotations)


def test_the_real_files_belong_together(ave_root: Path, ave_composite_root: Path, caplog: pytest.LogCaptureFixture):
    for root in (ave_root, ave_composite_root):
        annotations = read_annotations(root / "Annotations.txt")
        sources.refuse_other_time_scale(annotations, ())
        sources.refuse_left_over_rows(annotations, read_splits(root, annotations), root, "order")
        sources.refuse_split_forms_that_disagree(root, annotations)
    assert not caplog.records


def test_a_small_file_is_hashed_whole(tmp_path: Path):
    path = tmp_path / "a.txt"
    path.write_bytes(b"abc")
    assert sources.file_record(path) == {
        "file": "a.txt",
        "bytes": 3,
        "sha256": "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad",
        "hashed": "whole file",
    }


def test_a_file_is_hashed_without_what_python_3_11_brought(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.delattr(sources.hashlib, "file_digest", raising=False)
    monkeypatch.setattr(sources, "CHUNK_BYTES", 2)
    (tmp_path / "a.txt").write_bytes(b"abc")
    assert sources.file_record(tmp_path / "a.txt")["sha256"].startswith("ba7816bf")


def test_a_large_file_is_sampled_with_its_start_and_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(sources, "DIGEST_BYTES", 128)
    path, content = tmp_path / "a.h5", bytearray(1000)
    seen = set()
    for changed in (None, 0, 999):
        altered = content.copy()
        if changed is not None:
            altered[changed] = 1
        path.write_bytes(altered)
        record = sources.file_record(path)
        assert record["hashed"] == "size and 64 evenly spread samples of 2 bytes"
        seen.add(record["sha256"])
    path.write_bytes(bytes(1001))
    assert len(seen | {sources.file_record(path)["sha256"]}) == 4


def test_records_of_the_real_features_take_no_time(ave_composite_root: Path):
    paths = [ave_composite_root / f"{modality}_feature.h5" for modality in ("audio", "visual")]
    for path in paths:
        path.read_bytes()
    start = time.process_time()
    assert {sources.file_record(path)["hashed"] for path in paths} == {"whole file"}
    assert time.process_time() - start < 0.5


def test_every_file_of_a_data_set_is_on_record(ave_composite_root: Path):
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
