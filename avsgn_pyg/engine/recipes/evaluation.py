"""Evaluation: score the checkpoints of a run on a split, and write the scores."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any, Final, Literal

import torch
from torch import nn

from avsgn_pyg import metrics
from avsgn_pyg.common.config import Config, ConfigError
from avsgn_pyg.common.settings import TrainConfig
from avsgn_pyg.data.augment import Seconds, paste_boundaries
from avsgn_pyg.data.dataset import Dataset, Videos
from avsgn_pyg.engine import zoo
from avsgn_pyg.engine.checkpoint import Checkpoint, load_checkpoints
from avsgn_pyg.engine.devices import make_accelerator
from avsgn_pyg.engine.evaluator import predict
from avsgn_pyg.engine.files import read_config
from avsgn_pyg.engine.recipes import dense
from avsgn_pyg.engine.recipes.checks import check_run, check_tau
from avsgn_pyg.engine.recipes.parts import check_fits, open_dataset, other_settings, shape_of, split_of
from avsgn_pyg.engine.recipes.result import Evaluation, Result, join
from avsgn_pyg.engine.recipes.task import Task, TaskResult
from avsgn_pyg.engine.recipes.task import evaluate_run as evaluate_task
from avsgn_pyg.engine.run_folder import find_checkpoints

Split = Literal["train", "val", "test"]
#: End of a `tau_from` that needs no segment label: of a split with pasted seconds (:func:`paste_over`).
PASTED: Final = "-pasted"


def evaluate_run(
    path: Path, *, split: Split | None = None, tau: float | None = None, tau_from: str | None = None,
    overrides: Sequence[str] = (), seeds: Sequence[int] | int | None = None, device: str = "auto",
    progress: bool = True,
) -> Result | TaskResult:
    """Evaluate a run or one checkpoint; results are written to ``evaluation-<split>/`` in it.

    Of a run of several seeds each seed is evaluated, and the ensemble that averages their probabilities; its results
    are in ``evaluation-<split>-seeds=0+1+2/``.

    An evaluation with another tau or other settings than the run's has them in the name of its folder, and so replaces
    no other: ``evaluation-test-tau=0.4``, ``evaluation-test-tau-from=val``, ``evaluation-test-data.splits=txt``. Other
    data under the same settings are named by a digest of their provenance: ``evaluation-test-data=1a2b3c4d``.

    Args:
        path: a run's folder or a checkpoint's.
        split: ``None`` takes the config's ``evaluate.split``.
        tau: threshold of the relevance, in [0, 1); ``None`` takes the config's ``evaluate.tau``.
        tau_from: the split whose best tau is taken, or ``val-pasted``: the tau that best separates pasted seconds from
            all others in val, without segment labels; not together with `tau`, and not for a model of 29-way scores,
            which are decoded without one.
        overrides: dotted ``data.`` and ``evaluate.`` settings, for other copies of the data.
        seeds: of a run of several; a number takes the first ones, ``None`` all.
        device: as ``train.device``.
        progress: show bars on a terminal.

    Raises:
        CheckpointError: no checkpoint, a damaged one, one that does not fit the data, or no such seed.
        ConfigError, DataError: a setting or the data cannot be used.
    """
    if tau is not None and tau_from is not None:
        raise ConfigError(f"tau={tau} and tau_from={tau_from}: give one of them")
    paths = check_run(path, overrides, "an evaluation", tau=tau, several=True, seeds=seeds)
    if read_config(paths[0]).events is not None:
        if (tau, tau_from, seeds) != (None, None, None):
            raise ConfigError(f"{path}: a run of data.kind=dense has one seed and no tau; leave out --tau, --tau-from "
                              "and --seeds")
        return evaluate_task(dense.TASK, path, split=split, overrides=overrides, device=device)
    accelerator = make_accelerator(TrainConfig(device=device))
    places = find_checkpoints(path, seeds)
    checkpoints = load_checkpoints([*places.values()])
    config = read_config(checkpoints[0].path, overrides)  # the seeds of a run differ in nothing else
    dataset, split = open_dataset(config), split or config.evaluate.split
    options = {"config": config, "tau": tau, "tau_from": tau_from, "device": accelerator.device, "progress": progress}
    parts = (*_tau_part(config, checkpoints[0], tau, tau_from), *other_settings(config, checkpoints[0], dataset))
    results = []
    for folder, checkpoint in zip(places, checkpoints, strict=True):
        found = evaluate_checkpoint(checkpoint, dataset, split, folder=folder, **options)
        results.append(replace(found, parts=parts))
        write_outputs(results[-1])
    if path in places or (seeds is not None and len(places) == 1):
        return results[0]
    result = join_seeds(path, results, dataset, chosen=seeds is not None, **options)
    write_outputs(result)
    return result


def evaluate_checkpoint(
    checkpoint: Checkpoint, dataset: Dataset, split: str, *, others: Sequence[Checkpoint] = (),
    folder: Path | None = None, config: Config | None = None, tau: float | None = None, tau_from: str | None = None,
    device: torch.device | str = "cpu", progress: bool = False,
) -> Result:
    """Score a checkpoint on a split of `dataset`; nothing is written.

    Args:
        others: of other seeds of its run (:func:`avsgn_pyg.engine.checkpoint.load_checkpoints`); the ensemble of all
            is scored.
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
    model = zoo.load_models([checkpoint, *others], shape_of(dataset)).to(device)
    outputs = partial(predict, model, device=device, batch_size=config.train.batch_size, progress=progress)
    if tau_from is not None:
        tuning = split_of(dataset, tau_from.removesuffix(PASTED), "tau_from")
        tuning = paste_over(tuning) if tau_from.endswith(PASTED) else tuning
        found = outputs(tuning)
        if found.segment_scores is not None:
            raise ConfigError(f"tau_from={tau_from}: {checkpoint.path} scores every segment (classes and background), "
                              "which is decoded without tau; leave tau_from out")
        truth, scores = (tuning.category.cpu(), tuning.relevance.cpu()), found.category
        if tau_from.endswith(PASTED):  # one class, always right: tau only separates pasted seconds from the others
            truth, scores = (torch.zeros_like(truth[0]), truth[1]), torch.tensor([[1.0, 0.0]]).expand(len(tuning), -1)
        tau = metrics.best_tau(scores, found.relevance, *truth, tuning.mask)
    tau = config.evaluate.tau if tau is None else tau
    found = outputs(videos)
    report = metrics.evaluate(
        found.category, found.relevance, videos.category.cpu(), videos.relevance.cpu(), tau=tau,
        categories=checkpoint.meta.categories, bootstrap=config.evaluate.bootstrap, segment_scores=found.segment_scores,
        mask=videos.mask)
    members = (checkpoint.meta, *(other.meta for other in others)) if others else ()
    evaluation = Evaluation(checkpoint.path, checkpoint.meta, tau, report, found, members)
    return Result(folder or checkpoint.path, dataset.name, dataset.synthetic, split, videos, (evaluation,), tau_from)


def join_seeds(
    folder: Path, results: Sequence[Result], dataset: Dataset, *, config: Config, chosen: bool = False, **options: Any
) -> Result:
    """Return the results of a run's seeds as one, with that of their ensemble if there are several; nothing is written.

    Args:
        folder: of the run.
        results: of :func:`evaluate_checkpoint`, whose `options` are repeated here.
        chosen: whether these are some of the run's seeds, which are then named in the summary too.
    """
    result = join(folder, results, config.evaluate.bootstrap)
    parts = (f"seeds={'+'.join(map(str, sorted(result.seeds)))}", *result.parts)
    in_order = sorted(result.evaluations, key=lambda one: one.meta.seed)
    first, *others = load_checkpoints([one.checkpoint for one in in_order])
    if others:
        options |= {"others": others, "folder": folder, "config": config}
        found = evaluate_checkpoint(first, dataset, result.split, **options)
        result = replace(result, ensemble=replace(found, parts=parts))
    return replace(result, parts=parts) if chosen else result


def _tau_part(config: Config, checkpoint: Checkpoint, tau: float | None, tau_from: str | None) -> Iterator[str]:
    """The tau in the name of an evaluation, unless it is the run's own."""
    tau, used = config.evaluate.tau if tau is None else tau, not zoo.scores_segments(config.model)
    if tau_from is not None:
        yield f"tau-from={tau_from}"
    elif used and tau != checkpoint.config.evaluate.tau:
        yield f"tau={tau}"


def paste_over(videos: Videos) -> Videos:
    """Return the videos with a run of seconds of another class pasted over one modality of each.

    Their relevance is 0 in pasted seconds and 1 in all others. Only classes of videos are read, no segment label; the
    draws are seeded.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        zeros = torch.zeros_like(videos.relevance)
        made = paste_boundaries(Seconds(videos.audio, videos.visual, zeros, zeros), videos.category, 1.0,
                                segment_labels=False, mask=videos.mask)
    return replace(videos, audio=made.audio, visual=made.visual, relevance=1 - made.pasted)


def judge(
    model: nn.Module, videos: Videos, *, config: Config, device: torch.device, categories: Sequence[str] = ()
) -> dict[str, float]:
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
    """Write scores, predictions and the confusion matrix of one checkpoint; of several, summary and ensemble."""
    result.write()
    if not result.summarised:
        draw_confusion(result)
    elif result.ensemble is not None:
        write_outputs(result.ensemble)


def draw_confusion(result: Result) -> None:
    """Draw ``confusion.png`` and ``confusion.svg`` of one checkpoint or ensemble."""
    from avsgn_pyg.visualize.confusion import confusion_figure  # imports matplotlib, which training does not need
    from avsgn_pyg.visualize.theme import save_figure

    [one] = result.evaluations
    title = ", ".join((f"{result.data_name}, {result.split}", *result.parts, *result.marks))
    figure = confusion_figure(one.report.confusion, one.meta.categories, title=title)
    for suffix in ("png", "svg"):
        save_figure(figure, result.place / f"confusion.{suffix}")


class Localization(Task):
    """The localization of one event per video, the only task whose runs may have several seeds."""

    def evaluate(self, checkpoint: Checkpoint, dataset: Dataset, split: str, **options: Any) -> Result:
        """Return :func:`evaluate_checkpoint`."""
        return evaluate_checkpoint(checkpoint, dataset, split, **options)

    def write(self, result: Result) -> None:
        """Write the files of a result of :meth:`evaluate` or :meth:`join`."""
        write_outputs(result)

    def join(self, folder: Path, results: Sequence[Result], dataset: Dataset, **options: Any) -> Result:
        """Return :func:`join_seeds`."""
        return join_seeds(folder, results, dataset, **options)


LOCALIZATION: Final = Localization(
    name="an evaluation", judge=judge,
    build=lambda config, shape, text: zoo.build_model(config.model, shape, text, config.objective.supervision),
    objective=lambda config: zoo.build_objective(config.objective, config.model.name))
