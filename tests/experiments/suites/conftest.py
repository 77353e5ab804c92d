"""A suite of two rows on synthetic features, small enough to train in a second."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

SUITE = """
title: Two & two
configs: {full: tiny.yaml, weak: weak.yaml}
reference: ours
rows:
- {name: ours, label: "✓ (ours)", paper: {full: 83.1, weak: 78.8}}
- {name: no_av, label: "✗ [50 %]", change: {model.cmgi.subgraphs: [vt, at]}, paper: {full: 80.3}, note: not a_word}
published:
- {label: AVEL, paper: {full: 72.7}, note: other features}
"""


@pytest.fixture(scope="session")
def written(tiny_yaml: str, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The YAML of the suite, beside its configs."""
    folder = tmp_path_factory.mktemp("suite")
    (folder / "tiny.yaml").write_text(tiny_yaml)
    (folder / "weak.yaml").write_text("base: tiny.yaml\nobjective: {supervision: weak}\n")
    (folder / "pair.yaml").write_text(SUITE)
    return folder / "pair.yaml"


@pytest.fixture
def rewritten(written: Path, tmp_path: Path) -> Callable[[str, str], Path]:
    """A copy of the suite with a part of its text replaced."""

    def rewrite(old: str, new: str) -> Path:
        folder = Path(shutil.copytree(written.parent, tmp_path / "suite"))
        assert old in SUITE
        (folder / "pair.yaml").write_text(SUITE.replace(old, new))
        return folder / "pair.yaml"

    return rewrite


@pytest.fixture(scope="session")
def out(written: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Output of the suite, two seeds under full supervision; read-only."""
    from avsgn_pyg.experiments.suites import load_suite, reproduce

    folder = tmp_path_factory.mktemp("out")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("avsgn_pyg.visualize.theme.save_figure", lambda *_: None)
        done = reproduce(load_suite(written, supervisions=["full"]), seeds=(0, 1), out=folder, processes=0,
                         progress=False)
    assert (done.done, done.left, done.failures) == (4, 0, ())
    return folder


@pytest.fixture
def copied(out: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(out, tmp_path / "out"))


@pytest.fixture(scope="session")
def edit() -> Callable[..., None]:
    """Change a JSON file."""

    def change_file(path: Path, change: Callable[[dict[str, Any]], object]) -> None:
        content = json.loads(path.read_text())
        change(content)
        path.write_text(json.dumps(content))

    return change_file


@pytest.fixture(autouse=True)
def _fast(monkeypatch: pytest.MonkeyPatch) -> None:
    """No pictures, which take most of the time of a tiny run."""
    monkeypatch.setattr("avsgn_pyg.visualize.theme.save_figure", lambda *_: None)
