"""The table that a reader gets: which numbers, in which cell, with which notes."""

from __future__ import annotations

import csv
import dataclasses
import json
import statistics
from collections.abc import Callable
from pathlib import Path

import pytest

from avsgn_pyg.common.errors import DataError
from avsgn_pyg.engine import recipes
from avsgn_pyg.experiments.suites import Suite, load_suite
from avsgn_pyg.experiments.suites.results import NOTE, Result, collect
from avsgn_pyg.experiments.suites.runs import plan
from avsgn_pyg.experiments.suites.tables import HEADINGS, Line, Table, make_table


def read(written: Path, folder: Path, seeds=(0, 1), overrides=()) -> tuple[Suite, list[Result]]:
    suite = load_suite(written, overrides, supervisions=["full"])
    return suite, collect(suite, plan(suite, seeds, folder))["full", "test"]


def table(written: Path, folder: Path, **options) -> Table:
    suite, results = read(written, folder, **options)
    return make_table(suite, "full", "test", results)


@pytest.fixture(scope="module")
def complete(written: Path, out: Path) -> Table:
    return table(written, out)


def line(found: Table, label: str) -> Line:
    return next(line for group in found.groups for line in group if line.label.startswith(label))


def cell(line: Line, heading: str) -> str:
    return line.cells[HEADINGS.index(heading) - 1]


def test_our_numbers_are_next_to_the_paper_s(complete: Table, out: Path):
    found = line(complete, "✗")
    scores = [json.loads((out / f"full/no_av/seed-{seed}/evaluation-test/metrics.json").read_text())["scores"]
              for seed in (0, 1)]
    for heading, name in (("segment accuracy", "segment_accuracy"), ("class accuracy", "class_accuracy"),
                          ("background F1", "background_f1")):
        values = [each[name] for each in scores]
        assert cell(found, heading) == f"{statistics.fmean(values):.2f} ± {statistics.stdev(values):.2f}"
    assert [cell(found, heading) for heading in ("paper", "paper's difference", "seeds")] == ["80.3", "−2.8", "2"]


def test_the_difference_is_positive_where_a_row_is_better(complete: Table):
    ours, other = (record for record in complete.records if record["kind"] == "trained")
    assert other["against"] == pytest.approx(other["segment_accuracy"] - ours["segment_accuracy"])
    assert cell(line(complete, "✗"), "against ours").startswith(f"{other['against']:+.2f}".replace("-", "−"))
    assert cell(line(complete, "✓"), "against ours") == "–" and "against" not in ours


def test_the_videos_of_a_run_are_its_predictions(complete: Table, out: Path):
    runs = [(found["row"], found["seed"]) for found in complete.videos]
    assert runs == [("ours", 0), ("ours", 1), ("no_av", 0), ("no_av", 1)]
    for found in complete.videos:
        path = out / f"full/{found['row']}/seed-{found['seed']}/evaluation-test/predictions.csv"
        with path.open(newline="") as file:
            right = {video["row"]: round(0.1 * float(video["accuracy"])) for video in csv.DictReader(file)}
        assert {name: value for name, value in found.items() if name.isdigit()} == right


def test_published_rows_come_first_and_constants_last(complete: Table, out: Path):
    assert [[line.label for line in group] for group in complete.groups[:2]] == [
        ["AVEL"], ["✓ (ours)", "✓ (ours), ensemble of 2", "✗ [50 %]"]]
    scores = json.loads((out / "full/ours/seed-0/evaluation-test/metrics.json").read_text())["scores"]
    oracle, majority = complete.groups[2]
    assert cell(oracle, "segment accuracy") == f"{scores['all_foreground_oracle']:.2f}" and "oracle" in oracle.label
    assert cell(majority, "segment accuracy") == f"{scores['majority']['value']:.2f}"
    assert scores["majority"]["label"] in majority.label and cell(complete.groups[0][0], "paper") == "72.7"


def test_notes_compare_with_the_paper_s_protocol(complete: Table):
    notes = " ".join(complete.notes)
    for part in ("test: 6 videos", "No number here is an AVE number", "best on val", "tau = 0.6", "2 epochs, batch 8"):
        assert part in notes
    assert complete.footnotes == ("other features", NOTE, "not a_word")
    assert [line.marks for group in complete.groups for line in group] == [(1,), (), (2,), (3,), (), ()]


def test_the_seeds_together_are_a_row_below_ours_and_of_every_row_a_line_of_the_csv(complete: Table, copied: Path):
    for name in ("ours", "no_av"):
        evaluated = recipes.evaluate_run(copied / "full" / name, device="cpu", progress=False)
        expected = evaluated.ensemble.evaluations[0].report
        [found] = [record for record in complete.records if (record["row"], record["kind"]) == (name, "ensemble")]
        for score in ("segment_accuracy", "class_accuracy", "background_f1", "relevance_auc"):
            assert found[score] == pytest.approx(getattr(expected, score))
        assert found["seeds"] == "0 1" and found["paper"] is None and "against" in found
    lines = [found for group in complete.groups for found in group if "ensemble" in found.label]
    [record] = [record for record in complete.records if (record["row"], record["kind"]) == ("ours", "ensemble")]
    assert [cell(found, "segment accuracy") for found in lines] == [f"{record['segment_accuracy']:.2f}"]
    assert cell(lines[0], "seeds") == "2" and cell(lines[0], "paper") == "–"


def test_seeds_that_an_older_version_scored_have_no_ensemble(written: Path, copied: Path):
    (copied / "full/ours/seed-1/evaluation-test/predictions.npz").unlink()
    (copied / "full/no_av/seed-0/evaluation-test/predictions.npz").unlink()
    assert {record["kind"] for record in table(written, copied).records} == {"published", "trained"}


def test_outputs_that_are_damaged_are_named(written: Path, copied: Path):
    (copied / "full/ours/seed-1/evaluation-test/predictions.npz").write_bytes(b"PK cut short")
    with pytest.raises(DataError, match=r"seed-1.evaluation-test.predictions\.npz"):
        table(written, copied)


def test_a_row_that_differs_has_footnotes(written: Path, copied: Path, edit: Callable):
    def select_on_test(record: dict) -> None:
        record["trained"]["selected_on"], record["marks"] = "test", ["selected on test"]

    for seed in (0, 1):
        edit(copied / f"full/no_av/seed-{seed}/evaluation-test/metrics.json", select_on_test)
    found = table(written, copied)
    assert found.footnotes[3] == "optimistic: selected on test"
    assert found.footnotes[4].startswith("selection: the epoch that is best on test.")
    assert line(found, "✗").marks == (3, 4, 5) and "best on val" in " ".join(found.notes)
    edit(copied / "full/ours/seed-1/evaluation-test/metrics.json", lambda record: record.update(marks=["tau"]))
    found = table(written, copied)  # one seed is enough
    assert found.footnotes.index("optimistic: tau") + 1 in line(found, "✓").marks
    marks = {(record["row"], record["kind"]): record["marks"] for record in found.records[1:]}
    assert marks == {(row, kind): mark for row, mark in (("ours", "tau"), ("no_av", "selected on test"))
                     for kind in ("trained", "ensemble")}


def test_an_incomplete_row_has_one_footnote_on_its_seeds(written: Path, out: Path):
    suite, (ours, other) = read(written, out)
    few = dataclasses.replace(other, seeds=(0,), right=other.right[:1], records=other.records[:1])
    found = make_table(suite, "full", "test", (ours, few))
    footnotes = [found.footnotes[number - 1] for number in line(found, "✗").marks]
    assert footnotes == ["not a_word", "1 of 2 seeds (0): the others failed or are not finished"]
    assert cell(line(found, "✗"), "seeds") == "1/2"


def test_a_table_without_any_run_has_the_paper_s_numbers(written: Path, tmp_path: Path):
    found = table(written, tmp_path)
    ours = line(found, "✓")
    assert [cell(ours, heading) for heading in ("segment accuracy", "paper", "seeds")] == ["–", "83.1", "0/2"]
    assert cell(line(found, "✗"), "paper's difference") == "−2.8" and len(found.groups) == 2
