"""Scripts of longer clips with one to four events, which may overlap and begin and end between whole seconds.

As in the short clips, an event is a class that is both heard and seen. Around its events a class may stay in one
modality, and classes without an event are only heard or only seen for a while.

Shapes: T seconds of a clip, S = T * RATE steps.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from typing import TypeVar

import numpy as np
from jaxtyping import Bool

from avsgn_pyg.scenes.script import (
    CLASSES,
    HEARD_ONLY,
    SEEN_ONLY,
    TURNS,
    Actor,
    ScenesError,
    Script,
    Settings,
    draw_actor,
)

RATE = 8  #: steps and frames per second
MOST_EVENTS = 4
SHORTEST = 2.0  #: seconds of an event
LONGEST = 0.6  #: an event's share of its clip, at most
AGAIN = 0.35  #: chance that an event has the class of an earlier one of its clip, if they are a second apart
LINGERS = 6.0  #: most seconds for which a class stays in one modality before or after its event
STRAYS = (0, 1, 1, 2)  #: how many classes without an event a clip has, each as likely
PLACES = np.array([0.18, 0.39, 0.61, 0.82])  #: of the things, as shares of the frame's width
Steps = Bool[np.ndarray, "S"]
Item = TypeVar("Item")


@dataclass(frozen=True)
class Several(Settings):
    """The settings of a set of such clips: equal settings give the same frames and samples."""

    videos: int = 60
    seconds: int = 120  #: the longest clip; the shortest has a sixth of it
    several: bool = True

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.seconds < 12:
            raise ScenesError(f"seconds={self.seconds}: at least 12 for clips with several events")


def write_several(settings: Several) -> tuple[Script, ...]:
    """Return what happens in every clip: scripts in order of their ids.

    Splits are 65 / 15 / 20. Within each, the classes and the numbers of events are about evenly frequent.
    """
    draw = np.random.default_rng((settings.seed, 2))
    classes, counts = ({name: _deck(items, draw) for name in dict.fromkeys(TURNS)}
                       for items in (CLASSES, range(1, MOST_EVENTS + 1)))
    splits = [TURNS[clip % len(TURNS)] for clip in range(settings.videos)]
    return tuple(_script(settings, clip, split, next(counts[split]), classes[split])
                 for clip, split in enumerate(splits))


def _deck(items: Iterable[Item], draw: np.random.Generator) -> Iterator[Item]:
    """Yield all items in a random order, again and again."""
    items = tuple(items)
    while True:
        yield from (items[place] for place in draw.permutation(len(items)))


def _script(settings: Several, clip: int, split: str, count: int, classes: Iterator[str]) -> Script:
    draw = np.random.default_rng((settings.seed, 3, clip))
    seconds = round(settings.seconds * 6 ** (draw.random() ** 2 - 1))
    events: dict[str, Steps] = {}
    for _ in range(count):
        event = _interval(seconds, draw)
        apart = [name for name, others in events.items() if not (_widened(event, RATE) & others).any()]
        if not apart or draw.random() > AGAIN:
            apart = [next(name for name in classes if name not in events)]
        events[apart[0]] = events.get(apart[0], False) | event
    nobody = np.zeros(seconds * RATE, dtype=bool)
    parts = [(name, *_present(event, draw)) for name, event in events.items()]
    for name in draw.permutation([name for name in CLASSES if name not in events])[: draw.choice(STRAYS)].tolist():
        stray = _interval(seconds, draw)
        parts.append((name, stray, nobody) if draw.random() < 0.5 else (name, nobody, stray))
    places = draw.permutation(PLACES)
    actors = (_actor(part, places[number % len(places)], draw) for number, part in enumerate(parts))
    return Script(f"scene-{clip:05d}", split, seconds, int(draw.integers(2**31)), tuple(actors), RATE, RATE)


def _actor(part: tuple[str, Steps, Steps], place: float, draw: np.random.Generator) -> Actor:
    actor = draw_actor(*part, 1.0, True, draw)
    return replace(actor, x=float(place + draw.uniform(-0.03, 0.03)), size=0.7 * actor.size)


def _interval(seconds: int, draw: np.random.Generator) -> Steps:
    """Return the steps of one random run; the logarithm of its length is uniform."""
    length = round(RATE * SHORTEST * (LONGEST * seconds / SHORTEST) ** draw.random())
    start = draw.integers(seconds * RATE - length + 1)
    steps = np.arange(seconds * RATE)
    return (steps >= start) & (steps < start + length)


def _widened(event: Steps, by: int) -> Steps:
    """Return the steps of an event and `by` steps on either side."""
    return np.convolve(event, np.ones(2 * by + 1))[by : by + len(event)] > 0


def _present(event: Steps, draw: np.random.Generator) -> tuple[Steps, Steps]:
    """Return the steps [S] in which the class is heard, and seen: both in its events, at most one outside."""
    heard, seen = event.copy(), event.copy()
    edges = np.flatnonzero(np.diff(event, prepend=False, append=False))
    bounds = np.array([0, *edges, len(event)])
    for first, last in bounds.reshape(-1, 2).tolist():  # the steps without the event, half of them for either side
        middle = first if first == 0 else last if last == len(event) else (first + last) // 2
        after, before = np.rint(RATE * draw.uniform(1, LINGERS, 2)).astype(int)
        for steps in (slice(first, min(first + after, middle)), slice(max(last - before, middle), last)):
            kind = draw.random()
            if kind < HEARD_ONLY:
                heard[steps] = True
            elif kind > 1 - SEEN_ONLY:
                seen[steps] = True
    return heard, seen
