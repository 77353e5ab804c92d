"""Events, seconds and marks of an answer that is written down by hand."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from avsgn_pyg.predictor.prediction import Prediction


@pytest.fixture
def answer() -> Prediction:
    category = torch.tensor([[0.7, 0.3], [0.7, 0.3], [0.6, 0.4], [0.2, 0.8]])
    return Prediction(
        name="clip.mp4", path=Path("clip.mp4"), categories=("bell", "dog"), duration=3.4,
        relevance=torch.tensor([0.1, 0.8, 0.9, 0.7]), category=category,
        gates={"audio": torch.tensor([0.5, 0.6, 0.7, 0.8]), "visual": torch.tensor([0.1, 0.2, 0.3, 0.4])},
        labels=torch.tensor([2, 0, 0, 1]), tau=0.5, seen=torch.tensor([1.0, 1.0, 0.5, 0.0]),
        heard=torch.tensor([1.0, 1.0, 1.0, 0.4]), padded=6,
    )


def test_events_are_maximal_runs_with_the_mean_of_relevance_times_class(answer: Prediction) -> None:
    bell, dog = answer.events
    assert bell[:3] == ("bell", 1.0, 3.0)
    assert bell.confidence == pytest.approx((0.8 * 0.7 + 0.9 * 0.6) / 2)
    assert dog.confidence == pytest.approx(0.7 * 0.8)


def test_the_last_second_ends_with_the_video(answer: Prediction) -> None:
    assert answer.events[-1][:3] == ("dog", 3.0, pytest.approx(3.4))
    # Up to a tenth of a second is no segment of its own: the last one then ends at the whole second.
    assert replace(answer, duration=4.05).events[-1].end == 4.0


def test_a_second_tells_what_was_missing(answer: Prediction) -> None:
    assert answer.marks(1) == []
    assert answer.marks(2) == ["part of the picture"]
    assert answer.marks(3) == ["no picture", "part of the sound"]


def test_features_have_nothing_to_mark(answer: Prediction) -> None:
    assert replace(answer, seen=None, heard=None).marks(3) == []


def test_the_likeliest_classes_come_first(answer: Prediction) -> None:
    assert [name for name, _ in answer.top(3, 5)] == ["dog", "bell"]


def test_the_table_shows_events_seconds_and_marks(answer: Prediction) -> None:
    lines = answer.table(top=2).splitlines()
    assert lines[0] == "clip.mp4 | 3.40 s | tau: 0.5"
    assert "6 s were added" in lines[1]
    assert "bell   1.00   3.00  0.550" in lines
    assert lines[-1].split() == ["3", "dog", "0.70", "0.80", "0.40", "dog", "0.80,", "bell", "0.20", "no", "picture,",
                                 "part", "of", "the", "sound"]
    assert lines[-4].split()[1] == "-"


def test_a_video_without_an_event_says_so(answer: Prediction) -> None:
    silent = replace(answer, labels=torch.full((4,), 2))
    assert silent.events == []
    assert "none" in silent.table()


def test_the_dictionary_holds_every_second(answer: Prediction) -> None:
    values = answer.as_dict()
    assert [second["label"] for second in values["seconds"]] == ["background", "bell", "bell", "dog"]
    assert values["seconds"][3]["end"] == pytest.approx(3.4)
    assert values["seconds"][2]["category"] == [0.6, 0.4]
    assert values["events"][1]["category"] == "dog"
