"""What ``data.padded_events`` makes of events that end after their clip, and records of files."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest
import torch

from avsgn_pyg.common.errors import DataError
from avsgn_pyg.common.settings import DataConfig
from avsgn_pyg.data import sources
from avsgn_pyg.data.dataset import Dataset, load_dataset
from avsgn_pyg.data.feature_store import Features, write_store

LINES = ("Bark&a&good&0&6", "Flute&b&good&2&6", "Bark&c&good&5&6", "Flute&d&good&0&6")
RECORD = {"made by": "avsgn_pyg.features", "failed": [], "label_text": {}}
SHORT = [{"id": "b", "unheard": 2, "unseen": 3, "padded": 2}, {"id": "c", "unheard": 2, "unseen": 2, "padded": 2},
         {"id": "d", "unheard": 6, "unseen": 0}]


@pytest.fixture
def root(tmp_path: Path) -> Path:
    (tmp_path / "Annotations.txt").write_text("\n".join(LINES))
    (tmp_path / "trainSet.txt").write_text("\n".join(LINES[:3]))
    (tmp_path / "valSet.txt").write_text(LINES[3])
    return tmp_path


def load(root: Path, choice: str, record: dict | None = None, lengths: list[int] | None = None) -> Dataset:
    features = torch.ones(4, 6, 3)
    write_store(root / "f.h5", Features(features, features, tuple("abcd"), provenance=record or {},
                                        lengths=None if lengths is None else torch.tensor(lengths)))
    return load_dataset(DataConfig(root=root, splits="txt", features="f.h5", padded_events=choice))


@pytest.mark.parametrize(("choice", "rows", "seconds"), [
    ("keep", [0, 1, 2], [6, 4, 1]), ("background", [0, 1, 2], [6, 2, 0]), ("drop", [0], [6]),
])
def test_padded_seconds_are_kept_labelled_background_or_dropped_with_a_warning(
    root: Path, choice: str, rows: list[int], seconds: list[int]
):
    data = load(root, choice, RECORD | {"incomplete": SHORT})
    assert data.train.row.tolist() == rows and data.train.relevance.sum(-1).tolist() == seconds
    [warning] = data.warnings
    assert "2: row 1 (b) ends at 6, its clip has 4 s, row 2 (c)" in warning
    assert data.train.category.tolist()[2:] == ([-1] if choice == "background" else [0] if choice == "keep" else [])


@pytest.mark.parametrize("record", [None, RECORD | {"incomplete": [{"id": "b", "unheard": 2, "unseen": 2}]}])
def test_unknown_lengths_are_said_and_allow_no_other_choice(root: Path, record: dict | None):
    data = load(root, "keep", record)
    assert not data.warnings and any("not recorded" in note for note in data.notes)
    with pytest.raises(DataError, match=r"f\.h5: .*not recorded.*padded_events=drop"):
        load(root, "drop", record)


def test_a_store_of_mixed_lengths_can_leave_such_events_out(root: Path):
    data = load(root, "background", lengths=[6, 4, 6, 6])
    assert data.train.relevance[1].tolist() == [0, 0, 1, 1, 0, 0]
    assert load(root, "drop", lengths=[6, 4, 6, 6]).train.row.tolist() == [0, 2]


@pytest.mark.parametrize("limit", [64, 2**20])
def test_a_small_file_is_hashed_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, limit: int) -> None:
    monkeypatch.setattr(sources, "DIGEST_BYTES", limit)  # 64 reads it byte by byte
    path = tmp_path / "a.txt"
    path.write_bytes(b"abc")
    digest = hashlib.sha256(b"abc").hexdigest()
    assert sources.file_record(path) == {"file": "a.txt", "bytes": 3, "sha256": digest, "hashed": "whole file"}


def test_a_large_file_is_sampled_with_its_start_and_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sources, "DIGEST_BYTES", 128)
    path, seen = tmp_path / "a.h5", set()
    for content in (bytes(1000), b"1" + bytes(999), bytes(999) + b"1", bytes(1001)):
        path.write_bytes(content)
        record = sources.file_record(path)
        assert record["hashed"] == "size and 64 evenly spread samples of 2 bytes"
        seen.add(record["sha256"])
    assert len(seen) == 4
