"""Events go to Label Studio as pre-annotations and come back from its export; what cannot be read is named."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest

from avsgn_pyg.common.errors import DataError
from avsgn_pyg.data.annotations import AnnotatedVideo, TimedEvent
from avsgn_pyg.data.edited import read_edited
from avsgn_pyg.data.label_studio import Region, labeling_config, read_label_studio, task

LABELS = ("bell & <big>", 'a "quoted" rain')
REGIONS = (Region(LABELS[0], 1.0, 3.0, 0.75), Region(LABELS[1], 0.5, 9.99, 0.5, "no sound"))


def exported(*regions: dict[str, Any], **changes: Any) -> dict[str, Any]:
    """A task as the JSON export of Label Studio has it: annotations with the results of a prediction."""
    made = task("talks/a clip#1.mp4", 9.9, REGIONS)
    result = [*regions] or made["predictions"][0]["result"]
    return {"id": 7, "data": made["data"], "annotations": [{"was_cancelled": False, "result": result}]} | changes


def read(folder: Path, *tasks: Any) -> list[AnnotatedVideo]:
    (folder / "export.json").write_text(json.dumps(tasks))
    return [video for _, video in read_label_studio(folder / "export.json")]


def region(**value: Any) -> dict[str, Any]:
    return {"type": "timelinelabels", "value": {"ranges": [{"start": 1, "end": 5}], "timelinelabels": ["x"]} | value}


def test_a_task_has_frames_of_its_own_rate_and_a_link_to_the_video():
    made = task("talks/a clip#1.mp4", 9.9, REGIONS)
    assert made["data"] == {"video": "/data/local-files/?d=talks/a%20clip%231.mp4", "video_id": "a clip#1", "fps": 25,
                            "duration": 9.9}
    [prediction] = made["predictions"]
    assert [result["value"]["ranges"] for result in prediction["result"]] == [
        [{"start": 26, "end": 75}], [{"start": 13, "end": 250}]]
    assert [result.get("meta") for result in prediction["result"]] == [None, {"text": ["no sound"]}]
    assert len({result["id"] for result in prediction["result"]}) == 2


def test_the_labeling_interface_names_what_the_results_name():
    view = ElementTree.fromstring(labeling_config(LABELS))
    assert [label.get("value") for label in view.iter("Label")] == list(LABELS)
    result = task("a.mp4", 9.9, REGIONS)["predictions"][0]["result"][0]
    assert (view.find("TimelineLabels").get("name"), view.find("Video").get("name")) == (
        result["from_name"], result["to_name"])


def test_events_come_back_to_half_a_frame(tmp_path: Path):
    (tmp_path / "export.json").write_text(json.dumps([exported()]))
    [(where, video)], errors = read_edited([tmp_path / "export.json"])
    assert not errors and where.endswith("task 7")
    assert video[:2] == ("a clip#1", 9.9) and [event.label for event in video.events] == [LABELS[1], LABELS[0]]
    for event, (_, start, end, *_) in zip(video.events, reversed(REGIONS), strict=True):
        assert event[1:] == pytest.approx((start, min(end, 9.9)), abs=0.5 / 25 + 1e-9)


@pytest.mark.parametrize(("data", "video_id", "end"), [
    ({"video": "/data/upload/3/0a1b2c3d-my%20clip.webm", "fps": 10}, "my clip", 0.5),
    ({"video": "s3://there/clip.mp4"}, "clip", 5 / 24),
])
def test_tasks_that_label_studio_made_are_read_too(tmp_path: Path, data: dict[str, Any], video_id: str, end: float):
    others = [exported(annotations=[]), exported(annotations=[{"was_cancelled": True, "result": []}])]
    choice = {"type": "choices", "value": {"choices": ["good"]}}
    relation = {"type": "relation", "from_id": "a", "to_id": "b"}
    assert read(tmp_path, *others, exported(choice, region(), relation, data=data)) == [
        AnnotatedVideo(video_id, None, None, (TimedEvent("x", 0.0, end),))]


@pytest.mark.parametrize(("tasks", "message"), [
    ([{"video": "a.mp4", "events": []}], "not JSON-MIN"), ([3], "not JSON-MIN"), ([], "none of 0 tasks"),
    ([exported(annotations=[])], "none of 1 tasks is annotated"),
    ([exported(annotations=[{"result": []}, {"result": []}])], "task 7: 2 annotations"),
    ([exported(region(timelinelabels=[]))], "task 7: a range without a label"),
    ([exported(region(ranges=[{"start": 3}]))], "task 7: a range of frames"),
    ([exported(region(ranges=[{"start": 0, "end": 4}]))], "from 1 on"),
    ([exported(data={"video": "a.mp4", "fps": "fast"})], "fps of 'fast'"),
    ([exported(data={"fps": 25})], "neither video_id nor video"),
])
def test_what_cannot_be_read_is_named(tmp_path: Path, tasks: list[Any], message: str):
    with pytest.raises(DataError, match=message):
        read(tmp_path, *tasks)


def test_the_sdk_of_label_studio_accepts_the_task():
    """Skipped where the package is absent: it replaces numpy by an older one."""
    interface = pytest.importorskip("label_studio_sdk.label_interface").LabelInterface(labeling_config(LABELS))
    made = task("a.mp4", 9.9, REGIONS)
    assert interface.validate_prediction(made["predictions"][0], return_errors=True) == []
    assert interface.validate_task({"data": made["data"]})
    wrong = task("a.mp4", 9.9, [REGIONS[0]._replace(label="other")])["predictions"][0]
    assert interface.validate_prediction(wrong, return_errors=True) != []
