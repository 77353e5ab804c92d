"""Without a GPU there is one row that says so; with one, every row."""

from __future__ import annotations

import dataclasses

import pytest
import torch

from avsgn_pyg.experiments.gpu_rows import GraphedStep, gpu_rows
from avsgn_pyg.experiments.workload import Workload

SITES = ("attention", "features", "graph", "head")
STILL = Workload(videos=4, segments=4, width=16, classes=3, batch_size=4,
                 overrides=("model.dim=8", *(f"model.dropout.{site}=0" for site in SITES)))


def test_without_a_device_one_row_says_so(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    row, = gpu_rows(Workload())
    assert row.value is None and "no CUDA device" in row.note


@pytest.mark.gpu
def test_a_graphed_step_moves_the_weights_as_the_eager_one_does():
    graphed, eager = GraphedStep(STILL), GraphedStep(STILL)
    graphed()
    eager.eager()
    for mine, theirs in zip(graphed.learner.parameters(), eager.learner.parameters(), strict=True):
        torch.testing.assert_close(mine, theirs, rtol=0, atol=1e-5)


@pytest.mark.gpu
def test_every_row_of_a_gpu_comes_out():
    asked = dataclasses.replace(Workload(), videos=130, rounds=3, epochs=1, budget=2.0, compile=True)
    rows = {row.name: row for row in gpu_rows(asked)}
    assert rows["GPU: step as a CUDA graph"].at_most == 0.5
    assert all(row.value is not None for row in rows.values())
