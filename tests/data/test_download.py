"""AVE from copies of it, made here in both layouts of huggingface.co; nothing is downloaded."""

from __future__ import annotations

import importlib.util
import json
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest

from avsgn_pyg.common.errors import DataError
from avsgn_pyg.data.ave import read_annotations, read_splits
from avsgn_pyg.data.download import COPY, PARQUET_COPY, get_ave

ROWS = ["Zebra&a&good&0&10", "Bark, dog&-b&good&2&5", "Bark, dog&c&good&0&4", "Zebra&-b&good&5&9",
        "Bark, dog&d&good&1&2"]
SPLIT_ROWS = {"trainSet.txt": ROWS[:2], "valSet.txt": ROWS[4:], "testSet.txt": ROWS[2:4]}
CARD = "---\nlicense: mit\ntags:\n- x\n---\n\n## AVE\n"
HAS_PYARROW = importlib.util.find_spec("pyarrow") is not None
needs_pyarrow = pytest.mark.skipif(not HAS_PYARROW, reason="needs the extra: pip install -e .[parquet]")


def write_texts(folder: Path) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "Annotations.txt").write_text("Category&VideoID&Quality&StartTime&EndTime\n" + "\n".join(ROWS))
    for name, rows in SPLIT_ROWS.items():
        (folder / name).write_text("\n".join(rows) + "\n")
    return folder


def write_files(folder: Path) -> None:
    (folder / "AVE").mkdir()
    for name in "a", "-b", "c", "d", "other":
        (folder / "AVE" / f"{name}.mp4").write_bytes(name.encode())


def write_zip(folder: Path) -> None:
    with zipfile.ZipFile(folder / "videos.zip", "w") as archive:
        for name in "a", "-b", "c", "d", "other", "../../outside":
            archive.writestr(f"videos/{name}.mp4", name.encode())


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    """A copy in the layout of text files, without its videos."""
    folder = write_texts(tmp_path / "copy")
    (folder / "README.md").write_text(CARD)
    return folder


def write_parquet(path: Path, ids: list[str], labels: list[int]) -> None:
    """A file as the library ``datasets`` writes it: media as bytes and path, classes in the order of the alphabet."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    media = pa.struct([("bytes", pa.binary()), ("path", pa.string())])
    names = {"info": {"features": {"label": {"names": ["Bark, dog", "Zebra"], "_type": "ClassLabel"}}}}
    schema = pa.schema([("video", media), ("audio", media), ("label", pa.int64()), ("youtube_id", pa.string()),
                        ("start_seconds", pa.int32())]).with_metadata({"huggingface": json.dumps(names)})
    rows = [{"video": {"bytes": name.encode(), "path": f"{name}.mp4"}, "audio": {"bytes": b"", "path": f"{name}.wav"},
             "label": label, "youtube_id": name, "start_seconds": 0} for name, label in zip(ids, labels, strict=True)]
    path.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(pa.Table.from_pylist(rows, schema), path, row_group_size=1)


@pytest.fixture
def parquet(tmp_path: Path) -> Path:
    """A copy in the layout of parquet files, without val and without text files."""
    folder = tmp_path / "parquet"
    write_parquet(folder / "data" / "train-00000-of-00001.parquet", ["a", "-b"], [1, 0])
    write_parquet(folder / "data" / "test-00000-of-00001.parquet", ["c"], [0])
    return folder


def written(out: Path) -> dict[str, str]:
    return {path.stem: path.read_text() for path in (out / "videos").iterdir()}


@pytest.mark.parametrize("write", [write_files, write_zip])
def test_videos_and_splits_of_a_copy_with_text_files(copy: Path, tmp_path: Path, write: Callable[[Path], None]):
    write(copy)
    out = tmp_path / "out"
    found = get_ave(out, snapshot=copy)
    assert written(out) == {"a": "a", "-b": "-b", "c": "c", "d": "d"} and not found.absent
    annotations = read_annotations(out / "Annotations.txt")
    assert annotations.categories == ("Zebra", "Bark, dog")
    splits = read_splits(out, annotations, "txt")
    assert [rows.tolist() for rows in splits] == [[0, 1], [4], [2, 3]]
    record = json.loads((out / "source.json").read_text())
    assert (record["licence"], record["repository"], record["revision"]) == ("mit", COPY, "copy")
    assert "rows with a video: 5 of 5" in found.report() and "data.missing" not in found.report()
    assert "5 rows, AVE's own 4143" in found.report()


def test_the_current_folder_as_copy_has_its_name_as_revision(
    copy: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    write_files(copy)
    monkeypatch.chdir(copy)
    assert get_ave(tmp_path / "out", snapshot=Path(".")).revision == "copy"


@needs_pyarrow
def test_a_copy_in_parquet_is_joined_to_ave_s_classes_and_splits(parquet: Path, copy: Path, tmp_path: Path):
    out = tmp_path / "out"
    found = get_ave(out, PARQUET_COPY, snapshot=parquet, annotations=copy)
    assert written(out) == {"a": "a", "-b": "-b", "c": "c"} and found.absent == ("d",)
    assert found.present == {"trainSet.txt": (2, 2), "valSet.txt": (0, 1), "testSet.txt": (2, 2)}
    annotations = read_annotations(out / "Annotations.txt")
    assert annotations.categories == ("Zebra", "Bark, dog") and len(annotations) == 5
    assert read_splits(out, annotations, "txt").val is None
    assert "rows with a video: 4 of 5" in found.report() and "data.missing=drop" in found.report()
    assert "none of their classes" not in found.report() and found.licence is None


@needs_pyarrow
def test_a_label_that_contradicts_the_annotations_is_noted(parquet: Path, copy: Path, tmp_path: Path):
    write_parquet(parquet / "data" / "test-00000-of-00001.parquet", ["c", "d"], [1, 0])
    found = get_ave(tmp_path / "out", snapshot=parquet, annotations=copy)
    assert "none of their classes in Annotations.txt: 1, c" in found.report()


def test_the_cache_of_the_hub_is_read_without_network(copy: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    write_zip(copy)
    commit, cache = "0123456789abcdef0123456789abcdef01234567", tmp_path / "hub" / "datasets--UnFaZeD07--AVE-Dataset"
    (cache / "refs").mkdir(parents=True)
    (cache / "refs" / "main").write_text(commit)
    copy.rename((cache / "snapshots").mkdir() or cache / "snapshots" / commit)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "hub"))
    assert get_ave(tmp_path / "out").revision == commit
    with pytest.raises(DataError, match=r"mteb/AVE-Dataset: huggingface.co did not provide"):
        get_ave(tmp_path / "other", PARQUET_COPY)


def test_a_call_again_writes_what_is_missing_and_no_other_copy(copy: Path, tmp_path: Path):
    write_zip(copy)
    get_ave(out := tmp_path / "out", snapshot=copy)
    (out / "videos" / "a.mp4").unlink()
    (out / "videos" / "c.mp4").write_text("kept")
    get_ave(out, snapshot=copy)
    assert written(out) == {"a": "a", "-b": "-b", "c": "kept", "d": "d"}
    with pytest.raises(DataError, match=r"holds .*revision copy.* another --out"):
        get_ave(out, snapshot=copy.rename(tmp_path / "newer"))


def test_a_damaged_zip_is_named_and_the_whole_videos_stay(copy: Path, tmp_path: Path):
    write_zip(copy)
    content = bytearray((copy / "videos.zip").read_bytes())
    content[content.index(b"videos/d.mp4") + len("videos/d.mp4")] ^= 1
    (copy / "videos.zip").write_bytes(content)
    with pytest.raises(DataError, match="damaged zip"):
        get_ave(tmp_path / "out", snapshot=copy)
    assert written(tmp_path / "out") == {"a": "a", "-b": "-b", "c": "c"}
    with pytest.raises(DataError, match=r"holds .*revision copy"):  # although it was not finished
        get_ave(tmp_path / "out", snapshot=copy.rename(tmp_path / "newer"))


@pytest.mark.parametrize(("remove", "says"), [
    ("Annotations.txt", "no Annotations.txt"), ("valSet.txt", "no valSet.txt"), ("videos.zip", "no video of"),
])
def test_what_a_copy_lacks_is_named(copy: Path, tmp_path: Path, remove: str, says: str):
    write_zip(copy)
    (copy / remove).unlink()
    with pytest.raises(DataError, match=says):
        get_ave(tmp_path / "out", snapshot=copy)


def test_parquet_without_pyarrow_names_the_extra(copy: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    (copy / "train.parquet").touch()
    monkeypatch.setitem(__import__("sys").modules, "pyarrow", None)
    with pytest.raises(DataError, match=r"pip install .*parquet"):
        get_ave(tmp_path / "out", snapshot=copy)


@needs_pyarrow
def test_a_damaged_parquet_file_is_named(parquet: Path, copy: Path, tmp_path: Path):
    (parquet / "data" / "train-00000-of-00001.parquet").write_bytes(b"PAR1")
    with pytest.raises(DataError, match=r"train-00000.*not a parquet file"):
        get_ave(tmp_path / "out", snapshot=parquet, annotations=copy)
