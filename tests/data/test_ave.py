"""Facts about the AVE files that results rest on, on the real files and on small synthetic ones."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import h5py
import numpy as np
import pytest
import torch
from hypothesis import strategies as st

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
from avsgn_pyg.errors import DataError

LINES = (
    "Male speech, man speaking&-abc&good&0&10",
    "Frying (food)&b&good&2&5",
    "Male speech, man speaking&b&ok&0&0",
    "Bark&c-d_e&good&9&10",
)
HEADER = "Category&VideoID&Quality&StartTime&EndTime"


def write(folder: Path, *lines: str, name: str = "Annotations.txt", end: str = "\n") -> Path:
    path = folder / name
    path.write_bytes((end.join(lines) + end).encode())
    return path


def write_order(folder: Path, split: str, rows: object, key: str = "order") -> Path:
    path = folder / f"{split}_order.h5"
    with h5py.File(path, "w") as file:
        file[key] = np.asarray(rows)
    return path


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


def test_ave_has_4143_rows_of_28_classes_by_first_appearance(ave_root: Path, real: Annotations) -> None:
    assert len(real) == 4143
    assert real.categories == tuple((ave_root / "categories.txt").read_text().splitlines())
    assert len(real.categories) == 28
    assert real.categories != tuple(sorted(real.categories))


def test_the_labels_equal_the_published_label_files(ave_root: Path, real: Annotations) -> None:
    with h5py.File(ave_root / "mil_labels.h5") as weak, h5py.File(ave_root / "labels_closs.h5") as seconds:
        video, event = torch.from_numpy(weak["avadataset"][()]), torch.from_numpy(seconds["avadataset"][()])
    assert torch.equal(real.relevance, event)
    assert torch.equal(torch.nn.functional.one_hot(real.category, 29).float(), video)


def test_row_26_is_all_background(real: Annotations) -> None:
    assert (~real.relevance.bool().any(-1)).nonzero().tolist() == [[26]]
    assert int(real.category[26]) == 0


def test_45_ids_repeat_among_4097_videos(real: Annotations) -> None:
    found = duplicates(real)
    assert len(found) == 45
    assert len(set(real.video_ids)) == 4097
    assert all(real.video_ids[row] == video_id for video_id, rows in found.items() for row in rows)
    assert any(len(set(real.category[list(rows)].tolist())) > 1 for rows in found.values())


def test_18_ids_cross_the_splits(real: Annotations, real_splits: Splits) -> None:
    found = leaks(real, real_splits)
    assert len({leak.video_id for leak in found}) == 18
    assert Counter(split for _, split in {(leak.video_id, leak.other_split) for leak in found}) == {
        "test": 8,
        "val": 10,
    }


def test_dropping_leaks_leaves_no_video_in_two_splits(real: Annotations, real_splits: Splits) -> None:
    clean = without_leaks(real_splits, real)
    ids = [{real.video_ids[row] for row in rows.tolist()} for rows in clean]
    assert not ids[0] & (ids[1] | ids[2])
    assert len(clean.train) == 3339 - 19
    assert torch.equal(clean.test, real_splits.test)
    assert set(clean.train.tolist()) < set(real_splits.train.tolist())


def test_the_splits_are_disjoint_and_cover_every_row(real_splits: Splits) -> None:
    assert [len(rows) for rows in real_splits] == [3339, 402, 402]
    assert torch.equal(torch.cat(real_splits).sort().values, torch.arange(4143))
    assert not torch.equal(real_splits.train, real_splits.train.sort().values)


def test_text_splits_equal_order_files(ave_root: Path, real: Annotations, real_splits: Splits) -> None:
    for from_text, from_order in zip(read_splits(ave_root, real, "txt"), real_splits, strict=True):
        assert torch.equal(from_text, from_order)


def test_foreground_rates_are_those_reported(real: Annotations, real_splits: Splits) -> None:
    seconds = [100 * float(real.relevance[rows].mean()) for rows in real_splits]
    whole = [100 * float(real.relevance[rows].all(-1).float().mean()) for rows in real_splits]
    assert seconds == pytest.approx([83.14, 81.79, 82.21], abs=0.005)
    assert whole == pytest.approx([66.8, 64.2, 64.9], abs=0.05)


# Small files.


def test_names_with_commas_and_brackets_are_one_field(small: Annotations) -> None:
    assert small.categories == ("Male speech, man speaking", "Frying (food)", "Bark")
    assert small.category.tolist() == [0, 1, 0, 2]
    assert small.video_ids == ("-abc", "b", "b", "c-d_e")
    assert small.quality == ("good", "good", "ok", "good")


def test_relevance_is_one_from_start_to_before_end(small: Annotations) -> None:
    assert small.relevance[1].tolist() == [0, 0, 1, 1, 1, 0, 0, 0, 0, 0]
    assert small.relevance.sum(-1).tolist() == [10, 3, 0, 1]


@pytest.mark.parametrize("end", ["\n", "\r\n"])
@pytest.mark.parametrize("tail", ["", "{end}", "{end}{end}"])
@pytest.mark.parametrize("head", ["", HEADER + "{end}", "\ufeff" + HEADER + "{end}"])
def test_every_copy_in_circulation_reads_the_same(
    tmp_path: Path, small: Annotations, head: str, tail: str, end: str
) -> None:
    path = tmp_path / "copy.txt"
    path.write_bytes((head.format(end=end) + end.join(LINES) + tail.format(end=end)).encode())
    copy = read_annotations(path)
    assert copy.video_ids == small.video_ids
    assert copy.categories == small.categories
    assert torch.equal(copy.relevance, small.relevance)


NAMES = st.text(
    st.characters(exclude_characters="&\r\n\ufeff", exclude_categories=("Cs",)), min_size=1, max_size=12
).filter(lambda text: text == text.strip())
ROWS = st.lists(st.tuples(NAMES, NAMES, st.integers(0, 9), st.integers(1, 10)), min_size=1, max_size=12)


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("Bark&x&good&3", "line 2: 4 fields"),
        ("Bark&x&good&3&4&5", "line 2: 6 fields"),
        ("", "line 2: 1 fields"),
        ("&x&good&3&4", "line 2: an empty class"),
        ("Bark&&good&3&4", "line 2: an empty class"),
        ("Bark&x&good&3.5&4", r"line 2: .*'3\.5'"),
        ("Bark&x&good&-1&4", "line 2: .*'-1'"),
        ("Bark&x&good&٣&4", "line 2: .*'٣'"),
        ("Bark&x&good&0&" + "9" * 5000, "line 2: start and end"),
        ("Bark&x&good&4&4", "line 2: .* 4 to 4 is empty"),
        ("Bark&x&good&5&4", "line 2: .* 5 to 4 is empty"),
        ("Bark&x&good&4&11", "line 2: .* ends at 11"),
        (HEADER, "line 2: start and end"),
    ],
)
def test_a_bad_line_is_named_with_its_file(tmp_path: Path, line: str, message: str) -> None:
    path = write(tmp_path, LINES[0], line, LINES[1])
    with pytest.raises(DataError, match=rf"Annotations\.txt, {message}"):
        read_annotations(path)


def test_given_categories_fix_the_order_and_refuse_others(tmp_path: Path) -> None:
    path = write(tmp_path, *LINES)
    order = ("Bark", "Cat", "Frying (food)", "Male speech, man speaking")
    read = read_annotations(path, categories=order)
    assert read.categories == order
    assert read.category.tolist() == [3, 2, 3, 0]
    with pytest.raises(DataError, match=r"line 4: unknown class 'Bark'; did you mean 'Barks'"):
        read_annotations(path, categories=("Barks", *order[2:]))


def test_a_missing_an_empty_and_a_binary_file_are_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"none\.txt.*No such file"):
        read_annotations(tmp_path / "none.txt")
    for text in ("", HEADER, "\n\n"):
        with pytest.raises(DataError, match="no annotations"):
            read_annotations(write(tmp_path, text))
    (tmp_path / "binary.txt").write_bytes(b"\xff\xfe\x00\x01")
    with pytest.raises(DataError, match=r"binary\.txt: cannot be read as text"):
        read_annotations(tmp_path / "binary.txt")


def test_a_split_without_file_is_none_but_train_is_needed(tmp_path: Path, small: Annotations) -> None:
    write_order(tmp_path, "val", [0])
    with pytest.raises(DataError, match=r"train_order\.h5: no such file"):
        read_splits(tmp_path, small)
    write_order(tmp_path, "train", [3, 1])
    splits = read_splits(tmp_path, small)
    assert splits.train.tolist() == [3, 1]
    assert splits.val.tolist() == [0]
    assert splits.test is None


@pytest.mark.parametrize(
    ("train", "val", "message"),
    [
        ([0, 4], [1], r"train_order\.h5, entry 1: row 4, .* 0 to 3"),
        ([0, -1], [1], r"train_order\.h5, entry 1: row -1"),
        ([0, 2, 0], [1], r"train_order\.h5, entry 2: row 0 is already in train_order\.h5, entry 0"),
        ([0, 2], [1, 2], r"val_order\.h5, entry 1: row 2 is already in train_order\.h5, entry 1"),
        ([0.0, 1.0], [2], r"train_order\.h5: 'order' must be a list of integers"),
        ([[0, 1]], [2], r"train_order\.h5: 'order' must be a list of integers"),
        (np.zeros(0, np.int64), [2], "not empty"),
    ],
)
def test_order_files_of_another_data_set_are_refused(
    tmp_path: Path, small: Annotations, train: object, val: object, message: str
) -> None:
    write_order(tmp_path, "train", train)
    write_order(tmp_path, "val", val)
    with pytest.raises(DataError, match=message):
        read_splits(tmp_path, small)


def test_text_splits_find_rows_by_all_fields_when_ids_repeat(tmp_path: Path, small: Annotations) -> None:
    write(tmp_path, HEADER, LINES[2], LINES[0], name="trainSet.txt", end="\r\n")
    write(tmp_path, LINES[1], name="testSet.txt")
    splits = read_splits(tmp_path, small, "txt")
    assert splits.train.tolist() == [2, 0]
    assert splits.test.tolist() == [1]


def test_identical_lines_take_their_rows_in_turn(tmp_path: Path) -> None:
    annotations = read_annotations(write(tmp_path, LINES[0], LINES[1], LINES[0]))
    write(tmp_path, LINES[0], LINES[1], name="trainSet.txt")
    write(tmp_path, LINES[0], name="valSet.txt")
    splits = read_splits(tmp_path, annotations, "txt")
    assert splits.train.tolist() == [0, 1]
    assert splits.val.tolist() == [2]


def test_a_text_row_that_is_not_annotated_is_named(tmp_path: Path, small: Annotations) -> None:
    write(tmp_path, LINES[0], "Bark&b&good&2&5", name="trainSet.txt")
    with pytest.raises(DataError, match=r"trainSet\.txt, line 2: 'Bark&b&good&2&5' is in no row of"):
        read_splits(tmp_path, small, "txt")


def test_a_text_row_in_two_splits_is_named(tmp_path: Path, small: Annotations) -> None:
    write(tmp_path, LINES[0], LINES[1], name="trainSet.txt")
    write(tmp_path, LINES[1], name="valSet.txt")
    with pytest.raises(DataError, match=r"valSet\.txt, line 1: .*more often"):
        read_splits(tmp_path, small, "txt")


# Splits against annotations.

ROWS4 = ("Bark&a&good&0&10", "Flute&b&good&1&3", "Bark&c&good&0&0", "Flute&b&good&1&3")


@pytest.fixture
def four(tmp_path: Path) -> Annotations:
    return read_annotations(write(tmp_path, *ROWS4))


def rows(*values: int) -> torch.Tensor:
    return torch.tensor(values)


@pytest.mark.parametrize(("source", "name"), [("order", r"test_order\.h5"), ("txt", r"testSet\.txt")])
def test_rows_that_three_splits_leave_out_are_counted_and_named(
    tmp_path: Path, four: Annotations, source: str, name: str
) -> None:
    check_coverage(four, Splits(rows(3, 0), rows(1), rows(2)), tmp_path, source)
    with pytest.raises(DataError, match=rf"{name}: 1 of the 4 rows of .*Annotations\.txt .* first row 1 \(b\)"):
        check_coverage(four, Splits(rows(3), rows(0), rows(2)), tmp_path, source)


def test_left_over_rows_are_a_warning_if_a_split_has_no_file(
    tmp_path: Path, four: Annotations, caplog: pytest.LogCaptureFixture
) -> None:
    check_coverage(four, Splits(rows(0, 1, 3), rows(2)), tmp_path, "order")
    assert not caplog.records
    check_coverage(four, Splits(rows(0, 1), rows(2)), tmp_path, "order")
    assert "1 of the 4 rows" in caplog.text and "first row 3 (b)" in caplog.text


@pytest.mark.parametrize(("order", "lines", "message"), [
    ([0, 3], ROWS4[:2], None),
    ([0, 3], ROWS4[1::-1], None),
    ([0, 2], ROWS4[:2], r"val_order\.h5, entry 1: 'Bark&c&good&0&0' is not in .*valSet\.txt"),
    ([0, 1, 3], ROWS4[:2], r"val_order\.h5, entry 2: 'Flute&b&good&1&3' is not in"),
    ([0], ROWS4[:2], r"valSet\.txt, entry 1: 'Flute&b&good&1&3' is not in .*val_order\.h5"),
    ([0, 4], ROWS4[:2], r"val_order\.h5, entry 1: row 4, but .* has rows 0 to 3"),
])
def test_the_order_and_the_text_of_a_split_have_the_same_videos(
    tmp_path: Path, four: Annotations, order: list[int], lines: tuple[str, ...], message: str | None
) -> None:
    write_order(tmp_path, "val", order)
    write(tmp_path, *lines, name="valSet.txt")
    if message is None:
        check_forms_agree(tmp_path, four)
        return
    with pytest.raises(DataError, match=message):
        check_forms_agree(tmp_path, four)


def test_the_real_files_agree(ave_root: Path, ave_composite_root: Path, caplog: pytest.LogCaptureFixture) -> None:
    for root in (ave_root, ave_composite_root):
        annotations = read_annotations(root / "Annotations.txt")
        check_coverage(annotations, read_splits(root, annotations), root, "order")
        check_forms_agree(root, annotations)
    assert not caplog.records
