"""Every file of a data set can be identified again."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest

from avsgn_pyg.data import sources


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
