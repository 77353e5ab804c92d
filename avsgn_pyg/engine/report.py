"""An evaluation beside its circumstances: as a table, JSON, one CSV line a video, and a picture's title."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from jaxtyping import Float
from torch import Tensor

from avsgn_pyg import metrics
from avsgn_pyg.data.dataset import Videos
from avsgn_pyg.engine.evaluator import Predictions
from avsgn_pyg.engine.files import Meta, replace_text
from avsgn_pyg.engine.journal import plain


@dataclass(frozen=True, eq=False)
class Evaluation:
    """One checkpoint's scores on one split.

    Attributes:
        report: the scores.
        predictions, videos: the logits and whom they belong to.
        meta: of the checkpoint.
        checkpoint: its folder.
        dataset, synthetic: whose videos were scored, and whether they are made up.
        split: which of them.
        tau_from: the split that chose tau; ``None`` where it was given.
    """

    report: metrics.Report
    predictions: Predictions
    videos: Videos
    meta: Meta
    checkpoint: Path
    dataset: str
    synthetic: bool
    split: str
    tau: float
    tau_from: str | None = None

    @property
    def marks(self) -> tuple[str, ...]:
        """What makes these numbers flattering; stands beside every one of them."""
        chosen = self.meta.selected_on
        selected = (f"selected on {chosen}",) if chosen in (self.split, "test") else ()
        tuned = (f"tau from {self.tau_from}",) if self.tau_from in (self.split, "test") else ()
        return selected + tuned

    @property
    def data_name(self) -> str:
        """Whose videos were scored, with a word where they are made up."""
        return self.dataset + (" (synthetic)" if self.synthetic else "")

    @property
    def correct_per_video(self) -> Float[Tensor, "N"]:
        """[N] share of each video's segments that are right."""
        relevance = metrics.emptied(self.videos.relevance.cpu(), self.videos.mask)
        target = metrics.segment_targets(self.videos.category.cpu(), relevance, len(self.meta.categories))
        return metrics.correct_per_video(self.predictions.labels(self.tau), target, self.videos.mask)

    def as_dict(self) -> dict[str, Any]:
        """JSON-ready: the circumstances, then every score."""
        return plain(
            {
                "dataset": self.dataset,
                "synthetic": self.synthetic,
                "split": self.split,
                "tau": self.tau,
                "tau_from": self.tau_from,
                "marks": self.marks,
                "checkpoint": str(self.checkpoint),
                "trained": self.meta.model_dump(mode="json"),
                "scores": self.report.as_dict(),
            }
        )


def format_table(evaluation: Evaluation) -> str:
    """The table that is printed under a run: circumstances, then metric, value and meaning in columns."""
    report, meta = evaluation.report, evaluation.meta
    score = "" if meta.selection_score is None else f", {meta.selection_score:.2f} % there"
    chosen = "the last one" if meta.selected_on == "last" else f"selected on {meta.selected_on}{score}"
    tau = "none, 29-way scores" if report.tau is None else f"{evaluation.tau:.4g}"
    tuned = f" (best on {evaluation.tau_from})" if evaluation.tau_from else ""
    head = [
        f"{evaluation.data_name} | {evaluation.split}: {report.videos} videos, {report.segments} segments",
        f"checkpoint: epoch {meta.epoch}, {chosen}, seed {meta.seed} | tau: {tau}{tuned}",
        "",
    ]
    return "\n".join(
        head + columns([(row.name, row.value, row.help) for row in report.rows()], evaluation.marks)
    )


def write_evaluation(evaluation: Evaluation, folder: Path) -> None:
    """Write ``predictions.csv`` and ``metrics.json``, each whole or not at all; older ones are replaced.

    The scores come last: where they stand, the predictions that they are of stand too.
    """
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "metrics.json").unlink(missing_ok=True)
    write_predictions(evaluation, folder / "predictions.csv")
    write_json(evaluation.as_dict(), folder / "metrics.json")


def write_json(values: dict[str, Any], path: Path) -> None:
    """Write readable JSON, whole or not at all."""
    replace_text(path, json.dumps(values, indent=2, ensure_ascii=False) + "\n")


def write_predictions(evaluation: Evaluation, path: Path) -> None:
    """One line a video: its truth, its answer, the label of every second and the events found.

    Labels are names joined by ``|``; events are ``name start-end`` in seconds, joined likewise.
    """
    videos, names = evaluation.videos, (*evaluation.meta.categories, metrics.BACKGROUND)
    records = metrics.video_records(
        evaluation.predictions.category,
        evaluation.predictions.relevance,
        videos.category.cpu(),
        videos.relevance.cpu(),
        categories=evaluation.meta.categories,
        tau=evaluation.tau,
        segment_scores=evaluation.predictions.segment_scores,
        mask=videos.mask,
    )
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(
        (
            "row",
            "video_id",
            "true_class",
            "predicted_class",
            "confidence",
            "accuracy",
            "true_labels",
            "predicted_labels",
            "predicted_events",
        )
    )
    for row, video, record in zip(videos.row.tolist(), videos.video_ids, records, strict=True):
        writer.writerow(
            (
                row,
                video,
                record.true_class or "",
                record.predicted_class,
                f"{record.confidence:.6f}",
                f"{record.accuracy:.1f}",
                "|".join(names[label] for label in record.true_labels),
                "|".join(names[label] for label in record.predicted_labels),
                "|".join(f"{names[e.category]} {e.start}-{e.end}" for e in record.predicted_events),
            )
        )
    replace_text(path, text.getvalue())


def columns(rows: Sequence[tuple[str, str, str]], marks: Sequence[str]) -> list[str]:
    """Left-aligned columns; the marks close every line."""
    name, value = (max(len(row[i]) for row in rows) for i in (0, 1))
    tail = f"  ({', '.join(marks)})" if marks else ""
    return [f"{row[0]:<{name}}  {row[1]:<{value}}  {row[2]}{tail}".rstrip() for row in rows]
