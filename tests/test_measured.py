"""The tables of configs/README.md say what the runs behind them had: one row a run in configs/measured.csv."""

from __future__ import annotations

import csv
import re
import statistics
from collections import defaultdict
from pathlib import Path

import pytest

CONFIGS = Path(__file__).resolve().parents[1] / "configs"
#: First column of a table's head -> the supervision of its rows.
HEADS = {"full supervision": "full", "video class alone": "weak", "without": "full"}
#: Columns of the table -> of the file.
SCORES = {"class accuracy": "class_accuracy", "background F1": "background_f1", "relevance AUC": "relevance_auc",
          "event F1 @ 0.7": "event_f1@0.7"}


def runs() -> dict[tuple[str, str], list[dict[str, str]]]:
    found = defaultdict(list)
    with (CONFIGS / "measured.csv").open(newline="") as file:
        for run in csv.DictReader(file):
            found[run["supervision"], run["label"]].append(run)
    return dict(found)


def table_rows() -> dict[tuple[str, str], dict[str, str]]:
    """Rows of the tables that give a number of seeds, by supervision and first cell."""
    found, head = {}, None
    for line in (CONFIGS / "README.md").read_text().splitlines():
        cells = [cell.strip().replace("**", "") for cell in line.strip("|").split("|")]
        if not line.startswith("|"):
            head = None
        elif head is None:
            head = cells
        elif head[0] in HEADS and not set(line) <= set("|-") and cells[1]:
            found[HEADS[head[0]], cells[0]] = dict(zip(head, cells, strict=True))
    return found


@pytest.mark.parametrize("row", table_rows(), ids=" ".join)
def test_a_row_is_the_mean_of_its_runs(row: tuple[str, str]):
    cells, measured = table_rows()[row], runs()[row]
    assert int(cells["seeds"]) == len({run["seed"] for run in measured}) == len(measured)
    values = [float(run["segment_accuracy"]) for run in measured]
    mean, _, spread = re.match(r"([\d.]+)( ± ([\d.]+))?", cells["segment accuracy"]).groups()
    assert mean == f"{statistics.mean(values):.2f}"
    assert spread == (f"{statistics.stdev(values):.2f}" if len(values) > 1 else None)
    for column, score in SCORES.items():
        if column in cells:
            assert cells[column] == f"{statistics.mean(float(run[score]) for run in measured):.2f}", column


def test_every_run_stands_in_a_table():
    assert set(runs()) == set(table_rows())
