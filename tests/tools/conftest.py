"""What the tests of several tools need."""

from __future__ import annotations

import functools
import importlib.util
import os
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import pytest

from avsgn_pyg.common.config import Config
from avsgn_pyg.engine import recipes
from avsgn_pyg.engine.recipes import evaluation

ROOT = Path(__file__).resolve().parents[2]


@functools.cache
def load_file(path: Path) -> ModuleType:
    spec = importlib.util.spec_from_file_location(f"{path.stem}_loaded", path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


_predictor = load_file(ROOT / "tests" / "predictor" / "conftest.py")
texts_of = load_file(ROOT / "tests" / "visualize" / "conftest.py").texts_of
clip, checkpoint, run, seeds = _predictor.clip, _predictor.checkpoint, _predictor.run, _predictor.seeds
make_clip = _predictor.clip_maker.make_clip


@pytest.fixture
def load() -> Callable[[str], ModuleType]:
    """The module of a tool, by its name."""
    return lambda name: load_file(ROOT / "tools" / f"{name}.py")


@pytest.fixture(scope="module")
def tool(request: pytest.FixtureRequest) -> ModuleType:
    """The module of the tool that the test file is named after."""
    return load_file(ROOT / "tools" / f"{request.path.stem.removeprefix('test_')}.py")


@pytest.fixture(scope="session")
def write_llp() -> Callable[[Path], None]:
    """Write the files of a small LLP into a folder."""
    return load_file(ROOT / "tests" / "tasks" / "parsing" / "conftest.py").write_many


@pytest.fixture
def config(tiny_yaml: str, tmp_path: Path) -> Path:
    """The YAML of a run ``tiny`` of a second."""
    path = tmp_path / "tiny.yaml"
    path.write_text(tiny_yaml)
    return path


@pytest.fixture
def environment() -> dict[str, str]:
    """Of a process on the CPU with this checkout's package."""
    return {**os.environ, "OMP_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": "", "PYTHONPATH": str(ROOT)}


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
        "evaluate": {"bootstrap": 20},
    })
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(evaluation, "draw_confusion", lambda result: None)
        return recipes.train(config, progress=False).folder
