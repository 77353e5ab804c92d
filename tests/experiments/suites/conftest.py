"""A suite of two rows on made features, small enough to train in a second."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

TINY = """
name: tiny
data: {kind: synthetic, synthetic: {videos: 40, classes: 3, width: 16}}
model: {dim: 16}
train: {epochs: 2, batch_size: 8, device: cpu, threads: 1}
evaluate: {bootstrap: 50}
"""
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
def written(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The suite's YAML, its configs beside it."""
    folder = tmp_path_factory.mktemp("suite")
    (folder / "tiny.yaml").write_text(TINY)
    (folder / "weak.yaml").write_text("base: tiny.yaml\nobjective: {supervision: weak}\n")
    (folder / "pair.yaml").write_text(SUITE)
    return folder / "pair.yaml"


def without_pictures(patch: pytest.MonkeyPatch) -> None:
    """Confusion pictures are drawn elsewhere and take most of a tiny run's time."""
    patch.setattr("avsgn_pyg.visualize.theme.save_figure", lambda *_: None)


@pytest.fixture(autouse=True)
def _no_pictures(monkeypatch: pytest.MonkeyPatch) -> None:
    without_pictures(monkeypatch)


@pytest.fixture(scope="session")
def out(written: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the suite has run with two seeds under full supervision. To be read only."""
    from avsgn_pyg.experiments.suites import load_suite, reproduce

    folder = tmp_path_factory.mktemp("out")
    suite = load_suite(written, supervisions=["full"])
    with pytest.MonkeyPatch.context() as patch:  # not for the session: other tests look for their pictures
        without_pictures(patch)
        done = reproduce(suite, seeds=(0, 1), out=folder, processes=0, progress=False)
    assert (done.done, done.left, done.failures) == (4, 0, ())
    return folder


@pytest.fixture(autouse=True)
def _threads() -> Iterator[None]:
    before = torch.get_num_threads()
    yield
    torch.set_num_threads(before)
