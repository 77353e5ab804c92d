"""Rows on message passing come out, are judged where there is a target, and say why where there is no number."""

from __future__ import annotations

import dataclasses

import pytest

from avsgn_pyg.experiments import graph_rows
from avsgn_pyg.experiments.cmgi_roads import Case
from avsgn_pyg.experiments.graph_rows import cmgi_rows, layer_rows, peak_rows
from avsgn_pyg.experiments.workload import Workload
from avsgn_pyg.model.convs import CONVS

TINY = Workload(videos=4, segments=3, width=16, classes=3, batch_size=2, rounds=2, lengths=(2, 4), batches=(1, 3),
                overrides=("model.dim=8",))


@pytest.fixture(autouse=True)
def _one_call(monkeypatch):
    monkeypatch.setattr("avsgn_pyg.experiments.timing.FILL", 0.0)


def test_every_size_has_every_road_and_every_road_its_exponents():
    rows = {row.name: row for row in cmgi_rows(TINY)}
    for size in ("B=1 T=2", "B=3 T=2", "B=1 T=4", "B=3 T=4"):
        for road in ("folded by hand", "CMGI", "layers by vmap", "CMGI on edge lists", "naive gather"):
            row = rows[f"CMGI {size}: {road} / hand-stacked"]
            assert 0 < row.low <= row.value <= row.high
    assert rows["CMGI: exponent in T, B=1"].note.startswith("fitted over T = 2, 4")
    assert rows["naive gather: exponent in B, T=2"].unit == "exponent"


@pytest.mark.parametrize(("videos", "segments", "bound"), [
    (64, 60, 1.05), (256, 10, 1.05), (1, 10, 1.5), (1, 60, None),
])
def test_the_graph_road_alone_is_judged_by_size(videos, segments, bound):
    samples = {road: [1.0, 1.2] for road in graph_rows.ROADS}
    rows = {row.name.split(": ")[1]: row for row in graph_rows._cell(Case(videos, segments), samples)}
    assert rows["CMGI / hand-stacked"].at_most == bound
    assert rows["layers by vmap / hand-stacked"].at_most is None
    assert "not what the model runs" in rows["layers by vmap / hand-stacked"].note


@pytest.mark.parametrize(("segments", "bound"), [(10, 3.5), (60, 12.0), (300, 60.0), (1000, None)])
def test_gather_must_cost_more_the_longer_the_video(segments, bound):
    rows = list(graph_rows._cell(Case(1, segments), {road: [1.0] for road in graph_rows.ROADS}))
    assert rows[-1].name.endswith("naive gather / CMGI") and rows[-1].at_least == bound


def test_what_does_not_fit_is_left_out_and_says_what_it_needs():
    limit = Case(1, 4, 8, road="blocks").bytes() / 2**30 * 1.5
    rows = {row.name: row for row in cmgi_rows(dataclasses.replace(TINY, limit_gib=limit, lengths=(4, 50)))}
    assert rows["CMGI B=1 T=4: naive gather"].value is None
    assert "needs about" in rows["CMGI B=1 T=4: naive gather"].note
    assert rows["CMGI B=1 T=4: CMGI / hand-stacked"].value is not None
    assert rows["CMGI B=1 T=50: every road"].value is None


def test_peaks_are_compared_and_judged(monkeypatch):
    sizes = {"stacked": 10, "blocks": 10, "native": 50, "gather": 90}
    monkeypatch.setattr(graph_rows, "peak_bytes", lambda _, case, calls: sizes[case.road] * 2**20)
    rows = {row.name: row for row in peak_rows(TINY)}
    assert rows["CMGI B=64 T=10: peak memory, CMGI"].value == 10
    found = rows["CMGI B=64 T=10: peak memory, naive gather / CMGI"]
    assert (found.value, found.at_least, found.met) == (9.0, 7.0, True)
    assert rows["CMGI B=1 T=300: peak memory, naive gather / CMGI"].met is False


def test_peaks_that_were_not_asked_for_are_absent():
    rows = list(peak_rows(dataclasses.replace(TINY, memory=False)))
    assert rows and all(row.value is None and "not asked for" in row.note for row in rows)


def test_every_layer_of_the_table_has_a_row_that_says_what_ran():
    rows = {row.name: row for row in layer_rows(TINY)}
    assert set(rows) == {f"layer {name}: edge lists / blocks" for name in CONVS}
    for row in rows.values():
        assert row.value > 0 and "fallback 0" in row.note
    assert "matmul 1; broadcast 0" in rows["layer gcn: edge lists / blocks"].note
