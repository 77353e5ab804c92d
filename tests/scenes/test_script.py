"""What happens in the clips, before anything is drawn."""

from __future__ import annotations

from collections import Counter
from itertools import groupby

import numpy as np
import pytest

from avsgn_pyg.scenes.script import CLASSES, TURNS, ScenesError, Script, Settings, write_scripts


@pytest.fixture(scope="module")
def scripts() -> tuple[Script, ...]:
    return write_scripts(Settings(videos=240, seed=3))


def runs(seconds: tuple[bool, ...]) -> int:
    return sum(there for there, _ in groupby(seconds))


def test_the_same_settings_give_the_same_scripts(scripts: tuple[Script, ...]):
    assert write_scripts(Settings(videos=240, seed=3)) == scripts
    assert write_scripts(Settings(videos=240, seed=4)) != scripts


def test_every_clip_has_one_event_of_whole_seconds(scripts: tuple[Script, ...]):
    for script in scripts:
        assert runs(script.relevance) == 1
        assert script.relevance == tuple(script.start <= second < script.end for second in range(10))


def test_outside_the_event_the_class_is_at_most_heard_or_seen_and_each_happens(scripts: tuple[Script, ...]):
    kinds: Counter[tuple[bool, bool]] = Counter()
    for script in scripts:
        own = script.actors[0]
        kinds.update((h, s) for h, s, event in zip(own.heard, own.seen, script.relevance, strict=True) if not event)
    assert kinds[True, True] == 0
    background = kinds.total()
    assert kinds[True, False] / background == pytest.approx(0.42, abs=0.1)
    assert kinds[False, True] / background == pytest.approx(0.42, abs=0.1)


def test_another_class_is_never_both_heard_and_seen(scripts: tuple[Script, ...]):
    for script in scripts:
        for other in script.actors[1:]:
            assert other.category != script.category
            assert not (any(other.heard) and any(other.seen))
        assert len({actor.category for actor in script.actors}) == len(script.actors)


def test_strays_come_only_where_the_class_is_not(scripts: tuple[Script, ...]):
    strays = [(script.actors[0], other) for script in scripts for other in script.actors[1:] if other.strength == 1]
    assert len(strays) > 40
    for own, other in strays:
        assert not any(a and b for a, b in zip(own.heard, other.heard, strict=True))
        assert not any(a and b for a, b in zip(own.seen, other.seen, strict=True))


@pytest.mark.parametrize("split", ["train", "val", "test"])
def test_foreground_is_as_frequent_in_every_split(scripts: tuple[Script, ...], split: str):
    relevance = np.array([script.relevance for script in scripts if script.split == split])
    assert 0.76 <= relevance.mean() <= 0.80
    assert 0.56 <= relevance.all(-1).mean() <= 0.64


def test_splits_are_65_15_20_and_hold_every_class(scripts: tuple[Script, ...]):
    assert Counter(TURNS) == {"train": 13, "val": 3, "test": 4}
    assert Counter(script.split for script in scripts) == {"train": 156, "val": 36, "test": 48}
    for split in ("train", "val", "test"):
        assert {script.category for script in scripts if script.split == split} == set(CLASSES)


def test_the_smallest_set_has_every_class_and_every_split():
    scripts = write_scripts(Settings(videos=8, seconds=2))
    assert {script.category for script in scripts} == set(CLASSES)
    assert {script.split for script in scripts} == {"train", "val", "test"}


@pytest.mark.parametrize("wrong", [{"videos": 7}, {"seconds": 1}, {"seed": -1}])
def test_settings_that_cannot_be_are_refused(wrong: dict[str, int]):
    name, value = next(iter(wrong.items()))
    with pytest.raises(ScenesError, match=f"{name}={value}"):
        Settings(**wrong)
