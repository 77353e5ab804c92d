"""Results are the content of the runs' files, and a difference is that of the metrics."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from avsgn_pyg import metrics
from avsgn_pyg.common.errors import DataError
from avsgn_pyg.engine import recipes
from avsgn_pyg.experiments.suites import load_suite
from avsgn_pyg.experiments.suites.protocol import remarks
from avsgn_pyg.experiments.suites.results import Result, collect, read_predictions, refuse_mixed_data
from avsgn_pyg.experiments.suites.runs import plan


def read(written: Path, out: Path) -> list[Result]:
    suite = load_suite(written, supervisions=["full"])
    return collect(suite, plan(suite, (0, 1), out))["full", "test"]


@pytest.fixture(scope="module")
def results(written: Path, out: Path) -> list[Result]:
    return read(written, out)


def test_interval_and_difference_are_those_of_the_metrics(results: list[Result], copied: Path):
    ours, other = results
    recipes.evaluate_run(copied / "full" / "ours", device="cpu", progress=False)
    summary = json.loads((copied / "full" / "ours" / "summary-test.json").read_text())
    assert summary["seeds"] == [0, 1] and ours.interval() == pytest.approx(summary["interval"])
    assert other.compare(ours) == pytest.approx(metrics.paired_bootstrap(other.shares, ours.shares, 50, seed=0))


def predictions(path: Path, *lines: str) -> Path:
    path.write_text("\n".join(("row,true_labels,predicted_labels", *lines)) + "\n")
    return path


@pytest.mark.parametrize("lines", [(), ("7,a|b,a",), ("7",)])
def test_damaged_predictions_are_refused(tmp_path: Path, lines: tuple[str, ...]):
    with pytest.raises(DataError, match=r"p.csv.*remove it"):
        read_predictions(predictions(tmp_path / "p.csv", *lines))


def test_rows_of_different_videos_are_not_compared(written: Path, copied: Path):
    for seed in (0, 1):
        path = copied / "full" / "no_av" / f"seed-{seed}" / "evaluation-test" / "predictions.csv"
        head, first, *others = path.read_text().splitlines()
        path.write_text("\n".join((head, *others, first)) + "\n")
    with pytest.raises(DataError, match="rows ours and no_av were scored on different videos"):
        read(written, copied)


def of_other_data(results: list[Result], **changes: Any) -> list[Result]:
    """The same results, the second with other data settings."""
    ours, other = results
    data = other.cell.config.data.model_copy(update={"name": "of another encoder"})
    cell = dataclasses.replace(other.cell, config=other.cell.config.model_copy(update={"data": data}))
    return [ours, dataclasses.replace(other, cell=cell, **changes)]


def test_rows_of_other_features_are_compared_on_their_common_videos(results: list[Result]):
    fewer = {"rows": results[1].rows[:0:-1], "right": results[1].right[:, 1:].flip(1),
             "seconds": results[1].seconds[1:].flip(0)}
    ours, other = of_other_data(results, **fewer)
    refuse_mixed_data("full, test", [ours, other])
    expected = metrics.paired_bootstrap(other.shares, ours.shares[:, 1:].flip(1), 50, seed=0)
    assert other.compare(ours) == pytest.approx(expected)
    assert f"compared with ours on the {len(ours.rows) - 1} videos that both have" in remarks(other, ours, {}, {})
    assert remarks(ours, ours, {}, {}) == [""]


@pytest.mark.parametrize("change", [
    lambda other: {"rows": tuple(row + 1000 for row in other.rows)},
    lambda other: {"seconds": other.seconds + 1},
    lambda other: {"records": tuple(record | {"dataset": "another"} for record in other.records)},
], ids=["rows", "seconds", "dataset"])
def test_rows_without_a_common_video_are_not_compared(results: list[Result], change: Callable):
    with pytest.raises(DataError, match="were scored on different videos"):
        refuse_mixed_data("full, test", of_other_data(results, **change(results[1])))


@pytest.mark.parametrize(("runs", "says"), [
    (("ours/seed-1",), "ours: its seeds were trained on other features"),
    (("no_av/seed-0", "no_av/seed-1"), "rows ours and no_av have the same data settings"),
])
def test_runs_of_other_features_are_not_mixed(written: Path, copied: Path, edit: Callable, runs, says: str):
    for run in runs:
        edit(copied / "full" / run / "evaluation-test" / "metrics.json",
             lambda record: record["trained"].update(provenance={"made by": "somebody else"}))
    with pytest.raises(DataError, match=says):
        read(written, copied)


def test_predictions_of_another_evaluation_are_refused(written: Path, copied: Path, edit: Callable):
    edit(copied / "full/ours/seed-0/evaluation-test/metrics.json",
         lambda record: record["scores"].update(segment_accuracy=12.5))
    with pytest.raises(DataError, match=r"seed-0.*12.50 % in metrics.json.*different evaluations"):
        read(written, copied)
