from __future__ import annotations

import csv
import dataclasses
import json
import math
import statistics
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from avsgn_pyg import metrics
from avsgn_pyg.data.videos import Videos
from avsgn_pyg.engine.files import Meta
from avsgn_pyg.engine.recipes.result import Evaluation, Result, join
from avsgn_pyg.experiments.suites.results import read_predictions
from avsgn_pyg.graph.localization import Localization

Make = Callable[..., Result]
CIRCUMSTANCES = ("synthetic", "split", "tau_from")


@pytest.fixture
def meta() -> Meta:
    return Meta(categories=("a", "b", "c"), audio_width=6, visual_width=6, segments=4, dataset="tiny", synthetic=True)


@pytest.fixture
def make_result(videos: Videos, meta: Meta, tmp_path: Path) -> Make:
    """Random scores of one seed; keyword arguments are fields of the result or of the checkpoint's meta."""

    def make(seed: int = 0, tau: float = 0.5, **given: Any) -> Result:
        draw = torch.Generator().manual_seed(seed)
        found = Localization(torch.randn(len(videos), 3, generator=draw),
                             torch.randn(videos.relevance.shape, generator=draw))
        report = metrics.evaluate(found.category, found.relevance, videos.category, videos.relevance,
                                  categories=meta.categories, tau=tau, bootstrap=50)
        own = {"synthetic": True, "split": "test"} | {name: given.pop(name) for name in CIRCUMSTANCES if name in given}
        about = meta.model_copy(update={"seed": seed, "epoch": 3 + seed, **given})
        return Result(tmp_path, "tiny", videos=videos, evaluations=(Evaluation(tmp_path, about, tau, report, found),),
                      **own)

    return make


@pytest.mark.parametrize(("selected_on", "split", "tau_from", "marks"), [
    ("val", "test", "val", ()), ("last", "test", None, ()), ("test", "val", None, ("selected on test",)),
    ("val", "test", "test", ("tau from test",)), ("val", "val", "val", ("selected on val", "tau from val")),
])
@pytest.mark.parametrize("several", [False, True])
def test_every_row_marks_a_choice_that_makes_it_optimistic(
    make_result: Make, selected_on: str, split: str, tau_from: str | None, marks: tuple[str, ...], several: bool
) -> None:
    found = make_result(split=split, tau_from=tau_from, selected_on=selected_on)
    found = join(found.folder, [found], 0) if several else found
    values = found.as_dict()
    assert found.marks == marks and (values["summary"] or values["evaluations"][0])["marks"] == list(marks)
    rows = found.table().split("\n\n")[-1].splitlines()
    assert (len(rows) > 5 and all(row.endswith(f"({', '.join(marks)})") for row in rows)) or not marks


def test_a_table_names_data_checkpoint_and_tau(make_result: Make) -> None:
    table = make_result(selected_on="val", selection_score=61.25).table()
    assert table.startswith("tiny (synthetic) | test: 24 videos, 96 segments\n")
    assert "epoch 3, selected on val, 61.25 % there, seed 0 | tau: 0.5" in table
    assert "synthetic" not in make_result(synthetic=False).table()


def test_a_class_or_id_that_a_spreadsheet_would_run_is_text_in_csv_and_still_counts(
    make_result: Make, videos: Videos
) -> None:
    named = dataclasses.replace(videos, video_ids=("-1+2",) * len(videos))
    found = dataclasses.replace(make_result(categories=("=a", "b", "c")), videos=named)
    found.write()
    path = found.folder / "evaluation-test" / "predictions.csv"
    with path.open(encoding="utf-8") as file:
        lines = list(csv.DictReader(file))
    cells = {cell for line in lines for cell in line.values()}
    assert "'=a" in cells and "'-1+2" in cells and not any(cell.startswith(("=", "-")) for cell in cells)
    right, total = map(sum, zip(*read_predictions(path).values(), strict=True))
    assert 100 * right / total == pytest.approx(found.evaluations[0].report.segment_accuracy, abs=1e-3)


def test_the_files_have_every_score_and_the_csv_reproduces_the_accuracy(make_result: Make, videos: Videos) -> None:
    found = make_result()
    found.write()
    values = json.loads((found.folder / "evaluation-test" / "metrics.json").read_text())
    assert values["scores"] == json.loads(json.dumps(found.evaluations[0].report.as_dict()))
    with (found.folder / "evaluation-test" / "predictions.csv").open(encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    pairs = [pair for row in rows
             for pair in zip(row["true_labels"].split("|"), row["predicted_labels"].split("|"), strict=True)]
    accuracy = 100 * sum(a == b for a, b in pairs) / len(pairs)
    assert accuracy == pytest.approx(found.evaluations[0].report.segment_accuracy)
    assert [(int(row["row"]), row["video_id"]) for row in rows] == [
        *zip(videos.row.tolist(), videos.video_ids, strict=True)]


def test_the_outputs_of_every_second_are_in_the_csv_and_without_loss_in_the_npz(
    make_result: Make, videos: Videos
) -> None:
    found = make_result()
    [one] = found.evaluations
    gates = {"audio": torch.rand(*videos.relevance.shape, 1)}
    scored = one._replace(predictions=dataclasses.replace(one.predictions, gates=gates))
    dataclasses.replace(found, evaluations=(scored,)).write()
    with (found.folder / "evaluation-test" / "predictions.csv").open(encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    relevance = one.predictions.relevance.sigmoid()
    for column, expected in (("relevance", relevance), ("audio_gate", gates["audio"][..., 0])):
        written = torch.tensor([[float(value) for value in row[column].split("|")] for row in rows])
        torch.testing.assert_close(written, expected, atol=5.1e-5, rtol=0)
    assert {row["visual_gate"] for row in rows} == {""}
    arrays = np.load(found.folder / "evaluation-test" / "predictions.npz")
    for name, expected in (("category_logits", one.predictions.category), ("audio_gate", gates["audio"][..., 0]),
                           ("relevance_logits", one.predictions.relevance), ("true_relevance", videos.relevance)):
        assert torch.equal(torch.from_numpy(arrays[name]), expected)
    assert arrays["video_id"].tolist() == list(videos.video_ids) and "segment_logits" not in arrays


def test_a_summary_is_the_mean_and_deviation_over_seeds(make_result: Make, tmp_path: Path) -> None:
    found = join(tmp_path, [make_result(seed) for seed in (0, 1, 5)], 200)
    scores = [one.report.segment_accuracy for one in found.evaluations]
    mean, std, n = found.scores["segment_accuracy"]
    assert (mean, std, n) == (pytest.approx(statistics.mean(scores)), pytest.approx(statistics.stdev(scores)), 3)
    assert (100 * found.correct.mean(1)).tolist() == pytest.approx(scores)
    lo, hi = found.interval
    assert lo < mean < hi and f"{mean:.2f} ± {std:.2f} [{lo:.2f}, {hi:.2f}]" in found.table()


def test_a_summary_names_what_it_measures(make_result: Make, tmp_path: Path) -> None:
    found = join(tmp_path, [make_result(seed, tau, tau_from="val", selected_on="val")
                            for seed, tau in ((0, 0.4), (1, 0.6))], 0)
    found.write()
    values = json.loads((tmp_path / "summary-test.json").read_text())
    assert {key: value for key, value in values.items() if key != "scores"} == {
        "dataset": "tiny", "synthetic": True, "split": "test", "settings": [], "seeds": [0, 1],
        "tau": [0.4, 0.6], "tau_from": "val", "selected_on": "val", "epochs": [3, 4], "marks": [], "interval": None}
    assert "tiny (synthetic) | test | seeds 0, 1 | " in found.table()
    assert "\ncheckpoints: epochs 3, 4, selected on val | tau: 0.4, 0.6 (best on val)\n" in found.table()


def test_an_evaluation_of_other_weights_is_kept_under_its_epoch(make_result: Make) -> None:
    for epoch in (3, 7, 3, 7, 7):
        make_result(epoch=epoch).write()
    epochs = {path.parent.name: json.loads(path.read_text())["trained"]["epoch"]
              for path in make_result().folder.glob("evaluation-*/metrics.json")}
    assert epochs == {"evaluation-test": 7, "evaluation-test-epoch=3": 3, "evaluation-test-epoch=7": 7,
                      "evaluation-test-epoch=3-2": 3}


def test_different_measurements_are_not_averaged(make_result: Make, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="split"):
        join(tmp_path, [make_result(0), make_result(1, split="val")], 0)


def test_a_score_that_one_seed_lacks_is_null_in_json(make_result: Make, tmp_path: Path) -> None:
    one, two = make_result(0), make_result(1)
    [evaluation] = one.evaluations
    lacking = evaluation._replace(report=dataclasses.replace(evaluation.report, relevance_auc=math.nan))
    found = join(tmp_path, [dataclasses.replace(one, evaluations=(lacking,)), two], 0)
    assert found.as_dict()["summary"]["scores"]["relevance_auc"] == {"mean": None, "std": None, "n": 2}
    assert "relevance auc" in found.table()
