"""What happens in the clips with several events, before anything is drawn."""

from __future__ import annotations

from collections import Counter
from itertools import combinations

import numpy as np
import pytest

from avsgn_pyg.scenes.script import CLASSES, ScenesError, Script
from avsgn_pyg.scenes.several import RATE, Several, write_several


@pytest.fixture(scope="module")
def scripts() -> tuple[Script, ...]:
    return write_several(Several(seed=3))


def test_the_same_settings_give_the_same_scripts(scripts: tuple[Script, ...]):
    assert write_several(Several(seed=3)) == scripts
    assert write_several(Several(seed=4)) != scripts


def test_clips_have_one_to_four_events_of_every_length_and_many_overlap(scripts: tuple[Script, ...]):
    assert {len(script.events) for script in scripts} == {1, 2, 3, 4}
    assert min(script.seconds for script in scripts) >= 20 and 80 < max(script.seconds for script in scripts) <= 120
    lengths = [end - start for script in scripts for _, start, end in script.events]
    assert min(lengths) >= 2 and max(lengths) > 20 and sum(length < 5 for length in lengths) > 0.2 * len(lengths)
    pairs = [pair for script in scripts for pair in combinations(script.events, 2)]
    assert sum(one[1] < other[2] and other[1] < one[2] for one, other in pairs) > 30
    assert sum(one[0] == other[0] for one, other in pairs) > 5


def test_events_of_one_class_are_a_second_apart_and_boundaries_lie_between_whole_seconds(scripts: tuple[Script, ...]):
    for script in scripts:
        for (name, _, end), (other, start, _) in combinations(script.events, 2):
            assert name != other or start >= end + 1
    starts = Counter(start % 1 for script in scripts for _, start, _ in script.events)
    assert set(starts) == {step / RATE for step in range(RATE)}


def test_classes_are_also_only_heard_and_only_seen_around_their_events_and_without_one(scripts: tuple[Script, ...]):
    seconds: Counter[tuple[bool, str]] = Counter()
    for script in scripts:
        names = {name for name, _, _ in script.events}
        assert len({actor.category for actor in script.actors}) == len(script.actors)
        for actor in script.actors:
            heard, seen = np.array(actor.heard), np.array(actor.seen)
            assert len(heard) == len(seen) == script.seconds * RATE
            seconds[actor.category in names, "heard"] += (heard & ~seen).sum() / RATE
            seconds[actor.category in names, "seen"] += (seen & ~heard).sum() / RATE
            assert actor.category in names or not (heard.any() and seen.any())
    assert len(seconds) == 4 and min(seconds.values()) > 60


@pytest.mark.parametrize(("split", "clips"), [("train", 39), ("val", 9), ("test", 12)])
def test_every_split_has_every_class_and_every_number_of_events(
    scripts: tuple[Script, ...], split: str, clips: int
):
    own = [script.events for script in scripts if script.split == split]
    assert len(own) == clips and {len(events) for events in own} == {1, 2, 3, 4}
    assert {name for events in own for name, _, _ in events} == set(CLASSES)


def test_the_shortest_clips_have_events_too():
    scripts = write_several(Several(seconds=12))
    assert min(script.seconds for script in scripts) == 2 and all(script.events for script in scripts)


@pytest.mark.parametrize("wrong", [{"videos": 7}, {"seconds": 11}])
def test_impossible_settings_are_errors(wrong: dict[str, int]):
    name, value = next(iter(wrong.items()))
    with pytest.raises(ScenesError, match=f"{name}={value}"):
        Several(**wrong)
