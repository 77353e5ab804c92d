"""Rows on training come out with their targets, on data small enough that nothing they say about time matters."""

from __future__ import annotations

import dataclasses

import pytest

from avsgn_pyg.experiments import training_rows
from avsgn_pyg.experiments.training_rows import (
    adam_rows,
    epoch_rows,
    memory_rows,
    operation_rows,
    product_rows,
    step_rows,
)
from avsgn_pyg.experiments.workload import Engine, Workload

TINY = Workload(videos=11, segments=4, width=16, classes=3, batch_size=4, rounds=2, epochs=2,
                overrides=("model.dim=8",))


def by_name(rows) -> dict:
    found = {row.name: row for row in rows}
    for row in found.values():
        assert row.low is None or 0 < row.low <= row.value <= row.high
    return found


def test_a_step_is_judged_beside_the_hand_written_one_and_the_quoted_figure():
    rows = by_name(step_rows(TINY))
    assert rows["CPU: step / hand-written step"].at_most == 1.15
    assert rows["CPU: CMBS step"].value == 1.4 and "not re-run" in rows["CPU: CMBS step"].note
    assert rows["CPU: step over edge lists / step"].value > 0


def test_a_step_is_judged_beside_its_own_products_with_dropout_and_without():
    rows = by_name(product_rows(TINY))
    for kind in ("default dropout", "no dropout"):
        assert rows[f"CPU: step / its products alone, {kind}"].at_most == 1.15
        assert rows[f"CPU: hand-written step / its products alone, {kind}"].at_most is None
    assert "products replayed" in rows["CPU: step / its products alone, no dropout"].note


def test_operations_are_judged_as_a_gpu_would_run_them_and_dropout_adds_some():
    rows = by_name(operation_rows(TINY))
    name = "operations, forward and backward, model, subgraphs at once, {}"
    with_dropout, without = rows[name.format("default dropout")], rows[name.format("no dropout")]
    assert with_dropout.value > without.value > 100 and without.at_most == 200
    kernels = rows["kernels compiled, forward and backward, no dropout"]
    assert kernels.value is None and kernels.at_most == 100 and "--compile" in kernels.note


def test_gradients_of_the_last_step_are_not_added_to_where_operations_are_counted():
    rows = by_name(operation_rows(TINY))
    weights = sum(1 for _ in Engine.of(TINY, "cpu").parts.model.parameters())
    row = rows["operations, forward and backward, hand-written, no dropout"]
    assert weights > 50 and " add_" not in row.note and row.at_most is None


def test_compiled_kernels_are_counted_when_asked_for(monkeypatch):
    monkeypatch.setattr(training_rows, "compiled_kernels", lambda record, values: (30, 60))
    rows = by_name(operation_rows(dataclasses.replace(TINY, compile=True)))
    row = rows["kernels compiled, forward and backward, default dropout"]
    assert row.value == 90 and row.met and "30 fused" in row.note


def test_adam_has_its_three_ways():
    assert list(by_name(adam_rows(TINY))) == ["CPU: Adam, fused", "CPU: Adam, single / fused",
                                              "CPU: Adam, foreach / fused"]


def test_an_epoch_is_judged_beside_its_steps():
    row = by_name(epoch_rows(TINY))["CPU: epoch / its steps"]
    assert row.at_most == 1.1 and row.note == "11 videos, 3 steps"


@pytest.mark.parametrize(("asked", "peak", "value", "words"), [
    (True, 3 * 2**20, 3.0, "one sample"), (True, None, None, "only Linux"), (False, 3 * 2**20, None, "not asked for"),
])
def test_a_peak_is_a_number_or_says_why_not(monkeypatch, asked, peak, value, words):
    monkeypatch.setattr(training_rows, "peak_bytes", lambda *_: peak)
    for row in memory_rows(dataclasses.replace(TINY, memory=asked)):
        assert row.value == value and words in row.note
