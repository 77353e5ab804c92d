"""A voice is in exactly the seconds in which its actor is heard, and the classes sound unlike each other."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from avsgn_pyg.scenes.script import CLASSES, Script
from avsgn_pyg.scenes.sounds import AMBIENCES, RATE, VOICES, gate, mix_sound, shaped_noise


@pytest.mark.parametrize("category", CLASSES)
def test_a_voice_is_in_exactly_the_seconds_in_which_it_is_heard(
    category: str, play: Callable[..., Script], mute: Callable[[Script], Script]
):
    script = play(category, heard="-##-", seen="####")
    voice = (mix_sound(script) - mix_sound(mute(script))).reshape(2, 4, RATE)
    assert (voice[:, [0, 3]] == 0).all()
    assert (voice[:, [1, 2]].std(-1) > 0.02).all()


def test_the_same_script_gives_the_same_samples(play: Callable[..., Script]):
    first = mix_sound(play("Bird", "##", "##"))
    assert first.shape == (2, 2 * RATE) and first.dtype == np.float32
    assert np.array_equal(first, mix_sound(play("Bird", "##", "##")))
    assert not np.array_equal(first, mix_sound(play("Bird", "##", "##", seed=6)))


def test_a_clip_never_clips_and_is_never_silent(play: Callable[..., Script]):
    for seed in range(4):
        sound = mix_sound(play("Drum", "##--", "####", seed=seed))
        assert np.abs(sound).max() < 1
        assert (sound.reshape(2, 4, RATE).std(-1) > 5e-4).all()


def test_a_gate_fades_inside_its_seconds():
    here = gate((False, True, True, False))
    assert (here[:RATE] == 0).all() and (here[3 * RATE :] == 0).all()
    assert (here[RATE : 3 * RATE] > 0).all() and (here[RATE + 2400 : 3 * RATE - 2400] == 1).all()
    assert np.abs(np.diff(here)).max() < 1e-3


@pytest.mark.parametrize("name", AMBIENCES)
def test_an_ambience_fills_the_clip(name: str):
    sound = AMBIENCES[name](np.random.default_rng(0), 3 * RATE)
    assert sound.shape == (3 * RATE,)
    assert (sound.reshape(3, RATE).std(-1) > 0.1).all()


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
        at = round(stroke * script.actors[0].tempo * RATE)
        assert loud[at : at + 1500].max() > 3 * loud[at - 1500 : at - 50].max()


def test_shaped_noise_has_its_shape_and_unit_rms():
    noise = shaped_noise(np.random.default_rng(0), RATE, lambda hertz: (hertz > 1000) * (hertz < 2000) * 1.0)
    power = np.abs(np.fft.rfft(noise)) ** 2
    assert noise.std() == pytest.approx(1, abs=1e-3)
    assert power[1000:2001].sum() > 0.999 * power.sum()
