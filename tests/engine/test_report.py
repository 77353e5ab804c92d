from __future__ import annotations

import csv
import json
from pathlib import Path

import pytest
import torch

from avsgn_pyg import metrics
from avsgn_pyg.data.videos import Videos
from avsgn_pyg.engine.checkpoint import Meta
from avsgn_pyg.engine.evaluator import Predictions
from avsgn_pyg.engine.report import Evaluation, format_table, write_evaluation


def evaluation(
    videos: Videos,
    meta: Meta,
    *,
    seed: int = 0,
    split: str = "test",
    tau_from: str | None = None,
    **said: object,
) -> Evaluation:
    generator = torch.Generator().manual_seed(seed)
    found = Predictions(
        torch.randn(len(videos), 3, generator=generator),
        torch.randn(videos.relevance.shape, generator=generator),
    )
    report = metrics.evaluate(
        found.category,
        found.relevance,
        videos.category,
        videos.relevance,
        categories=meta.categories,
        tau=0.5,
        bootstrap=50,
    )
    meta = meta.model_copy(update={"seed": seed, "epoch": 3, **said})
    return Evaluation(report, found, videos, meta, Path("runs/x"), "tiny", True, split, 0.5, tau_from)


@pytest.mark.parametrize(
    ("selected_on", "split", "tau_from", "marks"),
    [
        ("val", "test", None, ()),
        ("val", "test", "val", ()),
        ("last", "test", None, ()),
        ("test", "test", None, ("selected on test",)),
        ("test", "val", None, ("selected on test",)),
        ("val", "val", None, ("selected on val",)),
        ("val", "test", "test", ("tau from test",)),
        ("val", "val", "val", ("selected on val", "tau from val")),
    ],
)
def test_flattering_numbers_are_marked(
    videos: Videos, meta: Meta, selected_on: str, split: str, tau_from: str | None, marks: tuple[str, ...]
) -> None:
    found = evaluation(videos, meta, split=split, tau_from=tau_from, selected_on=selected_on)
    assert found.marks == marks
    assert found.as_dict()["marks"] == list(marks)
    rows = format_table(found).splitlines()[3:]
    assert len(rows) == len(found.report.rows())
    assert all(row.endswith(f"({', '.join(marks)})") for row in rows) or not marks


def test_the_table_says_that_synthetic_data_are_synthetic(videos: Videos, meta: Meta) -> None:
    table = format_table(evaluation(videos, meta, selected_on="val", selection_score=61.25))
    assert table.startswith("tiny (synthetic) | test: 24 videos, 96 segments\n")
    assert "epoch 3, selected on val, 61.25 % there, seed 0 | tau: 0.5" in table


def test_the_json_holds_every_score_and_its_circumstances(videos: Videos, meta: Meta, tmp_path: Path) -> None:
    found = evaluation(videos, meta)
    write_evaluation(found, tmp_path / "e")
    values = json.loads((tmp_path / "e" / "metrics.json").read_text())
    assert values["scores"] == json.loads(json.dumps(found.report.as_dict()))
    assert (values["dataset"], values["synthetic"], values["split"], values["tau"]) == (
        "tiny",
        True,
        "test",
        0.5,
    )


def test_the_csv_reproduces_the_segment_accuracy(videos: Videos, meta: Meta, tmp_path: Path) -> None:
    found = evaluation(videos, meta)
    write_evaluation(found, tmp_path)
    with (tmp_path / "predictions.csv").open(encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    pairs = [
        (a, b)
        for row in rows
        for a, b in zip(row["true_labels"].split("|"), row["predicted_labels"].split("|"), strict=True)
    ]
    assert 100 * sum(a == b for a, b in pairs) / len(pairs) == pytest.approx(found.report.segment_accuracy)
    assert [int(row["row"]) for row in rows] == videos.row.tolist()
    assert [row["video_id"] for row in rows] == list(videos.video_ids)
