"""A model with the data of its training, a clip that browsers play, and its result on the page."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

from avsgn_pyg.data.feature_store import Features, write_store
from avsgn_pyg.features.encoder import label_text
from avsgn_pyg.predictor.encoding import encode_clip
from avsgn_pyg.predictor.page.actions import Page
from avsgn_pyg.predictor.page.uploads import Clip, Uploads
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
def untrained() -> Callable[[Path, Path], Predictor]:
    """An untrained model by the folder of its data and that of its runs."""
    def make(root: Path, runs: Path) -> Predictor:
        data = {"root": str(root), "features": "features.h5", "splits": "txt", "name": "made"}
        folder = made.write_checkpoint(runs / "tiny" / "checkpoints" / "epoch-0001", categories=NAMES,
                                       run_dir=str(runs), data=data)
        return Predictor.from_checkpoint(folder, device="cpu")

    return make


@pytest.fixture(scope="session")
def trained(tmp_path_factory: pytest.TempPathFactory, movie: Path, untrained: Callable) -> Predictor:
    """An untrained model, with three clips to train and the movie to test on; do not change it."""
    root, (visual, audio) = tmp_path_factory.mktemp("data"), made.signal_encoders()
    encoded = encode_clip(movie, visual, audio, segments=10, frames_per_segment=2)
    heard, seen = torch.randn(2, 4, 10, 16)
    heard[2], seen[2] = encoded.audio[0], encoded.visual[0]
    store = Features(heard, seen, tuple(row.split("&")[1] for row in ROWS), categories=NAMES,
                     label_text=label_text(visual, audio, NAMES, made.PROMPTS), provenance=made.store_provenance())
    write_store(root / "features.h5", store)
    for name, chosen in (("Annotations", ROWS), ("trainSet", ROWS[:2] + ROWS[3:]), ("testSet", ROWS[2:3])):
        (root / f"{name}.txt").write_text("".join(f"{row}\n" for row in chosen))
    return untrained(root, root / "runs")


@pytest.fixture(scope="session")
def read(trained: Predictor, movie: Path) -> Clip:
    """The movie, analysed."""
    uploads = Uploads([movie])
    list(Page({"tiny": trained}, uploads).analyse({"token": uploads.examples[0].token, "runs": ["tiny"]}, "one"))
    uploads.close()
    return uploads.examples[0]


@pytest.fixture
def page(trained: Predictor, movie: Path, tmp_path: Path, read: Clip) -> Iterator[Page]:
    """A page that offers the movie, which is encoded already."""
    uploads = Uploads([movie], most_bytes=200_000)
    uploads.examples[0].encoded, uploads.examples[0].preview = dict(read.encoded), read.preview
    yield Page({"tiny": trained}, uploads, tmp_path / "corrections")
    uploads.close()


@pytest.fixture
def analysed(page: Page) -> dict[str, Any]:
    """The last message of the analysis of the movie."""
    return list(page.analyse({"token": page.uploads.examples[0].token, "runs": ["tiny"]}, "one"))[-1]
