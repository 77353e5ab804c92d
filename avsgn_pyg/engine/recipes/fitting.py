"""The training of one seed, whatever its task: where it starts, on which device, and how it is resumed."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import torch
from accelerate import Accelerator
from accelerate.utils import set_seed
from torch import nn

from avsgn_pyg.common.config import Config
from avsgn_pyg.data.dataset import Dataset
from avsgn_pyg.engine.devices import make_accelerator
from avsgn_pyg.engine.initial import Initial
from avsgn_pyg.engine.optim import LENGTHENED
from avsgn_pyg.engine.recipes.parts import check_same_data, meta_of, scored_splits
from avsgn_pyg.engine.run_folder import RunFolder, clear, read_run_config
from avsgn_pyg.engine.trackers import Trackers, check_trackers
from avsgn_pyg.engine.trainer import Trainer

logger = logging.getLogger(__name__)


def initial_of(
    config: Config, dataset: Dataset, folders: Iterable[Path], *, overwrite: bool, rebuild: Callable[[], nn.Module]
) -> Initial | None:
    """Return the weights of ``train.init``; ``None`` without it, and if the runs in all `folders` have checkpoints.

    Args:
        rebuild: see :class:`avsgn_pyg.engine.initial.Initial`, which has the errors too.
    """
    begun = not overwrite and all(RunFolder(folder).last is not None for folder in folders)
    return None if config.train.init is None or begun else Initial(config.train, dataset.categories, rebuild)


def start(config: Config, folder: Path, *, overwrite: bool) -> Accelerator:
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


def fit(
    config: Config, folder: Path, dataset: Dataset, accelerator: Accelerator, build: Callable[[], nn.Module],
    objective: Any, *, progress: bool, trackers: Trackers, lengthen: bool = False,
    initial: Initial | None = None, judge: Callable[..., dict[str, float]],
) -> None:
    """Train one seed unless its run is finished.

    Args:
        build: returns a new model.
        lengthen: whether the run may be given more epochs than it has.
        initial: weights to start a new run from.
        trackers: closed by the caller, after it gave them the final scores.
        judge: ``(model, videos, config=, device=) -> scores`` of a split; the first one selects.
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
    set_seed(config.train.seed, device_specific=True)  # each process draws its own dropout and augmentation
    Trainer(config, model, objective, dataset.train, scored_splits(config, dataset), meta=meta_of(dataset), run=run,
            accelerator=accelerator, progress=progress, notes=notes,
            judge=partial(judge, config=config, device=accelerator.device), trackers=trackers).fit()


def _lengthening(run: RunFolder, config: Config) -> Iterator[str]:
    """A sentence, which is logged too, if the run in the folder had fewer epochs."""
    before = config.train.epochs if run.last is None else read_run_config(run.path).train.epochs
    if before < config.train.epochs:
        sentence = (f"lengthened from {before} to {config.train.epochs} epochs with train.schedule="
                    f"{config.train.schedule}: {LENGTHENED[config.train.schedule]}")
        logger.info("%s: %s", run.path, sentence)
        yield sentence
