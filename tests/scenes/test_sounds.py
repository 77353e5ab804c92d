"""A voice is in exactly the seconds in which its actor is heard."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from avsgn_pyg.scenes.script import CLASSES, Script
from avsgn_pyg.scenes.sounds import AMBIENCES, gate, mix_sound
from avsgn_pyg.scenes.voices import RATE


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
