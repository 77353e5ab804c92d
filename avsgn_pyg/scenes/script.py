"""What happens in a made clip, and when: who is heard and seen in which second, where, and in which voice.

An event is a class that is *both* heard and seen, as in AVE. Either modality alone is fooled on purpose:
background seconds keep the class's sound without its sight or the other way round, other classes stray in
by one modality, and another may lie weakly under the whole clip. No two modalities ever show the same other
class, so nothing but the clip's own class makes an event.

Letters: N clips, T seconds of a clip, C classes.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

CLASSES = ("Bell", "Bird", "Drum", "Kettle", "Rain", "Sea", "Siren", "Tractor")
WHOLE = 0.60  #: share of clips whose event fills every second (AVE: 0.66)
LONGEST = 0.8  #: longest other event, as a share of T
HEARD_ONLY, SEEN_ONLY = 0.42, 0.42  #: shares of background runs that keep the class's sound, its sight
STRAY = 0.5  #: chance that a modality without the class shows another one
UNDER = 0.15  #: chance, for each modality, that another class lies weakly under the whole clip
UNDER_STRENGTH = 0.35
TRAITS = 8  #: numbers in [0, 1] that make a look and a voice
#: Clips in order of class take turns in this: 13 train, 3 val, 4 test.
TURNS = tuple({"t": "train", "v": "val", "e": "test"}[letter] for letter in "tetvttettvtetttvtett")


class ScenesError(ValueError):
    """Scenes that cannot be made; the message names what came and what would work."""


@dataclass(frozen=True)
class Settings:
    """What a set of scenes is made from; the same settings give the same frames and samples.

    Attributes:
        videos: N, at least one of each class.
        seed: draws everything.
        seconds: T, length of a clip.
    """

    videos: int = 240
    seed: int = 0
    seconds: int = 10

    def __post_init__(self) -> None:
        if self.videos < len(CLASSES):
            raise ScenesError(f"videos={self.videos}: at least {len(CLASSES)}, one of each class")
        if self.seconds < 2:
            raise ScenesError(f"seconds={self.seconds}: at least 2, or no boundary can be")
        if self.seed < 0:
            raise ScenesError(f"seed={self.seed}: a whole number, 0 or more")


@dataclass(frozen=True)
class Actor:
    """One class's part in a clip, with its own look and voice.

    Attributes:
        category: one of CLASSES.
        heard: [T] seconds in which its sound is there.
        seen: [T] seconds in which it is in the picture.
        strength: 1, or less for what lies weakly under a clip.
        x: where it stands, as a share of the frame's width.
        y: the ground it stands on, as a share of the frame's height from below.
        size: its height, as a share of the frame's.
        beat: 0 to 1, slow to quick.
        pitch: 0 to 1, low to high.
        traits: [TRAITS] numbers in [0, 1], read by its drawing and its voice.
        seed: draws its drops, syllables and the like.
    """

    category: str
    heard: tuple[bool, ...]
    seen: tuple[bool, ...]
    strength: float
    x: float
    y: float
    size: float
    beat: float
    pitch: float
    traits: tuple[float, ...]
    seed: int


@dataclass(frozen=True)
class Script:
    """One clip.

    Attributes:
        video_id: its name, without a hint of what is in it.
        split: ``train``, ``val`` or ``test``.
        seconds: T.
        seed: draws scenery, ambience and noise.
        actors: the clip's own class first; any other is only heard or only seen.
    """

    video_id: str
    split: str
    seconds: int
    seed: int
    actors: tuple[Actor, ...]

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
    """Draw what happens in every clip: [N] scripts in order of their ids.

    Classes are as even as N allows. Splits are 65 / 15 / 20, even within each class; the lengths of the
    events are drawn evenly within each split, so that a small one is not easier by luck.
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
    """Seconds of the event at this share of all clips in order of length."""
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
    actors = [_actor(category, heard, seen, 1.0, left, draw)]
    if not heard.all() and draw.random() < STRAY:
        actors.append(_actor(others[0], ~heard, nobody, 1.0, not left, draw))
    if not seen.all() and draw.random() < STRAY:
        actors.append(_actor(others[1], nobody, ~seen, 1.0, not left, draw))
    if draw.random() < UNDER:
        actors.append(_actor(others[2], ~nobody, nobody, UNDER_STRENGTH, not left, draw))
    if draw.random() < UNDER:
        actors.append(_actor(others[3], nobody, ~nobody, UNDER_STRENGTH, not left, draw))
    return Script(f"scene-{clip:05d}", split, settings.seconds, int(draw.integers(2**31)), tuple(actors))


def _present(event: np.ndarray, start: int, draw: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Seconds [T] in which the class is heard, and seen: both in the event, at most one outside.

    The seconds before and after an event each keep one kind: heard only, seen only, neither.
    """
    kind = np.where(np.arange(len(event)) < start, *draw.random(2))
    return event | (kind < HEARD_ONLY), event | (kind > 1 - SEEN_ONLY)


def _actor(
    category: str, heard: np.ndarray, seen: np.ndarray, strength: float, left: bool, draw: np.random.Generator
) -> Actor:
    """Somebody on one half of the picture, with a look and a voice of their own."""
    x = draw.uniform(0.20, 0.46)
    return Actor(
        category=category,
        heard=tuple(heard.tolist()),
        seen=tuple(seen.tolist()),
        strength=strength,
        x=float(x if left else 1 - x),
        y=float(draw.uniform(0.06, 0.17)),
        size=float(draw.uniform(0.48, 0.74)),
        beat=float(draw.random()),
        pitch=float(draw.random()),
        traits=tuple(draw.random(TRAITS).tolist()),
        seed=int(draw.integers(2**31)),
    )
