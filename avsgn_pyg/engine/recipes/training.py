"""Training: check a config, train it or continue its run, then evaluate the selected checkpoint."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path

import torch
from accelerate import Accelerator
from accelerate.utils import set_seed
from torch import nn

from avsgn_pyg.common.config import Config, ConfigError
from avsgn_pyg.data.dataset import Dataset
from avsgn_pyg.engine.checkpoint import load_checkpoint
from avsgn_pyg.engine.devices import make_accelerator
from avsgn_pyg.engine.initial import Initial, find_frozen
from avsgn_pyg.engine.optim import LENGTHENED
from avsgn_pyg.engine.recipes import dense
from avsgn_pyg.engine.recipes.evaluation import LOCALIZATION
from avsgn_pyg.engine.recipes.parts import check_same_data, meta_of, scored_splits, shape_of, split_of
from avsgn_pyg.engine.recipes.result import Result
from avsgn_pyg.engine.recipes.task import Task, TaskResult
from avsgn_pyg.engine.run_folder import (
    RunFolder,
    check_seeds,
    clear,
    find_checkpoint,
    read_run_config,
    run_folder,
    write_config,
)
from avsgn_pyg.engine.trackers import Trackers, check_trackers
from avsgn_pyg.engine.trainer import Trainer
from avsgn_pyg.model.open_vocabulary import OpenAVSGN

logger = logging.getLogger(__name__)


def train(
    config: Config, *, overwrite: bool = False, progress: bool = True, task: Task | None = None
) -> Result | TaskResult:
    """Train what `config` describes, then evaluate the selected checkpoint on ``evaluate.split``.

    A stopped run of the same config is continued exactly; a finished one is only evaluated.

    Args:
        overwrite: remove what an earlier run left in the folder, whatever its config.
        progress: show bars on a terminal.
        task: ``None``: localization, of one event a video or, with ``data.kind=dense``, of several.

    Raises:
        ConfigError, DataError: a setting or the data cannot be used.
        RunError: the folder holds another run, or something else.
        CheckpointError: the checkpoint to continue from is damaged. All of these are raised before training starts.
        TrainingError: a loss, a gradient norm or a weight is not finite.
    """
    return _train(task or _task_of(config), config, run_folder(config), overwrite=overwrite, progress=progress)


def restart(
    folder: Path, overrides: Sequence[str] = (), *, progress: bool = True, task: Task | None = None
) -> Result | TaskResult:
    """Continue the run in `folder` with its own config (errors: :func:`train`).

    Args:
        overrides: a higher ``train.epochs``, which lengthens the run; and settings that do not change the training:
            ``run_dir``, ``data.root`` (for data that moved; other data than those the run began with are refused),
            ``train.trackers``, ``evaluate.split`` and ``evaluate.bootstrap``. Any other that differs from the run's is
            refused.
    """
    config = read_run_config(folder, overrides)
    return _train(task or _task_of(config), config, folder, overwrite=False, progress=progress, lengthen=True)


def _task_of(config: Config) -> Task:
    return LOCALIZATION if config.events is None else dense.TASK


def _train(task: Task, config: Config, folder: Path, *, overwrite: bool, progress: bool,
           lengthen: bool = False) -> Result | TaskResult:
    dataset = task.open(config)
    seeds = config.train.seeds
    runs = {folder: config} if seeds is None else {
        folder / f"seed-{seed}": _with_seed(config, seed) for seed in seeds}
    _check(task, config, dataset)
    first = _build(task, next(iter(runs.values())), dataset)  # refused, if it cannot be built, before a file is written
    for level, sentences in ((logging.WARNING, dataset.warnings), (logging.INFO, dataset.notes)):
        for sentence in sentences:
            logger.log(level, "%s: %s", dataset.name, sentence)
    shape = shape_of(dataset)
    initial = _initial_of(config, dataset, runs, overwrite=overwrite, rebuild=lambda: task.build(
        config, replace(shape, classes=shape.classes + 1), None))
    if initial is not None:
        initial(first)  # refused, if they do not fit, before a file is written
    accelerator = _start(config, folder, overwrite=overwrite)
    main = accelerator.is_main_process
    if seeds is not None:
        check_seeds(folder, config, lengthen=lengthen)
        for path, own in runs.items():  # one that cannot continue is reported before the others are trained
            RunFolder(path).state(own, lengthen=lengthen)
        accelerator.wait_for_everyone()
        if main:
            write_config(config, folder)
    results, shown = [], {"device": accelerator.device, "progress": progress and main}
    for path, own in runs.items():
        with Trackers(own, path) as trackers:
            build = partial(_build, task, own, dataset) if results else lambda: first
            _fit(task, own, path, dataset, accelerator, build, progress=progress, trackers=trackers, lengthen=lengthen,
                 initial=initial)
            checkpoint = load_checkpoint(find_checkpoint(path))
            results.append(task.evaluate(checkpoint, dataset, own.evaluate.split, folder=path, config=own, **shown))
            trackers.finish(results[-1].split, results[-1].tracked)
        if main:
            task.write(results[-1])
    if seeds is None:
        return results[0]
    result = task.join(folder, results, dataset, config=config, **shown)
    if main:
        task.write(result)
    return result


def _check(task: Task, config: Config, dataset: Dataset) -> None:
    """Refuse settings that the data cannot meet."""
    split_of(dataset, config.evaluate.split, "evaluate.split")
    if config.train.select == "test":
        text = "train.select=test chooses the epoch on the test split; the scores are optimistic, as each row says"
        warnings.warn(text, stacklevel=4)
        logger.warning(text)
    scored_splits(config, dataset)
    task.objective(config)


def _build(task: Task, config: Config, dataset: Dataset) -> nn.Module:
    """Build the model from the run's seed, the same in every process."""
    set_seed(config.train.seed)
    model = task.build(config, shape_of(dataset), dataset.label_text)
    if hasattr(model, "label_text") and dataset.label_text is None and config.model.text.bank == "frozen":
        raise ConfigError(
            f"model.text.bank=frozen needs label embeddings, and {dataset.name} has none: give data.audio_labels and "
            "data.visual_labels or a store that was extracted with --labels, or learn the bank with "
            "model.text.bank=learned")
    if isinstance(model, OpenAVSGN):
        model.calibrate(dataset.train.audio, dataset.train.visual, dataset.train.mask)
    find_frozen(model, config.train.freeze)
    return model


def _initial_of(
    config: Config, dataset: Dataset, folders: Iterable[Path], *, overwrite: bool, rebuild: Callable[[], nn.Module]
) -> Initial | None:
    """Return the weights of ``train.init``; ``None`` if it is not set, or if all runs in `folders` have checkpoints.

    Args:
        rebuild: see :class:`avsgn_pyg.engine.initial.Initial`, which has the errors too.
    """
    begun = not overwrite and all(RunFolder(folder).last is not None for folder in folders)
    return None if config.train.init is None or begun else Initial(config.train, dataset.categories, rebuild)


def _start(config: Config, folder: Path, *, overwrite: bool) -> Accelerator:
    """Check the trackers, set the number of threads and the device of a run; `overwrite` clears its folder."""
    check_trackers(config.train.trackers)
    if config.train.threads is not None:
        torch.set_num_threads(config.train.threads)
    accelerator = make_accelerator(config.train)
    if accelerator.num_processes > 1:
        logger.info("training on %d processes", accelerator.num_processes)
    if overwrite and accelerator.is_main_process:
        clear(folder)
    accelerator.wait_for_everyone()
    return accelerator


def _fit(
    task: Task, config: Config, folder: Path, dataset: Dataset, accelerator: Accelerator,
    build: Callable[[], nn.Module], *, progress: bool, trackers: Trackers, lengthen: bool, initial: Initial | None,
) -> None:
    """Train one seed unless its run is finished.

    Args:
        build: returns a new model.
        lengthen: whether the run may be given more epochs than it has.
        initial: weights to start a new run from.
        trackers: closed by the caller, after it gave them the final scores.
    """
    run = RunFolder(folder)
    state = run.state(config, lengthen=lengthen)
    accelerator.wait_for_everyone()
    if run.last is not None:
        check_same_data(run.last, dataset)
    if state == "finished":
        logger.info("%s: finished already, evaluating its selected checkpoint", folder)
        return
    notes = [*dataset.warnings, *dataset.notes, *_lengthening(run, config)]
    model = build()
    if initial is not None and run.last is None:
        notes.append(initial(model))
        logger.info("%s: %s", folder, notes[-1])
    objective = task.objective(config)
    judge = partial(task.judge, config=config, device=accelerator.device, categories=dataset.categories)
    set_seed(config.train.seed, device_specific=True)  # each process draws its own dropout and augmentation
    Trainer(config, model, objective, dataset.train, scored_splits(config, dataset), meta=meta_of(dataset), run=run,
            accelerator=accelerator, progress=progress, notes=notes, judge=judge, trackers=trackers).fit()


def _lengthening(run: RunFolder, config: Config) -> Iterator[str]:
    """Return, and log, a sentence if the run in the folder had fewer epochs; else nothing."""
    before = config.train.epochs if run.last is None else read_run_config(run.path).train.epochs
    if before < config.train.epochs:
        sentence = (f"lengthened from {before} to {config.train.epochs} epochs with train.schedule="
                    f"{config.train.schedule}: {LENGTHENED[config.train.schedule]}")
        logger.info("%s: %s", run.path, sentence)
        yield sentence


def _with_seed(config: Config, seed: int) -> Config:
    return config.model_copy(update={"train": config.train.model_copy(update={"seed": seed, "seeds": None})})
