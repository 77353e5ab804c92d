"""OV-AVE's F-scores against a slow reading of their definition, and cases worked out by hand."""

from __future__ import annotations

import itertools
import math

import pytest
import torch

from avsgn_pyg.metrics.f_score import evaluate_open_vocabulary

CLASSES, BACKGROUND = 4, 4


def labels(*rows: str) -> torch.Tensor:
    """One video a word: a digit is a class, a dot is background."""
    return torch.tensor([[BACKGROUND if sign == "." else int(sign) for sign in row] for row in rows])


def runs(row: list[int], label: int) -> list[set[int]]:
    groups = itertools.groupby(range(len(row)), key=lambda at: row[at] == label)
    return [set(group) for there, group in groups if there]


def plain_f(predicted: list[int], true: list[int], level: str) -> float:
    """The F of one video, background being a class."""
    found = []
    for label in sorted({*predicted, *true}):
        if level == "segment":
            hits, wrong, missed = ([(p == label, t == label) for p, t in zip(predicted, true, strict=True)].count(pair)
                                   for pair in ((True, True), (True, False), (False, True)))
        else:
            ours, theirs = runs(predicted, label), runs(true, label)
            near = [[2 * len(one & other) >= len(one | other) for other in theirs] for one in ours]
            hits = sum(map(any, near))
            wrong, missed = len(ours) - hits, sum(not any(column[at] for column in near) for at in range(len(theirs)))
        found.append(2 * hits / (2 * hits + wrong + missed))
    return 100 * sum(found) / len(found)


def test_it_is_the_definition_read_slowly():
    draw = torch.Generator().manual_seed(0)
    true = torch.randint(CLASSES + 1, (30, 4), generator=draw).repeat_interleave(torch.tensor([3, 1, 4, 2]), 1)
    predicted = torch.where(torch.rand(30, 10, generator=draw) < 0.2, BACKGROUND, true)
    unseen = torch.arange(30) % 3 == 0
    report = evaluate_open_vocabulary(predicted, true, unseen, classes=CLASSES)
    for name, group in (("seen", ~unseen), ("unseen", unseen), ("total", unseen | True)):
        pairs = list(zip(predicted[group].tolist(), true[group].tolist(), strict=True))
        scores = report[name]
        assert scores.videos == len(pairs)
        assert scores.accuracy == pytest.approx(100 * (predicted == true)[group].double().mean().item())
        for level, score in (("segment", scores.segment_f), ("event", scores.event_f)):
            assert score == pytest.approx(sum(plain_f(*pair, level) for pair in pairs) / len(pairs)) and 20 < score < 95


@pytest.mark.parametrize(("predicted", "true", "accuracy", "segment", "event"), [
    ("11..", "11..", 100, 100, 100),
    ("....", "....", 100, 100, 100),
    # Class 1: 2 of 4 seconds, F 2/3, IoU 1/2; background: predicted for two seconds that are not.
    ("11..", "1111", 50, 100 * (2 / 3 + 0) / 2, 50),
    # The class is wrong: F 0 for both classes and 1 for background.
    ("11..", "22..", 50, 100 / 3, 100 / 3),
    # A run cut in two: one half reaches IoU 1/2 with the whole, the other does not.
    ("111.1.", "11111.", 5 / 6 * 100, 100 * (8 / 9 + 2 / 3) / 2, 100 * (2 / 3 + 2 / 3) / 2),
])
def test_hand_worked_cases(predicted: str, true: str, accuracy: float, segment: float, event: float):
    scores = evaluate_open_vocabulary(labels(predicted), labels(true), torch.tensor([True]), classes=CLASSES)
    assert scores["unseen"][:3] == pytest.approx((accuracy, segment, event)) and scores["total"] == scores["unseen"]
    assert scores["seen"].videos == 0 and math.isnan(scores["seen"].event_f)


def test_the_interval_is_over_videos():
    true = labels(*["11.."] * 6)
    predicted = labels(*["11.."] * 3, *["...."] * 3)
    scores = evaluate_open_vocabulary(predicted, true, torch.zeros(6).bool(), classes=CLASSES, replicates=200)["total"]
    lo, hi = scores.intervals["segment_f"]
    assert 100 / 3 <= lo < scores.segment_f < hi <= 100
    assert set(scores.intervals) == {"accuracy", "segment_f", "event_f"}


def test_a_label_beyond_background_is_refused():
    with pytest.raises(ValueError, match="0 to 4"):
        evaluate_open_vocabulary(labels("115."), labels("11.."), torch.zeros(1).bool(), classes=CLASSES)
