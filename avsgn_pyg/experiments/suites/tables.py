"""The table of a suite: our numbers and the paper's, scores that explain an accuracy, and how the rows were trained."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, NamedTuple

from avsgn_pyg import metrics
from avsgn_pyg.experiments.suites import protocol
from avsgn_pyg.experiments.suites.results import Result
from avsgn_pyg.experiments.suites.suite import Suite

#: Headings; the first is of the labels.
HEADINGS: Final = ("", "segment accuracy", "95 % interval", "paper", "against ours", "paper's difference",
                   "class accuracy", "background F1", "relevance AUC", "event F1 @ 0.7", "seeds")
NONE: Final = "–"


class Line(NamedTuple):
    """One line of a table: its label, the numbers of its footnotes, the cells after the label."""

    label: str
    marks: tuple[int, ...]
    cells: tuple[str, ...]


@dataclass(frozen=True)
class Table:
    """The content of a table, in whatever format.

    Attributes:
        title: of the suite, with the supervision and the split.
        groups: published rows, trained rows, constants; separated by rules.
        notes: below the table; `footnotes` are numbered from 1.
        records: the unrounded numbers of each row.
        runs: the scores of each run.
        videos: the number of right segments of each video, of each run.
        headings: of the columns.
    """

    title: str
    groups: tuple[tuple[Line, ...], ...]
    notes: tuple[str, ...]
    footnotes: tuple[str, ...]
    records: tuple[dict[str, Any], ...]
    runs: tuple[dict[str, Any], ...] = ()
    videos: tuple[dict[str, Any], ...] = ()
    headings: tuple[str, ...] = HEADINGS


def make_table(suite: Suite, supervision: str, split: str, results: Sequence[Result]) -> Table:
    """Make the table of one supervision on one split; rows without a finished seed have no numbers."""
    where = {"suite": suite.name, "supervision": supervision, "split": split}
    finished = [result for result in results if result.seeds]
    ours = next((result for result in results if result.cell.row.name == suite.file.reference), None)
    described = {result.cell.row.name: protocol.describe(result) for result in finished}
    shared = protocol.find_common(list(described.values()))
    footnotes: list[str] = []
    published, trained, records = [], [], []
    for row in suite.file.published:
        if supervision in row.paper:
            paper = row.paper[supervision]
            published.append(Line(row.label, number_remarks(footnotes, [row.note]), _fill(paper=f"{paper:.1f}")))
            records.append(where | {"kind": "published", "row": row.label, "label": row.label, "paper": paper,
                                    "note": row.note})
    for result in results:
        row = result.cell.row
        remarks = protocol.remarks(result, ours, described.get(row.name, {}), shared)
        records.append(where | _record(result, ours))
        trained.append(Line(row.title, number_remarks(footnotes, remarks), _cells(records[-1], result, ours)))
        if (together := result.together) is not None:
            records.append(where | _record(together, ours) | {"kind": "ensemble"})
            if result is ours:
                marks = number_remarks(footnotes, [*remarks[1:], together.cell.row.note])
                trained.append(Line(together.cell.row.title, marks, _cells(records[-1], together, ours)))
    notes = [*suite.file.notes, *(f"{topic.capitalize()}: {text}" for topic, text in shared.items()),
             *([protocol.WEAK] if supervision == "weak" else []), *protocol.READING]
    groups = (tuple(published), tuple(trained), _constants(finished))
    runs = list(_runs(where, finished))
    return Table(f"{suite.file.title}: {supervision} supervision, {split}", tuple(group for group in groups if group),
                 tuple(notes), tuple(footnotes), tuple(records), tuple(run for run, _ in runs),
                 tuple(videos for _, videos in runs))


def _runs(where: dict[str, str], results: Sequence[Result]) -> Iterator[tuple[dict[str, Any], dict[str, Any]]]:
    """The scores of each run, and its right segments with a column for each video, named by its annotation row."""
    for result in results:
        row = where | {"row": result.cell.row.name}
        for seed, scores, right in zip(result.seeds, result.scores, result.right.tolist(), strict=True):
            yield (row | {"label": result.cell.row.title, "seed": seed} | scores,
                   row | {"seed": seed} | dict(zip(map(str, result.rows), right, strict=True)))


def _record(result: Result, ours: Result | None) -> dict[str, Any]:
    """Every number of a row; those that it does not have are missing."""
    row = result.cell.row
    record: dict[str, Any] = {"kind": "trained", "row": row.name, "label": row.title,
                              "paper": row.paper.get(result.cell.supervision),
                              "seeds": " ".join(map(str, result.seeds)), "note": row.note}
    if not result.seeds:
        return record
    first = result.records[0]
    record |= average(result.scores)
    if bounds := result.interval():
        record |= {"segment_accuracy_lo": bounds.lo, "segment_accuracy_hi": bounds.hi}
    if ours is not None and ours.seeds and result is not ours:
        record |= dict(zip(("against", "against_lo", "against_hi"), result.compare(ours), strict=True))
    return record | {
        "oracle": first["scores"]["all_foreground_oracle"], "majority": first["scores"]["majority"]["value"],
        "dataset": first["dataset"], "synthetic": first["synthetic"], "videos": first["scores"]["videos"],
        "tau": first["scores"]["tau"], "selected_on": first["trained"]["selected_on"],
        "epochs": " ".join(str(each["trained"]["epoch"]) for each in result.records),
        "marks": "; ".join(result.marks),
    }


def _cells(record: dict[str, Any], result: Result, ours: Result | None) -> tuple[str, ...]:
    supervision, paper, difference = result.cell.supervision, record["paper"], None
    if ours is not None and ours.cell.row.name != record["row"] and paper is not None:
        papers = ours.cell.row.paper.get(supervision)
        difference = None if papers is None else paper - papers
    return (
        spread(record, "segment_accuracy"), interval(record, "segment_accuracy"),
        NONE if paper is None else f"{paper:.1f}", against(record), _signed(difference, 1),
        *(spread(record, name) for name in ("class_accuracy", "background_f1", "relevance_auc", "event_f1@0.7")),
        fraction(result.seeds, result.asked),
    )


def number_remarks(footnotes: list[str], remarks: Sequence[str]) -> tuple[int, ...]:
    """Return the numbers of a row's remarks among `footnotes`, to which new ones are appended."""
    found = [remark for remark in remarks if remark]
    footnotes += [remark for remark in dict.fromkeys(found) if remark not in footnotes]
    return tuple(sorted(footnotes.index(remark) + 1 for remark in found))


def _constants(results: Sequence[Result]) -> tuple[Line, ...]:
    """The two predictions that need no model."""
    if not results:
        return ()
    scores = results[0].records[0]["scores"]
    oracle, majority = scores["all_foreground_oracle"], scores["majority"]
    return (Line("the right class on every second (oracle)", (), _fill(accuracy=_text(oracle))),
            Line(f"always {majority['label']} (majority)", (), _fill(accuracy=_text(majority["value"]))))


def _fill(accuracy: str = "", paper: str = "") -> tuple[str, ...]:
    """The cells of a line that has few."""
    return (accuracy, "", paper, *[""] * (len(HEADINGS) - 4))


def average(scores: Sequence[Mapping[str, float]]) -> dict[str, float]:
    """Return the mean and, as ``<name>_std``, the standard deviation of each score over seeds."""
    found: dict[str, float] = {}
    for name in scores[0] if scores else ():
        mean, std, _ = metrics.mean_std_interval([each[name] for each in scores])
        found |= {name: mean, f"{name}_std": std}
    return found


def spread(record: Mapping[str, Any], name: str, places: int = 2) -> str:
    """Return a row's mean and standard deviation of a score."""
    std = record.get(f"{name}_std", math.nan)
    return _text(record.get(name), places) + (f" ± {std:.{places}f}" if math.isfinite(std) else "")


def interval(record: Mapping[str, Any], name: str, places: int = 2) -> str:
    """Return the bootstrap interval of a score, if the row has one."""
    lo, hi = (record.get(f"{name}_{end}") for end in ("lo", "hi"))
    return NONE if lo is None else f"[{lo:.{places}f}, {hi:.{places}f}]"


def against(record: Mapping[str, Any], places: int = 2) -> str:
    """Return the difference to the reference with its interval, if the row has one."""
    difference = _signed(record.get("against"), places)
    lo, hi = (record.get(f"against_{end}", math.nan) for end in ("lo", "hi"))
    return difference if math.isnan(lo) else f"{difference} [{_signed(lo, places)}, {_signed(hi, places)}]"


def fraction(seeds: Sequence[int], asked: int) -> str:
    """Return the number of finished seeds, and of all where some are not finished."""
    return f"{len(seeds)}" + (f"/{asked}" if len(seeds) < asked else "")


def _signed(value: float | None, places: int) -> str:
    """With its sign, and a typographic minus."""
    return NONE if value is None else f"{value:+.{places}f}".replace("-", "−")


def _text(value: float | None, places: int = 2) -> str:
    return NONE if value is None or math.isnan(value) else f"{value:.{places}f}"
