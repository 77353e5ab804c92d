"""Runs of a second on synthetic videos, and one of them for everything that is drawn of a run."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

from avsgn_pyg.common.config import Config
from avsgn_pyg.data.dataset import Dataset
from avsgn_pyg.engine import recipes
from avsgn_pyg.engine.checkpoint import load_checkpoint
from avsgn_pyg.engine.files import read_config
from avsgn_pyg.engine.recipes import evaluation
from avsgn_pyg.engine.recipes.parts import open_dataset
from avsgn_pyg.engine.run_folder import find_checkpoint

SYNTHETIC = {"videos": 40, "classes": 3, "width": 16}


@pytest.fixture(scope="session")
def config_of() -> Callable[..., Config]:
    """Make the config of a run in a folder; keyword arguments are ``train`` settings."""

    def make(folder: Path, name: str = "r", *, data: dict | None = None, model: dict | None = None,
             objective: dict | None = None, evaluate: dict | None = None, **train: Any) -> Config:
        return Config.model_validate({
            "name": name, "run_dir": folder, "data": data or {"kind": "synthetic", "synthetic": SYNTHETIC},
            "model": {"dim": 8, **(model or {})}, "objective": objective or {},
            "train": {"epochs": 1, "batch_size": 16, "device": "cpu", **train},
            "evaluate": {"bootstrap": 20, **(evaluate or {})}})

    return make


@pytest.fixture
def make_config(config_of: Callable[..., Config], tmp_path: Path) -> Callable[..., Config]:
    """Make the config of a run in ``tmp_path``."""
    return lambda *name, **settings: config_of(tmp_path, *name, **settings)


@pytest.fixture(scope="session")
def weights() -> Callable[[Path], dict[str, torch.Tensor]]:
    """The weights of a run's selected checkpoint."""
    return lambda folder: load_checkpoint(find_checkpoint(folder)).weights


@pytest.fixture(scope="module", autouse=True)
def _no_pictures() -> Iterator[None]:
    """Drawing takes longer than training."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(evaluation, "draw_confusion", lambda result: None)
        yield


@pytest.fixture(scope="session")
def drawn_run(config_of: Callable[..., Config], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a run with a text row per class and modality."""
    config = config_of(tmp_path_factory.mktemp("runs"), model={"text": {"slots": "per_class"}},
                       evaluate={"bootstrap": 0})
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(evaluation, "draw_confusion", lambda result: None)
        return recipes.train(config, progress=False).folder


@pytest.fixture(scope="session")
def drawn_dataset(drawn_run: Path) -> Dataset:
    """The data of that run."""
    return open_dataset(read_config(find_checkpoint(drawn_run)))
