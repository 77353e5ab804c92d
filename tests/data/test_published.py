"""Names of published features have their mistakes found before anything is read; ids come from any annotation file."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from avsgn_pyg.common.errors import DataError
from avsgn_pyg.data.published import Published, read_ids, without_times


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "feats").mkdir()
    for name in ("x.npy", "x.h5", "odd@name.npy"):
        (tmp_path / name).touch()
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize(("text", "expected"), [
    ("feats", (None, None, None)),
    ("x.h5:{id}/rgb", ("{id}/rgb", None, None)),
    ("x.h5:{id}/rgb@0.5", ("{id}/rgb", 0.5, 0.5)),
    ("feats/{id}_rgb.npy@0.32,0.96", (None, 0.32, 0.96)),
    ("odd@name.npy@1", (None, 1.0, 1.0)),
])
def test_a_source_has_a_path_a_key_and_times(text: str, expected: tuple, here: Path):
    found = Published.parse(text)
    assert (found.key, found.step, found.window) == expected
    assert str(found.path) == text.partition(":")[0].removesuffix("@0.32,0.96").removesuffix("@1")


@pytest.mark.parametrize(("text", "words"), [
    ("feat", "^feat: no such file or folder"),
    ("feat/{id}.npy", "^feat: no such file or folder"),
    ("x.npy@2", "0 < STEP <= 1"),
    ("x.npy@0", "0 < STEP <= 1"),
    ("x.npy@0.5,0.4", "STEP <= WINDOW"),
    ("x.npy@0.5.5", "0 < STEP <= 1"),
    ("x.h5:rgb", r"must contain \{id\} once"),
    ("", "without a name"),
])
def test_a_source_that_cannot_be_is_an_error(text: str, words: str, here: Path):
    with pytest.raises(DataError, match=words):
        Published.parse(text)


@pytest.mark.parametrize(("folder", "count", "first"), [
    ("ave", 4143, "RUhOCu3LNXM"), ("llp", 11849, "BjCEufrlXm4_20_30"), ("ov-ave", 24800, "EpxQKLhAP0s"),
    ("ave-pm", 25335, "0"),
])
def test_real_folders_have_the_ids_of_their_rows(folder: str, count: int, first: str,
                                                 real_data: Callable[[str], Path]):
    found = read_ids(real_data(folder))
    assert len(found) == count and found[0] == first


@pytest.mark.parametrize(("name", "text"), [
    ("ids.txt", "a b\n\n-c_1\n"),
    ("rows.txt", "Dog&a b&good&0&3\nDog&-c_1&good&0&300\n"),
    ("table.csv", "label,video_id\n1,a b\n2,-c_1\n"),
    ("table.tsv", "filename\tevent_labels\na b\tDog,Cat\n-c_1\tDog\n"),
    ("unav.json", '{"database": {"a b": {"subset": "train"}, "-c_1": {}}}'),
    ("ids.json", '{"a b": 0, "-c_1": 0}'),
])
def test_ids_are_read_from_lists_tables_rows_and_json(name: str, text: str, tmp_path: Path):
    (tmp_path / name).write_text(text)
    assert read_ids(tmp_path / name) == ("a b", "-c_1")


@pytest.mark.parametrize(("name", "text", "words"), [
    ("ids.txt", "\n", "no ids"), ("x.json", "[1]", "ids as keys"), ("x.json", "{", "not a readable JSON"),
    ("other/notes.txt", "a", "none of Annotations.txt"),
])
def test_a_file_without_ids_is_an_error(name: str, text: str, words: str, tmp_path: Path):
    path = tmp_path / name
    path.parent.mkdir(exist_ok=True)
    path.write_text(text)
    with pytest.raises(DataError, match=words):
        read_ids(path if path.parent == tmp_path else path.parent)


def test_times_at_the_end_of_a_name_are_no_part_of_the_video():
    names = ("a_b-_20_30", "x_101.8_111.8", "-abc_1", "abc")
    assert [without_times(name) for name in names] == ["a_b-", "x", "-abc_1", "abc"]
