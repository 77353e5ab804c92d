"""Devices, precision and processes of a run, as one :class:`accelerate.Accelerator`; random states; placed videos."""

from __future__ import annotations

import os

import torch
from accelerate import Accelerator, DistributedDataParallelKwargs
from accelerate.data_loader import DataLoaderShard
from accelerate.state import AcceleratorState, GradientState, is_initialized
from accelerate.utils import broadcast, reduce
from torch.utils.data import DataLoader

from avsgn_pyg.common.config import ConfigError
from avsgn_pyg.common.settings import TrainConfig
from avsgn_pyg.data.dataset import Videos

#: Share of a GPU's free memory that the features of one split may take; larger ones stay on the CPU.
RESIDENT_SHARE = 0.5


def check_device(device: str, precision: str = "no") -> None:
    """Refuse a device or a precision that this machine does not have.

    Raises:
        ConfigError: names the setting, what is available, and what would work.
    """
    present = {"cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available()}
    if not present.get(device, True):
        raise ConfigError(f"train.device={device}: this torch ({torch.__version__}) sees no {device} device; "
                          "use train.device=auto or cpu")
    if precision == "fp16" and (device == "cpu" or not any(present.values())):
        raise ConfigError("train.precision=fp16 needs a GPU; on the CPU use train.precision=bf16 or no")


def make_accelerator(recipe: TrainConfig) -> Accelerator:
    """Return the accelerator of a run. `recipe.batch_size` is the batch of all processes together.

    Raises:
        ConfigError: the device or the precision is not available, the batch has fewer videos than there are processes,
            or accelerate's launcher was asked for several processes and started one.
    """
    check_device(recipe.device, recipe.precision)
    if is_initialized():
        # accelerate fixes device and precision for a whole process; only a process group has to stay.
        AcceleratorState._reset_state(reset_partial_state=AcceleratorState().num_processes == 1)
        GradientState._reset_state()
    accelerator = Accelerator(
        cpu=recipe.device == "cpu", mixed_precision=recipe.precision, gradient_accumulation_steps=recipe.accumulate,
        kwargs_handlers=[DistributedDataParallelKwargs(find_unused_parameters=True)],
        step_scheduler_with_optimizer=False)
    if recipe.device not in ("auto", accelerator.device.type):
        raise ConfigError(f"train.device={recipe.device}, but accelerate's own settings chose {accelerator.device}")
    if recipe.batch_size < accelerator.num_processes:
        raise ConfigError(f"train.batch_size={recipe.batch_size} is divided among {accelerator.num_processes} "
                          "processes and must be at least their number")
    if accelerator.num_processes == 1 and _more_were_asked_for():
        raise ConfigError("`accelerate launch` was asked for several processes and started one, as it does without "
                          "several GPUs; start them with `torchrun --nproc-per-node N tools/train.py ...` (if one "
                          "process was meant, unset MASTER_ADDR)")
    return accelerator


def _more_were_asked_for() -> bool:
    """Whether accelerate's launcher for one process was asked for more: it sets an address, but no number, of them."""
    return {"ACCELERATE_USE_CPU", "MASTER_ADDR"} <= os.environ.keys() and "WORLD_SIZE" not in os.environ


def place(videos: Videos, device: torch.device) -> Videos:
    """Return the videos on `device` if they fit there beside the model, else unchanged."""
    if videos.audio.device.type == device.type:
        return videos
    if device.type == "cuda":
        size = videos.audio.nbytes + videos.visual.nbytes
        if size > RESIDENT_SHARE * torch.cuda.mem_get_info(device)[0]:
            return videos
    return videos.to(device)


def place_batches(loader: DataLoader, accelerator: Accelerator, resident: bool) -> DataLoader:
    """Return the loader with its batches on the device, and with the end of the epoch known to `accelerator`.

    Args:
        loader: of this process's share of the batches, from :func:`avsgn_pyg.data.loaders.make_loader`.
        resident: whether the batches are on the device already.
    """
    # accelerate's prepare_data_loader would share the batches by its own rule, which pads the last one by repeats.
    return DataLoaderShard(
        loader.dataset, device=None if resident else accelerator.device, sampler=loader.sampler, batch_size=None,
        collate_fn=loader.collate_fn, generator=loader.generator)


def random_state(device: torch.device) -> dict[str, torch.Tensor]:
    """Return the state of every torch generator that training draws from, as uint8 tensors on the CPU."""
    state = {"cpu": torch.get_rng_state()}
    if device.type != "cpu":
        state[device.type] = torch.get_device_module(device).get_rng_state().cpu()
    return state


def set_random_state(state: dict[str, torch.Tensor], device: torch.device) -> None:
    """Restore a :func:`random_state`; KeyError if it is of another kind of device."""
    torch.set_rng_state(state["cpu"])
    if device.type != "cpu":
        torch.get_device_module(device).set_rng_state(state[device.type])


def same_everywhere(accelerator: Accelerator, value: float) -> float:
    """Return the first process's `value` in every process, so that all decide alike."""
    return value if accelerator.num_processes == 1 else broadcast(_scalar(accelerator, value)).item()


def mean_everywhere(accelerator: Accelerator, value: float, videos: int) -> float:
    """Return the processes' mean, weighted by their `videos`, in every process; without a video, `value` is unused."""
    if accelerator.num_processes == 1:
        return value
    total = reduce(_scalar(accelerator, value * videos if videos else 0.0)).item()
    return total / reduce(_scalar(accelerator, float(videos))).item()


def _scalar(accelerator: Accelerator, value: float) -> torch.Tensor:
    return torch.tensor([value], dtype=torch.float64, device=accelerator.device)
