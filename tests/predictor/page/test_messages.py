"""What the page shows of a clip, and the files of corrected events."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from avsgn_pyg.common.errors import DataError
from avsgn_pyg.graph.detection import Detection
from avsgn_pyg.predictor.page.messages import DOWNLOADS, corrected, export, result_message


@pytest.fixture
def prediction(page, analysed):
    return page.uploads.examples[0].results["tiny|"].prediction


def event(label, start, end):
    return {"label": label, "start": start, "end": end}


def test_corrected_events_are_the_events_of_every_file(prediction) -> None:
    found = corrected(prediction, 0.5, [event("dog", 6, 10), event("bell", 1, 3)])
    assert [each[:3] for each in found.events] == [("bell", 1.0, 3.0), ("dog", 6.0, 10.0)]
    assert "bell,1.0,3.0" in export(found, "events")[1]


def test_another_threshold_gives_the_events_of_that_threshold(prediction) -> None:
    assert [each[:3] for each in corrected(prediction, 0.8, None).events] == [("rain", 3.0, 4.0)]
    assert corrected(prediction, None, None).events == prediction.events


def test_a_file_tells_no_path_of_this_machine(prediction, movie) -> None:
    for form in DOWNLOADS:
        name, text = export(corrected(prediction, 0.5, None), form)
        assert name.startswith("movie.") and str(movie.parent) not in text
    assert json.loads(export(corrected(prediction, 0.5, None), "json")[1])["path"] is None


@pytest.mark.parametrize("events", [
    [event("cat", 0, 1)], [event("dog", 4, 4)], [event("dog", 5, 11)], [event("dog", "x", 2)], [{}], "dog",
    [event("dog", float("nan"), 2)],
])
def test_events_that_are_none_of_the_clip_are_refused(prediction, events) -> None:
    with pytest.raises(DataError, match="event"):
        corrected(prediction, 0.5, events)


@pytest.mark.parametrize("tau", [1.5, -1, "much", float("nan")])
def test_a_threshold_outside_of_0_to_1_is_refused(prediction, tau) -> None:
    with pytest.raises(DataError, match="threshold"):
        corrected(prediction, tau, None)


def test_an_unknown_format_is_refused(prediction) -> None:
    with pytest.raises(DataError, match="'exe'"):
        export(replace(prediction, path=None), "exe")


def test_events_of_a_dense_model_keep_their_times_and_may_overlap(prediction) -> None:
    dense = replace(prediction, found=(Detection(0, 1.25, 4.5, 0.9), Detection(2, 3.0, 6.0, 0.6)))
    message = result_message(dense, "id", "run")
    assert [each["start"] for each in message["events"]] == [1.25, 3.0] and message["tau"] == dense.tau
    assert [each[:3] for each in corrected(dense, 0.7, None).events] == [("bell", 1.25, 4.5)]
    moved = corrected(dense, 0.5, [event("bell", 1.3, 4.5), event("dog", 2.2, 3.1)])
    assert [each[:3] for each in moved.events] == [("bell", 1.3, 4.5), ("dog", 2.2, 3.1)]
