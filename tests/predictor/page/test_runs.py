"""Curves, scores and the hardest clips of a run's folder."""

from __future__ import annotations

import json

import pytest

from avsgn_pyg.common.errors import DataError
from avsgn_pyg.predictor.page.runs import curves, folder_of, listed_clip, report


@pytest.fixture
def run(tmp_path):
    folder = tmp_path / "run"
    (folder / "evaluation-test").mkdir(parents=True)
    records = [{"epoch": 1, "loss": {"total": 2.0, "gate": None}, "val": {"segment_accuracy": 40.0}}]
    (folder / "journal.jsonl").write_text("".join(json.dumps(record) + "\n" for record in records))
    (folder / "evaluation-test" / "metrics.json").write_text(json.dumps(
        {"dataset": "<made>", "scores": {"segment_accuracy": 81.26, "per_class_accuracy": {}}}))
    rows = "video_id,true_class,accuracy,predicted_events\na<b>,dog,90.0,dog 0-9\nworst,dog,10.0,\n"
    (folder / "evaluation-test" / "predictions.csv").write_text(rows)
    return folder


def test_every_number_of_the_journal_is_in_a_curve(run) -> None:
    assert [(row["name"], row["value"], row["kind"]) for row in curves(run)] == [
        ("total", 2.0, "loss"), ("segment_accuracy", 40.0, "score")]


def test_the_hardest_clip_stands_first_and_names_are_escaped(run) -> None:
    text = report(run, None)
    assert text.index("worst") < text.index("a&lt;b&gt;") and "<b>a" not in text and "a<b>" not in text
    assert "<b>81.3</b> segment accuracy" in text and "&lt;made&gt;" in text and "data-clip" not in text


def test_only_clips_that_an_evaluation_lists_are_opened(run, tmp_path) -> None:
    for name in ("worst.mp4", "other.mp4", "worst.txt"):
        (tmp_path / name).touch()
    assert listed_clip(run, tmp_path, "worst") == tmp_path / "worst.mp4"
    assert 'data-clip="worst"' in report(run, tmp_path)
    for name in ("other", "../run/journal", None):
        with pytest.raises(DataError, match="not found"):
            listed_clip(run, tmp_path, name)


def test_a_run_is_found_from_its_checkpoint(run) -> None:
    assert folder_of(run / "checkpoints" / "epoch-0001") == run == folder_of(run)
