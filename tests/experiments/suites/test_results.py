"""Results are what the runs' own files say, and a difference is what the metrics say of it."""

from __future__ import annotations

import dataclasses
import json
import shutil
import statistics
from pathlib import Path

import pytest
import torch

from avsgn_pyg import metrics, recipes
from avsgn_pyg.data.dataset import DataError
from avsgn_pyg.experiments.suites import load_suite
from avsgn_pyg.experiments.suites.facts import fewer
from avsgn_pyg.experiments.suites.jobs import plan
from avsgn_pyg.experiments.suites.results import Result, _refuse_other_data, collect, read_shares


@pytest.fixture(scope="module")
def results(written: Path, out: Path) -> list[Result]:
    jobs = plan(load_suite(written, supervisions=["full"]), (0, 1), out)
    return collect(jobs)["full", "test"]


def written_scores(out: Path, row: str) -> list[dict]:
    return [json.loads((out / "full" / row / f"seed-{seed}" / "evaluation-test" / "metrics.json").read_text())["scores"]
            for seed in (0, 1)]


@pytest.mark.parametrize("row", ["ours", "no_av"])
def test_means_and_spreads_are_of_the_runs_own_json(results: list[Result], out: Path, row: str):
    found = next(result for result in results if result.cell.row.name == row).scores
    reports = written_scores(out, row)
    for name in ("segment_accuracy", "class_accuracy", "background_f1", "relevance_auc"):
        values = [report[name] for report in reports]
        assert found[name].mean == pytest.approx(statistics.fmean(values))
        assert found[name].std == pytest.approx(statistics.stdev(values))
    assert found["event_f1@0.7"].mean == pytest.approx(statistics.fmean(r["event_f1"]["0.7"] for r in reports))


def test_shares_are_the_accuracy_of_each_video(results: list[Result], out: Path):
    for result in results:
        accuracies = [report["segment_accuracy"] for report in written_scores(out, result.cell.row.name)]
        assert (100 * result.shares.mean(-1)).tolist() == pytest.approx(accuracies)


def test_interval_and_difference_are_the_metrics_own(results: list[Result], out: Path):
    summary = recipes.evaluate_run(out / "full" / "ours", device="cpu", progress=False).summary
    ours, other = results
    assert ours.interval == pytest.approx(summary.interval)
    shares = []
    for row in ("no_av", "ours"):
        found = recipes.evaluate_run(out / "full" / row, device="cpu", progress=False)
        shares.append(torch.stack([evaluation.correct_per_video for evaluation in found.evaluations]))
    assert other.against(ours) == pytest.approx(metrics.paired_bootstrap(*shares, 50, seed=0))
    assert other.against(ours).difference == pytest.approx(100 * (shares[0].mean() - shares[1].mean()).item())


def test_a_row_without_a_finished_seed_stays_in_its_place(written: Path, tmp_path: Path):
    found = collect(plan(load_suite(written), (0, 1, 2), tmp_path))
    assert list(found) == [("full", "test"), ("weak", "test")]
    assert [(result.cell.row.name, result.seeds, result.asked) for result in found["weak", "test"]] == [
        ("ours", (), 3), ("no_av", (), 3)]


def predictions(path: Path, *lines: str) -> Path:
    path.write_text("\n".join(("row,true_labels,predicted_labels", *lines)) + "\n")
    return path


def test_a_share_counts_the_seconds_whatever_their_number(tmp_path: Path):
    rows, shares, seconds = read_shares(predictions(tmp_path / "p.csv", "7,a|a|background,a|b|background", "3,a,a"))
    assert rows == (7, 3) and shares.tolist() == pytest.approx([2 / 3, 1.0]) and seconds.tolist() == [3, 1]


def test_a_difference_without_replicates_is_that_of_all_seconds(results: list[Result]):
    cell = dataclasses.replace(results[0].cell, config=results[0].cell.config.model_copy(
        update={"evaluate": results[0].cell.config.evaluate.model_copy(update={"bootstrap": 0})}))
    shares = [torch.tensor([row], dtype=torch.float64) for row in ([1.0, 0.0], [0.0, 1.0])]
    seconds = torch.tensor([9, 1])
    one, two = (dataclasses.replace(results[0], cell=cell, rows=(4, 7), shares=each, seconds=seconds)
                for each in shares)
    assert one.against(two).difference == pytest.approx(80) and one.interval is None


@pytest.mark.parametrize("lines", [(), ("7,a|b,a",), ("x,a,a",), ("7",)])
def test_damaged_predictions_are_refused_by_name(tmp_path: Path, lines: tuple[str, ...]):
    with pytest.raises(DataError, match=r"p.csv.*remove it"):
        read_shares(predictions(tmp_path / "p.csv", *lines))


def test_rows_of_different_videos_are_not_compared(written: Path, out: Path, tmp_path: Path):
    folder = Path(shutil.copytree(out, tmp_path / "out"))
    for seed in (0, 1):
        path = folder / "full" / "no_av" / f"seed-{seed}" / "evaluation-test" / "predictions.csv"
        head, first, *others = path.read_text().splitlines()
        path.write_text("\n".join((head, *others, first)) + "\n")
    jobs = plan(load_suite(written, supervisions=["full"]), (0, 1), folder)
    with pytest.raises(DataError, match="rows ours and no_av were scored on different videos"):
        collect(jobs)


def other_data(results: list[Result], **changes) -> list[Result]:
    """The same results, the second as of other data settings."""
    ours, other = results
    data = other.cell.config.data.model_copy(update={"name": "of another encoder"})
    cell = dataclasses.replace(other.cell, config=other.cell.config.model_copy(update={"data": data}))
    return [ours, dataclasses.replace(other, cell=cell, **changes)]


def test_rows_of_other_features_are_compared_on_the_videos_that_both_have(results: list[Result]):
    ours, other = other_data(results, rows=results[1].rows[:0:-1], shares=results[1].shares[:, 1:].flip(1),
                             seconds=results[1].seconds[1:].flip(0))
    _refuse_other_data("full, test", [ours, other])
    wanted = metrics.paired_bootstrap(results[1].shares[:, 1:].flip(1), ours.shares[:, 1:].flip(1), 50, seed=0)
    assert other.against(ours) == pytest.approx(wanted)
    assert fewer(other, ours) == f"compared with ours on the {len(ours.rows) - 1} videos that both have"
    assert fewer(ours, ours) is None


@pytest.mark.parametrize("changes", [
    lambda other: {"rows": tuple(row + 1000 for row in other.rows)},
    lambda other: {"seconds": other.seconds + 1},
    lambda other: {"records": tuple(record | {"dataset": "another"} for record in other.records)},
])
def test_rows_without_a_video_in_common_are_not_compared(results: list[Result], changes):
    with pytest.raises(DataError, match="were scored on different videos"):
        _refuse_other_data("full, test", other_data(results, **changes(results[1])))


def edited(out: Path, folder: Path, *runs: str, provenance: str) -> Path:
    """A copy of `out` whose `runs` say that their features come from elsewhere."""
    shutil.copytree(out, folder)
    for run in runs:
        path = folder / "full" / run / "evaluation-test" / "metrics.json"
        record = json.loads(path.read_text())
        record["trained"]["provenance"] = {"made by": provenance}
        path.write_text(json.dumps(record))
    return folder


@pytest.mark.parametrize(("runs", "says"), [
    (("ours/seed-1",), "ours: its seeds were trained on other features than one another"),
    (("no_av/seed-0", "no_av/seed-1"), "rows ours and no_av have the same data settings, but were trained on other"),
])
def test_runs_of_other_features_are_not_mixed(written: Path, out: Path, tmp_path: Path, runs: tuple[str, ...], says):
    folder = edited(out, tmp_path / "out", *runs, provenance="somebody else")
    with pytest.raises(DataError, match=says):
        collect(plan(load_suite(written, supervisions=["full"]), (0, 1), folder))


def test_predictions_of_another_evaluation_are_refused(written: Path, out: Path, tmp_path: Path):
    folder = Path(shutil.copytree(out, tmp_path / "out"))
    path = folder / "full" / "ours" / "seed-0" / "evaluation-test" / "predictions.csv"
    head, *lines = path.read_text().splitlines()
    names = head.split(",")
    right = [dict(zip(names, line.split(","), strict=True)) for line in lines]
    for line in right:
        line["predicted_labels"] = line["true_labels"]
    path.write_text("\n".join((head, *(",".join(line.values()) for line in right))) + "\n")
    with pytest.raises(DataError, match=r"comes to 100.00 %, metrics.json says .* different evaluations"):
        collect(plan(load_suite(written, supervisions=["full"]), (0, 1), folder))
