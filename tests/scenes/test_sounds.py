"""A voice is in exactly the seconds in which its actor is heard, and the classes sound unlike each other."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest

from avsgn_pyg.scenes.script import CLASSES, Script
from avsgn_pyg.scenes.sounds import RATE, VOICES, mix_sound


def voice(script: Script) -> np.ndarray:
    return VOICES[script.category](script.actors[0], script.seconds * RATE, np.random.default_rng(0))


@pytest.mark.parametrize("category", CLASSES)
def test_a_voice_is_in_exactly_the_seconds_in_which_it_is_heard(category: str, play: Callable[..., Script]):
    script = play(category, heard="-##-", seen="####")
    heard = (mix_sound(script) - mix_sound(replace(script, actors=()))).reshape(2, 4, RATE)
    assert (heard[:, [0, 3]] == 0).all()
    assert (heard[:, [1, 2]].std(-1) > 0.02).all()
    assert np.abs(np.diff(heard[:, :, [0, -1]])).max() < 0.2  # it fades


def test_the_same_script_gives_the_same_samples_which_are_never_clipped_or_silent(play: Callable[..., Script]):
    first = mix_sound(play("Bird", "##--", "####"))
    assert first.shape == (2, 4 * RATE) and first.dtype == np.float32
    assert np.array_equal(first, mix_sound(play("Bird", "##--", "####")))
    assert not np.array_equal(first, mix_sound(play("Bird", "##--", "####", seed=6)))
    assert np.abs(first).max() < 1 and (first.reshape(2, 4, RATE).std(-1) > 5e-4).all()


def test_low_things_sound_lower_than_high_ones(play: Callable[..., Script]):
    middles = {}
    for name in CLASSES:
        power = np.cumsum(np.abs(np.fft.rfft(voice(play(name, "##", "--")))) ** 2)
        middles[name] = np.searchsorted(power, power[-1] / 2) / 2  # half of the power lies below, in Hz
    assert max(middles[name] for name in ("Tractor", "Drum", "Sea")) < 900
    assert min(middles[name] for name in ("Bird", "Kettle", "Rain")) > 1300


def test_a_drum_sounds_when_its_sticks_fall(play: Callable[..., Script]):
    script = play("Drum", "##", "--")
    loud = np.abs(voice(script))
    for stroke in range(1, 4):
        at = round(stroke * script.actors[0].tempo * RATE)
        assert loud[at : at + 1500].max() > 3 * loud[at - 1500 : at - 50].max()
