"""The table that a reader gets: which numbers, in which place, with which words."""

from __future__ import annotations

import csv
import dataclasses
import json
import shutil
import statistics
from pathlib import Path

import pytest

from avsgn_pyg.experiments.suites import load_suite
from avsgn_pyg.experiments.suites.jobs import plan
from avsgn_pyg.experiments.suites.results import Result, collect
from avsgn_pyg.experiments.suites.suite import Suite
from avsgn_pyg.experiments.suites.tables import HEADINGS, Line, Table, make_table


def table(written: Path, folder: Path, seeds=(0, 1), overrides=()) -> Table:
    suite = load_suite(written, overrides, supervisions=["full"])
    return make_table(suite, "full", "test", collect(plan(suite, seeds, folder))["full", "test"])


@pytest.fixture(scope="module")
def made(written: Path, out: Path) -> Table:
    return table(written, out)


@pytest.fixture(scope="module")
def results(written: Path, out: Path) -> tuple[Suite, list[Result]]:
    suite = load_suite(written, supervisions=["full"])
    return suite, collect(plan(suite, (0, 1), out))["full", "test"]


def lines(made: Table) -> dict[str, Line]:
    return {line.label: line for group in made.groups for line in group}


def cell(line: Line, heading: str) -> str:
    return line.cells[HEADINGS.index(heading) - 1]


def test_ours_stands_beside_the_paper_s(made: Table, out: Path):
    line = lines(made)["✗ [50 %]"]
    scores = [json.loads((out / f"full/no_av/seed-{n}/evaluation-test/metrics.json").read_text())["scores"]
              for n in (0, 1)]
    for heading, name in (("segment accuracy", "segment_accuracy"), ("class accuracy", "class_accuracy"),
                          ("background F1", "background_f1")):
        values = [each[name] for each in scores]
        assert cell(line, heading) == f"{statistics.fmean(values):.2f} ± {statistics.stdev(values):.2f}"
    assert (cell(line, "paper"), cell(line, "paper's difference"), cell(line, "seeds")) == ("80.3", "−2.8", "2")


def test_the_difference_has_the_sign_of_better_or_worse(made: Table):
    record = next(record for record in made.records if record["row"] == "no_av")
    ours = next(record for record in made.records if record["row"] == "ours")
    assert record["against"] == pytest.approx(record["segment_accuracy"] - ours["segment_accuracy"])
    said = cell(lines(made)["✗ [50 %]"], "against ours")
    assert said.startswith(f"{record['against']:+.2f}".replace("-", "−"))
    assert cell(lines(made)["✓ (ours)"], "against ours") == "–" and "against" not in ours


def test_a_run_s_line_of_videos_is_its_predictions(made: Table, out: Path):
    runs = [(line["row"], line["seed"]) for line in made.videos]
    assert runs == [("ours", 0), ("ours", 1), ("no_av", 0), ("no_av", 1)]
    for line in made.videos:
        folder = out / f"full/{line['row']}/seed-{line['seed']}/evaluation-test"
        with (folder / "predictions.csv").open(newline="") as file:
            right = {video["row"]: sum(map(str.__eq__, video["true_labels"].split("|"),
                                           video["predicted_labels"].split("|"))) for video in csv.DictReader(file)}
        assert {name: value for name, value in line.items() if name.isdigit()} == right
        accuracy = json.loads((folder / "metrics.json").read_text())["scores"]["segment_accuracy"]
        assert accuracy == pytest.approx(10.0 * sum(right.values()) / len(right))


def test_published_rows_come_first_and_constants_last(made: Table, out: Path):
    assert [[line.label for line in group] for group in made.groups[:2]] == [["AVEL"], ["✓ (ours)", "✗ [50 %]"]]
    scores = json.loads((out / "full/ours/seed-0/evaluation-test/metrics.json").read_text())["scores"]
    oracle, majority = made.groups[2]
    assert cell(oracle, "segment accuracy") == f"{scores['all_foreground_oracle']:.2f}" and "oracle" in oracle.label
    assert cell(majority, "segment accuracy") == f"{scores['majority']['value']:.2f}"
    assert majority.label == f"always {scores['majority']['label']} (majority)"
    assert cell(made.groups[0][0], "paper") == "72.7"


def test_what_differs_from_the_paper_s_protocol_is_said(made: Table):
    said = " ".join(made.notes)
    for part in ("synthetic AVE, made features, test: 6 videos", "No number here is an AVE number",
                 "avsgn_pyg.data.synthetic", "the epoch that is best on val", "tau = 0.6 (the paper: 0.6)",
                 "2 epochs, batch 8", "Seeds: 0, 1"):
        assert part in said
    assert made.footnotes == ("other features", "not a_word")
    assert [line.marks for group in made.groups for line in group] == [(1,), (), (2,), (), ()]


def test_a_row_made_otherwise_has_a_footnote(written: Path, out: Path, tmp_path: Path):
    folder = Path(shutil.copytree(out, tmp_path / "out"))
    for seed in (0, 1):
        path = folder / f"full/no_av/seed-{seed}/evaluation-test/metrics.json"
        record = json.loads(path.read_text())
        record["trained"]["selected_on"], record["marks"] = "test", ["selected on test"]
        path.write_text(json.dumps(record))
    found = table(written, folder)
    assert found.footnotes[2] == "flattered: selected on test"
    assert found.footnotes[3].startswith("selection: the epoch that is best on test.")
    assert lines(found)["✗ [50 %]"].marks == (2, 3, 4) and "best on val" in " ".join(found.notes)


def test_every_row_with_one_flattered_seed_is_marked(written: Path, out: Path, tmp_path: Path):
    folder = Path(shutil.copytree(out, tmp_path / "out"))
    for row in ("ours", "no_av"):
        path = folder / f"full/{row}/seed-1/evaluation-test/metrics.json"
        path.write_text(json.dumps(json.loads(path.read_text()) | {"marks": ["selected on test"]}))
    found = table(written, folder)
    number = found.footnotes.index("flattered: selected on test") + 1
    assert all(number in lines(found)[label].marks for label in ("✓ (ours)", "✗ [50 %]"))
    assert [record["marks"] for record in found.records if record["kind"] == "trained"] == ["selected on test"] * 2


def test_seeds_that_are_not_there_are_said(written: Path, out: Path):
    found = table(written, out, seeds=(0, 1, 2))
    assert cell(lines(found)["✓ (ours)"], "seeds") == "2/3"
    assert "2 of 3 seeds (0, 1): the others failed or are not finished" in found.footnotes


def test_rows_of_few_seeds_do_not_speak_for_the_others(results: tuple[Suite, list[Result]]):
    suite, (ours, other) = results
    few = dataclasses.replace(other, seeds=(0,), shares=other.shares[:1], records=other.records[:1])
    for there, row in (((few, ours), "✓ (ours)"), ((ours, few), "✗ [50 %]")):
        found = make_table(suite, "full", "test", there)
        said = [found.footnotes[number - 1] for number in lines(found)[row].marks]
        note = next(note for note in found.notes if note.startswith("Seeds: "))
        assert note.startswith("Seeds: 0 (") == (there[0] is few)
        assert (("seeds: 0, 1 (the paper does not say how many it ran)." in said) if there[0] is few else
                ("1 of 2 seeds (0): the others failed or are not finished" in said))


def test_a_table_without_any_run_has_the_paper_s_numbers(written: Path, tmp_path: Path):
    found = table(written, tmp_path)
    ours = lines(found)["✓ (ours)"]
    assert (cell(ours, "segment accuracy"), cell(ours, "paper"), cell(ours, "seeds")) == ("–", "83.1", "0/2")
    assert cell(lines(found)["✗ [50 %]"], "paper's difference") == "−2.8" and len(found.groups) == 2


def test_no_interval_where_none_is_asked_for(written: Path, out: Path):
    found = table(written, out, overrides=["evaluate.bootstrap=0"])
    line = lines(found)["✗ [50 %]"]
    assert cell(line, "95 % interval") == "–" and "[" not in cell(line, "against ours")
