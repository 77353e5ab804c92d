"""What a suite's runs came to: read back from their folders, several seeds of a row as one."""

from __future__ import annotations

import csv
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import torch
from jaxtyping import Float, Int
from torch import Tensor

from avsgn_pyg import metrics
from avsgn_pyg.data.dataset import DataError
from avsgn_pyg.experiments.suites.jobs import Job, read_scores, scored
from avsgn_pyg.experiments.suites.suite import Cell

#: Scores of a ``metrics.json`` that are averaged over seeds, beside the events' F1.
SCORES: Final = (
    "segment_accuracy", "class_accuracy", "background_f1", "background_precision", "background_recall",
    "relevance_auc", "force_all_foreground",
)


@dataclass(frozen=True, eq=False)
class Result:
    """A row's finished seeds on one split.

    Attributes:
        cell: the row and the supervision.
        split: what was scored.
        seeds: those that are finished; `asked`, how many there shall be.
        rows: annotation row of every video.
        shares: [seeds, videos] share of each video's segments that are right.
        seconds: [videos] segments of each.
        records: every seed's ``metrics.json``.
    """

    cell: Cell
    split: str
    seeds: tuple[int, ...]
    asked: int
    rows: tuple[int, ...] = ()
    shares: Float[Tensor, "S N"] | None = None
    seconds: Int[Tensor, "N"] | None = None
    records: tuple[dict[str, Any], ...] = ()

    @property
    def marks(self) -> tuple[str, ...]:
        """What flatters one of the seeds or more."""
        return tuple(dict.fromkeys(mark for record in self.records for mark in record["marks"]))

    @property
    def first(self) -> dict[str, Any]:
        """Circumstances that all seeds share."""
        return self.records[0]

    @property
    def scores(self) -> dict[str, metrics.Summary]:
        """Name -> mean and sample standard deviation over the seeds, percent."""
        runs = self.runs
        return {name: metrics.mean_std_interval([run[name] for run in runs]) for name in runs[0]}

    @property
    def runs(self) -> list[dict[str, float]]:
        """The same scores of each seed."""
        reports = [record["scores"] for record in self.records]
        return [{name: _number(report[name]) for name in SCORES}
                | {f"event_f1@{threshold}": _number(value) for threshold, value in report["event_f1"].items()}
                for report in reports]

    @property
    def right(self) -> Int[Tensor, "S N"]:
        """[seeds, videos] segments of each video that are right."""
        return (self.shares * self.seconds).round().long()

    @property
    def interval(self) -> metrics.Interval | None:
        """95 % interval of the segment accuracy over videos, seeds pooled; ``None`` where none is asked for."""
        replicates = self.cell.config.evaluate.bootstrap
        if not replicates:
            return None
        return metrics.bootstrap_interval(self.shares, replicates, seed=0, seconds=self.seconds)

    def against(self, other: Result) -> metrics.Difference:
        """How much better this row is than `other` on the videos that both were scored on, seeds averaged on each.

        Without replicates the interval is ``nan``.
        """
        here, there, seconds = self.beside(other)
        replicates = self.cell.config.evaluate.bootstrap
        if not replicates:
            one, two = ((shares * seconds).sum(-1).mean() / seconds.sum() for shares in (here, there))
            return metrics.Difference(100.0 * (one - two).item(), math.nan, math.nan)
        return metrics.paired_bootstrap(here, there, replicates, seed=0, seconds=seconds)

    def beside(self, other: Result) -> tuple[Float[Tensor, "S n"], Float[Tensor, "S2 n"], Int[Tensor, "n"]]:
        """Shares of this row and of `other`, and segments, of the videos that both were scored on."""
        places = {row: place for place, row in enumerate(other.rows)}
        pairs = [(place, places[row]) for place, row in enumerate(self.rows) if row in places]
        mine, theirs = torch.tensor(pairs, dtype=torch.long).reshape(-1, 2).unbind(1)
        return self.shares[:, mine], other.shares[:, theirs], self.seconds[mine]


def collect(jobs: Sequence[Job]) -> dict[tuple[str, str], list[Result]]:
    """Results by supervision and split, rows in the order of the suite, those without a finished seed too.

    Raises:
        DataError: rows of one table were scored on different videos or on other data, or a run's predictions are not
            those that its scores are of.
        CheckpointError: a file of a run is damaged.
    """
    rows: dict[tuple[str, str], list[Job]] = {}
    for job in jobs:
        rows.setdefault((job.cell.supervision, job.cell.row.name), []).append(job)
    tables: dict[tuple[str, str], list[Result]] = {}
    for (supervision, _), seeds in rows.items():
        for split in seeds[0].splits:
            tables.setdefault((supervision, split), []).append(_result(seeds, split))
    for (supervision, split), results in tables.items():
        _refuse_other_data(f"{supervision}, {split}", [result for result in results if result.seeds])
    return tables


def read_shares(path: Path) -> tuple[tuple[int, ...], Float[Tensor, "N"], Int[Tensor, "N"]]:
    """Annotation rows, shares of right segments and numbers of segments of a ``predictions.csv``.

    Raises:
        DataError: it is not one, or damaged.
    """
    try:
        with path.open(encoding="utf-8", newline="") as file:
            lines = list(csv.DictReader(file))
        labels = [(line["true_labels"].split("|"), line["predicted_labels"].split("|")) for line in lines]
        shares = [sum(map(str.__eq__, *pair)) / len(pair[0]) for pair in labels if len(pair[0]) == len(pair[1])]
        rows = tuple(int(line["row"]) for line in lines)
    except (OSError, KeyError, ValueError, AttributeError) as error:
        raise DataError(f"{path}: cannot be read as predictions ({error}); remove it, and it is made again") from None
    if not rows or len(shares) != len(rows):
        raise DataError(f"{path}: has no videos, or one with more labels of one kind; remove it, and it is made again")
    return rows, torch.tensor(shares, dtype=torch.float64), torch.tensor([len(true) for true, _ in labels])


def _result(jobs: Sequence[Job], split: str) -> Result:
    """The finished ones of one row's seeds."""
    found = [(job, record) for job in jobs if (record := read_scores(job, split)) is not None and job.is_done()]
    cell = jobs[0].cell
    if not found:
        return Result(cell, split, (), len(jobs))
    read = [_read(scored(job, split), record) for job, record in found]
    if len({(rows, *seconds.tolist()) for rows, _, seconds in read}) > 1:
        raise DataError(f"{found[0][0].folder.parent}: its seeds were scored on different videos of {split}")
    if any(_source(record) != _source(found[0][1]) for _, record in found):
        raise DataError(f"{found[0][0].folder.parent}: its seeds were trained on other features than one another; "
                        "remove those of the wrong ones, and they are made again")
    seeds, records = tuple(job.seed for job, _ in found), tuple(record for _, record in found)
    (rows, _, seconds), shares = read[0], torch.stack([shares for _, shares, _ in read])
    return Result(cell, split, seeds, len(jobs), rows, shares, seconds, records)


def _read(
    folder: Path, record: dict[str, Any]
) -> tuple[tuple[int, ...], Float[Tensor, "N"], Int[Tensor, "N"]]:
    """:func:`read_shares` of a run's scores; refuses predictions of another evaluation than ``metrics.json``."""
    rows, shares, seconds = read_shares(folder / "predictions.csv")
    there, told = 100.0 * (shares * seconds).sum().item() / seconds.sum().item(), record["scores"]["segment_accuracy"]
    if abs(there - told) > 1e-3:
        raise DataError(f"{folder}: predictions.csv comes to {there:.2f} %, metrics.json says {told:.2f} %: they are "
                        "of different evaluations; remove the folder, and both are made again")
    return rows, shares, seconds


def _source(record: dict[str, Any]) -> tuple[Any, ...]:
    """Whose videos, and where their features come from."""
    return record["dataset"], record["trained"]["provenance"]


def _refuse_other_data(where: str, there: Sequence[Result]) -> None:
    """Rows of the same data settings are of the same data; rows of others (an encoder each, say) share videos."""
    for number, result in enumerate(there):
        for other in there[:number]:
            rows = f"{where}: rows {other.cell.row.name} and {result.cell.row.name}"
            told = [f"{len(each.rows)} videos of {each.first['dataset']}" for each in (other, result)]
            apart = f"{rows} were scored on different videos ({told[0]}; {told[1]}); a table compares on the same ones"
            if other.first["dataset"] != result.first["dataset"]:
                raise DataError(apart)
            if result.cell.config.data == other.cell.config.data:
                if (result.rows, result.seconds.tolist()) != (other.rows, other.seconds.tolist()):
                    raise DataError(apart)
                if _source(result.first) != _source(other.first):
                    raise DataError(f"{rows} have the same data settings, but were trained on other features than one "
                                    "another; give each data set an --out of its own")
            one, two = (dict(zip(each.rows, each.seconds.tolist(), strict=True)) for each in (other, result))
            if not (common := one.keys() & two.keys()) or any(one[row] != two[row] for row in common):
                raise DataError(apart)


def _number(value: float | None) -> float:
    return math.nan if value is None else value
