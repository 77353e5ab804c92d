"""Every form is read back by a reader of its own."""

from __future__ import annotations

import csv
import errno
import io
import json
import re
from pathlib import Path
from xml.etree import ElementTree as xml

import pytest
import torch

from avsgn_pyg.config import ConfigError
from avsgn_pyg.engine import files
from avsgn_pyg.predictor import formats
from avsgn_pyg.predictor.formats import FORMATS, render, write
from avsgn_pyg.predictor.prediction import Prediction

NAMES = ("bell, church", "rain & <wind>")


@pytest.fixture
def answer(tmp_path: Path) -> Prediction:
    labels = torch.tensor([2, 0, 0, 1])
    path = tmp_path / "a clip ü.mp4"
    return Prediction(path.name, path, NAMES, 3.4, torch.full((4,), 0.75), torch.tensor([[0.5, 0.5]] * 4),
                      {"audio": torch.full((4,), 0.25), "visual": torch.full((4,), 0.5)}, labels, 0.5,
                      torch.ones(4), torch.ones(4))


def text(answer: Prediction, name: str) -> str:
    return render(answer, [name])[0]


def test_json_reads_back(answer: Prediction) -> None:
    assert json.loads(text(answer, "json")) == answer.as_dict()


def test_csv_reads_back_one_row_a_second(answer: Prediction) -> None:
    rows = list(csv.DictReader(io.StringIO(text(answer, "csv"))))
    assert [row["label"] for row in rows] == ["background", NAMES[0], NAMES[0], NAMES[1]]
    assert [float(row["end"]) for row in rows] == pytest.approx([1, 2, 3, 3.4])
    assert {float(row["audio_gate"]) for row in rows} == {0.25}
    assert {float(row["p(bell, church)"]) for row in rows} == {0.5}


def test_events_read_back(answer: Prediction) -> None:
    rows = list(csv.DictReader(io.StringIO(text(answer, "events"))))
    assert [(row["category"], float(row["start"]), float(row["end"])) for row in rows] == [
        (NAMES[0], 1.0, 3.0), (NAMES[1], 3.0, pytest.approx(3.4))]
    assert float(rows[0]["confidence"]) == pytest.approx(0.375)


def test_webvtt_has_a_cue_an_event(answer: Prediction) -> None:
    head, *cues = text(answer, "vtt").strip().split("\n\n")
    assert head == "WEBVTT"
    assert [cue.splitlines()[1] for cue in cues] == [
        "00:00:01.000 --> 00:00:03.000", "00:00:03.000 --> 00:00:03.400"]
    assert cues[1].splitlines()[2] == "rain &amp; &lt;wind&gt; (0.38)"
    assert all(re.fullmatch(r"\d+", cue.splitlines()[0]) for cue in cues)


def test_webvtt_counts_hours() -> None:
    assert formats._clock(3723.0456) == "01:02:03.046"
    assert formats._clock(59.9996) == "00:01:00.000"


def test_elan_finds_class_times_and_confidence(answer: Prediction) -> None:
    document = xml.fromstring(text(answer, "eaf").encode())
    assert document.tag == "ANNOTATION_DOCUMENT" and document.attrib["VERSION"] == "3.0"
    assert [child.tag for child in document] == ["HEADER", "TIME_ORDER", "TIER", "TIER", "LINGUISTIC_TYPE"]
    assert document.find("HEADER").attrib["TIME_UNITS"] == "milliseconds"
    assert document.find("HEADER/MEDIA_DESCRIPTOR").attrib["MEDIA_URL"] == answer.path.as_uri()
    slots = {slot.attrib["TIME_SLOT_ID"]: int(slot.attrib["TIME_VALUE"]) for slot in document.iter("TIME_SLOT")}
    assert list(slots.values()) == sorted(slots.values())
    tiers = {tier.attrib["TIER_ID"]: list(tier.iter("ALIGNABLE_ANNOTATION")) for tier in document.iter("TIER")}
    found = [(each.findtext("ANNOTATION_VALUE"), slots[each.attrib["TIME_SLOT_REF1"]],
              slots[each.attrib["TIME_SLOT_REF2"]]) for each in tiers["event"]]
    assert found == [(NAMES[0], 1000, 3000), (NAMES[1], 3000, 3400)]
    assert [each.findtext("ANNOTATION_VALUE") for each in tiers["confidence"]] == ["0.375", "0.375"]
    ids = [each.attrib["ANNOTATION_ID"] for each in document.iter("ALIGNABLE_ANNOTATION")]
    assert len(set(ids)) == 4
    types = {each.attrib["LINGUISTIC_TYPE_ID"] for each in document.iter("LINGUISTIC_TYPE")}
    assert {tier.attrib["LINGUISTIC_TYPE_REF"] for tier in document.iter("TIER")} <= types


def test_every_form_can_be_written_of_a_video_without_events(answer: Prediction, tmp_path: Path) -> None:
    silent = Prediction("x.mp4", None, NAMES, 4.0, answer.relevance, answer.category, {}, torch.full((4,), 2), None)
    written = write(silent, tmp_path / "out", list(FORMATS))
    assert [path.name for path in written] == [
        "x.txt", "x.json", "x.seconds.csv", "x.events.csv", "x.vtt", "x.eaf"]
    xml.fromstring((tmp_path / "out" / "x.eaf").read_bytes())
    assert (tmp_path / "out" / "x.vtt").read_text() == "WEBVTT\n"


def test_an_unknown_form_is_refused_before_anything_is_written(answer: Prediction, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="'srt': choose among table, json"):
        write(answer, tmp_path, ["json", "srt"])
    assert not list(tmp_path.iterdir())


def test_a_full_disk_leaves_the_older_file_and_no_part(
    answer: Prediction, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    old = tmp_path / "a clip ü.json"
    old.write_text("older")

    def full(_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(files, "flush", full)
    with pytest.raises(OSError, match="No space left"):
        write(answer, tmp_path, ["json"])
    assert [path.name for path in tmp_path.iterdir()] == [old.name]
    assert old.read_text() == "older"
