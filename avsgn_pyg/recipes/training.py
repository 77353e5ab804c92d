"""From a config to a trained run: refuse what cannot work, train or continue, evaluate."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from pathlib import Path

import torch
from accelerate import Accelerator
from accelerate.utils import set_seed

from avsgn_pyg import zoo
from avsgn_pyg.config import Config, load_config
from avsgn_pyg.data.dataset import Dataset
from avsgn_pyg.engine.checkpoint import CONFIG, load_checkpoint
from avsgn_pyg.engine.devices import make_accelerator
from avsgn_pyg.engine.report import Evaluation
from avsgn_pyg.engine.run_folder import (
    FREE,
    RunFolder,
    check_same_run,
    clear,
    find_checkpoint,
    is_empty,
    read_run_config,
    run_folder,
    write_config,
)
from avsgn_pyg.engine.trainer import Trainer
from avsgn_pyg.recipes.evaluation import RunResult, evaluate_checkpoint, gather, write_outputs
from avsgn_pyg.recipes.parts import (
    check_recipe,
    check_same_data,
    meta_of,
    open_dataset,
    selecting_split,
    shape_of,
)

logger = logging.getLogger(__name__)


def train(config: Config, *, overwrite: bool = False, progress: bool = True) -> RunResult:
    """Train what `config` says, then evaluate the selected checkpoint on ``evaluate.split``.

    A run of the same config that was stopped is continued exactly; one that is finished is only evaluated.

    Args:
        overwrite: remove what an earlier run left in the folder, whatever its config.
        progress: show bars on a terminal.

    Raises:
        ConfigError, DataError: a setting or the data cannot be used.
        RunError: the folder holds another run, or something else.
        CheckpointError: the checkpoint to continue from is damaged. All of these come before training starts.
        TrainingError: a loss, a gradient norm or a weight is not finite.
    """
    return _train(config, run_folder(config), overwrite=overwrite, progress=progress)


def restart(folder: Path, overrides: Sequence[str] = (), *, progress: bool = True) -> RunResult:
    """Continue the run in `folder` with its own config (errors: :func:`train`).

    Args:
        overrides: dotted settings that do not change the training: ``run_dir``, ``data.root`` (for data that
            moved; others than those the run began with are refused), ``evaluate.split`` and
            ``evaluate.bootstrap``. Any other that differs from the run's is refused.
    """
    return _train(read_run_config(folder, overrides), folder, overwrite=False, progress=progress)


def _train(config: Config, folder: Path, *, overwrite: bool, progress: bool) -> RunResult:
    dataset = open_dataset(config)
    check_recipe(config, dataset)
    for note in dataset.notes:
        logger.info("%s: %s", dataset.name, note)
    if config.train.threads is not None:
        torch.set_num_threads(config.train.threads)
    accelerator = make_accelerator(config.train)
    if overwrite and accelerator.is_main_process:
        clear(folder)
    accelerator.wait_for_everyone()
    if config.train.seeds is None:
        return gather(folder, [_train_seed(config, folder, dataset, accelerator, progress)], 0, several=False)
    _claim_for_seeds(config, folder, accelerator)
    evaluations = []
    for seed in config.train.seeds:
        recipe = config.train.model_copy(update={"seed": seed, "seeds": None})
        own = config.model_copy(update={"train": recipe})
        evaluations.append(_train_seed(own, folder / f"seed-{seed}", dataset, accelerator, progress))
    return gather(
        folder, evaluations, config.evaluate.bootstrap, several=True, write=accelerator.is_main_process
    )


def _train_seed(
    config: Config, folder: Path, dataset: Dataset, accelerator: Accelerator, progress: bool
) -> Evaluation:
    """One seed: train unless it is finished, then evaluate the selected checkpoint."""
    run = RunFolder(folder)
    state = run.state(config)
    accelerator.wait_for_everyone()
    if run.last is not None:
        check_same_data(run.last, dataset)
    if state == "finished":
        logger.info("%s: finished already, evaluating its selected checkpoint", folder)
    else:
        # Every process builds the same model; then each draws dropout and augmentation of its own.
        set_seed(config.train.seed)
        model = zoo.build_model(config.model, shape_of(dataset), dataset.label_text, config.objective.supervision)
        set_seed(config.train.seed, device_specific=True)
        Trainer(
            config,
            model,
            zoo.build_objective(config.objective, config.model.name),
            dataset.train,
            selecting_split(config, dataset),
            meta=meta_of(dataset),
            run=run,
            accelerator=accelerator,
            progress=progress,
        ).fit()
    evaluation = evaluate_checkpoint(
        load_checkpoint(find_checkpoint(folder)),
        dataset,
        config.evaluate.split,
        config=config,
        device=accelerator.device,
        progress=progress and accelerator.is_main_process,
    )
    if accelerator.is_main_process:
        write_outputs(evaluation, folder)
    return evaluation


def _claim_for_seeds(config: Config, folder: Path, accelerator: Accelerator) -> None:
    """Check, then mark, the folder that holds the seeds' folders; more seeds may join a run."""
    if not is_empty(folder):
        several = (folder / CONFIG).is_file() and load_config(folder / CONFIG).train.seeds is not None
        check_same_run(folder, config, FREE | {"train.seed"} | ({"train.seeds"} if several else set()))
    accelerator.wait_for_everyone()
    if accelerator.is_main_process:
        write_config(config, folder)
