"""Frames show the thing in exactly the seconds in which it is seen."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np
import pytest

from avsgn_pyg.scenes import pictures
from avsgn_pyg.scenes.pictures import HEIGHT, WIDTH, draw_frames
from avsgn_pyg.scenes.script import CLASSES, FRAME_RATE, Script


@pytest.fixture(scope="module", autouse=True)
def _small() -> Iterator[None]:
    """Draw at the size of the frames: edges are less smooth, and nine times as fast."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(pictures, "LARGER", 1)
        yield


def frames(script: Script) -> np.ndarray:
    return np.stack(list(draw_frames(script)))


@pytest.fixture(scope="module")
def empty() -> np.ndarray:
    """Four seconds of the world in which the others play."""
    return frames(Script("scene-x", "train", 4, 5, ()))


def changed(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """Share of the pixels that differ, in every frame."""
    return (np.abs(first.astype(int) - second).max(-1) > 3).mean((1, 2))


@pytest.mark.slow
@pytest.mark.parametrize("category", CLASSES)
def test_a_thing_is_in_the_picture_in_exactly_the_seconds_in_which_it_is_seen(
    category: str, play: Callable[..., Script], empty: np.ndarray
):
    shown = frames(play(category, heard="---", seen="-#-"))
    share = changed(shown, empty[: 3 * FRAME_RATE]).reshape(3, FRAME_RATE)
    assert (share[[0, 2]] == 0).all()
    assert (share[1] > 0).all()
    assert share[1, FRAME_RATE // 2] > 0.03
    assert changed(empty[:1], empty[-1:])[0] > 0.02  # the world moves without actors, too


def test_a_thing_is_in_the_picture_in_exactly_the_steps_in_which_it_is_seen(
    play: Callable[..., Script], empty: np.ndarray
):
    shown = frames(play("Siren", heard="----", seen="-##-", rate=4))
    assert (changed(shown, empty[:FRAME_RATE]) > 0).tolist() == [3 <= frame < 9 for frame in range(FRAME_RATE)]


@pytest.mark.slow
@pytest.mark.parametrize("category", [name for name in CLASSES if name not in ("Rain", "Sea")])
def test_a_thing_moves_with_its_sound(category: str, play: Callable[..., Script]):
    still, moving = frames(play(category, heard="--", seen="##")), frames(play(category, heard="-#", seen="##"))
    share = changed(still, moving)
    assert (share[:FRAME_RATE] == 0).all()
    assert share[FRAME_RATE:].max() > 0.003


def test_the_same_script_gives_the_same_bytes_and_another_seed_another_world(play: Callable[..., Script]):
    first = frames(play("Bell", "##", "##"))
    assert first.shape == (2 * FRAME_RATE, HEIGHT, WIDTH, 3)
    assert np.array_equal(first, frames(play("Bell", "##", "##")))
    assert changed(first, frames(play("Bell", "##", "##", seed=6))).min() > 0.5
