"""Every group yields its rows, on data too small for its times to matter."""

from __future__ import annotations

import pytest
import torch

from avsgn_pyg.experiments.benchmark import groups
from avsgn_pyg.experiments.benchmark.groups import GROUPS, cmgi_pass
from avsgn_pyg.experiments.benchmark.results import Row, measure
from avsgn_pyg.experiments.benchmark.workload import Workload

pytestmark = pytest.mark.slow

TINY = Workload(videos=9, segments=4, width=16, classes=3, batch_size=4, rounds=1, epochs=1, sizes=((1, 2), (3, 4)),
                graphs=((2, 3),),
                long=(8, 16), memory=False, overrides=("model.dim=8",))


@pytest.fixture(autouse=True)
def _one_call(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("avsgn_pyg.experiments.benchmark.timing.FILL", 0.0)


def rows_of(group: str, workload: Workload = TINY) -> dict[str, Row]:
    rows = {row.name: row for row in measure({group: GROUPS[group]}, workload).rows}
    assert rows and all(row.value is None or row.value > 0 for row in rows.values())
    return rows


@pytest.mark.parametrize(("group", "names"), [
    ("step", {"step: trainer / hand-written", "step, model.cmgi.backend: native / blocks"}),
    ("epoch", {"epoch: epoch / its steps"}),
    ("batching", {"batching: Videos.batch / from_data_list", "batching: indexing alone / from_data_list"}),
    ("cmgi", {f"CMGI B={videos} T={segments}: {backend} / hand-written"
              for videos, segments in TINY.sizes for backend in ("blocks", "native")}),
    ("window", {"window: T=16 / T=8"}),
    ("operations", set()),
])
def test_every_group_has_its_rows(group: str, names: set[str]) -> None:
    assert names <= set(rows_of(group))


def test_convolutions_of_the_table_are_compared_on_both_backends(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(groups, "CONVS", ("gcn", "gine"))
    rows = rows_of("layers")
    assert {f"CMGI conv={name}: native / blocks" for name in ("gcn", "gine")} <= set(rows)
    assert "matmul 6, broadcast 0" in rows["CMGI conv=gcn: blocks"].note
    assert "matmul 0, broadcast 6" in rows["CMGI conv=gine: blocks"].note


@pytest.mark.parametrize("backend", ["blocks", "native"])
def test_forms_of_cmgi_have_equal_gradients(backend: str) -> None:
    def gradients(form: str) -> tuple[torch.Tensor, ...]:
        torch.set_default_dtype(torch.float64)
        try:
            return cmgi_pass(TINY.but("model.dropout.graph=0"), form)()
        finally:
            torch.set_default_dtype(torch.float32)

    for mine, theirs in zip(gradients(backend), gradients("hand-written"), strict=True):
        assert theirs.abs().max() > 1e-6, "a gradient of zero would prove nothing"
        torch.testing.assert_close(mine, theirs, rtol=1e-10, atol=1e-13)


@pytest.mark.gpu
def test_every_row_of_a_gpu_has_a_value() -> None:
    assert all(row.value is not None for row in rows_of("gpu", TINY).values())
