"""LLP folders for the tests of parsing."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from avsgn_pyg.data.feature_store import write_store
from avsgn_pyg.tasks.parsing.checks import EVAL_FILES, WEAK_FILES
from avsgn_pyg.tasks.parsing.llp import CATEGORIES, FULL_FILE, read_llp
from avsgn_pyg.tasks.parsing.synthetic import make_features

FILES = WEAK_FILES | EVAL_FILES | {"full": FULL_FILE}
SIZES = {"train": 48, "val": 12, "test": 24}


def write_rows(folder: Path, **rows: str) -> Path:
    """Write the files of `rows`: lines separated by ``;``, fields by blanks; ``<name>_file`` includes the header."""
    for name, text in rows.items():
        head = "filename onset offset event_labels;" if name in EVAL_FILES else "filename event_labels;"
        text = text if name.endswith("_file") else head + text
        path = folder / FILES[name.removesuffix("_file")]
        path.write_text(text.replace(";", "\n").replace(" ", "\t") + "\n")
    return folder


def write_many(folder: Path) -> None:
    """Write videos with one event of three classes, in val and test audible first and visible last."""
    videos = {split: [(f"{split}_{number}_0_10", CATEGORIES[number % 3]) for number in range(count)]
              for split, count in SIZES.items()}
    timed = [*videos["val"], *videos["test"]]
    write_rows(folder, **{split: ";".join(map(" ".join, rows)) for split, rows in videos.items()},
               audio=";".join(f"{name} 0 6 {event}" for name, event in timed),
               visual=";".join(f"{name} 4 10 {event}" for name, event in timed))


@pytest.fixture(scope="session")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """84 videos with a store of synthetic features, made.h5."""
    folder = tmp_path_factory.mktemp("llp")
    write_many(folder)
    write_store(folder / "made.h5", make_features(read_llp(folder), width=16))
    return folder


@pytest.fixture(scope="session")
def write() -> Callable[..., Path]:
    """write(folder, train=..., audio=..., ...): the files of an LLP folder."""
    return write_rows
