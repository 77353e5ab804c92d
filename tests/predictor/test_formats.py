"""Every format is read back by a reader of its own."""

from __future__ import annotations

import csv
import io
import json
from dataclasses import replace
from pathlib import Path
from xml.etree import ElementTree as xml

import pytest
import torch

from avsgn_pyg.common.errors import ConfigError
from avsgn_pyg.data.edited import read_edited
from avsgn_pyg.graph.detection import Detection
from avsgn_pyg.predictor.formats import FORMATS, render
from avsgn_pyg.predictor.inputs import FORMS
from avsgn_pyg.predictor.prediction import Prediction

NAMES = ("bell, church", "rain & <wind>")


@pytest.fixture
def prediction(tmp_path: Path) -> Prediction:
    path = tmp_path / "a clip ü.mp4"
    return Prediction(path.name, path, NAMES, 3.4, torch.full((4,), 0.75), torch.tensor([[0.5, 0.5]] * 4),
                      {"audio": torch.full((4,), 0.25), "visual": torch.full((4,), 0.5)}, torch.tensor([2, 0, 0, 1]),
                      0.5, torch.ones(4), torch.tensor([1.0, 1.0, 1.0, 0.0]))


def text(prediction: Prediction, name: str) -> str:
    return render(prediction, [name])[0]


def test_json_reads_back(prediction: Prediction) -> None:
    assert json.loads(text(prediction, "json")) == prediction.as_dict()


def test_csv_has_one_row_a_second_or_an_event(prediction: Prediction) -> None:
    rows = list(csv.DictReader(io.StringIO(text(prediction, "csv"))))
    assert [row["label"] for row in rows] == ["background", NAMES[0], NAMES[0], NAMES[1]]
    assert [float(row["end"]) for row in rows] == pytest.approx([1, 2, 3, 3.4])
    assert {(row["audio_gate"], row["seen"], row["p(bell, church)"]) for row in rows} == {("0.25", "1.0", "0.5")}
    assert list(csv.reader(io.StringIO(text(prediction, "events")))) == [
        ["category", "start", "end", "confidence", "seen", "heard", "note"],
        [NAMES[0], "1.0", "3.0", "0.375", "1.0", "1.0", ""],
        [NAMES[1], "3.0", "3.4", "0.375", "1.0", "0.0", "no sound"]]


@pytest.fixture
def several(prediction: Prediction) -> Prediction:
    """Three events with float times; the first overlaps the second."""
    found = (Detection(1, 2.4996, 3.9, 0.5), Detection(0, 0.25, 2.75, 0.875), Detection(0, 2.75, 3.0, 0.25))
    return replace(prediction, found=found, gates={})


def test_overlapping_events_are_in_every_format_with_their_own_times(several: Prediction) -> None:
    times = [("bell, church", 0.25, 2.75), ("rain & <wind>", 2.5, 3.4), ("bell, church", 2.75, 3.0)]
    assert [event[:3] for event in several.events] == times
    rows = list(csv.reader(io.StringIO(text(several, "events"))))[1:]
    assert [(name, float(start), float(end)) for name, start, end, *_ in rows] == times
    assert json.loads(text(several, "json"))["events"][1]["start"] == 2.5
    assert "00:00:00.250 --> 00:00:02.750\nbell, church (0.88)" in text(several, "vtt")
    assert "00:00:02,500 --> 00:00:03,400\nrain & <wind> (0.50)" in text(several, "srt")
    assert [float(line.split("\t")[0]) for line in text(several, "audacity").splitlines()] == [0.25, 2.5, 2.75]
    seconds = list(csv.DictReader(io.StringIO(text(several, "csv"))))
    assert [row["label"] for row in seconds] == [NAMES[0], NAMES[0], f"{NAMES[0]} + {NAMES[1]}", NAMES[1]]
    assert f"{NAMES[0]} + {NAMES[1]}" in text(several, "table")


def test_overlapping_events_are_in_tiers_of_their_own_in_elan(several: Prediction, tmp_path: Path) -> None:
    (tmp_path / "a.eaf").write_text(text(several, "eaf"))
    [(_, read)], errors = read_edited([tmp_path / "a.eaf"])
    assert [event[:2] for event in read.events] == [(event.category, event.start) for event in several.events]
    assert not errors
    document = xml.fromstring(text(several, "eaf").encode())
    tiers = {tier.attrib["TIER_ID"]: [each.text for each in tier.iter("ANNOTATION_VALUE")]
             for tier in document.iter("TIER")}
    assert tiers["event"] == [NAMES[0], NAMES[0]] and tiers["event 2"] == [NAMES[1]]
    assert tiers["confidence"] == ["0.875", "0.250"] and tiers["confidence 2"] == ["0.500"]
    times = [int(slot.attrib["TIME_VALUE"]) for slot in document.iter("TIME_SLOT")]
    assert times == sorted(times)
    ids = [each.attrib["ANNOTATION_ID"] for each in document.iter("ALIGNABLE_ANNOTATION")]
    assert len(ids) == len(set(ids))


def test_webvtt_has_a_cue_an_event(prediction: Prediction) -> None:
    assert text(prediction, "vtt").split("\n\n") == [
        "WEBVTT",
        "1\n00:00:01.000 --> 00:00:03.000\nbell, church (0.38)",
        "2\n00:00:03.000 --> 00:00:03.400\nrain &amp; &lt;wind&gt; (0.38) [no sound]\n",
    ]
    labels = torch.full((3724,), 2).index_fill(0, torch.tensor([3723]), 0)
    longer = replace(prediction, labels=labels, relevance=torch.ones(3724), category=torch.ones(3724, 2), gates={},
                     duration=3723.9996, seen=None, heard=None)
    assert "01:02:03.000 --> 01:02:04.000" in text(longer, "vtt")


def test_elan_has_class_times_and_confidence(prediction: Prediction) -> None:
    document = xml.fromstring(text(prediction, "eaf").encode())
    assert document.tag == "ANNOTATION_DOCUMENT" and document.attrib["VERSION"] == "3.0"
    assert [child.tag for child in document] == ["HEADER", "TIME_ORDER", *["TIER"] * 5, "LINGUISTIC_TYPE"]
    assert document.find("HEADER").attrib["TIME_UNITS"] == "milliseconds"
    assert document.find("HEADER/MEDIA_DESCRIPTOR").attrib["MEDIA_URL"] == prediction.path.as_uri()
    slots = {slot.attrib["TIME_SLOT_ID"]: int(slot.attrib["TIME_VALUE"]) for slot in document.iter("TIME_SLOT")}
    found = {tier.attrib["TIER_ID"]: [
        (each.findtext("ANNOTATION_VALUE"), *(slots[each.attrib[f"TIME_SLOT_REF{end}"]] for end in (1, 2)))
        for each in tier.iter("ALIGNABLE_ANNOTATION")] for tier in document.iter("TIER")}
    assert found == {"event": [(NAMES[0], 1000, 3000), (NAMES[1], 3000, 3400)],
                     "confidence": [("0.375", 1000, 3000), ("0.375", 3000, 3400)],
                     "seen": [("1.00", 1000, 3000), ("1.00", 3000, 3400)],
                     "heard": [("1.00", 1000, 3000), ("0.00", 3000, 3400)], "note": [("no sound", 3000, 3400)]}
    assert len({each.attrib["ANNOTATION_ID"] for each in document.iter("ALIGNABLE_ANNOTATION")}) == 9


@pytest.mark.parametrize(("name", "kind"), [("a.mp4", "video/mp4"), ("a.mts", "video/*"), ("a.ts", "video/*")])
def test_elan_has_a_media_type(prediction: Prediction, name: str, kind: str) -> None:
    document = xml.fromstring(text(replace(prediction, path=prediction.path.with_name(name)), "eaf").encode())
    assert document.find("HEADER/MEDIA_DESCRIPTOR").attrib["MIME_TYPE"] == kind


def test_subtitles_and_labels_have_a_line_an_event(prediction: Prediction) -> None:
    assert text(prediction, "srt") == (
        "1\n00:00:01,000 --> 00:00:03,000\nbell, church (0.38)\n\n"
        "2\n00:00:03,000 --> 00:00:03,400\nrain & <wind> (0.38) [no sound]\n")
    assert text(prediction, "audacity") == (
        "1.000000\t3.000000\tbell, church\n3.000000\t3.400000\train & <wind> [no sound]\n")


def test_label_studio_has_a_task_with_a_range_an_event(prediction: Prediction) -> None:
    [task] = json.loads(text(prediction, "label_studio"))
    assert task["data"]["video"].endswith("?d=a%20clip%20%C3%BC.mp4") and task["data"]["duration"] == 3.4
    found = [result["value"] for result in task["predictions"][0]["result"]]
    assert [(value["timelinelabels"], value["ranges"]) for value in found] == [
        ([NAMES[0]], [{"start": 26, "end": 75}]), ([NAMES[1]], [{"start": 76, "end": 85}])]


@pytest.mark.parametrize("name", FORMATS)
def test_an_event_without_sound_carries_its_note_in_every_format(prediction: Prediction, name: str) -> None:
    assert "no sound" in text(prediction, name)
    assert "no sound" not in text(replace(prediction, heard=torch.ones(4)), name)


@pytest.mark.parametrize("name", FORMATS)
def test_strange_labels_break_no_format(prediction: Prediction, name: str) -> None:
    strange = ("=cmd|'/C calc'!A0\x07", "a --> b\tc\n\nd\udc80")
    written = text(replace(prediction, categories=strange, name="x\udcff.mp4", path=Path("x\udcff.mp4")), name)
    written.encode()
    if name == "eaf":
        values = [each.text for each in xml.fromstring(written.encode()).iter("ANNOTATION_VALUE")]
        assert values[0] == "=cmd|'/C calc'!A0"
    if name == "events":
        assert next(csv.DictReader(io.StringIO(written)))["category"].startswith("'=cmd")
    if name in ("vtt", "srt"):
        assert written.count("-->") == 2 and len(written.strip().split("\n\n")) == 2 + (name == "vtt")
    if name == "audacity":
        assert [line.count("\t") for line in written.splitlines()] == [2, 2]


def test_every_format_can_be_written_without_events_and_for_features(prediction: Prediction) -> None:
    silent = Prediction("x.mp4", None, NAMES, 4.0, prediction.relevance, prediction.category, {}, torch.full((4,), 2),
                        None)
    assert list(FORMATS) == list(FORMS)
    xml.fromstring(text(silent, "eaf").encode())
    assert text(silent, "vtt") == "WEBVTT\n" and text(silent, "srt") == text(silent, "audacity") == ""
    assert all(text(replace(silent, labels=prediction.labels), name) for name in FORMATS)


def test_an_unknown_format_is_refused_with_the_closest(prediction: Prediction) -> None:
    with pytest.raises(ConfigError, match=r"'jsn': choose one of table, json.*did you mean json"):
        render(prediction, ["json", "jsn"])
