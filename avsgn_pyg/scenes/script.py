"""The script of a synthetic clip: which classes are heard and seen in each second, where, and with which voice.

An event is a class that is *both* heard and seen, as in AVE. A single modality is misleading on purpose: background
seconds keep the sound of the class without its picture or vice versa, other classes appear in one modality,
and another may be weakly present in the whole clip. No other class is ever both heard and seen.

Shapes: N clips, T seconds of a clip. Sounds and pictures begin and end at steps: whole seconds, or eighths where a clip
has several events (``several.py``).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

CLASSES = ("Bell", "Bird", "Drum", "Kettle", "Rain", "Sea", "Siren", "Tractor")
WHOLE = 0.60  #: share of clips whose event fills every second (AVE: 0.66)
LONGEST = 0.8  #: longest other event, as a share of T
HEARD_ONLY, SEEN_ONLY = 0.42, 0.42  #: shares of background runs that keep the sound of the class, its picture
STRAY = 0.5  #: chance that a modality without the class shows another one
UNDER = 0.15  #: chance, for each modality, that another class lies weakly under the whole clip
UNDER_STRENGTH = 0.35
FRAME_RATE = 12
TRAITS = 8  #: numbers in [0, 1] that determine a look and a voice
#: Clips in order of class take turns in this: 13 train, 3 val, 4 test.
TURNS = tuple({"t": "train", "v": "val", "e": "test"}[letter] for letter in "tetvttettvtetttvtett")
#: Tempo of both drawing and voice: its value at a beat of 0, and its change up to 1. Seconds from stroke to stroke,
#: chirp to chirp, or per turn of the siren; for the tractor, strokes of its engine per second.
TEMPOS = {"Bell": (0.9, -0.42), "Bird": (0.36, -0.18), "Drum": (0.42, -0.22), "Siren": (1.3, -0.7),
          "Tractor": (11.0, 10.0)}


class ScenesError(ValueError):
    """Scenes that cannot be created; the message says what was found and what would work."""


@dataclass(frozen=True)
class Settings:
    """The settings of a set of scenes: equal settings give the same frames and samples."""

    videos: int = 240  #: N, at least one of each class
    seed: int = 0  #: of everything that is random
    seconds: int = 10  #: T, length of a clip

    def __post_init__(self) -> None:
        if self.videos < len(CLASSES):
            raise ScenesError(f"videos={self.videos}: at least {len(CLASSES)}, one of each class")
        if self.seconds < 2:
            raise ScenesError(f"seconds={self.seconds}: at least 2, or an event cannot have a boundary")
        if self.seed < 0:
            raise ScenesError(f"seed={self.seed}: a whole number, 0 or more")


@dataclass(frozen=True)
class Actor:
    """One class in a clip, with its own look and voice."""

    category: str  #: one of CLASSES
    heard: tuple[bool, ...]  #: [T * rate] steps with its sound
    seen: tuple[bool, ...]  #: [T * rate] steps in which it is in the picture
    strength: float  #: 1, or less for weak background sound or pictures
    x: float  #: place, as a share of the frame's width
    y: float  #: the ground below it, as a share of the frame's height from below
    size: float  #: height, as a share of the frame's
    beat: float  #: 0 to 1, slow to fast
    pitch: float  #: 0 to 1, low to high
    traits: tuple[float, ...]  #: [TRAITS] numbers in [0, 1] for drawing and voice
    seed: int  #: of drops, syllables and the like

    @property
    def tempo(self) -> float:
        """See :data:`TEMPOS`."""
        slow, change = TEMPOS[self.category]
        return slow + change * self.beat

    @property
    def side(self) -> int:
        """1: it looks to the right, -1: to the left."""
        return 1 if self.traits[6] < 0.5 else -1


@dataclass(frozen=True)
class Script:
    """One clip."""

    video_id: str  #: its name, which does not reveal the class
    split: str  #: train, val or test
    seconds: int  #: T
    seed: int  #: of scenery, ambience and noise
    actors: tuple[Actor, ...]  #: in a clip with one event its class first; any other is only heard or only seen
    rate: int = 1  #: steps of the actors per second
    frame_rate: int = FRAME_RATE  #: frames per second, a multiple of `rate`

    @property
    def events(self) -> tuple[tuple[str, float, float], ...]:
        """Class, start and end in seconds of every run in which a class is both heard and seen, by start."""
        found = []
        for actor in self.actors:
            both = np.logical_and(actor.heard, actor.seen)
            edges = np.flatnonzero(np.diff(both, prepend=False, append=False)) / self.rate
            found += [(actor.category, start, end) for start, end in edges.reshape(-1, 2).tolist()]
        return tuple(sorted(found, key=lambda event: event[1:]))

    @property
    def category(self) -> str:
        return self.actors[0].category

    @property
    def relevance(self) -> tuple[bool, ...]:
        """[T] seconds in which the clip's class is both heard and seen."""
        return tuple(heard and seen for heard, seen in zip(self.actors[0].heard, self.actors[0].seen, strict=True))

    @property
    def start(self) -> int:
        """First second of the event."""
        return self.relevance.index(True)

    @property
    def end(self) -> int:
        """First second after the event."""
        return self.start + sum(self.relevance)


def write_scripts(settings: Settings) -> tuple[Script, ...]:
    """Return what happens in every clip: [N] scripts in order of their ids.

    Classes are as even as N allows. Splits are 65 / 15 / 20, even within each class; the lengths of the events are
    spread evenly within each split, so that a small one is not easier by chance.
    """
    draw = np.random.default_rng((settings.seed, 0))
    order = draw.permutation(settings.videos)
    category = np.arange(settings.videos) % len(CLASSES)
    split = {number: TURNS[turn % len(TURNS)] for turn, number in enumerate(np.argsort(category, kind="stable"))}
    length = {}
    for name in dict.fromkeys(TURNS):
        members = [number for number in split if split[number] == name]
        shares = (draw.permutation(len(members)) + draw.random()) / max(len(members), 1)
        length |= {number: _length(share, settings.seconds) for number, share in zip(members, shares, strict=True)}
    return tuple(
        _script(settings, clip, CLASSES[category[number]], split[number], length[number])
        for clip, number in enumerate(order.tolist())
    )


def _length(share: float, seconds: int) -> int:
    """Return the seconds of the event at this share of all clips in order of length."""
    if share >= 1 - WHOLE:
        return seconds
    longest = max(1, min(seconds - 1, round(LONGEST * seconds)))
    return 1 + int(share / (1 - WHOLE) * longest)


def _script(settings: Settings, clip: int, category: str, split: str, length: int) -> Script:
    draw = np.random.default_rng((settings.seed, 1, clip))
    seconds = np.arange(settings.seconds)
    start = int(draw.integers(settings.seconds - length + 1))
    event = (seconds >= start) & (seconds < start + length)
    heard, seen = _present(event, start, draw)
    nobody = np.zeros_like(event)
    others = draw.permutation([name for name in CLASSES if name != category]).tolist()
    left = bool(draw.random() < 0.5)
    actors = [draw_actor(category, heard, seen, 1.0, left, draw)]
    parts = (  # chance of another class, the seconds in which it is heard and seen, its strength
        (STRAY if not heard.all() else 0.0, ~heard, nobody, 1.0),
        (STRAY if not seen.all() else 0.0, nobody, ~seen, 1.0),
        (UNDER, ~nobody, nobody, UNDER_STRENGTH),
        (UNDER, nobody, ~nobody, UNDER_STRENGTH),
    )
    for other, (chance, *part) in zip(others, parts, strict=False):
        if chance and draw.random() < chance:
            actors.append(draw_actor(other, *part, not left, draw))
    return Script(f"scene-{clip:05d}", split, settings.seconds, int(draw.integers(2**31)), tuple(actors))


def _present(event: np.ndarray, start: int, draw: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Return the seconds [T] in which the class is heard, and seen: both in the event, at most one outside.

    The seconds before and after an event each keep one kind: heard only, seen only, neither.
    """
    kind = np.where(np.arange(len(event)) < start, *draw.random(2))
    return event | (kind < HEARD_ONLY), event | (kind > 1 - SEEN_ONLY)


def draw_actor(
    category: str, heard: np.ndarray, seen: np.ndarray, strength: float, left: bool, draw: np.random.Generator
) -> Actor:
    """Return an actor on one half of the picture, with a random look and voice."""
    x = draw.uniform(0.20, 0.46)
    y, size = draw.uniform(0.06, 0.17), draw.uniform(0.48, 0.74)
    beat, pitch, traits = draw.random(), draw.random(), tuple(draw.random(TRAITS).tolist())
    return Actor(category, tuple(heard.tolist()), tuple(seen.tolist()), strength, float(x if left else 1 - x),
                 float(y), float(size), float(beat), float(pitch), traits, int(draw.integers(2**31)))
