"""Events, seconds and table of a prediction that is written by hand."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from avsgn_pyg.graph.detection import Detection
from avsgn_pyg.predictor.prediction import Prediction


@pytest.fixture
def prediction() -> Prediction:
    category = torch.tensor([[0.7, 0.3], [0.7, 0.3], [0.6, 0.4], [0.2, 0.8]])
    return Prediction(
        name="clip.mp4", path=Path("clip.mp4"), categories=("bell", "dog"), duration=3.4,
        relevance=torch.tensor([0.1, 0.8, 0.9, 0.7]), category=category,
        gates={"audio": torch.tensor([0.5, 0.6, 0.7, 0.8]), "visual": torch.tensor([0.1, 0.2, 0.3, 0.4])},
        labels=torch.tensor([2, 0, 0, 1]), tau=0.5, seen=torch.tensor([1.0, 1.0, 0.5, 0.0]),
        heard=torch.tensor([1.0, 1.0, 1.0, 0.4]), padded=6,
    )


def test_events_are_maximal_runs_with_the_mean_of_relevance_times_class(prediction: Prediction) -> None:
    bell, dog = prediction.events
    assert bell[:4] == ("bell", 1.0, 3.0, pytest.approx((0.8 * 0.7 + 0.9 * 0.6) / 2))
    assert dog[:4] == ("dog", 3.0, pytest.approx(3.4), pytest.approx(0.7 * 0.8))


def test_a_tenth_of_a_second_beyond_the_last_is_cut_off(prediction: Prediction) -> None:
    assert replace(prediction, duration=4.05).events[-1].end == 4.0


def test_missing_frames_and_sound_of_a_second_are_named(prediction: Prediction) -> None:
    assert prediction.missing(1) == []
    assert prediction.missing(2) == ["part of the picture"]
    whole = replace(prediction, duration=4.0)
    assert whole.missing(3) == ["no picture", "part of the sound"]
    assert replace(whole, seen=None, heard=None).missing(3) == []


def test_events_have_the_fractions_that_are_seen_and_heard_and_a_note(prediction: Prediction) -> None:
    bell, dog = replace(prediction, duration=4.0).events
    assert (bell.seen, bell.heard, bell.note) == (0.75, 1.0, "picture for 75%")
    assert (dog.seen, dog.heard, dog.note) == (0.0, pytest.approx(0.4), "no picture, sound for 40%")
    assert str(dog) == "dog 3-4 s [no picture, sound for 40%]"
    without = replace(prediction, seen=None, heard=None).events[0]
    assert (without.seen, without.heard, without.note) == (None, None, "")


def test_found_events_have_the_shares_of_their_own_time_and_are_cut_at_a_part(prediction: Prediction) -> None:
    found = (Detection(1, 1.5, 2.5, 0.5), Detection(0, 2.25, 9.0, 0.25))
    several = replace(prediction, duration=4.0, found=found)
    dog, bell = several.events
    assert dog == ("dog", 1.5, 2.5, 0.5, 0.75, 1.0)
    assert bell[:4] == ("bell", 2.25, 4.0, 0.25) and bell.heard == pytest.approx((0.75 + 0.4) / 1.75)
    assert [event[:3] for event in several.between(2, 3)] == [("dog", 2.0, 2.5), ("bell", 2.25, 3.0)]
    assert [several.label(second) for second in range(4)] == ["background", "dog", "dog + bell", "bell"]


def test_a_short_last_second_and_rounding_lack_nothing(prediction: Prediction) -> None:
    whole = torch.ones(3)
    ends = replace(prediction, seen=torch.cat((whole, torch.zeros(1))),
                   heard=torch.cat((whole - 0.02, whole[:1] * 0.4)))
    assert [event.note for event in ends.events] == ["", ""] and ends.missing(3) == []
    assert replace(ends, seen=torch.zeros(4)).events[1].note == "no picture"
    # A second of thirty is told, though it is little.
    long = replace(prediction, duration=30.0, labels=torch.zeros(30, dtype=torch.long), relevance=torch.ones(30),
                   category=torch.ones(30, 2), gates={}, seen=torch.ones(30), heard=torch.arange(30).bool().float())
    assert long.events[0].note == "sound for 97%"


def test_the_table_shows_events_and_seconds(prediction: Prediction) -> None:
    lines = prediction.table(top=2).splitlines()
    assert lines[0] == "clip.mp4 | 3.40 s | tau: 0.5" and "6 s of padding" in lines[1]
    assert "bell   1.00   3.00  0.550       0.75  1.00   picture for 75%" in lines
    assert lines[-1].split() == "3 dog 0.70 0.80 0.40 dog 0.80, bell 0.20 part of the picture".split()
    assert lines[-4].split()[1] == "-"
    assert "none" in replace(prediction, labels=torch.full((4,), 2)).table()


def test_the_dictionary_holds_every_second(prediction: Prediction) -> None:
    values = prediction.as_dict()
    assert [second["label"] for second in values["seconds"]] == ["background", "bell", "bell", "dog"]
    assert values["seconds"][3]["end"] == pytest.approx(3.4)
    assert values["seconds"][2]["category"] == [0.6, 0.4]
    assert values["events"][1]["category"] == "dog"
