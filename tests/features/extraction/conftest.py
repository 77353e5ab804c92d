"""A small annotated folder of clips, one of which is no media file and one of which is missing."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

LINES = (
    "Bark&a&good&0&2", "Flute&b&good&0&1", "Bark&a&good&1&2", "Flute&bad&good&0&2", "Bark&gone&good&0&2",
    "Flute&short&good&0&1", "Bark&c&good&0&2",
)


@pytest.fixture(scope="session")
def _clips(tmp_path_factory: pytest.TempPathFactory, make_clip: Callable[..., Path]) -> Path:
    root = tmp_path_factory.mktemp("ave")
    (root / "videos").mkdir()
    for number, name in enumerate(("a", "b", "c")):
        make_clip(root / "videos" / f"{name}.mp4", seconds=2.0, size=(64, 48), audio_from=0.2 * number)
    make_clip(root / "videos" / "short.mp4", seconds=1.0, size=(64, 48))
    (root / "videos" / "bad.mp4").write_bytes(b"nothing to see")
    (root / "Annotations.txt").write_text("\n".join(LINES))
    return root


@pytest.fixture
def root(_clips: Path, tmp_path: Path) -> Path:
    """A copy: ``videos/`` with a, b, c of 2 s, short of 1 s and bad; ``Annotations.txt``, which also names gone."""
    return Path(shutil.copytree(_clips, tmp_path / "ave"))
