"""From a run's folder to its numbers: rebuild the model, answer a split, write what a reader wants."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import torch

from avsgn_pyg import metrics, zoo
from avsgn_pyg.config import Config, ConfigError, TrainConfig, load_config
from avsgn_pyg.data.dataset import Dataset, Videos
from avsgn_pyg.engine.checkpoint import CONFIG, MODEL, Checkpoint, load_checkpoint, load_weights
from avsgn_pyg.engine.devices import make_accelerator
from avsgn_pyg.engine.evaluator import Predictions, predict
from avsgn_pyg.engine.report import (
    Evaluation,
    format_table,
    write_evaluation,
    write_json,
)
from avsgn_pyg.engine.run_folder import RunFolder, seed_folders
from avsgn_pyg.engine.summary import SeedSummary, format_summary, summarise
from avsgn_pyg.recipes.checks import check_run, check_tau
from avsgn_pyg.recipes.parts import check_fits, open_dataset, shape_of, split_of

Split = Literal["train", "val", "test"]


@dataclass(frozen=True, eq=False)
class RunResult:
    """What a run came to.

    Attributes:
        folder: the run's.
        evaluations: one a seed.
        summary: over the seeds; ``None`` for a run of one seed.
    """

    folder: Path
    evaluations: tuple[Evaluation, ...]
    summary: SeedSummary | None = None

    def table(self) -> str:
        """What a tool prints: a table for each seed, then the summary."""
        parts = [format_table(evaluation) for evaluation in self.evaluations]
        return "\n\n".join(parts + ([] if self.summary is None else [format_summary(self.summary)]))

    def listing(self) -> str:
        """Where everything lies: the folder, then each file in it; TensorBoard's as one."""
        paths = [path for path in sorted(self.folder.rglob("*")) if path.name == "tensorboard" or path.is_file()]
        paths = [path for path in paths if path.parent.name != "tensorboard"]
        lines = [f"  {path.relative_to(self.folder)}{'/' if path.is_dir() else ''}" for path in paths]
        return "\n".join([f"{self.folder}/", *lines])

    def as_dict(self) -> dict[str, Any]:
        """JSON-ready: every evaluation, and the summary."""
        return {
            "run": str(self.folder),
            "evaluations": [evaluation.as_dict() for evaluation in self.evaluations],
            "summary": None if self.summary is None else self.summary.as_dict(),
        }


def evaluate_run(
    path: Path,
    *,
    split: Split | None = None,
    tau: float | None = None,
    tau_from: Split | None = None,
    overrides: Sequence[str] = (),
    device: str = "auto",
    progress: bool = True,
) -> RunResult:
    """Evaluate a run (every seed of it) or one checkpoint; results go to ``evaluation-<split>/`` in it.

    Args:
        path: a run's folder or a checkpoint's.
        split: ``None`` takes the config's ``evaluate.split``.
        tau: threshold of the relevance, in [0, 1); ``None`` takes the config's ``evaluate.tau``.
        tau_from: the split on which the best tau is looked for; not together with `tau`, and not for a model
            of 29-way scores, which are decoded without one.
        overrides: dotted ``data.`` and ``evaluate.`` settings, for other copies of the data.
        device: as ``train.device``.
        progress: show bars on a terminal.

    Raises:
        CheckpointError: no checkpoint, a damaged one, or one that does not fit the data.
        ConfigError, DataError: a setting or the data cannot be used.
    """
    if tau is not None and tau_from is not None:
        raise ConfigError(f"tau={tau} and tau_from={tau_from}: give one of them")
    checkpoints = check_run(path, overrides, "an evaluation", tau=tau, several=True)
    where = make_accelerator(TrainConfig(device=device)).device
    seeds = [] if RunFolder(path).index is not None else seed_folders(path)
    evaluations = []
    for folder, there in zip(seeds or [path], checkpoints, strict=True):
        checkpoint = load_checkpoint(there)
        config = load_config(checkpoint.path / CONFIG, overrides)
        evaluation = evaluate_checkpoint(
            checkpoint,
            open_dataset(config),
            split or config.evaluate.split,
            config=config,
            tau=tau,
            tau_from=tau_from,
            device=where,
            progress=progress,
        )
        write_outputs(evaluation, folder)
        evaluations.append(evaluation)
    return gather(path, evaluations, config.evaluate.bootstrap, several=bool(seeds))


def evaluate_checkpoint(
    checkpoint: Checkpoint,
    dataset: Dataset,
    split: str,
    *,
    config: Config | None = None,
    tau: float | None = None,
    tau_from: str | None = None,
    device: torch.device | str = "cpu",
    progress: bool = False,
) -> Evaluation:
    """Rebuild a checkpoint's model and score it on a split of `dataset`; writes nothing.

    Args:
        config: whose ``evaluate`` section counts; ``None`` takes the checkpoint's.
        tau, tau_from: see :func:`evaluate_run`.

    Raises:
        CheckpointError: the weights do not fit their config, or the data not the checkpoint.
        ConfigError: the data have no such split, or tau is out of range or not used by the model.
    """
    check_tau(tau)
    config, meta = config or checkpoint.config, checkpoint.meta
    check_fits(checkpoint, dataset)
    videos = split_of(dataset, split, "evaluate.split")
    model = zoo.build_model(config.model, shape_of(dataset), dataset.label_text, config.objective.supervision)
    load_weights(model, checkpoint.weights, checkpoint.path / MODEL)
    model.to(device)

    def answer(which: Videos) -> Predictions:
        return predict(model, which, device=device, batch_size=config.train.batch_size, progress=progress)

    if tau_from is not None:
        tuning = split_of(dataset, tau_from, "tau_from")
        found = answer(tuning)
        if found.segment_scores is not None:
            raise ConfigError(
                f"tau_from={tau_from}: {checkpoint.path} scores every segment (classes and background), "
                "which is decoded without tau; leave tau_from out"
            )
        truth = tuning.category.cpu(), tuning.relevance.cpu()
        tau = metrics.best_tau(found.category, found.relevance, *truth, tuning.mask)
    tau = config.evaluate.tau if tau is None else tau
    predictions = answer(videos)
    report = metrics.evaluate(
        predictions.category,
        predictions.relevance,
        videos.category.cpu(),
        videos.relevance.cpu(),
        categories=meta.categories,
        tau=tau,
        bootstrap=config.evaluate.bootstrap,
        segment_scores=predictions.segment_scores,
        mask=videos.mask,
    )
    return Evaluation(
        report,
        predictions,
        videos,
        meta,
        checkpoint.path,
        dataset.name,
        dataset.synthetic,
        split,
        tau,
        tau_from,
    )


def write_outputs(evaluation: Evaluation, folder: Path) -> None:
    """``evaluation-<split>/``: metrics.json, predictions.csv, confusion.png and confusion.svg."""
    from avsgn_pyg.visualize.confusion import confusion_figure  # matplotlib, which training waits for otherwise
    from avsgn_pyg.visualize.theme import save_figure

    target = folder / f"evaluation-{evaluation.split}"
    write_evaluation(evaluation, target)
    title = ", ".join((f"{evaluation.data_name}, {evaluation.split}", *evaluation.marks))
    figure = confusion_figure(evaluation.report.confusion, evaluation.meta.categories, title=title)
    for suffix in ("png", "svg"):
        save_figure(figure, target / f"confusion.{suffix}")


def gather(
    folder: Path, evaluations: Sequence[Evaluation], replicates: int, *, several: bool, write: bool = True
) -> RunResult:
    """The result of a run; several seeds are summarised into ``summary-<split>.json``."""
    if not several:
        return RunResult(folder, tuple(evaluations))
    summary = summarise(evaluations, replicates)
    if write:
        write_json(summary.as_dict(), folder / f"summary-{summary.split}.json")
    return RunResult(folder, tuple(evaluations), summary)
