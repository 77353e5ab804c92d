"""Every layer is timed in two forms that compute the same."""

from __future__ import annotations

import pytest
import torch

from avsgn_pyg.experiments.benchmark import single_layers
from avsgn_pyg.experiments.benchmark.results import Row, measure
from avsgn_pyg.experiments.benchmark.single_layers import STOCK, layer_pass, single_layer_rows
from avsgn_pyg.experiments.benchmark.workload import Workload
from avsgn_pyg.layers.convs import CONVS

TINY = Workload(rounds=1, graphs=((2, 3),), overrides=("model.dim=8",))


@pytest.mark.parametrize("name", [*CONVS, *STOCK])
def test_both_forms_have_equal_gradients(name: str) -> None:
    torch.set_default_dtype(torch.float64)
    try:
        along_edges, on_blocks = (layer_pass(name, 8, 2, 3, blocks, TINY)() for blocks in (False, True))
    finally:
        torch.set_default_dtype(torch.float32)
    for one, other in zip(along_edges, on_blocks, strict=True):
        assert (one is None) == (other is None)
        if one is not None:
            torch.testing.assert_close(one, other, rtol=1e-8, atol=1e-9)


def rows(monkeypatch: pytest.MonkeyPatch, *names: str, workload: Workload = TINY) -> dict[str, Row]:
    monkeypatch.setattr("avsgn_pyg.experiments.benchmark.timing.FILL", 0.0)
    monkeypatch.setattr(single_layers, "CONVS", names)
    return {row.name: row for row in measure({"blocks": single_layer_rows}, workload).rows}


def test_a_row_says_how_a_layer_ran(monkeypatch: pytest.MonkeyPatch) -> None:
    found = rows(monkeypatch, "gcn", "gine")
    notes = {name.split(" B=")[0]: row.note for name, row in found.items() if name.endswith(": blocks")}
    assert notes == {"gcn": "matmul 1, widest 0", "gine": "matmul 0, widest 8"} | dict.fromkeys(STOCK, "falls back")
    assert found["gcn B=2 N=3 D=8: edge list / blocks"].value > 0


def test_messages_that_would_fill_the_memory_are_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(single_layers, "LARGEST", 2 * 3**2 * 8 - 1)
    assert {row.value for row in rows(monkeypatch, "gcn").values()} == {None}
