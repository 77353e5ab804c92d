"""mAP over temporal IoU: hand-worked cases, a plain implementation of ActivityNet's protocol, the interval."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest
import torch

from avsgn_pyg.graph.detection import Detection
from avsgn_pyg.metrics.detection import TIOU, evaluate_detections, temporal_iou

LABELS = ("bark", "bell", "horn")


def random_case(videos: int = 12) -> tuple[list[list[Detection]], list[torch.Tensor]]:
    """Events and detections near them, some doubled, some of another class; one video has neither."""
    draw = np.random.default_rng(0)
    detections, events = [[]], [torch.zeros(0, 3)]
    for _ in range(videos - 1):
        start = draw.uniform(0, 20, (draw.integers(1, 6), 1))
        truth = np.hstack((draw.integers(0, 2, start.shape), start, start + draw.uniform(1, 9, start.shape)))
        found = np.repeat(truth, 3, 0)
        found[:, 1] += draw.normal(0, 1, len(found))
        found[:, 2] = found[:, 1] + draw.uniform(0.5, 9, len(found))
        found[draw.random(len(found)) < 0.2, 0] = 2
        events.append(torch.from_numpy(truth))
        detections.append([Detection(int(row[0]), row[1], row[2], draw.random()) for row in found])
    return detections, events


def plain_ap(detections: list[list[Detection]], events: list[torch.Tensor], category: int, threshold: float) -> float:
    """Average precision of one class by the definition, one detection after the other."""
    ranked = sorted(((each, video) for video, found in enumerate(detections) for each in found
                     if each.category == category), key=lambda pair: -pair[0].score)
    free = [[row[1:] for row in video.tolist() if row[0] == category] for video in events]
    count, right, points = sum(map(len, free)), 0, []
    for place, (found, video) in enumerate(ranked, 1):
        def iou(other: list[float], found: Detection = found) -> float:
            shared = max(0.0, min(found.end, other[1]) - max(found.start, other[0]))
            return shared / (found.end - found.start + other[1] - other[0] - shared)

        best = max(free[video], key=iou, default=None)
        if best is not None and iou(best) >= threshold:
            free[video].remove(best)
            right += 1
        points.append((right / count, right / place))
    recalls = [0.0, *(recall for recall, _ in points)]
    return sum((recall - before) * max(precision for _, precision in points[place:])
               for place, (recall, before) in enumerate(zip(recalls[1:], recalls, strict=False)))


def test_it_is_the_plain_implementation():
    detections, events = random_case()
    report = evaluate_detections(detections, events, LABELS)
    expected = {threshold: 50 * sum(plain_ap(detections, events, category, threshold) for category in (0, 1))
                for threshold in TIOU}
    assert report.map == pytest.approx(expected)
    assert report.mean_map == pytest.approx(np.mean(list(expected.values()))) and 5 < report.mean_map < 95
    assert math.isnan(report.per_class["horn"]), "a class without events has no average precision"
    assert report.per_class["bark"] == pytest.approx(
        100 * np.mean([plain_ap(detections, events, 0, threshold) for threshold in TIOU]))


@pytest.mark.parametrize(("found", "expected"), [
    ([(0, 0, 10, 0.9), (0, 20, 30, 0.8)], 100.0),
    ([(0, 0, 10, 0.9)], 50.0),  # half of the events
    ([(0, 0, 10, 0.9), (0, 0, 10, 0.8), (0, 20, 30, 0.7)], 50 + 50 * 2 / 3),  # an event is found once
    ([(0, 40, 50, 0.9), (0, 0, 10, 0.8), (0, 20, 30, 0.7)], 100 * 2 / 3),  # the later precision counts for both
    ([(1, 0, 10, 0.9), (1, 20, 30, 0.8)], 0.0),  # another class
    ([(0, 0, 5, 0.9), (0, 20, 24.9, 0.8)], 50.0),  # IoU .5 and .49 at .5
    ([], 0.0),
], ids=["both", "one", "double", "first is wrong", "class", "threshold", "none"])
def test_hand_worked_cases(found: list[tuple[int, float, float, float]], expected: float):
    events = [torch.tensor([[0.0, 0.0, 10.0], [0.0, 20.0, 30.0]])]
    report = evaluate_detections([[Detection(*each) for each in found]], events, LABELS, thresholds=(0.5,))
    assert report.mean_map == pytest.approx(expected)


def test_detections_of_different_videos_are_ranked_together():
    """A wrong one of another video with a higher score halves the precision."""
    event = torch.tensor([[0.0, 0.0, 10.0]])
    one, other = [Detection(0, 0, 10, 0.5)], [Detection(0, 20, 30, 0.6)]
    assert evaluate_detections([one, other], [event, event[:0]], LABELS).mean_map == pytest.approx(50)
    assert evaluate_detections([one, one], [event, event], LABELS).mean_map == pytest.approx(100)


def test_rounded_times_reach_a_threshold():
    """0.9 s of a second, in float32, are an IoU of .9."""
    event = torch.tensor([[0.0, 128.1, 129.1]])
    assert temporal_iou(np.array([[128.1, 129.0]]), event[:, 1:].double().numpy())[0, 0] < 0.9
    found = [[Detection(0, 128.1, 129.0, 0.5)]]
    assert evaluate_detections(found, [event], LABELS, thresholds=(0.9,)).mean_map == 100
    assert evaluate_detections(found, [event], LABELS, thresholds=(0.901,)).mean_map == 0


def test_the_interval_is_that_of_videos_drawn_again():
    """The mean mAP of literally repeated videos has the quantiles that are reported."""
    detections, events = random_case(8)
    report = evaluate_detections(detections, events, LABELS, replicates=30, seed=3)
    draw = np.random.default_rng(3).multinomial(8, np.full(8, 1 / 8), size=30)
    means = []
    for counts in draw:
        index = np.repeat(np.arange(8), counts)
        means.append(evaluate_detections([detections[i] for i in index], [events[i] for i in index], LABELS).mean_map)
    assert report.mean_map_interval == pytest.approx(np.percentile(means, [2.5, 97.5]))
    assert report.mean_map_interval.lo < report.mean_map < report.mean_map_interval.hi


def test_the_table_has_the_averages_of_unav_and_the_json_no_nan():
    report = evaluate_detections(*random_case(), LABELS, replicates=50)
    assert [row.name for row in report.rows()] == ["mean mAP", *(f"mAP @ 0.{n}" for n in range(5, 10))]
    plain = json.loads(json.dumps(report.as_dict(), allow_nan=False))
    assert plain["per_class"]["horn"] is None and list(plain["map"]) == [f"{t:g}" for t in TIOU]


@pytest.mark.parametrize(("found", "says"), [
    ([], "one list"),
    ([[Detection(3, 0, 1, 0.5)]], "class from 0 to 2"),
    ([[Detection(0, 2, 2, 0.5)]], "video 0"),
    ([[Detection(0, 0, math.nan, 0.5)]], "nan"),
], ids=["no list", "class", "empty", "nan"])
def test_impossible_detections_are_refused(found: list[list[Detection]], says: str):
    with pytest.raises(ValueError, match=says):
        evaluate_detections(found, [torch.zeros(0, 3)], LABELS)
    with pytest.raises(ValueError, match="thresholds"):
        evaluate_detections([[]], [torch.zeros(0, 3)], LABELS, thresholds=(0.0,))
