"""The tables of configs/README.md say what the runs behind them had.

``configs/measured.csv`` has a line for each run; ``configs/measured_videos.csv``, for those whose answers were kept,
how many seconds of each val video are right.
"""

from __future__ import annotations

import csv
import re
import statistics
from collections import defaultdict
from pathlib import Path

import pytest
import torch
from torch import Tensor

from avsgn_pyg import metrics

CONFIGS = Path(__file__).resolve().parents[1] / "configs"
#: First column of a table's head -> the supervision of its rows, and the row that they are compared with.
HEADS = {"full supervision": ("full", "ours"), "video class alone": ("weak", "ours"), "without": ("full", "ours"),
         "localizing, without": ("weak", "ours_plus")}
#: Configs of the first table -> supervision and row of their runs in the others.
FIRST = {"ave_composite_full.yaml": ("full", "ours"), "ave_composite_weak.yaml": ("weak", "ours"),
         "ave_composite_weak_plus.yaml": ("weak", "ours_plus")}
#: Columns of the table -> of the file.
SCORES = {"class accuracy": "class_accuracy", "background F1": "background_f1", "relevance AUC": "relevance_auc",
          "event F1 @ 0.7": "event_f1@0.7"}
#: Segments of a video, and replicates of every interval (base.yaml).
SECONDS, REPLICATES = 10, 2000


def runs() -> dict[tuple[str, str], list[dict[str, str]]]:
    found = defaultdict(list)
    with (CONFIGS / "measured.csv").open(newline="") as file:
        for run in csv.DictReader(file):
            found[run["supervision"], run["label"]].append(run)
    return dict(found)


def videos() -> dict[tuple[str, str], dict[str, list[int]]]:
    """Supervision and row -> seed -> right seconds of each video."""
    found = defaultdict(dict)
    with (CONFIGS / "measured_videos.csv").open(newline="") as file:
        for run in csv.DictReader(file):
            found[run["supervision"], run["row"]][run["seed"]] = [int(run[name]) for name in run if name.isdigit()]
    return dict(found)


def shares(of: dict[str, list[int]]) -> Tensor:
    """[seeds, videos]"""
    return torch.tensor(list(of.values()), dtype=torch.float64) / SECONDS


def around(value: float, kept: float, low: float, high: float, signed: bool = False) -> str:
    """The interval that the kept answers have around their own value `kept`, laid around `value`."""
    form = "{:+.2f}" if signed else "{:.2f}"
    return "[{}, {}]".format(*(form.format(value + end - kept) for end in (low, high))).replace("-", "−")


def mean_of(supervision: str, row: str) -> float:
    """Segment accuracy over all seeds."""
    return statistics.mean(float(run["segment_accuracy"]) for many in runs().values() for run in many
                           if (run["supervision"], run["row"]) == (supervision, row))


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
            supervision, ours = HEADS[head[0]]
            found[supervision, cells[0]] = dict(zip(head, cells, strict=True)) | {"ours": ours}
    return found


def spread(score: str, of: tuple[str, str]) -> str:
    """Mean and sample standard deviation of a row's runs."""
    values = [float(run[score]) for many in runs().values() for run in many if (run["supervision"], run["row"]) == of]
    return f"{statistics.mean(values):.2f} ± {statistics.stdev(values):.2f}"


@pytest.mark.parametrize(("config", "of"), FIRST.items(), ids=FIRST)
def test_the_first_table_is_of_the_same_runs(config: str, of: tuple[str, str]):
    line = next(line for line in (CONFIGS / "README.md").read_text().splitlines() if line.startswith(f"| [`{config}`]"))
    accuracy, category, background, relevance, event = (cell.strip() for cell in line.strip("|").split("|")[1:])
    kept, mean = shares(videos()[of]), mean_of(*of)
    interval = around(mean, 100 * kept.mean().item(), *metrics.bootstrap_interval(kept, REPLICATES, seed=0))
    assert accuracy == f"**{spread('segment_accuracy', of)}** {interval}"
    assert (category, background, relevance) == tuple(
        spread(score, of) for score in ("class_accuracy", "background_f1", "relevance_auc"))
    assert event == " / ".join(spread(f"event_f1@{overlap}", of).split()[0] for overlap in (0.5, 0.7, 0.9))


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


@pytest.mark.parametrize("run", [(*of, seed) for of, seeds in videos().items() for seed in seeds], ids="-".join)
def test_kept_answers_are_of_a_measured_run(run: tuple[str, str, str]):
    supervision, row, seed = run
    right = videos()[supervision, row][seed]
    of_label = [one for (under, _), many in runs().items() if under == supervision for one in many
                if (one["row"], one["seed"]) == (row, seed)]
    assert [float(one["segment_accuracy"]) for one in of_label] == [
        pytest.approx(100 * sum(right) / (SECONDS * len(right)), abs=1e-5)]


def kept_rows() -> list[tuple[str, str]]:
    return [row for row in table_rows() if (row[0], runs()[row][0]["row"]) in videos()]


@pytest.mark.parametrize("row", kept_rows(), ids=" ".join)
def test_an_interval_is_the_bootstrap_of_the_kept_answers(row: tuple[str, str]):
    cells, supervision, name = table_rows()[row], row[0], runs()[row][0]["row"]
    kept, mean = shares(videos()[supervision, name]), mean_of(supervision, name)
    interval = metrics.bootstrap_interval(kept, REPLICATES, seed=0)
    assert cells["segment accuracy"].endswith(around(mean, 100 * kept.mean().item(), *interval))
    against = next(text for head, text in cells.items() if head.startswith("against"))
    if name == cells["ours"]:
        assert not against
    else:
        found = metrics.paired_bootstrap(kept, shares(videos()[supervision, cells["ours"]]), REPLICATES, seed=0)
        difference = mean - mean_of(supervision, cells["ours"])
        said = f"{difference:+.2f} ".replace("-", "−") + around(difference, *found, signed=True)
        assert against == said
