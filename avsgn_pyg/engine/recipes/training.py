"""Training: check a config, train it or continue its run, then evaluate the selected checkpoint."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path

from accelerate.utils import set_seed
from torch import nn

from avsgn_pyg.common.config import Config, ConfigError
from avsgn_pyg.data.dataset import Dataset
from avsgn_pyg.engine import zoo
from avsgn_pyg.engine.checkpoint import load_checkpoint
from avsgn_pyg.engine.initial import find_frozen
from avsgn_pyg.engine.recipes import dense
from avsgn_pyg.engine.recipes.evaluation import evaluate_checkpoint, join_seeds, judge, write_outputs
from avsgn_pyg.engine.recipes.fitting import fit, initial_of, start
from avsgn_pyg.engine.recipes.parts import open_dataset, scored_splits, shape_of, split_of
from avsgn_pyg.engine.recipes.result import Result
from avsgn_pyg.engine.recipes.task import TaskResult
from avsgn_pyg.engine.run_folder import (
    RunFolder,
    check_seeds,
    find_checkpoint,
    read_run_config,
    run_folder,
    write_config,
)
from avsgn_pyg.engine.trackers import Trackers
from avsgn_pyg.model.open_vocabulary import OpenAVSGN

logger = logging.getLogger(__name__)


def train(config: Config, *, overwrite: bool = False, progress: bool = True) -> Result | TaskResult:
    """Train what `config` describes, then evaluate the selected checkpoint on ``evaluate.split``.

    A stopped run of the same config is continued exactly; a finished one is only evaluated.

    Args:
        overwrite: remove what an earlier run left in the folder, whatever its config.
        progress: show bars on a terminal.

    Raises:
        ConfigError, DataError: a setting or the data cannot be used.
        RunError: the folder holds another run, or something else.
        CheckpointError: the checkpoint to continue from is damaged. All of these are raised before training starts.
        TrainingError: a loss, a gradient norm or a weight is not finite.
    """
    if config.events is not None:
        return dense.train(config, overwrite=overwrite, progress=progress)
    return _train(config, run_folder(config), overwrite=overwrite, progress=progress)


def restart(folder: Path, overrides: Sequence[str] = (), *, progress: bool = True) -> Result | TaskResult:
    """Continue the run in `folder` with its own config (errors: :func:`train`).

    Args:
        overrides: a higher ``train.epochs``, which lengthens the run; and settings that do not change the training:
            ``run_dir``, ``data.root`` (for data that moved; other data than those the run began with are refused),
            ``train.trackers``, ``evaluate.split`` and ``evaluate.bootstrap``. Any other that differs from the run's is
            refused.
    """
    config = read_run_config(folder, overrides)
    if config.events is not None:
        return dense.restart(folder, overrides, progress=progress)
    return _train(config, folder, overwrite=False, progress=progress, lengthen=True)


def _train(config: Config, folder: Path, *, overwrite: bool, progress: bool, lengthen: bool = False) -> Result:
    dataset = open_dataset(config)
    several = config.train.seeds is not None
    runs = {folder: config}
    if several:
        runs = {folder / f"seed-{seed}": _with_seed(config, seed) for seed in config.train.seeds}
    _check(config, dataset)
    first = _build(next(iter(runs.values())), dataset)  # refused, if it cannot be built, before a file is written
    for level, sentences in ((logging.WARNING, dataset.warnings), (logging.INFO, dataset.notes)):
        for sentence in sentences:
            logger.log(level, "%s: %s", dataset.name, sentence)
    shape = shape_of(dataset)
    initial = initial_of(config, dataset, runs, overwrite=overwrite, rebuild=lambda: zoo.build_model(
        config.model, replace(shape, classes=shape.classes + 1), supervision=config.objective.supervision))
    if initial is not None:
        initial(first)  # refused, if they do not fit, before a file is written
    accelerator = start(config, folder, overwrite=overwrite)
    main = accelerator.is_main_process
    if several:
        check_seeds(folder, config, lengthen=lengthen)
        for path, own in runs.items():  # one that cannot continue is reported before the others are trained
            RunFolder(path).state(own, lengthen=lengthen)
        accelerator.wait_for_everyone()
        if main:
            write_config(config, folder)
    results = []
    for path, own in runs.items():
        build = partial(_build, own, dataset) if results else lambda: first
        objective = zoo.build_objective(own.objective, own.model.name)
        with Trackers(own, path) as trackers:
            fit(own, path, dataset, accelerator, build, objective, progress=progress, trackers=trackers,
                lengthen=lengthen, initial=initial, judge=judge)
            result = evaluate_checkpoint(
                load_checkpoint(find_checkpoint(path)), dataset, own.evaluate.split, folder=path, config=own,
                device=accelerator.device, progress=progress and main)
            trackers.finish(result.split, {name: score.mean for name, score in result.scores.items()})
        if main:
            write_outputs(result)
        results.append(result)
    if not several:
        return results[0]
    result = join_seeds(folder, results, dataset, config=config, device=accelerator.device, progress=progress and main)
    if main:
        write_outputs(result)
    return result


def _check(config: Config, dataset: Dataset) -> None:
    """Refuse settings that the data cannot meet."""
    select, patience = config.train.select, config.train.early_stop
    split_of(dataset, config.evaluate.split, "evaluate.split")
    if patience is not None and select == "last":
        raise ConfigError(f"train.early_stop={patience} needs a split to watch; train.select=last has none")
    if select == "test":
        text = "train.select=test chooses the epoch on the test split; the scores are optimistic, as each row says"
        warnings.warn(text, stacklevel=4)
        logger.warning(text)
    scored_splits(config, dataset)
    zoo.build_objective(config.objective, config.model.name)


def _build(config: Config, dataset: Dataset) -> nn.Module:
    """Build the model from the run's seed, the same in every process."""
    set_seed(config.train.seed)
    model = zoo.build_model(config.model, shape_of(dataset), dataset.label_text, config.objective.supervision)
    if hasattr(model, "label_text") and dataset.label_text is None and config.model.text.bank == "frozen":
        raise ConfigError(
            f"model.text.bank=frozen needs label embeddings, and {dataset.name} brings none: give "
            "data.audio_labels and data.visual_labels, or learn the bank with model.text.bank=learned")
    if isinstance(model, OpenAVSGN):
        model.calibrate(dataset.train.audio, dataset.train.visual, dataset.train.mask)
    find_frozen(model, config.train.freeze)
    return model


def _with_seed(config: Config, seed: int) -> Config:
    return config.model_copy(update={"train": config.train.model_copy(update={"seed": seed, "seeds": None})})
