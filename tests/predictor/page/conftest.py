"""A model with the data of its training, a clip that browsers play, and what the page answers about it."""

from __future__ import annotations

import importlib.util
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

from avsgn_pyg.data.feature_store import Features, write_store
from avsgn_pyg.features.encoder import label_text
from avsgn_pyg.predictor.page.desk import Clip, Desk
from avsgn_pyg.predictor.page.questions import Page
from avsgn_pyg.predictor.predictor import Predictor

_spec = importlib.util.spec_from_file_location("made", Path(__file__).parents[1] / "conftest.py")
made = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(made)

made.CATEGORIES = NAMES = ("bell", "dog", "rain")  # rows of AVE cannot name "rain & wind"
ROWS = ("bell&one&good&0&4", "dog&two&good&2&10", "rain&movie&good&0&10", "bell&four&good&0&0")


@pytest.fixture(scope="session")
def movie(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Ten seconds; the model finds rain in 3 to 4, 5 to 6 and 7 to 8 s."""
    return made.clip_maker.make(tmp_path_factory.mktemp("movies") / "movie.mp4", seconds=10, frame_rate=5,
                                size=(48, 32), layout="mono", options={"movflags": "faststart"})


@pytest.fixture(scope="session")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Predictor:
    """An untrained model, with three clips to train and one to test on; do not change it."""
    root = tmp_path_factory.mktemp("data")
    text = label_text(*made.signal_encoders(), NAMES, made.PROMPTS)
    store = Features(torch.randn(4, 10, 16), torch.randn(4, 10, 16), tuple(row.split("&")[1] for row in ROWS),
                     categories=NAMES, label_text=text, provenance=made.store_provenance())
    write_store(root / "features.h5", store)
    for name, chosen in (("Annotations", ROWS), ("trainSet", ROWS[:2] + ROWS[3:]), ("testSet", ROWS[2:3])):
        (root / f"{name}.txt").write_text("".join(f"{row}\n" for row in chosen))
    folder = made.write_checkpoint(
        root / "runs" / "tiny" / "checkpoints" / "epoch-0001", categories=NAMES, run_dir=str(root / "runs"),
        data={"root": str(root), "features": "features.h5", "splits": "txt", "name": "made"})
    return Predictor.from_checkpoint(folder, device="cpu")


@pytest.fixture(scope="session")
def read(trained: Predictor, movie: Path) -> Clip:
    """The movie after a look at it."""
    desk = Desk([movie])
    list(Page({"tiny": trained}, desk).look({"token": desk.made[0].token, "runs": ["tiny"]}, "one"))
    desk.close()
    return desk.made[0]


@pytest.fixture
def page(trained: Predictor, movie: Path, tmp_path: Path, read: Clip) -> Iterator[Page]:
    """The questions of a page that offers the movie, which is encoded already."""
    desk = Desk([movie], most_bytes=200_000)
    desk.made[0].encoded, desk.made[0].strip = dict(read.encoded), read.strip
    yield Page({"tiny": trained}, desk, tmp_path / "corrections")
    desk.close()


@pytest.fixture
def looked(page: Page) -> dict[str, Any]:
    """The last message after looking at the movie."""
    return list(page.look({"token": page.desk.made[0].token, "runs": ["tiny"]}, "one"))[-1]
