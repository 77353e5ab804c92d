"""The table of a suite whose runs find several events a video (``data.kind=dense``): mean mAP and differences."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final, NamedTuple

import numpy as np
from jaxtyping import Float

from avsgn_pyg import metrics
from avsgn_pyg.common.errors import DataError
from avsgn_pyg.engine.files import read_json
from avsgn_pyg.experiments.suites import tables
from avsgn_pyg.experiments.suites.runs import Run
from avsgn_pyg.experiments.suites.suite import Cell, Suite

HEADINGS: Final = ("", "mean mAP", "95 % interval", "against ours", "mAP @ 0.5", "mAP @ 0.7", "mAP @ 0.9", "seeds")
READING: Final = (
    "Mean mAP: over tIoU 0.1 to 0.9. ± is the sample standard deviation over seeds. The interval is a 95 % bootstrap "
    "over videos of the mean over seeds. A difference is paired: both rows on the same resampled videos; an interval "
    "without 0 tells these trained runs apart on such videos. The seeds' own spread is not in it.")


class Row(NamedTuple):
    """The finished seeds of a row on one split.

    Attributes:
        cell, asked, seeds: the row, the number of its seeds, and those that are finished.
        records: ``metrics.json`` of each seed.
        resampled: mean mAP of each resample, averaged over seeds; ``None`` without replicates.
        videos: ids of the scored videos.
    """

    cell: Cell
    asked: int
    seeds: tuple[int, ...]
    records: tuple[dict[str, Any], ...]
    resampled: Float[np.ndarray, "R"] | None
    videos: tuple[str, ...]


def make_tables(suite: Suite, runs: Sequence[Run]) -> tuple[tables.Table, ...]:
    """Make the table of each split; rows without a finished seed have no numbers.

    Raises:
        DataError: two runs of a split were scored on different videos.
        CheckpointError: a file of a run is damaged.
    """
    splits = dict.fromkeys(split for cell in suite.cells for split in cell.splits)
    return tuple(_table(suite, split, [
        _read([run for run in runs if run.cell is cell], split) for cell in suite.cells if split in cell.splits])
        for split in splits)


def _read(runs: Sequence[Run], split: str) -> Row:
    finished = [run for run in runs if run.is_done()]
    records = tuple(run.read_scores(split) for run in finished)
    replicates = runs[0].cell.config.evaluate.bootstrap
    found = [_rescore(run.scores_folder(split), record, replicates)
             for run, record in zip(finished, records, strict=True)]
    videos = {names for names, _ in found}
    if len(videos) > 1:
        raise DataError(f"{finished[0].folder.parent}: its seeds were scored on different videos of {split}")
    resampled = np.mean([values for _, values in found], axis=0) if found and replicates else None
    return Row(runs[0].cell, len(runs), tuple(run.seed for run in finished), records, resampled,
               *(videos or [()]))


def _rescore(folder: Path, record: dict[str, Any], replicates: int) -> tuple[tuple[str, ...], np.ndarray | None]:
    """Return the videos of a run's ``detections.json``, and the mean mAP of each resample of them."""
    content = read_json(folder / "detections.json")
    place = {label: number for number, label in enumerate(record["scores"]["per_class"])}
    detections = [[metrics.Detection(place[each["label"]], *each["segment"], each["score"]) for each in found]
                  for found in content["results"].values()]
    events = [[(place[each["label"]], *each["segment"]) for each in content["database"][video]["annotations"]]
              for video in content["results"]]
    report = metrics.evaluate_detections(detections, events, list(place), replicates=replicates)
    if abs(report.mean_map - record["scores"]["mean_map"]) > 0.01:
        raise DataError(f"{folder}: detections.json and metrics.json are of different evaluations; remove the folder "
                        "to have both rewritten")
    return tuple(content["results"]), report.resampled


def _table(suite: Suite, split: str, rows: Sequence[Row]) -> tables.Table:
    ours = next(row for row in rows if row.cell.row.name == suite.file.reference)
    if len({row.videos for row in rows if row.seeds}) > 1:
        raise DataError(f"{suite.path}: rows were scored on different videos of {split}; a table compares rows on the "
                        "same ones")
    where = {"suite": suite.name, "split": split}
    footnotes: list[str] = []
    records = [where | _record(row, ours) for row in rows]
    lines = [tables.Line(row.cell.row.title, tables.number_remarks(footnotes, [row.cell.row.note]), _cells(record, row))
             for row, record in zip(rows, records, strict=True)]
    data = [f"Data: {first['dataset']}, {split}: {first['scores']['videos']} videos with {first['scores']['events']} "
            "events." for first in ours.records[:1]]
    runs = [where | {"row": row.cell.row.name, "seed": seed} | _scores(record)
            for row in rows for seed, record in zip(row.seeds, row.records, strict=True)]
    return tables.Table(f"{suite.file.title}: {split}", (tuple(lines),), (*suite.file.notes, *data, READING),
                        tuple(footnotes), tuple(records), tuple(runs), headings=HEADINGS)


def _scores(record: dict[str, Any]) -> dict[str, float]:
    scores = record["scores"]
    return {"mean_map": scores["mean_map"], **{f"map@{tiou}": value for tiou, value in scores["map"].items()}}


def _record(row: Row, ours: Row) -> dict[str, Any]:
    """Every number of a row; those that it does not have are missing."""
    record = {"row": row.cell.row.name, "label": row.cell.row.title, "seeds": " ".join(map(str, row.seeds)),
              **tables.average([_scores(one) for one in row.records])}
    if row.resampled is not None:
        record |= dict(zip(("mean_map_lo", "mean_map_hi"), metrics.percentiles(row.resampled), strict=True))
    if row is not ours and row.resampled is not None and ours.resampled is not None:
        difference = record["mean_map"] - np.mean([_scores(one)["mean_map"] for one in ours.records])
        bounds = metrics.percentiles(row.resampled - ours.resampled)
        record |= dict(zip(("against", "against_lo", "against_hi"), (float(difference), *bounds), strict=True))
    return record


def _cells(record: dict[str, Any], row: Row) -> tuple[str, ...]:
    return (tables.spread(record, "mean_map", 1), tables.interval(record, "mean_map", 1), tables.against(record, 1),
            *(tables.spread(record, f"map@{tiou}", 1) for tiou in ("0.5", "0.7", "0.9")),
            tables.fraction(row.seeds, row.asked))
