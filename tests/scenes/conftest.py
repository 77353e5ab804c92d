"""Short scripts whose actors are heard and seen in chosen steps."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from avsgn_pyg.scenes.script import CLASSES, Actor, Script


@pytest.fixture
def play() -> Callable[..., Script]:
    """A clip with one actor; steps, `rate` a second, are written as "-#-": there at a #."""

    def make(category: str, heard: str, seen: str, seed: int = 5, rate: int = 1) -> Script:
        actor = Actor(category, tuple(sign == "#" for sign in heard), tuple(sign == "#" for sign in seen), strength=1.0,
                      x=0.4, y=0.1, size=0.6, beat=0.6, pitch=0.5, traits=(0.3, 0.6, 0.4, 0.5, 0.2, 0.5, 0.7, 0.1),
                      seed=CLASSES.index(category))
        return Script("scene-x", "train", len(heard) // rate, seed, (actor,), rate)

    return make
