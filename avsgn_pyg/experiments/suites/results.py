"""The scores of a suite's runs, read from their folders; the seeds of a row together."""

from __future__ import annotations

import csv
import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

import torch
from jaxtyping import Float, Int
from torch import Tensor

from avsgn_pyg import metrics
from avsgn_pyg.common.errors import DataError
from avsgn_pyg.engine.recipes.outputs import score_together
from avsgn_pyg.experiments.suites.runs import Run
from avsgn_pyg.experiments.suites.suite import Cell, Suite

#: Scores of ``metrics.json`` that are averaged over seeds, with the F1 of events.
SCORES: Final = (
    "segment_accuracy", "class_accuracy", "background_f1", "background_precision", "background_recall",
    "relevance_auc", "force_all_foreground",
)

#: Footnote of an ensemble.
NOTE: Final = "the seeds as one model, which averages their probabilities: as costly as all of them"


@dataclass(frozen=True, eq=False)
class Result:
    """The finished seeds of a row on one split. Shapes: S seeds, N videos.

    Attributes:
        cell: the row and the supervision.
        asked: number of seeds, finished or not.
        seeds: the finished ones.
        records: ``metrics.json`` of each seed.
        rows: annotation row of each video.
        right: [S, N] right segments of each video, of `seconds` [N].
        together: the ensemble of the finished seeds, a row of its own whose S is 1; ``None`` for a single seed, or if
            one was scored by version 0.2.0.
    """

    cell: Cell
    asked: int
    seeds: tuple[int, ...] = ()
    records: tuple[dict[str, Any], ...] = ()
    rows: tuple[int, ...] = ()
    right: Int[Tensor, "S N"] | None = None
    seconds: Int[Tensor, "N"] | None = None
    together: Result | None = None

    @property
    def marks(self) -> tuple[str, ...]:
        """Why the scores of at least one seed are optimistic, such as an epoch selected on test."""
        return tuple(dict.fromkeys(mark for record in self.records for mark in record["marks"]))

    @property
    def source(self) -> tuple[Any, ...]:
        """The data set, and the origin of the features."""
        return self.records[0]["dataset"], self.records[0]["trained"]["provenance"]

    @property
    def scores(self) -> list[dict[str, float]]:
        """Name -> percent, of each seed; ``nan`` where there is none."""
        found = [record["scores"] for record in self.records]
        return [{name: _number(scores[name]) for name in SCORES}
                | {f"event_f1@{overlap}": _number(value) for overlap, value in scores["event_f1"].items()}
                for scores in found]

    @property
    def shares(self) -> Float[Tensor, "S N"]:
        """[S, N] share of each video's segments that are right."""
        return self.right.double() / self.seconds

    def interval(self) -> metrics.Interval | None:
        """95 % bootstrap interval of the segment accuracy over videos, seeds pooled; ``None`` without replicates."""
        replicates = self.cell.config.evaluate.bootstrap
        return metrics.bootstrap_interval(self.shares, replicates, 0, seconds=self.seconds) if replicates else None

    def compare(self, other: Result) -> metrics.Difference:
        """Difference to `other` on the videos of both, seeds averaged; without replicates the interval is ``nan``."""
        places = {row: place for place, row in enumerate(other.rows)}
        common = [(place, places[row]) for place, row in enumerate(self.rows) if row in places]
        here, there = torch.tensor(common, dtype=torch.long).reshape(-1, 2).unbind(1)
        replicates = self.cell.config.evaluate.bootstrap
        found = metrics.paired_bootstrap(self.shares[:, here], other.shares[:, there], replicates or 1, 0,
                                         seconds=self.seconds[here])
        return found if replicates else found._replace(lo=math.nan, hi=math.nan)


def collect(suite: Suite, runs: Sequence[Run]) -> dict[tuple[str, str], list[Result]]:
    """Read the results by supervision and split, rows in the order of the suite, also those without a finished seed.

    Raises:
        DataError: rows of one table were scored on different videos or data, or the predictions of a run do not
            belong to its scores.
        CheckpointError: a file of a run is damaged.
    """
    tables: dict[tuple[str, str], list[Result]] = {}
    for cell in suite.cells:
        for split in cell.splits:
            row = _read_row([run for run in runs if run.cell is cell], split)
            tables.setdefault((cell.supervision, split), []).append(row)
    for key, results in tables.items():
        refuse_mixed_data(", ".join(key), [result for result in results if result.seeds])
    return tables


def refuse_mixed_data(table: str, results: Sequence[Result]) -> None:
    """Check that rows of equal data settings have the same videos and features, and that others have common videos.

    Raises:
        DataError: names `table` and the two rows.
    """
    for one, two in itertools.combinations(results, 2):
        rows = f"{table}: rows {one.cell.row.name} and {two.cell.row.name}"
        same_settings = one.cell.config.data == two.cell.config.data
        first, second = (dict(zip(each.rows, each.seconds.tolist(), strict=True)) for each in (one, two))
        common = first.keys() & second.keys()
        if (one.source[0] != two.source[0] or not common or any(first[row] != second[row] for row in common)
                or (same_settings and list(first) != list(second))):
            found = "; ".join(f"{len(each.rows)} videos of {each.source[0]}" for each in (one, two))
            raise DataError(f"{rows} were scored on different videos ({found}); a table compares rows on the same ones")
        if same_settings and one.source != two.source:
            raise DataError(f"{rows} have the same data settings, but were trained on other features than one another; "
                            "use another --out for each data set")


def read_predictions(path: Path) -> dict[int, tuple[int, int]]:
    """Read ``predictions.csv``: annotation row of each video -> number of its right segments, and of all.

    Raises:
        DataError: it is missing, damaged or empty.
    """
    found = {}
    try:
        with path.open(encoding="utf-8", newline="") as file:
            for line in csv.DictReader(file):
                pairs = zip(line["true_labels"].split("|"), line["predicted_labels"].split("|"), strict=True)
                right = [true == predicted for true, predicted in pairs]
                found[int(line["row"])] = (sum(right), len(right))
        if not found:
            raise ValueError("it has no videos")
    except (OSError, KeyError, ValueError, AttributeError) as error:
        raise DataError(f"{path}: cannot be read as predictions ({error}); remove it to have it rewritten") from None
    return found


def _read_row(runs: Sequence[Run], split: str) -> Result:
    """The finished seeds of one row."""
    finished = [run for run in runs if run.is_done()]
    if not finished:
        return Result(runs[0].cell, len(runs))
    folder, records = finished[0].folder.parent, tuple(run.read_scores(split) for run in finished)
    videos = [_read_videos(run.scores_folder(split), record) for run, record in zip(finished, records, strict=True)]
    rows, seconds = list(videos[0]), [total for _, total in videos[0].values()]
    if any((list(each), [total for _, total in each.values()]) != (rows, seconds) for each in videos):
        raise DataError(f"{folder}: its seeds were scored on different videos of {split}")
    right = torch.tensor([[count for count, _ in each.values()] for each in videos])
    result = Result(runs[0].cell, len(runs), tuple(run.seed for run in finished), records, tuple(rows), right,
                    torch.tensor(seconds))
    if any((record["dataset"], record["trained"]["provenance"]) != result.source for record in records):
        raise DataError(f"{folder}: its seeds were trained on other features than one another; remove the wrong ones "
                        "to have them trained again")
    return replace(result, together=_together(result, [run.scores_folder(split) for run in finished]))


def _together(result: Result, folders: Sequence[Path]) -> Result | None:
    """The ensemble of a row's seeds."""
    found = score_together(folders, result.records[0]["tau"]) if len(folders) > 1 else None
    if found is None:
        return None
    (report, right), row = found, result.cell.row
    row = row.model_copy(update={"label": f"{row.title}, ensemble of {len(folders)}", "paper": {}, "note": NOTE})
    record = {**result.records[0], "scores": report.as_dict(), "marks": list(result.marks)}
    return replace(result, cell=replace(result.cell, row=row), records=(record,), right=right[None])


def _read_videos(folder: Path, record: dict[str, Any]) -> dict[int, tuple[int, int]]:
    """:func:`read_predictions` of a run; refuses those of another evaluation than ``metrics.json``."""
    videos = read_predictions(folder / "predictions.csv")
    right, total = (sum(counts) for counts in zip(*videos.values(), strict=True))
    found, expected = 100.0 * right / total, record["scores"]["segment_accuracy"]
    if abs(found - expected) > 1e-3:
        raise DataError(f"{folder}: accuracy is {found:.2f} % in predictions.csv, {expected:.2f} % in metrics.json; "
                        "they are of different evaluations; remove the folder to have both rewritten")
    return videos


def _number(value: float | None) -> float:
    return math.nan if value is None else value
