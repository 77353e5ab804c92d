"""Rows on message passing come out, are judged where there is a target, and say why where there is no number."""

from __future__ import annotations

import dataclasses

import pytest

from avsgn_pyg.experiments import graph_rows
from avsgn_pyg.experiments.graph_rows import cmgi_rows, layer_rows, window_rows
from avsgn_pyg.experiments.workload import Engine, Workload, long_pass
from avsgn_pyg.layers.convs import CONVS

TINY = Workload(videos=4, segments=3, width=16, classes=3, batch_size=2, rounds=2, sizes=((1, 2), (3, 4)), long=(8, 16),
                overrides=("model.dim=8",))


@pytest.fixture(autouse=True)
def _one_call(monkeypatch):
    monkeypatch.setattr("avsgn_pyg.experiments.timing.FILL", 0.0)


def test_every_size_has_both_backends():
    rows = {row.name: row for row in cmgi_rows(TINY)}
    for size in ("B=1 T=2", "B=3 T=4"):
        for backend in ("blocks", "native"):
            row = rows[f"CMGI {size}: {backend} / stacked"]
            assert 0 < row.low <= row.value <= row.high
    assert len(rows) == 6


def test_every_layer_of_the_table_has_a_row_that_says_what_ran():
    rows = {row.name: row for row in layer_rows(TINY)}
    assert set(rows) == {f"layer {name}: edge list / blocks" for name in CONVS}
    for row in rows.values():
        assert row.value > 0 and "fallback 0" in row.note
    assert "matmul 1; broadcast 0" in rows["layer gcn: edge list / blocks"].note


def test_long_videos_have_times_their_exponent_and_peaks(monkeypatch):
    monkeypatch.setattr(graph_rows, "peak_bytes", lambda _, given: given.segments**2 * 2**20)
    rows = {row.name: row for row in window_rows(TINY)}
    for length in (8, 16):
        assert rows[f"window, T={length}: forward and backward"].value > 0
    assert rows["window: exponent in T, time"].at_most is None
    assert rows["window, T=16: peak memory"].value == 256 and rows["window, T=16: peak memory"].met


def test_the_exponent_is_judged_where_the_longest_video_is_an_hour(monkeypatch):
    monkeypatch.setattr(graph_rows, "long_pass", lambda given: lambda: None)
    monkeypatch.setattr(graph_rows, "interleave", lambda runs, *_, **__: {name: [float(name)] for name in runs})
    rows = {row.name: row for row in window_rows(dataclasses.replace(TINY, long=(300, 3600), memory=False))}
    row = rows["window: exponent in T, time"]
    assert row.at_most == 1.1 and row.value == pytest.approx(1.0) and row.met
    assert rows["window, T=300: peak memory"].value is None


def test_a_long_pass_has_the_windows_edges_alone_and_leaves_gradients(monkeypatch):
    made = []
    of = Engine.of
    monkeypatch.setattr(Engine, "of", lambda *given: made.append(of(*given)) or made[-1])
    long_pass(dataclasses.replace(TINY, segments=20))()
    video = made[0].train[0]
    source, target = video["audio", "av", "visual"].edge_index
    assert (source - target).abs().max() == 10
    assert all(value.grad is not None for value in made[0].parts.model.cmgi.parameters())
