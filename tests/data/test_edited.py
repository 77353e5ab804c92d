"""Edited files become videos with timed events, one event in whole seconds a row; the rest is refused file by file."""

from __future__ import annotations

from pathlib import Path

import pytest

from avsgn_pyg.common.errors import DataError
from avsgn_pyg.data.annotations import AnnotatedVideo, TimedEvent
from avsgn_pyg.data.edited import read_edited, to_rows

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
    videos, errors = read_edited([path], NAMES)
    found, failed = to_rows(videos)
    if errors + failed:
        raise (errors + failed)[0]
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
    ("a.txt", "0\t11\tBark", "ends at 11"), ("a.eaf", eaf(end="2000"), "start < end"),
    ("a&b.eaf", eaf(), "contains '&'"), ("a.txt", "0\t0\tBark", "from 0.0 to 0.0 s"),
    ("a\nb.txt", "0\t2\tBark", "line break"), ("\udcff.eaf", eaf(), "UTF-8"),
    ("a .eaf", eaf(), "blank"), ("a.eaf", eaf(slot="ts3"), "no time"), ("a.eaf", eaf(slot="ts7"), "no time"),
    ("a.eaf", "<html/>", "not an ELAN document"), ("a.eaf", eaf()[:-20], "not a readable ELAN"),
    ("a.eaf", eaf().replace("?>", "?><!DOCTYPE a [<!ENTITY b 'c'>]>", 1), "document type"),
    ("a.eaf", eaf().replace('"other"/', '"x"><ANNOTATION/></TIER><TIER TIER_ID="y"/').replace("event", "z"), "z, x"),
    ("a.csv", "0\t2\tBark", "<id>.eaf"), ("a.events.csv", "category,start\nBark,0\n", "no column end"),
    ("a.events.csv", "category,start,end\nBark,0,x\n", "line 2: start and end"),
])
def test_anything_else_is_refused_with_its_reason(tmp_path: Path, name: str, text: str, message: str):
    with pytest.raises(DataError, match=message):
        rows(tmp_path / name, text)


def test_files_are_refused_one_by_one_and_a_second_of_one_id_too(tmp_path: Path):
    for name, label in (("a.txt", "Bark"), ("a.labels.txt", "Bark"), ("b.txt", "Dog"), ("c.txt", "Frying (food)")):
        (tmp_path / name).write_text(f"0\t2\t{label}")
    found, errors = read_edited([*sorted(tmp_path.iterdir()), tmp_path / "gone.eaf"], NAMES)
    assert [video.video_id for _, video in found] == ["a", "c"]
    assert [str(error).split(": ")[0].rpartition("/")[2] for error in errors] == ["a.txt", "b.txt", "gone.eaf"]


def test_several_events_with_float_times_are_read_from_every_form(tmp_path: Path):
    bark, speech = TimedEvent("Bark", 0.125, 3.75), TimedEvent("Male speech, man speaking", 2.5, 61.002)
    (tmp_path / "a.labels.txt").write_text("2.5\t61.002\tMale speech, man speaking [no sound]\n0.125\t3.75\tBark\n")
    (tmp_path / "b.events.csv").write_text('category,start,end,confidence\n"Male speech, man speaking",2.5,61.002,0.7\n'
                                           "Bark,0.125,3.75,0.5\n")
    two = eaf(start="2500", end="61002", label="Male speech, man speaking")
    first = """<ANNOTATION><ALIGNABLE_ANNOTATION ANNOTATION_ID="a2" TIME_SLOT_REF1="ts4" TIME_SLOT_REF2="ts5">
        <ANNOTATION_VALUE>Bark</ANNOTATION_VALUE></ALIGNABLE_ANNOTATION></ANNOTATION></TIER><TIER TIER_ID="other"/>"""
    slots = """<TIME_SLOT TIME_SLOT_ID="ts4" TIME_VALUE="125"/><TIME_SLOT TIME_SLOT_ID="ts5" TIME_VALUE="3750"/>
        </TIME_ORDER>"""
    two = two.replace("</TIME_ORDER>", slots).replace('</TIER>\n<TIER TIER_ID="other"/>', first)
    (tmp_path / "c.eaf").write_text(two)
    found, errors = read_edited(sorted(tmp_path.iterdir()))
    assert not errors
    assert [video for _, video in found] == [AnnotatedVideo(name, None, None, (bark, speech)) for name in "abc"]


@pytest.mark.parametrize(("categories", "label"), [(None, "Bark [loud]"), (NAMES, "Bark")])
def test_only_notes_of_predictions_are_removed_from_labels_of_any_name(
    tmp_path: Path, categories: tuple[str, ...] | None, label: str
):
    (tmp_path / "a.txt").write_text("0\t2\tBark [loud]\n3\t4\tBark [no picture, sound for 40%]\n")
    [(_, video)], _ = read_edited([tmp_path / "a.txt"], categories)
    assert [event.label for event in video.events] == [label, "Bark"]
