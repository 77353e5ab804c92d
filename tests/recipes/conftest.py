"""One small trained run, for everything that is drawn of a run."""

from __future__ import annotations

from pathlib import Path

import pytest

from avsgn_pyg import recipes
from avsgn_pyg.config import Config
from avsgn_pyg.data.dataset import Dataset
from avsgn_pyg.engine.files import read_config
from avsgn_pyg.engine.run_folder import find_checkpoint
from avsgn_pyg.recipes.parts import open_dataset


@pytest.fixture(scope="session")
def drawn_run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a run on synthetic videos, with a text row per class and modality."""
    config = Config.model_validate({
        "run_dir": tmp_path_factory.mktemp("runs"),
        "data": {"kind": "synthetic", "synthetic": {"videos": 40, "classes": 3, "width": 16}},
        "model": {"dim": 8, "text": {"slots": "per_class"}},
        "train": {"epochs": 1, "batch_size": 16, "device": "cpu"},
        "evaluate": {"bootstrap": 0},
    })
    return recipes.train(config, progress=False).folder


@pytest.fixture(scope="session")
def drawn_dataset(drawn_run: Path) -> Dataset:
    """The data of that run."""
    return open_dataset(read_config(find_checkpoint(drawn_run)))
