"""One event in whole seconds becomes a row; anything else is refused file by file."""

from __future__ import annotations

from pathlib import Path

import pytest

from avsgn_pyg.common.errors import DataError
from avsgn_pyg.data.edited import read_edited

NAMES = ("Bark", "Frying (food)", "Male speech, man speaking")
EAF = """<?xml version="1.0" encoding="UTF-8"?>
<ANNOTATION_DOCUMENT><HEADER MEDIA_FILE="" TIME_UNITS="milliseconds"/>
<TIME_ORDER><TIME_SLOT TIME_SLOT_ID="ts9" TIME_VALUE="{start}"/><TIME_SLOT TIME_SLOT_ID="ts2" TIME_VALUE="{end}"/>
<TIME_SLOT TIME_SLOT_ID="ts3"/></TIME_ORDER>
<TIER TIER_ID="{tier}"><ANNOTATION>
<ALIGNABLE_ANNOTATION ANNOTATION_ID="a1" TIME_SLOT_REF1="ts9" TIME_SLOT_REF2="{slot}">
<ANNOTATION_VALUE>{label}</ANNOTATION_VALUE></ALIGNABLE_ANNOTATION></ANNOTATION></TIER>
<TIER TIER_ID="other"/></ANNOTATION_DOCUMENT>"""


def rows(path: Path, text: str, encoding: str = "utf-8") -> list[str]:
    path.write_bytes(text.encode(encoding))
    found, errors = read_edited([path], NAMES)
    if errors:
        raise errors[0]
    return [str(row) for row in found]


def eaf(**changes: str) -> str:
    return EAF.format(**{"start": "2000", "end": "10000", "label": "Bark", "slot": "ts2", "tier": "event"} | changes)


@pytest.mark.parametrize(("changes", "row"), [
    ({}, "Bark&-a_b&good&2&10"), ({"end": "9980"}, "Bark&-a_b&good&2&10"),
    ({"label": "Frying (food)", "tier": "mine"}, "Frying (food)&-a_b&good&2&10"),
    ({"label": "Bark [no sound]", "start": "0"}, "Bark&-a_b&good&0&10"),
])
def test_an_elan_document_with_one_event_is_a_row(tmp_path: Path, changes: dict[str, str], row: str):
    assert rows(tmp_path / "-a_b.eaf", eaf(**changes)) == [row]
    assert rows(tmp_path / "-a_b.eaf", eaf(**changes).replace("UTF-8", "UTF-16"), "utf-16") == [row]


@pytest.mark.parametrize(("text", "row"), [
    ("0.000000\t3.000000\tMale speech, man speaking\n", "Male speech, man speaking&a.b&good&0&3"),
    ("\ufeff1,000000\t3,000000\tBark [not seen]\r\n\\\t100,0\t900,0\r\n\r\n", "Bark&a.b&good&1&3"),
])
def test_labels_of_audacity_with_one_event_are_a_row(tmp_path: Path, text: str, row: str):
    assert rows(tmp_path / "a.b.labels.txt", text) == rows(tmp_path / "a.b.txt", text) == [row]


@pytest.mark.parametrize(("name", "text", "message"), [
    ("a.txt", "0\t2\tBark\n4\t5\tBark\n", r"a\.txt: 2 events \(Bark 0-2 s, Bark 4-5 s\)"),
    ("a.txt", "", "0 events"),
    ("a.eaf", "<ANNOTATION_DOCUMENT><TIER TIER_ID='event'/></ANNOTATION_DOCUMENT>", "0 events"),
    ("a.txt", "0\t9.5\tBark", "whole seconds"),
    ("a.txt", "0\t2.314\tBark", "whole seconds"), ("a.eaf", eaf(start="1999"), "whole seconds"),
    ("a.txt", "0\t2\tbark", "unknown class 'bark'; did you mean 'Bark'"), ("a.txt", "0\t2\t", "unknown class ''"),
    ("a.txt", "nan\t2\tBark", "line 1"), ("a.txt", "0\t2", "unknown class"), ("a.txt", "no tabs", "line 1"),
    ("a.txt", "0\t11\tBark", "ends at 11"), ("a.eaf", eaf(end="2000"), "empty"), ("a&b.eaf", eaf(), "contains '&'"),
    ("a.txt", "0\t0\tBark", "empty"), ("a\nb.txt", "0\t2\tBark", "line break"), ("\udcff.eaf", eaf(), "UTF-8"),
    ("a .eaf", eaf(), "blank"), ("a.eaf", eaf(slot="ts3"), "no time"), ("a.eaf", eaf(slot="ts7"), "no time"),
    ("a.eaf", "<html/>", "not an ELAN document"), ("a.eaf", eaf()[:-20], "not a readable ELAN"),
    ("a.eaf", eaf().replace("?>", "?><!DOCTYPE a [<!ENTITY b 'c'>]>", 1), "document type"),
    ("a.eaf", eaf().replace('"other"/', '"x"><ANNOTATION/></TIER><TIER TIER_ID="y"/').replace("event", "z"), "z, x"),
    ("a.csv", "0\t2\tBark", "<id>.eaf"),
])
def test_anything_else_is_refused_with_its_reason(tmp_path: Path, name: str, text: str, message: str):
    with pytest.raises(DataError, match=message):
        rows(tmp_path / name, text)


def test_files_are_refused_one_by_one_and_a_second_of_one_id_too(tmp_path: Path):
    for name, label in (("a.txt", "Bark"), ("a.labels.txt", "Bark"), ("b.txt", "Dog"), ("c.txt", "Frying (food)")):
        (tmp_path / name).write_text(f"0\t2\t{label}")
    found, errors = read_edited([*sorted(tmp_path.iterdir()), tmp_path / "gone.eaf"], NAMES)
    assert [row.video_id for row in found] == ["a", "c"]
    assert [str(error).split(": ")[0].rpartition("/")[2] for error in errors] == ["a.txt", "b.txt", "gone.eaf"]
