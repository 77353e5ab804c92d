"""Rows on training come out with their targets, on data small enough that nothing they say about time matters."""

from __future__ import annotations

import dataclasses

import pytest
import torch

from avsgn_pyg.engine import compiled
from avsgn_pyg.engine.compiled import CompiledModel
from avsgn_pyg.experiments import training_rows
from avsgn_pyg.experiments.training_rows import batching_rows, compile_rows, epoch_rows, operation_rows, step_rows
from avsgn_pyg.experiments.workload import Engine, Workload

TINY = Workload(videos=11, segments=4, width=16, classes=3, batch_size=4, rounds=2, epochs=2,
                overrides=("model.dim=8",))


@pytest.fixture(autouse=True)
def _one_call(monkeypatch):
    monkeypatch.setattr("avsgn_pyg.experiments.timing.FILL", 0.0)


def by_name(rows) -> dict:
    found = {row.name: row for row in rows}
    for row in found.values():
        assert row.low is None or 0 < row.low <= row.value <= row.high
    return found


def test_a_step_is_judged_beside_the_hand_written_one_and_the_recipes_beside_cmbs():
    rows = by_name(step_rows(TINY))
    assert rows["CPU: step / hand-written step"].at_most == 1.15
    assert rows["CPU: step of the default recipe / step of CMBS's shape"].at_most == 0.3
    assert rows["CPU: step along edge lists / step"].value > 0


def test_operations_are_counted_from_no_gradients():
    rows = by_name(operation_rows(TINY))
    assert set(rows) == {f"operations, forward and backward, {name}" for name in ("model", "hand-written")}
    assert all(row.value > 100 and " add_" not in row.note for row in rows.values())


def test_compiling_is_left_out_unless_it_is_asked_for():
    row, = compile_rows(TINY)
    assert row.value is None and "--compile" in row.note


def test_the_compiled_step_is_timed_beside_the_eager_one(monkeypatch):
    monkeypatch.setattr(compiled, "BACKEND", "eager")
    monkeypatch.setattr(training_rows, "compiled_kernels", lambda run: run() or (30, 60))
    torch._dynamo.reset()
    rows = by_name(compile_rows(dataclasses.replace(TINY, compile=True)))
    assert rows["CPU: step of the default recipe, compiled / eager"].value > 0
    assert rows["CPU: kernels of the compiled model"].value == 90


def test_the_compiled_step_trains_the_engines_own_model():
    engine = Engine.of(dataclasses.replace(training_rows.recipe(TINY), videos=4))
    model = CompiledModel(engine.parts.model)
    assert list(model.parameters()) == list(engine.parts.model.parameters())


def test_an_epoch_is_judged_beside_its_steps():
    row = by_name(epoch_rows(TINY))["CPU: epoch / its steps"]
    assert row.at_most == 1.1 and row.note == "11 videos, 3 steps"


def test_batches_are_compared_with_indexing_and_with_collation():
    rows = by_name(batching_rows(TINY))
    assert rows["CPU: from_data_list / Videos.batch"].at_least == 40
    assert rows["CPU: Videos.batch / indexing alone"].value > 0
