"""Rows on long videos: a time and a peak for every length, and a judged exponent."""

from __future__ import annotations

import dataclasses

import pytest

from avsgn_pyg.experiments import length_rows
from avsgn_pyg.experiments.length_rows import window_rows
from avsgn_pyg.experiments.workload import Engine, Workload, long_pass

TINY = Workload(width=16, classes=3, rounds=2, long=(8, 16), overrides=("model.dim=8", "model.cmgi.window=2"))


def test_times_exponent_and_peaks_come_out(monkeypatch):
    monkeypatch.setattr("avsgn_pyg.experiments.timing.FILL", 0.0)
    monkeypatch.setattr(length_rows, "peak_bytes", lambda _, given, calls: given[1] ** 2 * 2**20)
    rows = {row.name: row for row in window_rows(TINY)}
    for length in (8, 16):
        assert rows[f"window, T={length}: forward and backward"].value > 0
    assert rows["window: exponent in T, time"].at_most is None
    assert rows["window, T=16: peak memory"].value == 256 and rows["window, T=16: peak memory"].met
    assert rows["window: exponent in T, peak memory"].value == pytest.approx(2.0)


def test_the_exponent_is_judged_where_the_longest_video_is_an_hour(monkeypatch):
    monkeypatch.setattr(length_rows, "long_pass", lambda given: lambda: None)
    monkeypatch.setattr(length_rows, "interleave", lambda runs, *_, **__: {name: [float(name)] for name in runs})
    hour = dataclasses.replace(TINY, long=(300, 3600), memory=False)
    row = next(row for row in window_rows(hour) if row.name == "window: exponent in T, time")
    assert row.at_most == 1.1 and row.value == pytest.approx(1.0) and row.met


def test_peaks_that_were_not_asked_for_are_one_absent_row():
    rows = list(length_rows._peaks(dataclasses.replace(TINY, memory=False)))
    assert [row.value for row in rows] == [None]


def test_a_long_pass_is_of_the_window_topology_and_leaves_gradients(monkeypatch):
    made = []
    of = Engine.of
    monkeypatch.setattr(Engine, "of", lambda *given: made.append(of(*given)) or made[-1])
    long_pass((TINY, 8))()
    subgraph = made[0].parts.model.cmgi.subgraphs["av"]
    assert not subgraph.topology.complete
    assert all(parameter.grad is not None for parameter in subgraph.parameters())
