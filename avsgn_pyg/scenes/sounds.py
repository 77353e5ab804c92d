"""A script's sound: voices in the seconds in which they are heard, an ambience that is no class, and noise."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from jaxtyping import Float32

from avsgn_pyg.scenes.script import Actor, Script
from avsgn_pyg.scenes.voices import RATE, VOICES, Sound, shaped_noise, wander

FADE = 0.05  #: seconds in which a voice comes and goes, within the seconds in which it is heard
LOUDNESS = 0.4  #: spread of the log gain of a clip's voices and of its ambience
SWELL = 0.35  #: spread of a voice's log gain over the clip
LOUDEST = 0.95


def mix_sound(script: Script) -> Float32[np.ndarray, "2 n"]:
    """Both channels, [-LOUDEST, LOUDEST], T * RATE samples; the same script gives the same samples.

    A voice changes no sample outside the seconds in which its actor is heard.
    """
    samples = script.seconds * RATE
    draw = np.random.default_rng((script.seed, 1))
    sides = np.stack([_ambience(draw, samples)] * 2)
    sides += draw.uniform(0.001, 0.006) * draw.standard_normal((2, samples), dtype=np.float32)
    for actor in script.actors:
        if any(actor.heard):
            voice = _voice(actor, samples)
            right = 0.5 + 0.5 * (actor.x - 0.5)
            sides += np.array([[2 * (1 - right)], [2 * right]]) * voice
    return (LOUDEST * np.tanh(sides / LOUDEST)).astype(np.float32)


def gate(seconds: Sequence[bool]) -> Sound:
    """1 in these seconds and 0 outside, with smooth edges inside them."""
    edge = 0.5 - 0.5 * np.cos(np.pi * (np.arange(round(FADE * RATE)) + 0.5) / round(FADE * RATE))
    here = np.repeat(np.asarray(seconds, dtype=np.float64), RATE)
    for second in range(1, len(seconds)):
        at = second * RATE
        if seconds[second] and not seconds[second - 1]:
            here[at : at + len(edge)] = edge
        elif seconds[second - 1] and not seconds[second]:
            here[at - len(edge) : at] = edge[::-1]
    return here


def _voice(actor: Actor, samples: int) -> Sound:
    draw = np.random.default_rng((actor.seed, 1))
    gain = np.exp(LOUDNESS * draw.standard_normal()) * actor.strength
    swell = np.exp(SWELL * wander(draw, samples, 1.5))
    return gain * swell * gate(actor.heard) * VOICES[actor.category](actor, samples, draw)


def _ambience(draw: np.random.Generator, samples: int) -> Sound:
    """One or two of the sounds that are no class, coming and going."""
    sound = np.zeros(samples)
    for name in draw.choice(list(AMBIENCES), size=int(draw.integers(1, 3)), replace=False):
        gain = 0.03 * np.exp(LOUDNESS * draw.standard_normal() + 0.6 * wander(draw, samples, 1.8))
        sound += gain * AMBIENCES[str(name)](draw, samples)
    return sound


def _wind(draw: np.random.Generator, samples: int) -> Sound:
    middle = draw.uniform(250, 600)
    return shaped_noise(draw, samples, lambda hertz: np.exp(-0.5 * (np.log((hertz + 1) / middle) / 0.5) ** 2))


def _hum(draw: np.random.Generator, samples: int) -> Sound:
    turn = 2 * np.pi * draw.uniform(48, 62) * np.arange(samples) / RATE
    return np.sin(turn) + 0.6 * np.sin(2 * turn) + 0.3 * np.sin(4 * turn)


def _chord(draw: np.random.Generator, samples: int) -> Sound:
    """A far, soft chord that changes every two seconds."""
    time = np.arange(2 * RATE) / RATE
    arch = np.sin(np.pi * time / 2) ** 0.5
    root = 130 * 2 ** draw.uniform(0, 1)
    chords = []
    for _ in range(-(-samples // len(time))):
        steps = int(draw.choice([0, 3, 5, 7, 10])) + np.array([0, 7, 12, 16])
        chords.append(arch * sum(np.sin(2 * np.pi * root * 2 ** (step / 12) * time) for step in steps))
    return 0.7 * np.concatenate(chords)[:samples]


def _steps(draw: np.random.Generator, samples: int) -> Sound:
    """Footsteps on gravel: short soft crunches."""
    crunch = shaped_noise(draw, samples, lambda hertz: hertz / (hertz + 500) / (1 + (hertz / 3000) ** 2))
    age = (np.arange(samples) / RATE) % draw.uniform(0.45, 0.7)
    return 2.5 * crunch * np.exp(-age / 0.06)


AMBIENCES = {"wind": _wind, "hum": _hum, "chord": _chord, "steps": _steps}
