"""Timed events of many videos are read from one JSON file and written back; a wrong entry is named."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from avsgn_pyg.common.errors import DataError
from avsgn_pyg.data.annotations import (
    AnnotatedVideo,
    TimedEvent,
    labels_of,
    read_annotations,
    replaced,
    write_annotations,
)

VIDEOS = [
    AnnotatedVideo("-a/1", 42.5, "train", (TimedEvent("dog, barking", 0.0, 3.25), TimedEvent("Bell", 1.1, 40.007))),
    AnnotatedVideo("b", None, None, ()),
]


def entry(**changes: Any) -> dict[str, Any]:
    """One video of the form that UnAV-100 is published in."""
    label = {"segment": [1, 2.5], "label": "Bell", "label_id": 7}
    return {"subset": "validation", "duration": 10.2, "annotations": [label | changes.pop("label", {})]} | changes


def read(folder: Path, content: Any) -> list[AnnotatedVideo]:
    path = folder / "a.json"
    path.write_text(content if isinstance(content, str) else json.dumps(content))
    return read_annotations(path)


def test_annotations_come_back_as_they_were_written(tmp_path: Path):
    write_annotations(tmp_path / "a.json", VIDEOS)
    assert read_annotations(tmp_path / "a.json") == VIDEOS
    assert labels_of(VIDEOS) == ("Bell", "dog, barking")


def test_edited_events_replace_those_of_their_video_and_keep_its_split_and_duration():
    edited = [AnnotatedVideo("-a/1", None, None, (TimedEvent("Bell", 2, 43),)), AnnotatedVideo("c", 3.0, "test", ())]
    bell = VIDEOS[0]._replace(events=(TimedEvent("Bell", 2.0, 42.5),))
    assert replaced(VIDEOS, edited) == [bell, VIDEOS[1], edited[1]]


@pytest.mark.parametrize(("subset", "split"), [("Training", "train"), ("validation", "val"), ("testing", "test"),
                                               ("val", "val"), (None, None)])
def test_the_names_of_splits_in_use_are_read(tmp_path: Path, subset: str | None, split: str | None):
    [video] = read(tmp_path, {"database": {"x": entry(subset=subset)}})
    assert video == AnnotatedVideo("x", 10.2, split, (TimedEvent("Bell", 1.0, 2.5),))


def test_events_are_sorted_and_end_with_their_video(tmp_path: Path):
    late, early = {"segment": [9, 11], "label": "A"}, {"segment": [2, 3], "label": " B "}
    [video] = read(tmp_path, {"database": {"x": entry(annotations=[late, early])}})
    assert video.events == (TimedEvent("B", 2.0, 3.0), TimedEvent("A", 9.0, 10.2))


@pytest.mark.parametrize(("content", "message"), [
    ("{", "not a readable JSON"), ([], "no videos"), ({"database": {}}, "no videos"),
    ('{"database": {"x": {}, "x": {}}}', "'x' occurs twice"),
    ({"database": {"x": []}}, "video 'x': expected an object"),
    ({"database": {"x": entry(subset="all")}}, "unknown subset 'all'"),
    ({"database": {"x": entry(duration="10")}}, "duration of '10'"),
    ({"database": {"x": entry(duration=0)}}, "above 0"),
    ({"database": {"x": entry(annotations=[{"segment": [1], "label": "A"}])}}, "annotation 1: expected a label and a"),
    ({"database": {"x": entry(label={"label": " "})}}, "annotation 1: a label of ' '"),
    ({"database": {"x": entry(label={"segment": [2, 2]})}}, "from 2 to 2 s"),
    ({"database": {"x": entry(label={"segment": [-1, 2]})}}, "from -1 to 2 s"),
    ({"database": {"x": entry(label={"segment": [0, 11.3]})}}, "end <= 10.2, the duration"),
    ({"database": {"x": entry(label={"segment": [10.3, 10.5]})}}, "end <= 10.2"),
    ('{"database": {"x": {"annotations": [{"label": "A", "segment": [0, NaN]}]}}}', "from 0 to nan s"),
])
def test_a_wrong_entry_is_named(tmp_path: Path, content: Any, message: str):
    with pytest.raises(DataError, match=message) as error:
        read(tmp_path, content)
    assert str(error.value).startswith(str(tmp_path / "a.json"))


@pytest.mark.parametrize(("videos", "message"), [
    ([VIDEOS[1], VIDEOS[1]], "'b': given twice"), ([VIDEOS[1]._replace(split="dev")], "unknown split 'dev'"),
    ([VIDEOS[0]._replace(events=(TimedEvent("A", 3, 2),))], "from 3 to 2 s"),
])
def test_nothing_is_written_that_cannot_be_read(tmp_path: Path, videos: list[AnnotatedVideo], message: str):
    with pytest.raises(DataError, match=message):
        write_annotations(tmp_path / "a.json", videos)
    assert not list(tmp_path.iterdir())
