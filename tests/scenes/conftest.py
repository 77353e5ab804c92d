"""Short scripts whose actors are heard and seen in chosen seconds."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest

from avsgn_pyg.scenes.script import CLASSES, Actor, Script

Play = Callable[..., Script]


@pytest.fixture
def play() -> Play:
    """A clip with one actor; seconds are written as "-#-": there where a # stands."""

    def make(category: str, heard: str, seen: str, seed: int = 5) -> Script:
        actor = Actor(
            category=category,
            heard=tuple(sign == "#" for sign in heard),
            seen=tuple(sign == "#" for sign in seen),
            strength=1.0, x=0.4, y=0.1, size=0.6, beat=0.6, pitch=0.5,
            traits=(0.3, 0.6, 0.4, 0.5, 0.2, 0.5, 0.7, 0.1), seed=CLASSES.index(category),
        )  # fmt: skip
        return Script("scene-x", "train", len(heard), seed, (actor,))

    return make


@pytest.fixture
def mute() -> Callable[[Script], Script]:
    """The same clip without its actors."""
    return lambda script: replace(script, actors=())
