"""Every group yields its rows, on data too small for its times to matter."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import nullcontext

import pytest
import torch

from avsgn_pyg.benchmark import groups
from avsgn_pyg.benchmark.groups import GROUPS, CountOperations, cmgi_pass
from avsgn_pyg.benchmark.results import Comparison, Row, measure
from avsgn_pyg.benchmark.workload import Workload
from avsgn_pyg.config import ConfigError

TINY = Workload(videos=9, segments=4, width=16, classes=3, batch_size=4, rounds=1, epochs=1, sizes=((1, 2), (3, 4)),
                long=(8, 16), memory=False, overrides=("model.dim=8",))


@pytest.fixture(autouse=True)
def _one_call(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("avsgn_pyg.benchmark.timing.FILL", 0.0)


def rows_of(group: str, workload: Workload = TINY) -> dict[str, Row]:
    rows = {row.name: row for row in measure({group: GROUPS[group]}, workload).rows}
    assert all(row.value is None or row.value > 0 for row in rows.values())
    return rows


@pytest.mark.parametrize(("group", "targets"), [
    ("step", {"step: trainer / hand-written": 1.15, "step: avsgn_full.yaml / baselines/cmbs_full.yaml": 0.3,
              "step, model.cmgi.backend: native / blocks": None}),
    ("epoch", {"epoch: epoch / its steps": 1.1}),
    ("batching", {"batching: Videos.batch / from_data_list": 0.025, "batching: indexing alone / from_data_list": None}),
    ("cmgi", {f"CMGI B={videos} T={segments}: {backend} / hand-written": None
              for videos, segments in TINY.sizes for backend in ("blocks", "native")}),
    ("window", {"window: T=16 / T=8": None}),
    ("compile", {"compiled step": None}),
])
def test_rows_have_their_targets(group: str, targets: dict[str, float | None]) -> None:
    rows = rows_of(group)
    assert {name: rows[name].at_most for name in targets} == targets


def test_convolutions_of_the_table_are_compared_on_both_backends(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(groups, "CONVS", ("gcn", "gine"))
    rows = rows_of("layers")
    assert {f"CMGI conv={name}: native / blocks" for name in ("gcn", "gine")} <= set(rows)
    assert "matmul 6, broadcast 0" in rows["CMGI conv=gcn: blocks"].note
    assert "matmul 0, broadcast 6" in rows["CMGI conv=gine: blocks"].note


def test_the_compiled_step_is_compared_with_the_eager_one(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[tuple[str, ...]] = []
    monkeypatch.setattr(groups, "trainer_step", lambda workload: asked.append(workload.overrides) or (lambda: None))
    first, comparison = GROUPS["compile"](TINY.but(compile=True))
    assert first.unit == "ms" and list(comparison.variants) == ["eager", "compiled"]
    assert sorted(asked) == [(), ("train.compile=true",)]


def test_growth_and_peak_of_an_hour_have_targets(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(groups, "worker", lambda folder, function, settings: nullcontext((settings["segments"], None)))
    monkeypatch.setattr(groups, "long_pass", lambda workload: lambda: None)
    comparison, *peaks = groups.window_rows(TINY.but(long=(300, 3600), memory=True))
    assert isinstance(comparison, Comparison) and comparison.at_most == {"T=3600": 12**1.1}
    assert [(row.value, row.met) for row in peaks] == [(300, True), (3600, False)]


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


def test_operations_that_compute_are_counted_and_views_are_not() -> None:
    x = torch.ones(4, 6)
    with CountOperations() as count:
        (x.T[0].unsqueeze(0).expand(5, 4) + 1).relu()
    assert count.total == 2


def test_the_model_runs_hundreds_of_operations() -> None:
    rows = rows_of("operations")
    assert len(rows) == 2 and all(row.value > 100 for row in rows.values())


def test_a_network_without_a_hand_written_step_is_refused() -> None:
    with pytest.raises(ConfigError, match="hand-written step"):
        rows_of("step", TINY.but("model.cmgi.conv=gat"))


def test_without_a_gpu_one_row_is_absent(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    row, = groups.gpu_rows(TINY)
    assert row.value is None and "CUDA" in row.note


def test_rows_of_a_gpu_are_measured_there_and_named_so(monkeypatch: pytest.MonkeyPatch) -> None:
    def group(workload: Workload) -> Iterator[Comparison]:
        yield Comparison(workload.device, {"one": lambda: 1.0}, timed=True)

    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    for name in ("step_rows", "epoch_rows", "cmgi_rows", "compile_rows"):
        monkeypatch.setattr(groups, name, group)
    assert [row.name for row in groups.gpu_rows(TINY)] == ["GPU cuda: one"] * 4


@pytest.mark.gpu
def test_every_row_of_a_gpu_has_a_value() -> None:
    assert all(row.value is not None for row in rows_of("gpu", TINY.but(compile=True)).values())
