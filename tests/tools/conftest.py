"""What the tests of several tools need."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import pytest

from avsgn_pyg import recipes
from avsgn_pyg.config import Config

ROOT = Path(__file__).resolve().parents[2]


def load_file(path: Path) -> ModuleType:
    spec = importlib.util.spec_from_file_location(f"{path.stem}_loaded", path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


_predictor = load_file(ROOT / "tests" / "predictor" / "conftest.py")
clip, checkpoint, run = _predictor.clip, _predictor.checkpoint, _predictor.run


@pytest.fixture
def load() -> Callable[[str], ModuleType]:
    """The module of a tool, by its name."""
    return lambda name: load_file(ROOT / "tools" / f"{name}.py")


@pytest.fixture
def folders_of(capsys: pytest.CaptureFixture[str]) -> Callable[..., set[Path]]:
    """Run a tool that prints the files it wrote, and return their folders."""

    def run(tool: ModuleType, *arguments: object) -> set[Path]:
        assert tool.main([*map(str, arguments)]) == 0
        return {Path(line).parent for line in capsys.readouterr().out.split()}

    return run


@pytest.fixture(scope="session")
def small_run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a small run on synthetic data; what tests draw of it is in its ``pictures``."""
    config = Config.model_validate({
        "run_dir": tmp_path_factory.mktemp("runs"),
        "data": {"kind": "synthetic", "synthetic": {"videos": 40, "classes": 3, "width": 16}},
        "model": {"dim": 16},
        "train": {"epochs": 1, "batch_size": 8, "device": "cpu"},
        "evaluate": {"bootstrap": 0},
    })
    return recipes.train(config, progress=False).folder
