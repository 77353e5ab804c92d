"""The sound of a script: voices in the steps in which they are heard, ambience that belongs to no class, and noise.

Voices and ambience are made of sines and shaped noise, [n] samples at RATE. A voice fills the whole clip at about 0.15
rms; the mix keeps the steps in which its actor is heard.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from jaxtyping import Float, Float32

from avsgn_pyg.scenes.script import Actor, Script

RATE = 48_000  #: samples per second
FADE = 0.05  #: seconds in which a voice fades in and out, within the seconds in which it is heard
LOUDNESS = 0.4  #: spread of the log gain of a clip's voices and of its ambience
SWELL = 0.35  #: spread of a voice's log gain over the clip
LOUDEST = 0.95
Sound = Float[np.ndarray, "n"]


def mix_sound(script: Script) -> Float32[np.ndarray, "2 n"]:
    """Return both channels, [-LOUDEST, LOUDEST], T * RATE samples; the same script gives the same samples.

    A voice changes no sample outside the steps in which its actor is heard.
    """
    samples = script.seconds * RATE
    draw = np.random.default_rng((script.seed, 1))
    sides = np.stack([_ambience(draw, samples)] * 2)
    sides += draw.uniform(0.001, 0.006) * draw.standard_normal((2, samples), dtype=np.float32)
    for actor in script.actors:
        if any(actor.heard):
            voice = _voice(actor, samples, script.rate)
            right = 0.5 + 0.5 * (actor.x - 0.5)
            sides += np.array([[2 * (1 - right)], [2 * right]]) * voice
    return (LOUDEST * np.tanh(sides / LOUDEST)).astype(np.float32)


def gate(steps: Sequence[bool], rate: int = 1) -> Sound:
    """Return 1 in these steps, `rate` per second, and 0 outside, with smooth edges inside them."""
    fade = round(FADE * RATE)
    edge = 0.5 - 0.5 * np.cos(np.pi * (np.arange(fade) + 0.5) / fade)
    course = np.repeat(np.asarray(steps, dtype=np.float64), RATE // rate)
    for step in np.flatnonzero(np.diff(steps)) + 1:
        at = step * RATE // rate
        inside, shape = (slice(at, at + fade), edge) if steps[step] else (slice(at - fade, at), edge[::-1])
        course[inside] = shape
    return course


def _voice(actor: Actor, samples: int, rate: int) -> Sound:
    draw = np.random.default_rng((actor.seed, 1))
    gain = np.exp(LOUDNESS * draw.standard_normal()) * actor.strength
    swell = np.exp(SWELL * wander(draw, samples, 1.5))
    return gain * swell * gate(actor.heard, rate) * VOICES[actor.category](actor, samples, draw)


def _ambience(draw: np.random.Generator, samples: int) -> Sound:
    """Return one or two of the sounds that belong to no class, fading in and out."""
    sound = np.zeros(samples)
    for name in draw.choice(list(AMBIENCES), size=int(draw.integers(1, 3)), replace=False):
        gain = 0.03 * np.exp(LOUDNESS * draw.standard_normal() + 0.6 * wander(draw, samples, 1.8))
        sound += gain * AMBIENCES[str(name)](draw, samples)
    return sound


def shaped_noise(draw: np.random.Generator, samples: int, response: Callable[[np.ndarray], np.ndarray]) -> Sound:
    """Return noise of unit rms whose spectrum has this shape (Hz to factor)."""
    spectrum = np.fft.rfft(draw.standard_normal(samples, dtype=np.float32))
    spectrum *= response(np.fft.rfftfreq(samples, 1 / RATE))
    noise = np.fft.irfft(spectrum, samples)
    return noise / np.sqrt(np.mean(noise**2))


def wander(draw: np.random.Generator, samples: int, every: float) -> Sound:
    """Return a smooth course of about unit spread through a random value every so many seconds."""
    knots = draw.standard_normal(int(samples / RATE / every) + 3)
    fine = np.interp(np.arange(0, len(knots) - 1, 1 / 16), np.arange(len(knots)), knots)
    smooth = np.convolve(fine, np.hanning(18)[1:-1] / np.hanning(18).sum(), mode="same")
    return np.interp(np.arange(samples) / (RATE * every), np.arange(len(smooth)) / 16, smooth)


def _time(samples: int) -> Sound:
    return np.arange(samples) / RATE


def _tone(cycles: Sound, strengths: np.ndarray, phases: float | np.ndarray = 0.0) -> Sound:
    """Return a periodic wave: partial k + 1 has strength k. `cycles` is its phase, in turns."""
    ranks = np.arange(1, len(strengths) + 1)[:, None]
    table = (strengths[:, None] * np.sin(2 * np.pi * (ranks * (np.arange(4096) / 4096) + phases))).sum(0)
    return table[(cycles * 4096).astype(np.int64) & 4095]


def _strike(samples: int, period: float, phase: float, make: Callable[[int], np.ndarray]) -> Sound:
    """Return the sum of strokes at (k + phase) periods; `make` gives the samples of stroke k."""
    sound = np.zeros(samples)
    first = -int(phase + 2 / period)
    for number in range(first, int(samples / RATE / period) + 1):
        begin = round((number + phase) * period * RATE)
        stroke = make(number - first)
        if begin < 0:
            stroke, begin = stroke[-begin:], 0
        stroke = stroke[: max(0, samples - begin)]
        sound[begin : begin + len(stroke)] += stroke
    return sound


def bell(actor: Actor, samples: int, draw: np.random.Generator) -> Sound:
    """Return inharmonic partials that ring on, the high ones shorter."""
    time = _time(round(1.8 * RATE))
    note = 260 * 2 ** (1.3 * actor.pitch)
    stroke = np.zeros(len(time))
    ratios = np.array([0.5, 1.0, 1.2, 1.5, 2.0, 2.67, 4.1, 5.4]) * (1 + 0.006 * draw.standard_normal(8))
    for ratio, strength in zip(ratios, (0.5, 1.0, 0.55, 0.35, 0.8, 0.4, 0.3, 0.2), strict=True):
        fading = np.exp(-time * (1.1 + 1.4 * actor.traits[5]) * ratio**0.8)
        stroke += strength * fading * np.sin(2 * np.pi * note * ratio * time + 2 * np.pi * draw.random())
    stroke[:96] *= np.linspace(0, 1, 96)
    return 0.16 * _strike(samples, actor.tempo, actor.traits[7], lambda _: stroke)


def bird(actor: Actor, samples: int, draw: np.random.Generator) -> Sound:
    """Return phrases of sweeping chirps, some with a trill."""
    base = 2400 * 2 ** (0.9 * actor.pitch)
    song = []
    for _ in range(int(draw.integers(3, 6))):
        time = _time(round(RATE * draw.uniform(0.08, 0.15)))
        share = time / time[-1]
        bend, trill = draw.uniform(-0.45, 0.45), draw.choice([0.0, 0.08])
        pitch = base * draw.uniform(0.85, 1.3) * (1 + bend * (share - 0.5) + trill * np.sin(2 * np.pi * 42 * time))
        turns = 2 * np.pi * np.cumsum(pitch) / RATE
        song.append(0.55 * (np.sin(turns) + 0.15 * np.sin(2 * turns)) * np.sin(np.pi * share) ** 0.7)
    return _strike(samples, actor.tempo, 0.0, lambda number: song[number % len(song)])


def drum(actor: Actor, samples: int, draw: np.random.Generator) -> Sound:
    """Return a skin whose pitch falls, and a rattle of snares; every fourth stroke is stressed."""
    time = _time(round(0.5 * RATE))
    low = 75 * 2 ** (1.1 * actor.pitch)
    skin = np.sin(2 * np.pi * (low * time + low * 0.06 * (1 - np.exp(-time / 0.03)))) * np.exp(-time / 0.13)
    second = 0.5 * np.sin(2 * np.pi * 1.6 * low * time) * np.exp(-time / 0.07)
    rattle = shaped_noise(draw, len(time), lambda hertz: hertz > 900) * np.exp(-time / 0.06)
    stroke = 0.7 * (skin + second) + (0.1 + 0.25 * actor.traits[5]) * rattle
    return _strike(samples, actor.tempo, 0.0, lambda number: stroke * (1.0 if number % 4 == 0 else 0.65))


def kettle(actor: Actor, samples: int, draw: np.random.Generator) -> Sound:
    """Return a whistle that wavers, over a hiss of steam."""
    note = 1350 * 2 ** (0.75 * actor.pitch)
    course = note * (1 + 0.02 * wander(draw, samples, 0.35) + 0.006 * np.sin(2 * np.pi * 7 * _time(samples)))
    whistle = _tone(np.cumsum(course) / RATE, np.array([1.0, 0.28, 0.1, 0.04]))
    hiss = shaped_noise(draw, samples, lambda hertz: np.exp(-(((hertz - 2.5 * note) / 2500) ** 2)))
    return 0.17 * (1 + 0.15 * wander(draw, samples, 0.2)) * whistle + 0.05 * hiss


def rain(actor: Actor, samples: int, draw: np.random.Generator) -> Sound:
    """Return a steady rush of high noise, and single drops."""
    middle = 2500 * 2 ** (1.2 * actor.pitch)
    rush = shaped_noise(draw, samples, lambda hertz: hertz / (hertz + 300) / (1 + (hertz / middle) ** 1.6))
    drops = np.zeros(samples)
    places = draw.integers(samples, size=samples // RATE * round(40 + 60 * actor.beat))
    drops[places] = draw.exponential(size=len(places)) * draw.choice([-1, 1], size=len(places))
    drip = np.exp(-_time(256) / 0.0004) * np.sin(np.pi * middle * _time(256))
    return 0.11 * rush + 0.3 * np.convolve(drops, drip)[:samples]


def sea(actor: Actor, samples: int, draw: np.random.Generator) -> Sound:
    """Return waves that rise and break: low noise, with surf on top of each."""
    pulse = 0.5 + 0.5 * np.sin(2 * np.pi * (_time(samples) / (3.8 - 1.8 * actor.beat) + actor.traits[5]))
    roll = shaped_noise(draw, samples, lambda hertz: 1 / (1 + (hertz / (120 + 180 * actor.pitch)) ** 1.3))
    surf = shaped_noise(draw, samples, lambda hertz: hertz / (hertz + 400) / (1 + (hertz / 1500) ** 1.5))
    return 0.17 * (0.45 + 0.55 * pulse) * roll + 0.13 * (0.12 + pulse**3) * surf


def siren(actor: Actor, samples: int, draw: np.random.Generator) -> Sound:
    """Return two tones in turn, a slow wail, or a quick yelp."""
    turns = _time(samples) / actor.tempo
    course = (np.where(turns % 1 < 0.5, 1.0, 1.33), 1.4 + 0.45 * np.sin(2 * np.pi * turns / 2),
              1.3 + 0.45 * (1 - 2 * abs(1 - 2 * (2 * turns % 1))))[int(3 * actor.traits[5])]
    strengths = np.array([1.0, 0.35, 0.4, 0.15, 0.2, 0.08]) * draw.uniform(0.7, 1.3, 6)
    return 0.18 * _tone(np.cumsum(520 * 2 ** (0.7 * actor.pitch) * course) / RATE, strengths)


def tractor(actor: Actor, samples: int, draw: np.random.Generator) -> Sound:
    """Return a slow engine: pulses of low partials and rough noise at the firing rate."""
    rate = actor.tempo * (1 + 0.03 * wander(draw, samples, 0.6))
    cycles = np.cumsum(rate) / RATE
    middle = 60 + 90 * actor.pitch
    partials = np.arange(1, 33) * actor.tempo
    shape = np.exp(-0.5 * (np.log(partials / middle) / 0.6) ** 2) + 0.12 / (1 + (partials / 300) ** 2)
    chug = _tone(cycles, shape, draw.random((32, 1)) * 0.25)
    rough = shaped_noise(draw, samples, lambda hertz: np.exp(-0.5 * (np.log((hertz + 1) / (6 * middle)) / 0.7) ** 2))
    chug /= np.sqrt(np.mean(chug**2))
    return 0.15 * chug + 0.07 * (0.3 + np.exp(-5 * (cycles % 1))) * rough


def _wind(draw: np.random.Generator, samples: int) -> Sound:
    middle = draw.uniform(250, 600)
    return shaped_noise(draw, samples, lambda hertz: np.exp(-0.5 * (np.log((hertz + 1) / middle) / 0.5) ** 2))


def _hum(draw: np.random.Generator, samples: int) -> Sound:
    turn = 2 * np.pi * draw.uniform(48, 62) * np.arange(samples) / RATE
    return np.sin(turn) + 0.6 * np.sin(2 * turn) + 0.3 * np.sin(4 * turn)


def _chord(draw: np.random.Generator, samples: int) -> Sound:
    """Return a far, soft chord that changes every two seconds."""
    time = np.arange(2 * RATE) / RATE
    arch = np.sin(np.pi * time / 2) ** 0.5
    root = 130 * 2 ** draw.uniform(0, 1)
    chords = []
    for _ in range(-(-samples // len(time))):
        steps = int(draw.choice([0, 3, 5, 7, 10])) + np.array([0, 7, 12, 16])
        chords.append(arch * sum(np.sin(2 * np.pi * root * 2 ** (step / 12) * time) for step in steps))
    return 0.7 * np.concatenate(chords)[:samples]


def _steps(draw: np.random.Generator, samples: int) -> Sound:
    """Return footsteps on gravel: short soft crunches."""
    crunch = shaped_noise(draw, samples, lambda hertz: hertz / (hertz + 500) / (1 + (hertz / 3000) ** 2))
    age = (np.arange(samples) / RATE) % draw.uniform(0.45, 0.7)
    return 2.5 * crunch * np.exp(-age / 0.06)


VOICES: dict[str, Callable[[Actor, int, np.random.Generator], Sound]] = {
    "Bell": bell, "Bird": bird, "Drum": drum, "Kettle": kettle,
    "Rain": rain, "Sea": sea, "Siren": siren, "Tractor": tractor,
}  # fmt: skip
AMBIENCES = {"wind": _wind, "hum": _hum, "chord": _chord, "steps": _steps}
