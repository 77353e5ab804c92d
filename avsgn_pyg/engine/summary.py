"""Several seeds' evaluations as one: what was measured, mean and spread, and an interval over videos."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import torch

from avsgn_pyg import metrics
from avsgn_pyg.engine.journal import plain
from avsgn_pyg.engine.report import Evaluation, columns

#: Fields of a report that a summary over seeds averages, beside the events' F1.
SUMMARISED: Final = (
    "segment_accuracy",
    "class_accuracy",
    "background_f1",
    "relevance_auc",
    "all_foreground_oracle",
    "force_all_foreground",
)
#: What the seeds of one summary have in common.
SHARED: Final = ("dataset", "synthetic", "split", "tau_from")


@dataclass(frozen=True)
class SeedSummary:
    """Several seeds of one config on one split; percent.

    Attributes:
        seeds: which.
        dataset, synthetic: whose videos were scored, and whether they are made up.
        split: which of them.
        tau: the threshold of each seed, ``None`` where 29-way scores leave it out.
        tau_from: the split that chose each seed's tau; ``None`` where it was given.
        selected_on: the split that chose each seed's checkpoint, or ``last``.
        epochs: of each seed's checkpoint.
        scores: name -> mean, sample standard deviation and number of seeds.
        interval: bootstrap interval of the mean segment accuracy over videos, all seeds pooled; ``None``
            where no resampling was asked for.
        marks: see :attr:`~avsgn_pyg.engine.report.Evaluation.marks`.
    """

    seeds: tuple[int, ...]
    dataset: str
    synthetic: bool
    split: str
    tau: tuple[float | None, ...]
    tau_from: str | None
    selected_on: str
    epochs: tuple[int, ...]
    scores: dict[str, metrics.Summary]
    interval: metrics.Interval | None
    marks: tuple[str, ...] = ()

    def as_dict(self) -> dict[str, Any]:
        """JSON-ready: the circumstances, then every score."""
        return plain(
            {
                "dataset": self.dataset,
                "synthetic": self.synthetic,
                "split": self.split,
                "seeds": self.seeds,
                "tau": self.tau,
                "tau_from": self.tau_from,
                "selected_on": self.selected_on,
                "epochs": self.epochs,
                "marks": self.marks,
                "interval": self.interval,
                "scores": {name: summary._asdict() for name, summary in self.scores.items()},
            }
        )


def summarise(evaluations: Sequence[Evaluation], replicates: int) -> SeedSummary:
    """Mean and spread over seeds, and a bootstrap interval over videos with all seeds pooled.

    Args:
        evaluations: one a seed, all on the same videos.
        replicates: of the bootstrap; 0 for no interval.

    Raises:
        ValueError: none, or not of the same data, split and choice of tau and checkpoint.
    """
    circumstances = {
        (*(getattr(one, name) for name in SHARED), one.meta.selected_on) for one in evaluations
    }
    if len(circumstances) != 1:
        listed = sorted(map(str, circumstances)) or "no evaluation"
        raise ValueError(f"a summary needs one {', '.join(SHARED)} and selected_on, got {listed}")
    first, reports = evaluations[0], [evaluation.report for evaluation in evaluations]
    values = {name: [getattr(report, name) for report in reports] for name in SUMMARISED}
    for threshold in first.report.event_f1:
        values[f"event_f1@{threshold}"] = [report.event_f1[threshold] for report in reports]
    shares = torch.stack([evaluation.correct_per_video for evaluation in evaluations])
    seconds = first.videos.seconds
    return SeedSummary(
        seeds=tuple(evaluation.meta.seed for evaluation in evaluations),
        **{name: getattr(first, name) for name in SHARED},
        tau=tuple(report.tau for report in reports),
        selected_on=first.meta.selected_on,
        epochs=tuple(evaluation.meta.epoch for evaluation in evaluations),
        scores={name: metrics.mean_std_interval(scores) for name, scores in values.items()},
        interval=metrics.bootstrap_interval(shares, replicates, seed=0, seconds=seconds) if replicates else None,
        marks=tuple(dict.fromkeys(mark for evaluation in evaluations for mark in evaluation.marks)),
    )


def format_summary(summary: SeedSummary) -> str:
    """What was measured, then mean ± standard deviation of several seeds, as lines."""
    rows = []
    for name, (mean, std, n) in summary.scores.items():
        value = f"{mean:.2f}" + (f" ± {std:.2f}" if n > 1 else "")
        if name == "segment_accuracy" and summary.interval is not None:
            value += f" [{summary.interval.lo:.2f}, {summary.interval.hi:.2f}]"
        rows.append((name.replace("_", " "), value, f"mean ± standard deviation, {n} seed{'s' * (n > 1)}"))
    return "\n".join(_head(summary) + columns(rows, summary.marks))


def _head(summary: SeedSummary) -> list[str]:
    name = summary.dataset + (" (synthetic)" if summary.synthetic else "")
    found = ("none, 29-way scores" if tau is None else f"{tau:.4g}" for tau in summary.tau)
    taus = ", ".join(dict.fromkeys(found))
    tuned = f" (best on {summary.tau_from})" if summary.tau_from else ""
    last = summary.selected_on == "last"
    chosen = "the last ones" if last else f"selected on {summary.selected_on}"
    seeds, epochs = (", ".join(map(str, values)) for values in (summary.seeds, summary.epochs))
    return [
        f"{name} | {summary.split} | seeds {seeds} | [95 % interval over videos, seeds pooled]",
        f"checkpoints: epochs {epochs}, {chosen} | tau: {taus}{tuned}",
        "",
    ]
