"""Comparisons become rows with quartiles and targets; rows become text and JSON."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from avsgn_pyg.experiments.benchmark.results import Comparison, Group, Results, Row, measure
from avsgn_pyg.experiments.benchmark.timing import interleave
from avsgn_pyg.experiments.benchmark.workload import Workload

WORKLOAD = Workload(rounds=3)


def one_row(name: str) -> Group:
    return lambda workload: iter([Row(name, 1.0, "ms")])


def test_ratios_are_taken_within_rounds() -> None:
    """A slow second round slows both; the ratio of the medians would be 2, not 3."""
    seconds = {"ours": iter([3.0, 30.0, 6.0]), "theirs": iter([1.0, 10.0, 3.0])}
    variants = {name: lambda name=name: next(seconds[name]) for name in ("theirs", "ours")}
    time, ratio = Comparison("step", variants, at_most={"ours": 2.5}, timed=True).rows(WORKLOAD)
    assert (time.name, time.value, time.unit) == ("step: theirs", 3000.0, "ms")
    assert (ratio.name, ratio.low, ratio.value, ratio.high) == ("step: ours / theirs", 2.5, 3.0, 3.0)
    assert ratio.met is False


@pytest.mark.parametrize(("row", "cells"), [
    (Row.of("step", [1.0, 2.0, 3.0, 4.0, 5.0], "ms", note="how"), ("step", "3 ms", "2 .. 4", "", "how")),
    (Row("bad", 1.2, "ratio", at_most=1.15), ("bad", "1.2 ratio", "", "<= 1.15 missed", "")),
    (Row("gone", None, "ms", note="no device"), ("gone", "absent", "", "", "no device")),
])
def test_a_row_has_value_quartiles_and_verdict(row: Row, cells: tuple[str, ...]) -> None:
    assert row.cells() == cells


def test_saved_json_and_markdown_have_every_row(tmp_path: Path) -> None:
    rows = (Row("good", 1.1, "ratio", at_most=1.15), Row("gone", None, "ms"))
    data, text = Results(rows, {"cpu": "a CPU"}, {"videos": 7}).save(tmp_path / "new" / "folder")
    record = json.loads(data.read_text())
    assert record["machine"] == {"cpu": "a CPU"} and record["settings"] == {"videos": 7}
    assert [(row["name"], row["value"], row["met"]) for row in record["rows"]] == [
        ("good", 1.1, True), ("gone", None, None)]
    table = [line for line in text.read_text().splitlines() if line.startswith("|")]
    assert len(table) == 4 and {line.count("|") for line in table} == {6}
    assert "a CPU" in text.read_text()


def test_what_was_measured_before_an_interruption_is_kept(tmp_path: Path) -> None:
    def interrupted(workload: Workload) -> Iterator[Row]:
        yield Row("second", 2.0, "ms")
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        measure({"one": one_row("first"), "two": interrupted, "three": one_row("third")}, WORKLOAD, keep=tmp_path)
    kept = json.loads((tmp_path / "benchmark.json").read_text())
    assert kept["machine"]["cpu"] and kept["machine"]["torch"] == torch.__version__
    assert [row["name"] for row in kept["rows"]] == ["first", "second"]


def test_variants_take_turns_until_the_budget_ends_but_three_rounds_at_least() -> None:
    log: list[str] = []
    names = ("one", "two", "three")
    samples = interleave({name: lambda name=name: log.append(name) or 1.0 for name in names}, 9, budget=0.0)
    assert samples == dict.fromkeys(names, [1.0] * 3)
    assert all(set(log[start : start + 3]) == set(names) for start in (0, 3, 6))
