"""Rows as people write them are read, and classes that differ by a slip of the pen are found."""

from __future__ import annotations

from pathlib import Path

import pytest

from avsgn_pyg.common.errors import DataError
from avsgn_pyg.data.rows import Row, class_index, near_duplicates, read_rows


def parse(line: str) -> Row:
    return Row.parse("a.txt, line 1", line.split("&"), 10)


def test_an_unknown_class_names_some_of_the_known_ones():
    index = {f"name {number}": number for number in range(5000)}
    with pytest.raises(DataError, match=r"unknown class 'Bark'; there are name 0, .* and 4960 more"):
        class_index("Bark", index, "a.txt")


@pytest.mark.parametrize("times", ["0&10", "0.0&10.0", "0.000&10.", "00&10"])
def test_whole_seconds_may_be_written_with_a_point(times: str):
    assert str(parse(f"Bark&x&good&{times}")) == "Bark&x&good&0&10"


@pytest.mark.parametrize("header", [
    "Category&VideoID&Quality&StartTime&EndTime", "category & videoid & quality & starttime & endtime&"])
def test_a_header_is_no_row(tmp_path: Path, header: str):
    path = tmp_path / "a.txt"
    path.write_bytes(f"\ufeff{header}\r\nBark & x&good&0&1&\r\n\r\n".encode())
    assert list(read_rows(path, 10)) == [(f"{path}, line 2", Row("Bark", "x", "good", 0, 1))]


def test_a_header_may_name_the_start_of_the_clip(tmp_path: Path):
    (tmp_path / "a.txt").write_text("Category&VideoID&Quality&StartTime&EndTime&Start\nBark&x&good&0&1&20.0\n")
    [(_, row)] = read_rows(tmp_path / "a.txt", 10)
    assert row.clip == 20 and str(row) == "Bark&x&good&0&1"
    (tmp_path / "a.txt").write_text("Bark&x&good&0&1&20\n")
    with pytest.raises(DataError, match="6 fields instead of the 5"):
        list(read_rows(tmp_path / "a.txt", 10))


@pytest.mark.parametrize(("slip", "name"), [
    ("red, low", "Red, low"), ("Red,low", "Red, low"), ("Red\N{NO-BREAK SPACE}low", "Red low"),
    ("Church bel", "Church bell"), ("Chruch bell", "Church bell"), ("Church belll", "Church bell"),
    ("Charch bell", "Church bell"), ("Frying_(food)", "Frying (food)"), ("cafe\u0301", "caf\u00e9"), ("Dgo", "Dog"),
])
def test_a_slip_of_the_pen_is_found(slip: str, name: str):
    assert list(near_duplicates({name: 20, slip: 1})) == list(near_duplicates({slip: 1, name: 20})) == [(slip, name)]


@pytest.mark.parametrize("names", [("Car", "Cat"), ("class 1", "class 2"), ("class 1", "class 11"), ("Goat", "Horse"),
                                   ("Male speech, man speaking", "Female speech, woman speaking")])
def test_other_classes_are_not(names: tuple[str, str]):
    assert not list(near_duplicates(dict.fromkeys(names, 5)))
