"""A voice is in exactly the seconds in which its actor is heard, and the classes sound unlike each other."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest

from avsgn_pyg.scenes.script import CLASSES, Script
from avsgn_pyg.scenes.sounds import RATE, mix_sound


@pytest.mark.parametrize("category", CLASSES)
def test_a_voice_is_in_exactly_the_seconds_in_which_it_is_heard(category: str, play: Callable[..., Script]):
    script = play(category, heard="-##-", seen="####")
    heard = (mix_sound(script) - mix_sound(replace(script, actors=()))).reshape(2, 4, RATE)
    assert (heard[:, [0, 3]] == 0).all()
    assert (heard[:, [1, 2]].std(-1) > 0.02).all()
    assert np.abs(np.diff(heard[:, :, [0, -1]])).max() < 0.2  # it fades


def test_a_voice_is_in_exactly_the_steps_in_which_it_is_heard(play: Callable[..., Script]):
    script = play("Siren", heard="-##-", seen="####", rate=4)
    heard = (mix_sound(script) - mix_sound(replace(script, actors=()))).reshape(2, 4, RATE // 4)
    assert (heard[:, [0, 3]] == 0).all() and (heard[:, [1, 2]].std(-1) > 0.02).all()


def test_the_same_script_gives_the_same_samples_which_are_never_clipped_or_silent(play: Callable[..., Script]):
    first = mix_sound(play("Bird", "##--", "####"))
    assert first.shape == (2, 4 * RATE) and first.dtype == np.float32
    assert np.array_equal(first, mix_sound(play("Bird", "##--", "####")))
    assert not np.array_equal(first, mix_sound(play("Bird", "##--", "####", seed=6)))
    assert np.abs(first).max() < 1 and (first.reshape(2, 4, RATE).std(-1) > 5e-4).all()
