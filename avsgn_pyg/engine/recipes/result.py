"""What a run scored on a split, with one seed or several: tables and JSON."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import chain, count
from pathlib import Path
from typing import Any, Final, NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

from avsgn_pyg import metrics
from avsgn_pyg.common.errors import CheckpointError
from avsgn_pyg.common.files import write_json
from avsgn_pyg.common.text import file_name
from avsgn_pyg.data.dataset import Videos
from avsgn_pyg.engine.files import Meta, read_json
from avsgn_pyg.engine.journal import plain
from avsgn_pyg.engine.recipes.outputs import write_predictions

#: Fields of a report that a summary over seeds averages, before the events' F1.
SUMMARISED: Final = ("segment_accuracy", "class_accuracy", "background_f1", "relevance_auc", "all_foreground_oracle",
                     "force_all_foreground")
#: What all seeds of a summary must have in common.
SHARED: Final = ("dataset", "synthetic", "split", "parts", "tau_from", "selected_on")


class Evaluation(NamedTuple):
    """One checkpoint's part of a :class:`Result`.

    Attributes:
        checkpoint: its folder.
        meta: its ``meta.json``.
        tau: threshold of the relevance; a report of 29-way scores does not use it.
        report: the scores, with ``as_dict()``; of a localization :class:`avsgn_pyg.metrics.Report`.
        predictions: the model's outputs for the whole split, on the CPU.
        members: of an ensemble, the ``meta.json`` of every seed; the fields above are then of the first, of tau, report
            and predictions of all together.
    """

    checkpoint: Path
    meta: Meta
    tau: float
    report: Any
    predictions: Any
    members: tuple[Meta, ...] = ()


@dataclass(frozen=True, eq=False)
class Result:
    """Scores of a run on one split: of one checkpoint, or of one checkpoint per seed with their mean and spread.

    Attributes:
        folder: of the run, or of the checkpoint.
        dataset, synthetic: name of the data, and whether they are synthetic.
        split: which of its videos were scored.
        videos: those videos.
        evaluations: one per seed.
        tau_from: the split that chose tau; ``None`` if it was given.
        parts: of the folder's name besides the split: what differs from the run's own evaluation, such as ``tau=0.4``.
        summarised: whether the run has ``train.seeds``, so that tables and JSON include a summary over them.
        replicates: bootstrap replicates of the summary's interval; 0 for no interval.
        ensemble: the result of the seeds together, which average their probabilities.
    """

    folder: Path
    dataset: str
    synthetic: bool
    split: str
    videos: Videos
    evaluations: tuple[Evaluation, ...]
    tau_from: str | None = None
    parts: tuple[str, ...] = ()
    summarised: bool = False
    replicates: int = 0
    ensemble: Result | None = None

    @property
    def seeds(self) -> tuple[int, ...]:
        """The seed of each evaluation."""
        return tuple(one.meta.seed for one in self.evaluations)

    @property
    def selected_on(self) -> str:
        """The split that chose the checkpoints among the epochs, or ``last``."""
        return self.evaluations[0].meta.selected_on

    @property
    def marks(self) -> tuple[str, ...]:
        """Choices made on the scored split or on test, which make scores optimistic; every table row shows them."""
        selected = (f"selected on {self.selected_on}",) if self.selected_on in (self.split, "test") else ()
        tuned = (f"tau from {self.tau_from}",) if self.tau_from in (self.split, "test") else ()
        return selected + tuned

    @property
    def place(self) -> Path:
        """What :meth:`write` writes: ``evaluation-<split>/``, or ``summary-<split>.json`` of several seeds.

        The name also has the parts, so that no evaluation replaces another.
        """
        name = name_of(self.split, self.parts, "summary" if self.summarised else "evaluation")
        return self.folder / (f"{name}.json" if self.summarised else name)

    @property
    def data_name(self) -> str:
        """Name of the data, marked if they are synthetic."""
        return self.dataset + (" (synthetic)" if self.synthetic else "")

    @property
    def scores(self) -> dict[str, metrics.Summary]:
        """Name -> mean, sample standard deviation and number of seeds; percent."""
        reports = [one.report for one in self.evaluations]
        values = {name: [getattr(report, name) for report in reports] for name in SUMMARISED}
        values |= {f"event_f1@{iou}": [report.event_f1[iou] for report in reports] for iou in reports[0].event_f1}
        return {name: metrics.mean_std_interval(found) for name, found in values.items()}

    @property
    def tracked(self) -> dict[str, float]:
        """The scores that trackers receive: name -> mean over the seeds."""
        return {name: score.mean for name, score in self.scores.items()}

    @property
    def correct(self) -> Float[Tensor, "S N"]:
        """Share of each video's segments that are right, one row per seed."""
        videos, classes = self.videos, len(self.evaluations[0].meta.categories)
        relevance = metrics.zero_padding(videos.relevance.cpu(), videos.mask)
        target = metrics.segment_targets(videos.category.cpu(), relevance, classes)
        return torch.stack([
            metrics.correct_per_video(metrics.labels(one.predictions, one.tau), target, videos.mask)
            for one in self.evaluations])

    @property
    def interval(self) -> metrics.Interval | None:
        """Bootstrap interval of the mean segment accuracy over videos, seeds pooled; ``None`` without replicates."""
        if not self.replicates:
            return None
        return metrics.bootstrap_interval(self.correct, self.replicates, seed=0, seconds=self.videos.seconds)

    def table(self) -> str:
        """The printed tables: one per seed, then the summary and the ensemble."""
        tables = [_table(self, one) for one in self.evaluations] + ([_summary_table(self)] if self.summarised else [])
        return "\n\n".join(tables + ([] if self.ensemble is None else [self.ensemble.table()]))

    def as_dict(self) -> dict[str, Any]:
        """JSON-ready: every evaluation, and summary and ensemble if there are several seeds."""
        together = None if self.ensemble is None else self.ensemble.as_dict()["evaluations"][0]
        return {"run": str(self.folder), "evaluations": [self._evaluation(one) for one in self.evaluations],
                "summary": self._summary() if self.summarised else None, "ensemble": together}

    def write(self) -> None:
        """Write the summary of several seeds, or the files of one in its folder (:attr:`place`).

        These are ``predictions.csv``, ``predictions.npz`` and ``metrics.json``, which is written after the predictions
        that it scores, so that they always belong together. An evaluation of other weights, of a run that was trained
        on since, keeps its files under a name with its epoch.
        """
        if self.summarised:
            write_json(self.place, self._summary())
            return
        target, [one] = self.place, self.evaluations
        _set_aside(target, self._evaluation(one))
        (target / "metrics.json").unlink(missing_ok=True)
        write_predictions(target, self.videos, one.predictions, one.meta.categories, one.tau)
        write_json(target / "metrics.json", self._evaluation(one))

    def _evaluation(self, one: Evaluation) -> dict[str, Any]:
        return plain({"dataset": self.dataset, "synthetic": self.synthetic, "split": self.split,
                      "settings": self.parts, "tau": one.tau, "tau_from": self.tau_from, "marks": self.marks,
                      **_origin(one), "scores": one.report.as_dict()})

    def _summary(self) -> dict[str, Any]:
        return plain({"dataset": self.dataset, "synthetic": self.synthetic, "split": self.split,
                      "settings": self.parts, "seeds": self.seeds,
                      "tau": [one.report.tau for one in self.evaluations], "tau_from": self.tau_from,
                      "selected_on": self.selected_on, "epochs": [one.meta.epoch for one in self.evaluations],
                      "marks": self.marks, "interval": self.interval,
                      "scores": {name: summary._asdict() for name, summary in self.scores.items()}})


def name_of(split: str, parts: Sequence[str], what: str = "evaluation") -> str:
    """Return the name of an evaluation's folder: ``evaluation-test-tau=0.4``."""
    return file_name("-".join((what, split, *parts)))


def join(folder: Path, results: Sequence[Result], replicates: int) -> Result:
    """Return one result of several seeds, whose summary has an interval of `replicates` bootstrap replicates.

    Raises:
        ValueError: no results, or their data, split, settings or choices of tau and checkpoint differ.
    """
    found = {tuple(getattr(result, name) for name in SHARED) for result in results}
    if len(found) != 1:
        raise ValueError(f"a summary needs results of the same {', '.join(SHARED)}, got {sorted(map(str, found))}")
    evaluations = tuple(one for result in results for one in result.evaluations)
    return replace(results[0], folder=folder, evaluations=evaluations, summarised=True, replicates=replicates)


def _origin(one: Evaluation) -> dict[str, Any]:
    """The weights that were scored: checkpoint and meta of one, the metas of an ensemble."""
    if one.members:
        return {"ensemble": [meta.model_dump(mode="json") for meta in one.members]}
    return {"checkpoint": str(one.checkpoint), "trained": one.meta.model_dump(mode="json")}


def _set_aside(place: Path, record: dict[str, Any]) -> None:
    """Rename the folder of an evaluation of other weights than those of `record`."""
    try:
        found = read_json(place / "metrics.json")
        before, now = (each["ensemble"] if "ensemble" in each else [each["trained"]] for each in (found, record))
        name = f"{place.name}-epoch={'+'.join(str(meta['epoch']) for meta in before)}"
    except (CheckpointError, KeyError, TypeError):  # there is none that could be read
        return
    if before != now:
        folders = (place.with_name(name + again) for again in chain([""], map("-{}".format, count(2))))
        place.rename(next(folder for folder in folders if not folder.exists()))


def _table(result: Result, one: Evaluation) -> str:
    report, meta = one.report, one.meta
    score = "" if meta.selection_score is None else f", {meta.selection_score:.2f} % there"
    chosen = "the last one" if meta.selected_on == "last" else f"selected on {meta.selected_on}{score}"
    source = f"checkpoint: epoch {meta.epoch}, {chosen}, seed {meta.seed}"
    if one.members:
        seeds, epochs = (", ".join(str(getattr(meta, name)) for meta in one.members) for name in ("seed", "epoch"))
        source = f"ensemble: mean probabilities of seeds {seeds}, epochs {epochs}"
    head = [f"{result.data_name} | {result.split}: {report.videos} videos, {report.segments} segments",
            f"{source} | tau: {_taus(result, [one])}", ""]
    head[1] += "".join(f" | {part}" for part in result.parts if not part.startswith(("tau", "seeds")))
    return "\n".join(head + _columns([(row.name, row.value, row.help) for row in report.rows()], result.marks))


def _summary_table(result: Result) -> str:
    rows, interval = [], result.interval
    for name, (mean, std, n) in result.scores.items():
        value = f"{mean:.2f}" + (f" ± {std:.2f}" if n > 1 else "")
        if name == "segment_accuracy" and interval is not None:
            value += f" [{interval.lo:.2f}, {interval.hi:.2f}]"
        rows.append((name.replace("_", " "), value, f"mean ± standard deviation, {n} seed{'s' * (n > 1)}"))
    chosen = "the last ones" if result.selected_on == "last" else f"selected on {result.selected_on}"
    seeds, epochs = ", ".join(map(str, result.seeds)), ", ".join(str(one.meta.epoch) for one in result.evaluations)
    head = [f"{result.data_name} | {result.split} | seeds {seeds} | [95 % interval over videos, seeds pooled]",
            f"checkpoints: epochs {epochs}, {chosen} | tau: {_taus(result, result.evaluations)}", ""]
    return "\n".join(head + _columns(rows, result.marks))


def _taus(result: Result, evaluations: Sequence[Evaluation]) -> str:
    found = ("none, 29-way scores" if one.report.tau is None else f"{one.tau:.4g}" for one in evaluations)
    return ", ".join(dict.fromkeys(found)) + (f" (best on {result.tau_from})" if result.tau_from else "")


def _columns(rows: Sequence[tuple[str, str, str]], marks: Sequence[str]) -> list[str]:
    """Left-aligned columns; the marks close every line."""
    name, value = (max(len(row[i]) for row in rows) for i in (0, 1))
    tail = f"  ({', '.join(marks)})" if marks else ""
    return [f"{row[0]:<{name}}  {row[1]:<{value}}  {row[2]}{tail}".rstrip() for row in rows]
