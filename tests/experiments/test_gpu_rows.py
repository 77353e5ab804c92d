"""Without a GPU there is one row that says so; with one, every row."""

from __future__ import annotations

import pytest
import torch

from avsgn_pyg.experiments.gpu_rows import _at, gpu_rows
from avsgn_pyg.experiments.rows import Row
from avsgn_pyg.experiments.workload import Workload


def test_without_a_device_one_row_says_so(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    row, = gpu_rows(Workload())
    assert row.value is None and "no CUDA device" in row.note


def test_the_precision_of_products_comes_back():
    before, inside = torch.get_float32_matmul_precision(), []
    rows = list(_at("high", lambda: iter([inside.append(torch.get_float32_matmul_precision()) or Row("a", 1.0, "s")])))
    assert inside == ["high"] and rows[0].name == "a" and torch.get_float32_matmul_precision() == before


@pytest.mark.gpu
def test_every_row_of_a_gpu_comes_out():
    rows = {row.name: row for row in gpu_rows(Workload(videos=130, rounds=3, epochs=1, budget=2.0))}
    assert rows["GPU, TF32: step as a CUDA graph"].at_most == 0.5
    assert all(row.value is not None for row in rows.values())
