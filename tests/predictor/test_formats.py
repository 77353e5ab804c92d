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
from avsgn_pyg.predictor.formats import FORMATS, render, write
from avsgn_pyg.predictor.inputs import FORMS
from avsgn_pyg.predictor.prediction import Prediction

NAMES = ("bell, church", "rain & <wind>")


@pytest.fixture
def prediction(tmp_path: Path) -> Prediction:
    path = tmp_path / "a clip ü.mp4"
    return Prediction(path.name, path, NAMES, 3.4, torch.full((4,), 0.75), torch.tensor([[0.5, 0.5]] * 4),
                      {"audio": torch.full((4,), 0.25), "visual": torch.full((4,), 0.5)}, torch.tensor([2, 0, 0, 1]),
                      0.5, torch.ones(4), torch.ones(4))


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
        ["category", "start", "end", "confidence"],
        [NAMES[0], "1.0", "3.0", "0.375"], [NAMES[1], "3.0", "3.4", "0.375"]]


def test_webvtt_has_a_cue_an_event(prediction: Prediction) -> None:
    assert text(prediction, "vtt").split("\n\n") == [
        "WEBVTT",
        "1\n00:00:01.000 --> 00:00:03.000\nbell, church (0.38)",
        "2\n00:00:03.000 --> 00:00:03.400\nrain &amp; &lt;wind&gt; (0.38)\n",
    ]
    labels = torch.full((3724,), 2).index_fill(0, torch.tensor([3723]), 0)
    longer = replace(prediction, labels=labels, relevance=torch.ones(3724), category=torch.ones(3724, 2), gates={},
                     duration=3723.9996, seen=None, heard=None)
    assert "01:02:03.000 --> 01:02:04.000" in text(longer, "vtt")


def test_elan_has_class_times_and_confidence(prediction: Prediction) -> None:
    document = xml.fromstring(text(prediction, "eaf").encode())
    assert document.tag == "ANNOTATION_DOCUMENT" and document.attrib["VERSION"] == "3.0"
    assert [child.tag for child in document] == ["HEADER", "TIME_ORDER", "TIER", "TIER", "LINGUISTIC_TYPE"]
    assert document.find("HEADER").attrib["TIME_UNITS"] == "milliseconds"
    assert document.find("HEADER/MEDIA_DESCRIPTOR").attrib["MEDIA_URL"] == prediction.path.as_uri()
    slots = {slot.attrib["TIME_SLOT_ID"]: int(slot.attrib["TIME_VALUE"]) for slot in document.iter("TIME_SLOT")}
    found = {tier.attrib["TIER_ID"]: [
        (each.findtext("ANNOTATION_VALUE"), *(slots[each.attrib[f"TIME_SLOT_REF{end}"]] for end in (1, 2)))
        for each in tier.iter("ALIGNABLE_ANNOTATION")] for tier in document.iter("TIER")}
    assert found == {"event": [(NAMES[0], 1000, 3000), (NAMES[1], 3000, 3400)],
                     "confidence": [("0.375", 1000, 3000), ("0.375", 3000, 3400)]}
    assert len({each.attrib["ANNOTATION_ID"] for each in document.iter("ALIGNABLE_ANNOTATION")}) == 4


def test_every_format_can_be_written_without_events(prediction: Prediction, tmp_path: Path) -> None:
    silent = Prediction("x.mp4", None, NAMES, 4.0, prediction.relevance, prediction.category, {}, torch.full((4,), 2),
                        None)
    written = write(silent, tmp_path / "out", list(FORMATS))
    assert list(FORMATS) == list(FORMS) and [path.name for path in written] == [
        "x.txt", "x.json", "x.seconds.csv", "x.events.csv", "x.vtt", "x.eaf"]
    xml.fromstring((tmp_path / "out" / "x.eaf").read_bytes())
    assert (tmp_path / "out" / "x.vtt").read_text() == "WEBVTT\n"


def test_an_unknown_format_is_refused_before_anything_is_written(prediction: Prediction, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="'srt': choose one of table, json"):
        write(prediction, tmp_path, ["json", "srt"])
    assert not list(tmp_path.iterdir())
