"""What continues training exactly: raw weights, Adam's moments, random states and where the epochs stand.

Kept in a checkpoint's ``resume/`` as safetensors and JSON. A run that was killed and continued from here does
the same arithmetic in the same order as one that was not.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Final

from accelerate import Accelerator
from accelerate.utils import gather_object
from torch import Tensor, nn
from torch.optim import Optimizer
from torch.optim.swa_utils import AveragedModel

from avsgn_pyg.config import Config, load_config
from avsgn_pyg.engine.checkpoint import CONFIG, MODEL, CheckpointError, load_weights, read_json, read_tensors
from avsgn_pyg.engine.devices import random_state, set_random_state
from avsgn_pyg.engine.optim import flatten_moments, parameter_names, restore_moments
from avsgn_pyg.engine.run_folder import differences

RAW: Final = "raw.safetensors"
OPTIMIZER: Final = "optimizer.safetensors"
RANDOM: Final = "random.safetensors"
STATE: Final = "state.json"


@dataclass
class Progress:
    """Where training stands after a finished epoch.

    Attributes:
        epoch: finished epochs.
        step: optimizer steps taken.
        best_epoch: the epoch with the best score so far, 0 before any.
        best_score: its segment accuracy, percent.
        averaged: updates of the moving average.
        processes: how many took part.
        scaler: the loss scale of fp16, empty otherwise.
    """

    epoch: int = 0
    step: int = 0
    best_epoch: int = 0
    best_score: float | None = None
    averaged: int = 0
    processes: int = 1
    scaler: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Moving:
    """The parts that change while training: what is stored, and what a restart fills."""

    model: nn.Module
    average: AveragedModel
    optimizer: Optimizer


def capture(
    parts: Moving, progress: Progress, accelerator: Accelerator
) -> dict[str, dict[str, Tensor] | str]:
    """The files of ``resume/``. Every process has to call it: each has random states of its own."""
    states = gather_object([random_state(accelerator.device)])
    progress.averaged = int(parts.average.n_averaged)
    progress.processes = accelerator.num_processes
    progress.scaler = accelerator.scaler.state_dict() if accelerator.scaler is not None else {}
    return {
        RAW: parts.model.state_dict(),
        OPTIMIZER: flatten_moments(parts.optimizer, parameter_names(parts.model, parts.optimizer)),
        RANDOM: {f"{rank}/{kind}": state for rank, own in enumerate(states) for kind, state in own.items()},
        STATE: json.dumps(asdict(progress), indent=2) + "\n",
    }


def restore(checkpoint: Path, parts: Moving, config: Config) -> Progress:
    """Fill model, average and optimizer from a checkpoint folder (the random states come last of all:
    :func:`restore_random`).

    Raises:
        CheckpointError: the checkpoint is of another config than `config`, or a file, which is named, is
            missing, cut short, or made by another model.
    """
    found = differences(load_config(checkpoint / CONFIG), config)
    if found:
        listed = "\n  ".join(found)
        raise CheckpointError(f"{checkpoint}: a checkpoint of another config. It differs in\n  {listed}")
    folder = checkpoint / "resume"
    progress = read_progress(checkpoint)
    moments = read_tensors(folder / OPTIMIZER)
    load_weights(parts.model, read_tensors(folder / RAW), folder / RAW)
    load_weights(parts.average.module, read_tensors(checkpoint / MODEL), checkpoint / MODEL)
    parts.average.n_averaged.fill_(progress.averaged)
    try:
        restore_moments(parts.optimizer, parameter_names(parts.model, parts.optimizer), moments)
    except KeyError as error:
        raise CheckpointError(f"{folder / OPTIMIZER}: moments of an unknown parameter {error}") from None
    return progress


def read_progress(checkpoint: Path) -> Progress:
    """``state.json`` of a checkpoint folder."""
    path = checkpoint / "resume" / STATE
    values = read_json(path)
    try:
        return Progress(**values)
    except TypeError as error:
        raise CheckpointError(f"{path}: not the state of a run of this version ({error})") from None


def restore_random(checkpoint: Path, accelerator: Accelerator) -> None:
    """Put this process's generators where they were; call it right before the first new epoch.

    Raises:
        CheckpointError: the run had another number of processes, or another kind of device.
    """
    path = checkpoint / "resume" / RANDOM
    rank = f"{accelerator.process_index}/"
    states = read_tensors(path)
    processes = len({name.partition("/")[0] for name in states})
    if processes != accelerator.num_processes:
        raise CheckpointError(
            f"{path}: the run has {processes} processes, but {accelerator.num_processes} would continue it; "
            f"start it with {processes}"
        )
    own = {name.removeprefix(rank): state for name, state in states.items() if name.startswith(rank)}
    try:
        set_random_state(own, accelerator.device)
    except (KeyError, RuntimeError, TypeError) as error:
        raise CheckpointError(
            f"{path}: random states of {sorted(own)} do not fit {accelerator.device} ({error}); "
            "continue on the kind of device the run began on"
        ) from None
