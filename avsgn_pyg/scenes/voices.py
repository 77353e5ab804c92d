"""The voices of the eight classes, made from sines and shaped noise: [n] samples at RATE, about 0.15 loud (rms).

A voice fills the whole clip; the mix lets it through in the seconds in which its actor is heard.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from jaxtyping import Float

from avsgn_pyg.scenes.rhythm import bell_period, chirp_period, drum_period, firing_rate, siren_period
from avsgn_pyg.scenes.script import Actor

RATE = 48_000
Sound = Float[np.ndarray, "n"]


def shaped_noise(draw: np.random.Generator, samples: int, response: Callable[[np.ndarray], np.ndarray]) -> Sound:
    """Noise of unit rms whose spectrum has this shape (Hz to factor)."""
    spectrum = np.fft.rfft(draw.standard_normal(samples, dtype=np.float32))
    spectrum *= response(np.fft.rfftfreq(samples, 1 / RATE))
    noise = np.fft.irfft(spectrum, samples)
    return noise / np.sqrt(np.mean(noise**2))


def wander(draw: np.random.Generator, samples: int, every: float) -> Sound:
    """A smooth course of about unit spread through a random value every so many seconds."""
    knots = draw.standard_normal(int(samples / RATE / every) + 3)
    fine = np.interp(np.arange(0, len(knots) - 1, 1 / 16), np.arange(len(knots)), knots)
    smooth = np.convolve(fine, np.hanning(18)[1:-1] / np.hanning(18).sum(), mode="same")
    return np.interp(np.arange(samples) / (RATE * every), np.arange(len(smooth)) / 16, smooth)


def _time(samples: int) -> Sound:
    return np.arange(samples) / RATE


def _tone(cycles: Sound, strengths: list[float] | np.ndarray, phases: np.ndarray | None = None) -> Sound:
    """A periodic wave: partial k + 1 has strength k. `cycles` is its phase, in turns."""
    place = np.arange(4096) / 4096
    ranks = np.arange(1, len(strengths) + 1)[:, None]
    offsets = np.zeros(len(strengths)) if phases is None else phases
    table = (np.asarray(strengths)[:, None] * np.sin(2 * np.pi * (ranks * place + offsets[:, None]))).sum(0)
    return table[(cycles * 4096).astype(np.int64) & 4095]


def _strike(samples: int, period: float, phase: float, make: Callable[[int], np.ndarray]) -> Sound:
    """The sum of strokes at (k + phase) periods; `make` gives the samples of stroke k."""
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
    """Inharmonic partials that ring on, the high ones shorter."""
    time = _time(round(1.8 * RATE))
    note = 260 * 2 ** (1.3 * actor.pitch)
    stroke = np.zeros(len(time))
    ratios = np.array([0.5, 1.0, 1.2, 1.5, 2.0, 2.67, 4.1, 5.4]) * (1 + 0.006 * draw.standard_normal(8))
    for ratio, strength in zip(ratios, (0.5, 1.0, 0.55, 0.35, 0.8, 0.4, 0.3, 0.2), strict=True):
        fading = np.exp(-time * (1.1 + 1.4 * actor.traits[5]) * ratio**0.8)
        stroke += strength * fading * np.sin(2 * np.pi * note * ratio * time + 2 * np.pi * draw.random())
    stroke[:96] *= np.linspace(0, 1, 96)
    return 0.16 * _strike(samples, bell_period(actor), actor.traits[7], lambda _: stroke)


def bird(actor: Actor, samples: int, draw: np.random.Generator) -> Sound:
    """Phrases of sweeping chirps, some with a trill."""
    base = 2400 * 2 ** (0.9 * actor.pitch)
    song = []
    for _ in range(int(draw.integers(3, 6))):
        time = _time(round(RATE * draw.uniform(0.08, 0.15)))
        share = time / time[-1]
        bend, trill = draw.uniform(-0.45, 0.45), draw.choice([0.0, 0.08])
        pitch = base * draw.uniform(0.85, 1.3) * (1 + bend * (share - 0.5) + trill * np.sin(2 * np.pi * 42 * time))
        turns = 2 * np.pi * np.cumsum(pitch) / RATE
        song.append(0.55 * (np.sin(turns) + 0.15 * np.sin(2 * turns)) * np.sin(np.pi * share) ** 0.7)
    return _strike(samples, chirp_period(actor), 0.0, lambda number: song[number % len(song)])


def drum(actor: Actor, samples: int, draw: np.random.Generator) -> Sound:
    """A skin whose pitch falls, and a rattle of snares; every fourth stroke is stressed."""
    time = _time(round(0.5 * RATE))
    low = 75 * 2 ** (1.1 * actor.pitch)
    skin = np.sin(2 * np.pi * (low * time + low * 0.06 * (1 - np.exp(-time / 0.03)))) * np.exp(-time / 0.13)
    second = 0.5 * np.sin(2 * np.pi * 1.6 * low * time) * np.exp(-time / 0.07)
    rattle = shaped_noise(draw, len(time), lambda hertz: hertz > 900) * np.exp(-time / 0.06)
    stroke = 0.7 * (skin + second) + (0.1 + 0.25 * actor.traits[5]) * rattle
    return _strike(samples, drum_period(actor), 0.0, lambda number: stroke * (1.0 if number % 4 == 0 else 0.65))


def kettle(actor: Actor, samples: int, draw: np.random.Generator) -> Sound:
    """A whistle that wavers, over a hiss of steam."""
    note = 1350 * 2 ** (0.75 * actor.pitch)
    course = note * (1 + 0.02 * wander(draw, samples, 0.35) + 0.006 * np.sin(2 * np.pi * 7 * _time(samples)))
    whistle = _tone(np.cumsum(course) / RATE, [1.0, 0.28, 0.1, 0.04])
    hiss = shaped_noise(draw, samples, lambda hertz: np.exp(-(((hertz - 2.5 * note) / 2500) ** 2)))
    return 0.17 * (1 + 0.15 * wander(draw, samples, 0.2)) * whistle + 0.05 * hiss


def rain(actor: Actor, samples: int, draw: np.random.Generator) -> Sound:
    """A steady rush of high noise, and single drops."""
    middle = 2500 * 2 ** (1.2 * actor.pitch)
    rush = shaped_noise(draw, samples, lambda hertz: hertz / (hertz + 300) / (1 + (hertz / middle) ** 1.6))
    drops = np.zeros(samples)
    places = draw.integers(samples, size=samples // RATE * round(40 + 60 * actor.beat))
    drops[places] = draw.exponential(size=len(places)) * draw.choice([-1, 1], size=len(places))
    drip = np.exp(-_time(256) / 0.0004) * np.sin(np.pi * middle * _time(256))
    return 0.11 * rush + 0.3 * np.convolve(drops, drip)[:samples]


def sea(actor: Actor, samples: int, draw: np.random.Generator) -> Sound:
    """Waves that rise and break: low noise, with surf on top of each."""
    pulse = 0.5 + 0.5 * np.sin(2 * np.pi * (_time(samples) / (3.8 - 1.8 * actor.beat) + actor.traits[5]))
    roll = shaped_noise(draw, samples, lambda hertz: 1 / (1 + (hertz / (120 + 180 * actor.pitch)) ** 1.3))
    surf = shaped_noise(draw, samples, lambda hertz: hertz / (hertz + 400) / (1 + (hertz / 1500) ** 1.5))
    return 0.17 * (0.45 + 0.55 * pulse) * roll + 0.13 * (0.12 + pulse**3) * surf


def siren(actor: Actor, samples: int, draw: np.random.Generator) -> Sound:
    """Two tones in turn, a slow wail, or a quick yelp."""
    turns = _time(samples) / siren_period(actor)
    low = 520 * 2 ** (0.7 * actor.pitch)
    kind = int(3 * actor.traits[5])
    if kind == 0:
        course = low * np.where(turns % 1 < 0.5, 1.0, 1.33)
    elif kind == 1:
        course = low * (1.4 + 0.45 * np.sin(2 * np.pi * turns / 2))
    else:
        course = low * (1.3 + 0.45 * (1 - 2 * abs(1 - 2 * (2 * turns % 1))))
    strengths = np.array([1.0, 0.35, 0.4, 0.15, 0.2, 0.08]) * draw.uniform(0.7, 1.3, 6)
    return 0.18 * _tone(np.cumsum(course) / RATE, strengths)


def tractor(actor: Actor, samples: int, draw: np.random.Generator) -> Sound:
    """A slow engine: pulses of low partials and rough noise at the firing rate."""
    rate = firing_rate(actor) * (1 + 0.03 * wander(draw, samples, 0.6))
    cycles = np.cumsum(rate) / RATE
    middle = 60 + 90 * actor.pitch
    ranks = np.arange(1, 33)
    partials = ranks * firing_rate(actor)
    shape = np.exp(-0.5 * (np.log(partials / middle) / 0.6) ** 2) + 0.12 / (1 + (partials / 300) ** 2)
    chug = _tone(cycles, shape, draw.random(32) * 0.25)
    rough = shaped_noise(draw, samples, lambda hertz: np.exp(-0.5 * (np.log((hertz + 1) / (6 * middle)) / 0.7) ** 2))
    chug /= np.sqrt(np.mean(chug**2))
    return 0.15 * chug + 0.07 * (0.3 + np.exp(-5 * (cycles % 1))) * rough


VOICES: dict[str, Callable[[Actor, int, np.random.Generator], Sound]] = {
    "Bell": bell, "Bird": bird, "Drum": drum, "Kettle": kettle,
    "Rain": rain, "Sea": sea, "Siren": siren, "Tractor": tractor,
}  # fmt: skip
