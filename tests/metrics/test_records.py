"""One record a video."""

from __future__ import annotations

import math

import pytest
import torch

from avsgn_pyg.localization import Event
from avsgn_pyg.metrics import evaluate, video_records


def test_a_record_shows_the_answer_beside_the_truth():
    record, = video_records(
        torch.tensor([[2.0, 0.0]]), torch.tensor([[9.0, -9.0, 9.0]]),
        torch.tensor([1]), torch.tensor([[1, 0, 0]]),
        categories=["Bark", "Banjo"], tau=0.5,
    )
    assert (record.predicted_class, record.true_class) == ("Bark", "Banjo")
    assert record.confidence == pytest.approx(1 / (1 + math.exp(-2)))
    assert (record.predicted_labels, record.true_labels) == ((0, 2, 0), (1, 2, 2))
    assert record.accuracy == pytest.approx(100 / 3)
    assert record.predicted_events == (Event(0, 0, 1), Event(0, 2, 3))


def test_a_video_without_an_event_has_no_true_class():
    record, = video_records(
        torch.zeros(1, 2), torch.full((1, 3), -1.0), torch.tensor([-1]), torch.zeros(1, 3),
        categories=["Bark", "Banjo"], tau=0.5,
    )
    assert record.true_class is None and record.accuracy == 100.0 and record.predicted_events == ()


@pytest.mark.parametrize("scored", [False, True])
def test_records_average_to_the_segment_accuracy(make_answers, scored):
    answers = make_answers(11, videos=9)
    scores = torch.randn(9, 5, 4, generator=torch.Generator().manual_seed(1)) if scored else None
    records = video_records(*answers, categories=["a", "b", "c"], tau=0.3, segment_scores=scores)
    report = evaluate(*answers, categories=["a", "b", "c"], tau=0.3, bootstrap=0, segment_scores=scores)
    assert len(records) == 9
    assert sum(record.accuracy for record in records) / 9 == pytest.approx(report.segment_accuracy)


def test_a_record_of_a_shorter_video_ends_with_it():
    one, two = video_records(
        torch.tensor([[2.0, 0.0]] * 2), torch.tensor([[9.0, -9.0, 9.0], [9.0, 9.0, float("nan")]]),
        torch.tensor([0, 1]), torch.tensor([[1, 0, 1], [1, 0, 1]]),
        categories=["Bark", "Banjo"], tau=0.5, mask=torch.tensor([[True, True, True], [True, True, False]]),
    )
    assert (one.predicted_labels, two.predicted_labels) == ((0, 2, 0), (0, 0))
    assert (two.true_labels, two.accuracy) == ((1, 2), 0)
    assert (one.accuracy, two.predicted_events) == (100, (Event(0, 0, 2),))
