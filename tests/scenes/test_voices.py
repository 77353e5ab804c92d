"""The classes sound unlike each other, and keep the time of their drawings."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from avsgn_pyg.scenes.rhythm import drum_period
from avsgn_pyg.scenes.script import CLASSES, Script
from avsgn_pyg.scenes.voices import RATE, VOICES, shaped_noise


def voice(script: Script) -> np.ndarray:
    return VOICES[script.category](script.actors[0], script.seconds * RATE, np.random.default_rng(0))


def middle(sound: np.ndarray) -> float:
    """The frequency below which half of the power lies, in Hz."""
    power = np.cumsum(np.abs(np.fft.rfft(sound)) ** 2)
    return float(np.fft.rfftfreq(len(sound), 1 / RATE)[np.searchsorted(power, power[-1] / 2)])


@pytest.mark.parametrize("category", CLASSES)
def test_a_voice_is_there_in_every_second_and_neither_faint_nor_shouting(category: str, play: Callable[..., Script]):
    sound = voice(play(category, "###", "---"))
    assert sound.shape == (3 * RATE,)
    assert 0.06 < sound.std() < 0.3
    assert (sound.reshape(3, RATE).std(-1) > 0.03).all()


def test_low_things_sound_lower_than_high_ones(play: Callable[..., Script]):
    low = [middle(voice(play(name, "##", "--"))) for name in ("Tractor", "Drum", "Sea")]
    high = [middle(voice(play(name, "##", "--"))) for name in ("Bird", "Kettle", "Rain")]
    assert max(low) < 900 < 1300 < min(high)


def test_a_drum_sounds_when_its_sticks_fall(play: Callable[..., Script]):
    script = play("Drum", "##", "--")
    loud = np.abs(voice(script))
    for stroke in range(1, 4):
        at = round(stroke * drum_period(script.actors[0]) * RATE)
        assert loud[at : at + 1500].max() > 3 * loud[at - 1500 : at - 50].max()


def test_shaped_noise_has_its_shape_and_unit_rms():
    noise = shaped_noise(np.random.default_rng(0), RATE, lambda hertz: (hertz > 1000) * (hertz < 2000) * 1.0)
    power = np.abs(np.fft.rfft(noise)) ** 2
    assert noise.std() == pytest.approx(1, abs=1e-3)
    assert power[1000:2001].sum() > 0.999 * power.sum()
