"""The state that continues training exactly: raw weights, Adam's moments, random states and counters.

It is kept in a checkpoint's ``resume/`` as safetensors and JSON. A run that was killed and continued from it computes
the same operations in the same order as one that was not.
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

from avsgn_pyg.common.config import Config
from avsgn_pyg.common.errors import CheckpointError
from avsgn_pyg.engine.checkpoint import load_weights, read_tensors
from avsgn_pyg.engine.devices import random_state, set_random_state
from avsgn_pyg.engine.files import MODEL, read_config, read_json
from avsgn_pyg.engine.optim import flatten_moments, restore_moments
from avsgn_pyg.engine.run_folder import FREE, differences

RAW: Final = "raw.safetensors"
OPTIMIZER: Final = "optimizer.safetensors"
RANDOM: Final = "random.safetensors"
STATE: Final = "state.json"


@dataclass
class Progress:
    """Counters of a training after a finished epoch.

    Attributes:
        epoch: finished epochs.
        step: optimizer steps taken.
        best_epoch: the epoch with the best score so far, 0 before any.
        best_score: its score on the selecting split, percent.
        averaged: updates of the moving average.
        processes: their number.
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
    """The parts that change during training, which a checkpoint stores and a restart restores."""

    model: nn.Module
    average: AveragedModel
    optimizer: Optimizer


def capture(parts: Moving, progress: Progress, accelerator: Accelerator) -> dict[str, dict[str, Tensor] | str]:
    """Return the files of ``resume/``. Every process has to call it, since each has random states of its own."""
    states = gather_object([random_state(accelerator.device)])
    progress.averaged = int(parts.average.n_averaged)
    progress.processes = accelerator.num_processes
    progress.scaler = accelerator.scaler.state_dict() if accelerator.scaler is not None else {}
    return {
        RAW: parts.model.state_dict(),
        OPTIMIZER: flatten_moments(parts.model, parts.optimizer),
        RANDOM: {f"{rank}/{kind}": state for rank, own in enumerate(states) for kind, state in own.items()},
        STATE: json.dumps(asdict(progress), indent=2) + "\n",
    }


def restore(checkpoint: Path, parts: Moving, config: Config) -> Progress:
    """Restore model, average and optimizer from a checkpoint folder; :func:`restore_random` comes last of all.

    Raises:
        CheckpointError: the checkpoint is of another config than `config` (its number of epochs may differ), or a
            file, which is named, is missing, cut short, or of another model.
    """
    found = differences(read_config(checkpoint), config, FREE | {"train.epochs"})
    if found:
        raise CheckpointError(f"{checkpoint}: a checkpoint of another config. It differs in\n  " + "\n  ".join(found))
    folder = checkpoint / "resume"
    if not folder.is_dir():
        raise CheckpointError(f"{folder}: no such folder, so this run cannot be continued (versions before 0.3.0 "
                              "removed it when a run ended); train.init starts another run from its weights")
    try:
        progress = Progress(**read_json(folder / STATE))
    except TypeError as error:
        raise CheckpointError(f"{folder / STATE}: not the state of a run of this version ({error})") from None
    moments = read_tensors(folder / OPTIMIZER)
    load_weights(parts.model, read_tensors(folder / RAW), folder / RAW)
    load_weights(parts.average.module, read_tensors(checkpoint / MODEL), checkpoint / MODEL)
    parts.average.n_averaged.fill_(progress.averaged)
    try:
        restore_moments(parts.model, parts.optimizer, moments)
    except KeyError as error:
        raise CheckpointError(f"{folder / OPTIMIZER}: moments of an unknown parameter {error}") from None
    return progress


def restore_random(checkpoint: Path, accelerator: Accelerator) -> None:
    """Restore this process's random states; call it right before the first new epoch.

    Raises:
        CheckpointError: the run had another number of processes, or another kind of device.
    """
    path, rank = checkpoint / "resume" / RANDOM, f"{accelerator.process_index}/"
    states = read_tensors(path)
    processes = len({name.partition("/")[0] for name in states})
    if processes != accelerator.num_processes:
        raise CheckpointError(f"{path}: the run has {processes} processes, but {accelerator.num_processes} would "
                              f"continue it; start it with {processes}")
    own = {name.removeprefix(rank): state for name, state in states.items() if name.startswith(rank)}
    try:
        set_random_state(own, accelerator.device)
    except (KeyError, RuntimeError, TypeError) as error:
        raise CheckpointError(f"{path}: random states of {sorted(own)} do not fit {accelerator.device} ({error}); "
                              "continue on the kind of device the run began on") from None
