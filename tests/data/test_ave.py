"""Facts about the AVE files that results rest on, on the real files and on small synthetic ones."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import h5py
import numpy as np
import pytest
import torch

from avsgn_pyg.common.errors import DataError
from avsgn_pyg.data.ave import (
    Annotations,
    Splits,
    check_coverage,
    check_forms_agree,
    duplicates,
    leaks,
    read_annotations,
    read_splits,
    without_leaks,
)

LINES = (
    "Male speech, man speaking&-abc&good&0&10",
    "Frying (food)&b&good&2&5",
    "Male speech, man speaking&b&ok&0&0",
    "Bark&c-d_e&good&9&10",
)
HEADER = "Category&VideoID&Quality&StartTime&EndTime"


def write(folder: Path, *lines: str, name: str = "Annotations.txt") -> Path:
    path = folder / name
    path.write_text("\n".join(lines) + "\n")
    return path


def write_order(folder: Path, split: str, rows: object) -> None:
    with h5py.File(folder / f"{split}_order.h5", "w") as file:
        file["order"] = np.asarray(rows)


@pytest.fixture(scope="module")
def real(ave_root: Path) -> Annotations:
    return read_annotations(ave_root / "Annotations.txt")


@pytest.fixture(scope="module")
def real_splits(ave_root: Path, real: Annotations) -> Splits:
    return read_splits(ave_root, real)


@pytest.fixture
def small(tmp_path: Path) -> Annotations:
    return read_annotations(write(tmp_path, *LINES))


# The real files.


def test_the_labels_equal_the_published_label_files(ave_root: Path, real: Annotations) -> None:
    assert len(real) == 4143
    assert real.categories == tuple((ave_root / "categories.txt").read_text().splitlines())
    with h5py.File(ave_root / "mil_labels.h5") as weak, h5py.File(ave_root / "labels_closs.h5") as seconds:
        video, event = torch.from_numpy(weak["avadataset"][()]), torch.from_numpy(seconds["avadataset"][()])
    assert torch.equal(real.relevance, event)
    assert torch.equal(torch.nn.functional.one_hot(real.category, 29).float(), video)
    assert (~real.relevance.bool().any(-1)).nonzero().tolist() == [[26]]


def test_45_of_4097_ids_repeat_and_18_cross_the_splits(real: Annotations, real_splits: Splits) -> None:
    repeated = duplicates(real)
    assert (len(repeated), len(set(real.video_ids))) == (45, 4097)
    assert all(real.video_ids[row] == video_id for video_id, rows in repeated.items() for row in rows)
    found = leaks(real, real_splits)
    assert len({leak.video_id for leak in found}) == 18
    pairs = {(leak.video_id, leak.other_split) for leak in found}
    assert Counter(split for _, split in pairs) == {"test": 8, "val": 10}
    clean = without_leaks(real_splits, real)
    ids = [{real.video_ids[row] for row in rows.tolist()} for rows in clean]
    assert not ids[0] & (ids[1] | ids[2])
    assert len(clean.train) == 3339 - 19 and torch.equal(clean.test, real_splits.test)


def test_both_forms_of_the_splits_agree_and_cover_every_row(
    ave_root: Path, real: Annotations, real_splits: Splits, caplog: pytest.LogCaptureFixture
) -> None:
    assert [len(rows) for rows in real_splits] == [3339, 402, 402]
    for from_text, from_order in zip(read_splits(ave_root, real, "txt"), real_splits, strict=True):
        assert torch.equal(from_text, from_order)
    check_coverage(real, real_splits, ave_root, "order")
    check_forms_agree(ave_root, real)
    assert not caplog.records


def test_foreground_rates_are_those_reported(real: Annotations, real_splits: Splits) -> None:
    seconds = [100 * float(real.relevance[rows].mean()) for rows in real_splits]
    whole = [100 * float(real.relevance[rows].all(-1).float().mean()) for rows in real_splits]
    assert seconds == pytest.approx([83.14, 81.79, 82.21], abs=0.005)
    assert whole == pytest.approx([66.8, 64.2, 64.9], abs=0.05)


# Small files.


def test_a_row_is_a_class_an_id_and_seconds(small: Annotations) -> None:
    assert small.categories == ("Male speech, man speaking", "Frying (food)", "Bark")
    assert small.category.tolist() == [0, 1, 0, 2]
    assert small.video_ids == ("-abc", "b", "b", "c-d_e")
    assert small.quality == ("good", "good", "ok", "good")
    assert small.relevance[1].tolist() == [0, 0, 1, 1, 1, 0, 0, 0, 0, 0]
    assert small.relevance.sum(-1).tolist() == [10, 3, 0, 1]


@pytest.mark.parametrize("end", ["\n", "\r\n"])
@pytest.mark.parametrize("tail", ["", "{end}{end}"])
@pytest.mark.parametrize("head", ["", "\ufeff" + HEADER + "{end}"])
def test_every_copy_in_circulation_reads_the_same(
    tmp_path: Path, small: Annotations, head: str, tail: str, end: str
) -> None:
    path = tmp_path / "copy.txt"
    path.write_bytes((head.format(end=end) + end.join(LINES) + tail.format(end=end)).encode())
    assert read_annotations(path).lines == small.lines


@pytest.mark.parametrize(("line", "message"), [
    ("Bark&x&good&3", "4 fields"),
    ("", "1 fields"),
    ("&x&good&3&4", "empty class"),
    ("Bark&&good&3&4", "empty class"),
    ("Bark&x&good&3.5&4", r"'3\.5'"),
    ("Bark&x&good&-1&4", "'-1'"),
    ("Bark&x&good&٣&4", "'٣'"),
    ("Bark&x&good&0&" + "9" * 5000, "start and end"),
    ("Bark&x&good&4&4", "4 to 4 is empty"),
    ("Bark&x&good&4&11", "ends at 11"),
    (HEADER, "start and end"),
])
def test_a_bad_line_is_named_with_its_file(tmp_path: Path, line: str, message: str) -> None:
    path = write(tmp_path, LINES[0], line, LINES[1])
    with pytest.raises(DataError, match=rf"Annotations\.txt, line 2: .*{message}"):
        read_annotations(path)


def test_given_categories_fix_the_order_and_refuse_others(tmp_path: Path) -> None:
    path = write(tmp_path, *LINES)
    order = ("Bark", "Cat", "Frying (food)", "Male speech, man speaking")
    read = read_annotations(path, categories=order)
    assert read.categories == order
    assert read.category.tolist() == [3, 2, 3, 0]
    with pytest.raises(DataError, match=r"line 4: unknown class 'Bark'; did you mean 'Barks'"):
        read_annotations(path, categories=("Barks", *order[2:]))


@pytest.mark.parametrize(("content", "message"), [
    (None, "no such file"), (b"", "no annotations"), (HEADER.encode(), "no annotations"),
    (b"\n\n", "no annotations"), (b"\xff\xfe\x00\x01", "cannot be read as text"),
])
def test_a_missing_an_empty_and_a_binary_file_are_named(tmp_path: Path, content: bytes | None, message: str) -> None:
    path = tmp_path / "some.txt"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(DataError, match=rf"some\.txt.*{message}"):
        read_annotations(path)


# Splits.


def test_a_split_without_file_is_none_but_train_is_needed(tmp_path: Path, small: Annotations) -> None:
    write_order(tmp_path, "val", [0])
    with pytest.raises(DataError, match=r"train_order\.h5: no such file"):
        read_splits(tmp_path, small)
    write_order(tmp_path, "train", [3, 1])
    splits = read_splits(tmp_path, small)
    assert (splits.train.tolist(), splits.val.tolist(), splits.test) == ([3, 1], [0], None)


@pytest.mark.parametrize(("train", "val", "message"), [
    ([0, 4], [1], r"train_order\.h5, entry 1: row 4, .* 0 to 3"),
    ([0, -1], [1], r"train_order\.h5, entry 1: row -1"),
    ([0, 2, 0], [1], r"train_order\.h5, entry 2: row 0 is already in train_order\.h5, entry 0"),
    ([0, 2], [1, 2], r"val_order\.h5, entry 1: row 2 is already in train_order\.h5, entry 1"),
    ([0.0, 1.0], [2], r"train_order\.h5: .*integers"),
    ([[0, 1]], [2], r"train_order\.h5: .*integers"),
    (np.zeros(0, np.int64), [2], "not empty"),
])
def test_order_files_of_another_data_set_are_refused(
    tmp_path: Path, small: Annotations, train: object, val: object, message: str
) -> None:
    write_order(tmp_path, "train", train)
    write_order(tmp_path, "val", val)
    with pytest.raises(DataError, match=message):
        read_splits(tmp_path, small)


def test_text_splits_find_rows_by_all_fields_and_equal_lines_in_turn(tmp_path: Path) -> None:
    annotations = read_annotations(write(tmp_path, *LINES[:3], LINES[0]))
    write(tmp_path, HEADER, LINES[2], LINES[0], name="trainSet.txt")
    write(tmp_path, LINES[0], name="valSet.txt")
    splits = read_splits(tmp_path, annotations, "txt")
    assert (splits.train.tolist(), splits.val.tolist(), splits.test) == ([2, 0], [3], None)


@pytest.mark.parametrize(("train", "message"), [
    ("Bark&b&good&2&5", r"trainSet\.txt, line 2: 'Bark&b&good&2&5' is in no row of"),
    (LINES[1], r"valSet\.txt, line 1: .*more often"),
])
def test_a_text_row_that_is_not_annotated_or_twice_is_named(
    tmp_path: Path, small: Annotations, train: str, message: str
) -> None:
    write(tmp_path, LINES[0], train, name="trainSet.txt")
    write(tmp_path, LINES[1], name="valSet.txt")
    with pytest.raises(DataError, match=message):
        read_splits(tmp_path, small, "txt")


def rows(*values: int) -> torch.Tensor:
    return torch.tensor(values)


@pytest.mark.parametrize(("source", "name"), [("order", r"test_order\.h5"), ("txt", r"testSet\.txt")])
def test_rows_in_no_split_are_an_error_or_a_warning_if_a_split_has_no_file(
    tmp_path: Path, small: Annotations, caplog: pytest.LogCaptureFixture, source: str, name: str
) -> None:
    check_coverage(small, Splits(rows(3, 0), rows(1), rows(2)), tmp_path, source)
    with pytest.raises(DataError, match=rf"{name}: 1 of the 4 rows of .*Annotations\.txt .* first row 1 \(b\)"):
        check_coverage(small, Splits(rows(3), rows(0), rows(2)), tmp_path, source)
    assert not caplog.records
    check_coverage(small, Splits(rows(0, 1), rows(2)), tmp_path, source)
    assert "1 of the 4 rows" in caplog.text and "first row 3 (c-d_e)" in caplog.text


@pytest.mark.parametrize(("order", "message"), [
    ([0, 1], None),
    ([3, 0], None),  # rows 1 and 3 are equal
    ([0, 2], r"val_order\.h5, entry 1: 'Bark&c&good&0&0' is not in .*valSet\.txt"),
    ([0, 1, 3], r"val_order\.h5, entry 2: 'Flute&b&good&1&3' is not in"),
    ([0], r"valSet\.txt, entry 1: 'Flute&b&good&1&3' is not in .*val_order\.h5"),
])
def test_the_order_and_the_text_of_a_split_have_the_same_videos(
    tmp_path: Path, order: list[int], message: str | None
) -> None:
    lines = ("Bark&a&good&0&10", "Flute&b&good&1&3", "Bark&c&good&0&0", "Flute&b&good&1&3")
    annotations = read_annotations(write(tmp_path, *lines))
    write_order(tmp_path, "val", order)
    write(tmp_path, *lines[:2], name="valSet.txt")
    if message is None:
        check_forms_agree(tmp_path, annotations)
        return
    with pytest.raises(DataError, match=message):
        check_forms_agree(tmp_path, annotations)
