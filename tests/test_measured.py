"""Every number in the tables of docs/results.md and its appendix comes from a file in configs/.

``measured.csv`` has a line for each run; ``measured_videos.csv``, for those whose predictions were kept, the number of
correct seconds of each val video, and of the right class on every second; ``unseen.csv``, the scores on rows that this
project does not have.
"""

from __future__ import annotations

import csv
import re
import statistics
from collections import defaultdict
from functools import cache
from pathlib import Path

import pytest
import torch
from torch import Tensor

from avsgn_pyg import metrics

ROOT = Path(__file__).resolve().parents[1]
CONFIGS, PAGES = ROOT / "configs", [ROOT / "docs" / name for name in ("results.md", "results_appendix.md")]
#: First column of a table's head -> the supervision of its rows, and the row that they are compared with.
HEADS = {"full supervision": ("full", "ours"), "video class alone": ("weak", "ours"), "without": ("full", "ours"),
         "Eq. 18, without": ("weak", "ours"), "localizing, without": ("weak", "ours_plus"),
         "full, in another recipe": ("full", "ours"), "video class alone, in another recipe": ("weak", "ours")}
#: Configs of the first table -> supervision and row of their runs in the others.
FIRST = {"ave_composite_full.yaml": ("full", "ours"), "avsgn_plus.yaml": ("full", "no_inter"),
         "ave_composite_weak.yaml": ("weak", "ours"), "ave_composite_weak_plus.yaml": ("weak", "ours_plus")}
#: Columns of a table -> of the file.
SCORES = {"class accuracy": "class_accuracy", "background F1": "background_f1", "relevance AUC": "relevance_auc",
          "event F1 @ 0.7": "event_f1@0.7"}
#: What needs no training, as it stands in the file of videos: the right class on every second.
ORACLE = ("", "oracle")
#: Segments of a video, and replicates of every interval (base.yaml).
SECONDS, REPLICATES = 10, 2000

Of = tuple[str, str]  #: supervision and row


@cache
def runs(code: str = "0.1.0") -> dict[Of, list[dict[str, str]]]:
    found = defaultdict(list)
    with (CONFIGS / "measured.csv").open(newline="") as file:
        for run in csv.DictReader(file):
            if run["code"] == code:
                found[run["supervision"], run["row"]].append(run)
    return dict(found)


@cache
def videos() -> dict[Of, dict[str, list[int]]]:
    """Seed -> right seconds of each video."""
    found = defaultdict(dict)
    with (CONFIGS / "measured_videos.csv").open(newline="") as file:
        for run in csv.DictReader(file):
            found[run["supervision"], run["row"]][run["seed"]] = [int(run[name]) for name in run if name.isdigit()]
    return dict(found)


def shares(of: dict[str, list[int]]) -> Tensor:
    """[seeds, videos]"""
    return torch.tensor(list(of.values()), dtype=torch.float64) / SECONDS


@cache
def tables() -> dict[str, list[dict[str, str]]]:
    """First cell of a table's head -> its lines, by head; tables of one first cell follow each other."""
    found, head = defaultdict(list), None
    for line in "\n".join(page.read_text() for page in PAGES).replace("](../configs/", "](").splitlines():
        cells = [cell.strip().replace("**", "") for cell in line.strip("|").split("|")]
        if not line.startswith("|"):
            head = None
        elif head is None:
            head = cells
        elif not set(line) <= set("|-"):
            found[head[0]].append(dict(zip(head, cells, strict=True)))
    return dict(found)


def rows() -> dict[Of, dict[str, str]]:
    """Lines of trained rows, found by their label."""
    named = {(run["supervision"], run["label"]): of for of, many in runs().items() for run in many}
    lines = [(named[HEADS[head][0], line[head]], head, line)
             for head in HEADS for line in tables().get(head, ()) if line["seeds"]]
    found = {of: line | {"ours": HEADS[head][1]} for of, head, line in lines}
    assert len(found) == len(lines), "a row stands twice"
    return found


def mean(score: str, of: Of) -> str:
    return f"{statistics.mean(float(run[score]) for run in runs()[of]):.2f}"


def spread(score: str, of: Of, code: str = "0.1.0") -> str:
    """Mean and sample standard deviation of all runs; the value alone of one."""
    found = [float(run[score]) for run in runs(code)[of]]
    return f"{statistics.mean(found):.2f}" + (f" ± {statistics.stdev(found):.2f}" if len(found) > 1 else "")


def ends(low: float, high: float, form: str = "{:.2f}") -> str:
    return f"[{form}, {form}]".format(low, high).replace("-", "−")


def accuracy(of: Of) -> str:
    """Of all runs; the bootstrap, of the kept ones."""
    kept = videos().get(of)
    whole = spread("segment_accuracy", of)
    return whole if kept is None else f"{whole} {ends(*metrics.bootstrap_interval(shares(kept), REPLICATES, seed=0))}"


def apart(one: Of, other: Of, seed: str | None = None) -> str:
    """The difference of the kept runs, or of one seed, and its paired bootstrap.

    Where no run was kept: the difference of all runs, without an interval.
    """
    kept = [videos().get(of) for of in (one, other)]
    if seed is not None:
        kept = [{seed: of[seed]} for of in kept]
    if None in kept:
        first, second = ([float(run["segment_accuracy"]) for run in runs()[of]] for of in (one, other))
        difference = statistics.mean(first) - statistics.mean(second)
        return f"{difference:+.2f}".replace("-", "−")
    difference, *interval = metrics.paired_bootstrap(*map(shares, kept), REPLICATES, seed=0)
    return f"{difference:+.2f} ".replace("-", "−") + ends(*interval, form="{:+.2f}")


def seeds(of: Of) -> str:
    """How many runs, and of how many the answers were kept where not of all."""
    count, kept = len(runs()[of]), len(videos().get(of, ()))
    return str(count) if kept == count else f"{count} ({kept or 'none'} kept)"


@pytest.mark.parametrize(("config", "of"), FIRST.items(), ids=FIRST)
def test_the_first_table_is_of_the_same_runs(config: str, of: Of):
    (line,) = (line for line in tables()["config"] if line["config"].startswith(f"[`{config}`]"))
    assert (line["seeds"], line["segment accuracy"]) == (seeds(of), accuracy(of))
    for column in ("class accuracy", "background F1", "relevance AUC"):
        assert line[column] == spread(SCORES[column], of), column
    events = (mean(f"event_f1@{overlap}", of) for overlap in (0.5, 0.7, 0.9))
    assert line["event F1 @ 0.5 / 0.7 / 0.9"] == " / ".join(events)


@pytest.mark.parametrize("line", tables()["trained again"], ids=lambda line: line["trained again"])
def test_runs_of_another_code_are_those_in_the_file(line: dict[str, str]):
    of = FIRST[line["trained again"].removeprefix("[`").partition("`")[0]]
    for column, code in (("0.1.0, as above", "0.1.0"), ("0.1.0 again", "0.1.0 again"), ("0.2.0", "0.2.0")):
        assert line[column] == f"{spread('segment_accuracy', of, code)} ({len(runs(code)[of])})"


@pytest.mark.parametrize("of", rows(), ids="/".join)
def test_a_row_is_of_its_runs(of: Of):
    line = rows()[of]
    assert (line["seeds"], line["segment accuracy"]) == (seeds(of), accuracy(of))
    (against,) = (cell for column, cell in line.items() if column.startswith("against"))
    assert against == ("" if of[1] == line["ours"] else apart(of, (of[0], line["ours"])))
    for column in line.keys() & SCORES.keys():
        assert line[column] == mean(SCORES[column], of), column


@pytest.mark.parametrize("line", tables()["0.3.0"], ids=lambda line: line["0.3.0"])
def test_a_row_of_0_3_0_is_of_its_runs(line: dict[str, str]):
    many = [run for runs_of in runs("0.3.0").values() for run in runs_of
            if (run["label"], run["supervision"]) == (line["0.3.0"], line["supervision"])]
    single = [run for run in many if run["seed"].isdigit()]
    together = [f"{float(run['segment_accuracy']):.2f}" for run in many if run not in single]
    columns = {"val": "segment_accuracy", "runs": "recomposed_runs", "seconds": "recomposed_seconds",
               "class accuracy": "class_accuracy", "background F1": "background_f1", "relevance AUC": "relevance_auc"}
    found = {column: [float(run[name]) for run in single] for column, name in columns.items()}
    assert line["seeds"] == str(len(single)) and line["seeds averaged"] == "".join(together)
    for column, values in found.items():
        spread_of = f" ± {statistics.stdev(values):.2f}" if len(values) > 1 else ""
        assert line[column] == f"{statistics.mean(values):.2f}{spread_of}", column
    three = found["val"] + found["runs"] + found["seconds"]
    assert line["score"] == f"{statistics.mean(three):.2f}"


def test_every_row_of_0_3_0_is_in_the_table():
    measured = {(run["label"], of[0]) for of, many in runs("0.3.0").items() for run in many}
    assert measured == {(line["0.3.0"], line["supervision"]) for line in tables()["0.3.0"]}


def test_every_run_is_in_a_table_and_no_seed_twice():
    assert set(runs()) == set(rows())
    assert all(len({run["seed"] for run in many}) == len(many) for many in runs().values())


@pytest.mark.parametrize("of", sorted(videos().keys() - {ORACLE}), ids="/".join)
def test_kept_outputs_are_of_measured_runs(of: Of):
    measured = {run["seed"]: float(run["segment_accuracy"]) for run in runs().get(of) or runs("0.3.0")[of]}
    for seed, right in videos()[of].items():
        assert measured[seed] == pytest.approx(100 * sum(right) / (SECONDS * len(right)), abs=1e-5), seed


@pytest.mark.parametrize("line", tables()["row"], ids=lambda line: f"{line['row']} and {line['compared with']}")
def test_a_comparison_is_of_the_kept_runs(line: dict[str, str]):
    one, other = (ORACLE if name == "the oracle" else tuple(name.split("`")[1].split("/"))
                  for name in (line["row"], line["compared with"]))
    seed = re.search(r"\(seed (\d)\)", line["compared with"])
    assert line["difference in segment accuracy"] == apart(one, other, seed and seed[1])


def test_scores_on_unseen_rows_are_those_of_the_file():
    columns = {"val": "val", "unseen": "unseen", "seeds averaged": "unseen_averaged_seeds",
               "object stays": "unseen_recomposed_object_stays", "sound stays": "unseen_recomposed_sound_stays",
               "both": "unseen_recomposed_both", "flicker": "unseen_flicker_both", "background F1": "background_f1"}
    with (CONFIGS / "unseen.csv").open(newline="") as file:
        scored = list(csv.DictReader(file))
    said = tables()["unseen videos"]
    assert len(said) == len(scored)
    for line, row in zip(said, scored, strict=True):
        assert {column: line[column] for column in columns} == {column: row[name] for column, name in columns.items()}


def test_the_oracle_line_is_of_the_same_videos():
    (right,) = videos()[ORACLE].values()
    said = [line["segment accuracy"] for head in ("full supervision", "video class alone") for line in tables()[head]
            if line[head].endswith("(oracle)")]
    assert said == [f"{100 * sum(right) / (SECONDS * len(right)):.2f}"] * 2
