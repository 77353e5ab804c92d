"""Evaluation: score the checkpoints of a run on a split, and write the scores."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Final, Literal

import torch
from torch import nn

from avsgn_pyg import metrics, zoo
from avsgn_pyg.config import Config, ConfigError, TrainConfig
from avsgn_pyg.data.dataset import Dataset, Videos
from avsgn_pyg.engine.checkpoint import Checkpoint, load_checkpoint
from avsgn_pyg.engine.devices import make_accelerator
from avsgn_pyg.engine.evaluator import predict
from avsgn_pyg.engine.files import read_config
from avsgn_pyg.engine.run_folder import RunFolder, seed_folders
from avsgn_pyg.recipes.checks import check_run, check_tau
from avsgn_pyg.recipes.parts import check_fits, meta_of, open_dataset, shape_of, split_of
from avsgn_pyg.recipes.result import Evaluation, Result, join

Split = Literal["train", "val", "test"]
#: Settings that are not named: split and tau are anyway, and data that moved are the same by their provenance.
UNNAMED: Final = ("data.root", "evaluate.split", "evaluate.tau")


def evaluate_run(
    path: Path, *, split: Split | None = None, tau: float | None = None, tau_from: Split | None = None,
    overrides: Sequence[str] = (), device: str = "auto", progress: bool = True,
) -> Result:
    """Evaluate a run (every seed of it) or one checkpoint; results are written to ``evaluation-<split>/`` in it.

    An evaluation with another tau or other settings than the run's has them in the name of its folder, and so replaces
    no other: ``evaluation-test-tau=0.4``, ``evaluation-test-tau-from=val``, ``evaluation-test-data.splits=txt``. Other
    data under the same settings are named by a digest of their provenance: ``evaluation-test-data=1a2b3c4d``.

    Args:
        path: a run's folder or a checkpoint's.
        split: ``None`` takes the config's ``evaluate.split``.
        tau: threshold of the relevance, in [0, 1); ``None`` takes the config's ``evaluate.tau``.
        tau_from: the split whose best tau is taken; not together with `tau`, and not for a model of 29-way scores,
            which are decoded without one.
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
    accelerator = make_accelerator(TrainConfig(device=device))
    seeds = [] if RunFolder(path).index is not None else seed_folders(path)
    results = []
    for folder, place in zip(seeds or [path], checkpoints, strict=True):
        config = read_config(place, overrides)
        checkpoint, dataset = load_checkpoint(place), open_dataset(config)
        result = evaluate_checkpoint(
            checkpoint, dataset, split or config.evaluate.split, folder=folder, config=config, tau=tau,
            tau_from=tau_from, device=accelerator.device, progress=progress)
        result = replace(result, parts=(*_tau_part(result, checkpoint), *_other_settings(config, checkpoint, dataset)))
        write_outputs(result)
        results.append(result)
    if not seeds:
        return results[0]
    result = join(path, results, config.evaluate.bootstrap)
    result.write()
    return result


def evaluate_checkpoint(
    checkpoint: Checkpoint, dataset: Dataset, split: str, *, folder: Path | None = None, config: Config | None = None,
    tau: float | None = None, tau_from: str | None = None, device: torch.device | str = "cpu", progress: bool = False,
) -> Result:
    """Score a checkpoint on a split of `dataset`; nothing is written.

    Args:
        folder: of the result; ``None`` takes the checkpoint's.
        config: whose ``evaluate`` section is used; ``None`` takes the checkpoint's.
        tau, tau_from: see :func:`evaluate_run`.

    Raises:
        CheckpointError: the weights do not fit their config, or the data not the checkpoint.
        ConfigError: the data have no such split, or tau is out of range or not used by the model.
    """
    check_tau(tau)
    config = config or checkpoint.config
    check_fits(checkpoint, dataset)
    videos = split_of(dataset, split, "evaluate.split")
    model = zoo.load_model(checkpoint, shape_of(dataset)).to(device)
    outputs = partial(predict, model, device=device, batch_size=config.train.batch_size, progress=progress)
    if tau_from is not None:
        tuning = split_of(dataset, tau_from, "tau_from")
        found = outputs(tuning)
        if found.segment_scores is not None:
            raise ConfigError(f"tau_from={tau_from}: {checkpoint.path} scores every segment (classes and background), "
                              "which is decoded without tau; leave tau_from out")
        truth = tuning.category.cpu(), tuning.relevance.cpu()
        tau = metrics.best_tau(found.category, found.relevance, *truth, tuning.mask)
    tau = config.evaluate.tau if tau is None else tau
    found = outputs(videos)
    report = metrics.evaluate(
        found.category, found.relevance, videos.category.cpu(), videos.relevance.cpu(), tau=tau,
        categories=checkpoint.meta.categories, bootstrap=config.evaluate.bootstrap, segment_scores=found.segment_scores,
        mask=videos.mask)
    evaluation = Evaluation(checkpoint.path, checkpoint.meta, tau, report, found)
    return Result(folder or checkpoint.path, dataset.name, dataset.synthetic, split, videos, (evaluation,), tau_from)


def _tau_part(result: Result, checkpoint: Checkpoint) -> tuple[str, ...]:
    """The tau in the name of an evaluation, unless it is the run's own."""
    [one] = result.evaluations
    if result.tau_from is not None:
        return (f"tau-from={result.tau_from}",)
    return () if one.report.tau in (None, checkpoint.config.evaluate.tau) else (f"tau={one.tau}",)


def _other_settings(config: Config, checkpoint: Checkpoint, dataset: Dataset) -> Iterator[str]:
    """The settings that differ from the run's and change what is scored, and a digest of other data than the run's."""
    for section in ("data", "evaluate"):
        old, new = (getattr(each, section).model_dump(mode="json") for each in (checkpoint.config, config))
        yield from (f"{section}.{key}={value if isinstance(value, str) else json.dumps(value)}"
                    for key, value in new.items() if value != old[key] and f"{section}.{key}" not in UNNAMED)
    trained, opened = (meta.model_dump(mode="json")["provenance"] for meta in (checkpoint.meta, meta_of(dataset)))
    if opened != trained:
        yield f"data={hashlib.sha256(json.dumps(opened, sort_keys=True).encode()).hexdigest()[:8]}"


def judge(model: nn.Module, videos: Videos, *, config: Config, device: torch.device) -> dict[str, float]:
    """Return scores of a split that are cheap enough for every epoch, percent; the first one selects."""
    found = predict(model, videos, device=device, batch_size=config.train.batch_size)
    category = videos.category.cpu()
    relevance = metrics.zero_padding(videos.relevance.cpu(), videos.mask)
    target = metrics.segment_targets(category, relevance, found.category.shape[-1])
    return {
        "segment_accuracy": metrics.accuracy(metrics.labels(found, config.evaluate.tau), target, videos.mask),
        "class_accuracy": metrics.class_accuracy(found.category, category),
        "relevance_auc": metrics.relevance_auc(found.relevance, relevance, videos.mask),
    }


def write_outputs(result: Result) -> None:
    """Write the folder of one checkpoint's evaluation: scores, predictions and the confusion matrix as a picture."""
    result.write()
    draw_confusion(result)


def draw_confusion(result: Result) -> None:
    """Draw ``confusion.png`` and ``confusion.svg`` of one checkpoint."""
    from avsgn_pyg.visualize.confusion import confusion_figure  # imports matplotlib, which training does not need
    from avsgn_pyg.visualize.theme import save_figure

    [one] = result.evaluations
    title = ", ".join((f"{result.data_name}, {result.split}", *result.parts, *result.marks))
    figure = confusion_figure(one.report.confusion, one.meta.categories, title=title)
    for suffix in ("png", "svg"):
        save_figure(figure, result.place / f"confusion.{suffix}")
