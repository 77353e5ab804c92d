"""A suite's results as a table: ours beside the paper's, what hides behind an accuracy, and how it all was made."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final

from avsgn_pyg import metrics
from avsgn_pyg.experiments.suites import facts
from avsgn_pyg.experiments.suites.results import Result
from avsgn_pyg.experiments.suites.suite import Suite

#: Headings; the first is of the labels.
HEADINGS: Final = ("", "segment accuracy", "95 % interval", "paper", "against ours", "paper's difference",
                   "class accuracy", "background F1", "event F1 @ 0.7", "seeds")
NONE: Final = "–"
_BESIDE: Final = ("class_accuracy", "background_f1", "event_f1@0.7")


@dataclass(frozen=True)
class Line:
    """One line of a table: its label, the numbers of its footnotes, the cells after the label."""

    label: str
    marks: tuple[int, ...]
    cells: tuple[str, ...]


@dataclass(frozen=True)
class Table:
    """What is printed, in whatever format.

    Attributes:
        title: of the suite, with the supervision and the split.
        groups: published rows, trained rows, constants; a rule stands between them.
        notes: below the table, without a number; `footnotes` with one, from 1.
        records: the numbers themselves, one a line, for a program.
        runs: the scores of every run, a line each; `videos`, how many seconds of each video it has right.
    """

    title: str
    groups: tuple[tuple[Line, ...], ...]
    notes: tuple[str, ...]
    footnotes: tuple[str, ...]
    records: tuple[dict[str, Any], ...]
    runs: tuple[dict[str, Any], ...] = ()
    videos: tuple[dict[str, Any], ...] = ()

    @property
    def headings(self) -> tuple[str, ...]:
        return HEADINGS


def make_table(suite: Suite, supervision: str, split: str, results: Sequence[Result]) -> Table:
    """One supervision on one split, from what is finished.

    Args:
        results: a row each, in order; those without a finished seed stand there empty.
    """
    there = [result for result in results if result.seeds]
    ours = next((result for result in results if result.cell.row.name == suite.file.reference), None)
    told = {result.cell.row.name: facts.facts(result) for result in there}
    shared = facts.common(list(told.values()))
    footnotes: list[str] = []
    published, trained = [], []
    for row in suite.file.published:
        if supervision in row.paper:
            marks = _mark(footnotes, [row.note])
            published.append(Line(row.label, marks, _empty(paper=f"{row.paper[supervision]:.1f}")))
    for result in results:
        missing, own = facts.missing(result), told.get(result.cell.row.name, {})
        remarks = [result.cell.row.note, missing, facts.fewer(result, ours),
                   *(f"flattered: {mark}" for mark in result.marks),
                   *(f"{topic}: {text}" for topic, text in own.items()
                     if text != shared[topic] and (topic != "seeds" or missing is None))]
        trained.append(Line(result.cell.row.title, _mark(footnotes, remarks), _cells(result, ours)))
    notes = [*suite.file.notes, *(f"{topic.capitalize()}: {text}" for topic, text in shared.items()),
             *([facts.WEAK] if supervision == "weak" else []), *facts.READING]
    records = [_record(suite, supervision, split, result, ours) for result in results]
    groups = (tuple(published), tuple(trained), _constants(there))
    title = f"{suite.file.title}: {supervision} supervision, {split}"
    return Table(title, tuple(group for group in groups if group), tuple(notes), tuple(footnotes),
                 (*_published_records(suite, supervision, split), *records), tuple(_runs(suite, there)),
                 tuple(_videos(suite, there)))


def _runs(suite: Suite, results: Sequence[Result]) -> Iterator[dict[str, Any]]:
    for result in results:
        of = _circumstances(suite, result) | {"label": result.cell.row.title}
        for seed, scores in zip(result.seeds, result.runs, strict=True):
            yield of | {"seed": seed} | scores


def _videos(suite: Suite, results: Sequence[Result]) -> Iterator[dict[str, Any]]:
    """A column for each video, named by its annotation row."""
    for result in results:
        for seed, right in zip(result.seeds, result.right.tolist(), strict=True):
            yield _circumstances(suite, result) | {"seed": seed} | dict(zip(map(str, result.rows), right, strict=True))


def _circumstances(suite: Suite, result: Result) -> dict[str, str]:
    return {"suite": suite.name, "supervision": result.cell.supervision, "split": result.split,
            "row": result.cell.row.name}


def _mark(footnotes: list[str], remarks: Sequence[str | None]) -> tuple[int, ...]:
    """Numbers of a row's remarks among the footnotes; the same words have one number."""
    said = [remark for remark in remarks if remark]
    footnotes += [remark for remark in dict.fromkeys(said) if remark not in footnotes]
    return tuple(sorted(footnotes.index(remark) + 1 for remark in said))


def _empty(**cells: str) -> tuple[str, ...]:
    """Cells of a line that has few."""
    names = {"accuracy": 1, "paper": 3}
    places = {names[name]: text for name, text in cells.items()}
    return tuple(places.get(place, "") for place in range(1, len(HEADINGS)))


def _cells(result: Result, ours: Result | None) -> tuple[str, ...]:
    row, supervision = result.cell.row, result.cell.supervision
    paper = row.paper.get(supervision)
    of_ours = None if ours is None else ours.cell.row.paper.get(supervision)
    compared = row.name != (ours.cell.row.name if ours is not None else None)
    own = paper - of_ours if compared and paper is not None and of_ours is not None else None
    papers = (NONE if paper is None else f"{paper:.1f}", _signed(own, 1))
    if not result.seeds:
        return (NONE, NONE, papers[0], NONE, papers[1], *(NONE for _ in _BESIDE), f"0/{result.asked}")
    scores = result.scores
    against = _difference(result.against(ours)) if compared and ours is not None and ours.seeds else NONE
    seeds = str(len(result.seeds)) + (f"/{result.asked}" if len(result.seeds) < result.asked else "")
    return (_spread(scores["segment_accuracy"]), _interval(result.interval), papers[0], against, papers[1],
            *(_spread(scores[name]) for name in _BESIDE), seeds)


def _constants(results: Sequence[Result]) -> tuple[Line, ...]:
    """The two answers that no model is needed for."""
    if not results:
        return ()
    scores = results[0].first["scores"]
    oracle, majority = scores["all_foreground_oracle"], scores["majority"]
    return (Line("the right class on every second (oracle)", (), _empty(accuracy=_text(oracle))),
            Line(f"always {majority['label']} (majority)", (), _empty(accuracy=_text(majority["value"]))))


def _record(suite: Suite, supervision: str, split: str, result: Result, ours: Result | None) -> dict[str, Any]:
    """Everything about a row, for a program; what there is none of is left out."""
    row = result.cell.row
    record: dict[str, Any] = {"suite": suite.name, "supervision": supervision, "split": split, "kind": "trained",
                              "row": row.name, "label": row.title, "paper": row.paper.get(supervision),
                              "seeds": " ".join(map(str, result.seeds)), "note": row.note}
    if not result.seeds:
        return record
    first = result.first
    for name, (mean, std, _) in result.scores.items():
        record |= {name: mean, f"{name}_std": std}
    if result.interval is not None:
        record |= {"segment_accuracy_lo": result.interval.lo, "segment_accuracy_hi": result.interval.hi}
    if ours is not None and ours.seeds and ours.cell.row.name != row.name:
        record |= dict(zip(("against", "against_lo", "against_hi"), result.against(ours), strict=True))
    return record | {
        "oracle": first["scores"]["all_foreground_oracle"], "majority": first["scores"]["majority"]["value"],
        "dataset": first["dataset"], "synthetic": first["synthetic"], "videos": first["scores"]["videos"],
        "tau": first["scores"]["tau"], "selected_on": first["trained"]["selected_on"],
        "epochs": " ".join(str(each["trained"]["epoch"]) for each in result.records),
        "marks": "; ".join(result.marks),
    }


def _published_records(suite: Suite, supervision: str, split: str) -> list[dict[str, Any]]:
    return [{"suite": suite.name, "supervision": supervision, "split": split, "kind": "published", "row": row.label,
             "label": row.label, "paper": row.paper[supervision], "note": row.note}
            for row in suite.file.published if supervision in row.paper]


def _spread(summary: metrics.Summary) -> str:
    return _text(summary.mean) + (f" ± {summary.std:.2f}" if math.isfinite(summary.std) else "")


def _interval(interval: metrics.Interval | None) -> str:
    return NONE if interval is None else f"[{interval.lo:.2f}, {interval.hi:.2f}]"


def _difference(found: metrics.Difference) -> str:
    said = _signed(found.difference, 2)
    return said if math.isnan(found.lo) else f"{said} [{_signed(found.lo, 2)}, {_signed(found.hi, 2)}]"


def _signed(value: float | None, places: int) -> str:
    """With a sign, and a minus that is one."""
    return NONE if value is None else f"{value:+.{places}f}".replace("-", "−")


def _text(value: float | None) -> str:
    return NONE if value is None or math.isnan(value) else f"{value:.2f}"
