"""What happens in the clips, before anything is drawn."""

from __future__ import annotations

from collections import Counter
from itertools import groupby

import numpy as np
import pytest

from avsgn_pyg.scenes.script import CLASSES, ScenesError, Script, Settings, write_scripts


@pytest.fixture(scope="module")
def scripts() -> tuple[Script, ...]:
    return write_scripts(Settings(videos=240, seed=3))


def test_the_same_settings_give_the_same_scripts(scripts: tuple[Script, ...]):
    assert write_scripts(Settings(videos=240, seed=3)) == scripts
    assert write_scripts(Settings(videos=240, seed=4)) != scripts


def test_every_clip_has_one_event_of_whole_seconds(scripts: tuple[Script, ...]):
    for script in scripts:
        assert sum(there for there, _ in groupby(script.relevance)) == 1
        assert script.relevance == tuple(script.start <= second < script.end for second in range(10))


def test_outside_the_event_the_class_is_at_most_heard_or_seen_and_each_happens(scripts: tuple[Script, ...]):
    kinds: Counter[tuple[bool, bool]] = Counter()
    for script in scripts:
        own = script.actors[0]
        kinds.update((h, s) for h, s, event in zip(own.heard, own.seen, script.relevance, strict=True) if not event)
    assert kinds[True, True] == 0
    shares = [kinds[kind] / kinds.total() for kind in ((True, False), (False, True))]
    assert shares == pytest.approx([0.42, 0.42], abs=0.1)


def test_another_class_is_never_both_heard_and_seen_and_strays_only_where_the_own_is_not(scripts: tuple[Script, ...]):
    strays = 0
    for script in scripts:
        own, *others = script.actors
        assert len({actor.category for actor in script.actors}) == len(script.actors)
        assert not any(any(other.heard) and any(other.seen) for other in others)
        for other in others:
            if other.strength == 1:
                strays += 1
                assert not (np.array([own.heard, own.seen]) & np.array([other.heard, other.seen])).any()
    assert strays > 40


@pytest.mark.parametrize(("split", "clips"), [("train", 156), ("val", 36), ("test", 48)])
def test_every_split_holds_every_class_and_is_as_difficult(scripts: tuple[Script, ...], split: str, clips: int):
    own = [script for script in scripts if script.split == split]
    assert len(own) == clips and {script.category for script in own} == set(CLASSES)
    relevance = np.array([script.relevance for script in own])
    assert 0.76 <= relevance.mean() <= 0.80 and 0.56 <= relevance.all(-1).mean() <= 0.64


@pytest.mark.parametrize("wrong", [{"videos": 7}, {"seconds": 1}, {"seed": -1}])
def test_impossible_settings_are_errors(wrong: dict[str, int]):
    name, value = next(iter(wrong.items()))
    with pytest.raises(ScenesError, match=f"{name}={value}"):
        Settings(**wrong)
