"""Where training runs: one :class:`accelerate.Accelerator`, and the videos beside the model.

Devices, mixed precision, gradient accumulation and processes (``accelerate launch``, ``torchrun``) are
accelerate's; this file only says what the recipe asks of it, and refuses what the machine cannot give.
"""

from __future__ import annotations

import torch
from accelerate import Accelerator, DistributedDataParallelKwargs
from accelerate.data_loader import DataLoaderShard
from accelerate.state import AcceleratorState, GradientState, is_initialized
from accelerate.utils import broadcast, reduce
from torch.utils.data import DataLoader

from avsgn_pyg.config import ConfigError, TrainConfig
from avsgn_pyg.data.dataset import Videos

#: Share of a GPU's free memory that the features of one split may take; more stays on the CPU.
RESIDENT_SHARE = 0.5


def check_device(device: str, precision: str = "no") -> None:
    """Refuse a device or a precision that this machine does not have.

    Raises:
        ConfigError: names the setting, what is there, and what would work.
    """
    present = {"cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available()}
    if not present.get(device, True):
        raise ConfigError(
            f"train.device={device}: this torch ({torch.__version__}) sees no {device} device; "
            "use train.device=auto or cpu"
        )
    if precision == "fp16" and (device == "cpu" or not any(present.values())):
        raise ConfigError("train.precision=fp16 needs a GPU; on the CPU use train.precision=bf16 or no")


def make_accelerator(recipe: TrainConfig) -> Accelerator:
    """The accelerator of a run. `recipe.batch_size` is the batch of all processes together.

    Raises:
        ConfigError: the device or the precision is not there, or the batch does not divide by the processes.
    """
    check_device(recipe.device, recipe.precision)
    _forget_earlier_runs()
    accelerator = Accelerator(
        cpu=recipe.device == "cpu",
        mixed_precision=recipe.precision,
        gradient_accumulation_steps=recipe.accumulate,
        kwargs_handlers=[DistributedDataParallelKwargs(find_unused_parameters=True)],
        step_scheduler_with_optimizer=False,
    )
    if recipe.device not in ("auto", accelerator.device.type):
        raise ConfigError(
            f"train.device={recipe.device}, but accelerate's own settings chose {accelerator.device}"
        )
    if recipe.batch_size % accelerator.num_processes:
        raise ConfigError(
            f"train.batch_size={recipe.batch_size} is shared by {accelerator.num_processes} processes "
            "and must be a multiple of their number"
        )
    return accelerator


def place(videos: Videos, device: torch.device) -> Videos:
    """The videos on `device`, once, when they fit beside the model; else where they are."""
    if device.type == "cuda":
        size = sum(t.nbytes for t in (videos.audio, videos.visual))
        if size > RESIDENT_SHARE * torch.cuda.mem_get_info(device)[0]:
            return videos
    return videos if is_on(videos, device) else videos.to(device)


def is_on(videos: Videos, device: torch.device) -> bool:
    """Whether the features already lie on that kind of device."""
    return videos.audio.device.type == device.type


def share_batches(loader: DataLoader, accelerator: Accelerator, resident: bool) -> DataLoader:
    """The loader of this process: its share of the batches, and the epoch's end made known to `accelerator`.

    Args:
        loader: lists of indices as its `sampler`, as :func:`avsgn_pyg.data.loaders.make_loader` makes it.
        resident: the batches are on the device already.
    """
    if accelerator.num_processes > 1:
        return accelerator.prepare_data_loader(loader, device_placement=not resident)
    # On one process accelerate's own prepare_data_loader hands batch_size on twice for such a loader.
    return DataLoaderShard(
        loader.dataset,
        device=None if resident else accelerator.device,
        sampler=loader.sampler,
        batch_size=None,
        collate_fn=loader.collate_fn,
        generator=loader.generator,
    )


def random_state(device: torch.device) -> dict[str, torch.Tensor]:
    """The state of every torch generator that training draws from, as uint8 tensors on the CPU."""
    state = {"cpu": torch.get_rng_state()}
    if device.type != "cpu":
        state[device.type] = torch.get_device_module(device).get_rng_state().cpu()
    return state


def set_random_state(state: dict[str, torch.Tensor], device: torch.device) -> None:
    """Put the generators back where :func:`random_state` saw them.

    Raises:
        KeyError: the state was taken on another kind of device.
    """
    torch.set_rng_state(state["cpu"])
    if device.type != "cpu":
        torch.get_device_module(device).set_rng_state(state[device.type])


def same_everywhere(accelerator: Accelerator, value: float) -> float:
    """The first process's `value`, on every process: decisions must not differ."""
    return broadcast(_scalar(accelerator, value)).item() if accelerator.num_processes > 1 else value


def mean_everywhere(accelerator: Accelerator, value: float) -> float:
    """The processes' mean, on every process."""
    return reduce(_scalar(accelerator, value), "mean").item() if accelerator.num_processes > 1 else value


def _scalar(accelerator: Accelerator, value: float) -> torch.Tensor:
    return torch.tensor([value], dtype=torch.float64, device=accelerator.device)


def _forget_earlier_runs() -> None:
    """Let a second run of the same process choose another device or precision.

    accelerate keeps both for a process's life; a process group, once joined, has to stay.
    """
    if is_initialized():
        AcceleratorState._reset_state(reset_partial_state=AcceleratorState().num_processes == 1)
        GradientState._reset_state()
