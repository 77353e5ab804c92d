"""Shards join only with shards of the same extraction, all of them, each once."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from avsgn_pyg.common.errors import ExtractionError
from avsgn_pyg.data.feature_store import Features, LabelText, read_store, write_store
from avsgn_pyg.features.extraction.contents import Contents, files_digest, write_contents
from avsgn_pyg.features.extraction.merge import merge

ENCODER = {"name": "signal", "revision": "1" * 64, "precision": "fp32"}


def shard(
    root: Path, number: int, count: int = 2, revision: str = "1" * 64, rows: bool = True,
    categories: tuple[str, ...] | None = None, torch_version: str = "2", text: bool = True, **source: Any,
) -> Path:
    """A synthetic shard: rows number - 1, number - 1 + count ... of four."""
    mine = list(range(number - 1, 4, count))
    record = {
        "made by": "avsgn_pyg.features",
        "visual": ENCODER,
        "audio": {**ENCODER, "revision": revision},
        "prompts": {"visual": "{}", "audio": "{}"},
        "extraction": {
            "segments": 1, "segment_seconds": 1.0, "frames_per_segment": 1, "samples_per_second": 48_000,
            "source": {"videos": 5, "ids sha256": "5" * 64, **source}, "shard": [number, count],
        },
        "versions": {"torch": torch_version},
        "files digest": files_digest({f"v{row}": 10 + row for row in mine}),
        "sizes": {f"v{row}": 10 + row for row in mine},
        "failed": [{"id": "gone", "rows": [4], "reason": "no file"}] if number == 1 else [],
        "incomplete": [],
    }
    values = torch.tensor(mine, dtype=torch.float32)[:, None, None]
    ids = tuple(f"v{row}" for row in mine)
    path = root / f"f.{number}-of-{count}.h5"
    where = torch.tensor(mine) if rows else None
    bank = LabelText(torch.eye(3)[: len(categories)], torch.ones(len(categories), 1)) if categories and text else None
    write_store(path, Features(values.expand(-1, 1, 3), -values, ids, rows=where, provenance=record,
                               categories=categories, label_text=bank))
    return path


@pytest.mark.parametrize("rows", [True, False])
def test_shards_in_any_order_make_the_whole_in_its_own_order(tmp_path: Path, rows: bool):
    report = merge(tmp_path / "f.h5", [shard(tmp_path, 2, rows=rows, torch_version="3"), shard(tmp_path, 1, rows=rows)])
    store = read_store(tmp_path / "f.h5")
    record = store.provenance
    assert store.video_ids == ("v0", "v1", "v2", "v3") and store.audio[:, 0, 0].tolist() == [0, 1, 2, 3]
    assert store.visual[:, 0, 0].tolist() == [0, -1, -2, -3]
    assert (store.rows.tolist() == [0, 1, 2, 3]) if rows else store.rows is None
    assert record["extraction"]["shard"] == [1, 1] and record["sizes"] == {"v0": 10, "v1": 11, "v2": 12, "v3": 13}
    assert record["files digest"] == files_digest(record["sizes"])
    assert record["versions"] == {"torch": "3"} and record["other versions"] == [{"torch": "2"}]
    assert "2 of 2 shards joined: 4 entries\nfailed: 0, without a file: 1" in report.table()
    assert report.lines[-1] == "  gone (row 4): no file" and report.passed


def test_missing_and_repeated_shards_are_named(tmp_path: Path):
    paths = [shard(tmp_path, number, 4) for number in (1, 3)]
    with pytest.raises(ExtractionError, match="2/4, 4/4"):
        merge(tmp_path / "f.h5", paths)
    with pytest.raises(ExtractionError, match=r"f\.1-of-4\.h5 and .*f\.1-of-4\.h5 are the same"):
        merge(tmp_path / "f.h5", [*paths, paths[0]])
    with pytest.raises(ExtractionError, match="no shards"):
        merge(tmp_path / "f.h5", [])


@pytest.mark.parametrize(("change", "word"), [
    ({"revision": "2" * 64}, r"audio revision: 1{12}… there, 2{12}… now"),
    ({"videos": 9}, r"videos: 5 there, 9 now"),
    ({"annotations": {"sha256": "x"}}, "annotations: null there"),
    ({"count": 4}, "shards: 2 there, 4 now"),
    ({"categories": ("b", "a")}, "classes: 2: a, b, ... there, 2: b, a, ... now"),
    ({"categories": None}, "classes: 2: a, b, ... there, null now"),
    ({"text": False}, "label text: true there, false now"),
])
def test_shards_of_another_extraction_are_refused_by_what_differs(tmp_path: Path, change: dict, word: str):
    one, other = shard(tmp_path, 1, categories=("a", "b")), shard(tmp_path, 2, **{"categories": ("a", "b"), **change})
    with pytest.raises(ExtractionError, match=rf"f\.1-of-2\.h5: .*\({word}.*f\.2-of-"):
        merge(tmp_path / "f.h5", [one, other])
    assert not (tmp_path / "f.h5").exists()


def test_shards_in_none_of_which_anything_worked_have_nothing_to_join(tmp_path: Path):
    paths = [shard(tmp_path, number) for number in (1, 2)]
    for path in paths:
        write_contents(path, Contents(), read_store(path).provenance, None, None)
    with pytest.raises(ExtractionError, match="2 shards; there is nothing"):
        merge(tmp_path / "f.h5", paths)


def test_an_existing_store_is_replaced_only_on_request(tmp_path: Path):
    paths = [shard(tmp_path, number) for number in (1, 2)]
    (tmp_path / "f.h5").write_bytes(b"dear")
    with pytest.raises(ExtractionError, match="overwrite"):
        merge(tmp_path / "f.h5", paths)
    assert (tmp_path / "f.h5").read_bytes() == b"dear"
    assert merge(tmp_path / "f.h5", paths, overwrite=True).entries == 4


def test_a_store_of_another_maker_is_no_shard(tmp_path: Path):
    write_store(tmp_path / "s.h5", Features(torch.zeros(1, 1, 2), torch.zeros(1, 1, 2), ("a",)))
    with pytest.raises(ExtractionError, match=r"s\.h5: .*tools/extract_features\.py"):
        merge(tmp_path / "f.h5", [tmp_path / "s.h5"])
