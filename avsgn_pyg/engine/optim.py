"""Adam, the learning rate of each step, and the moving average of the weights."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.optim import Adam, AdamW, Optimizer
from torch.optim.lr_scheduler import LambdaLR
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from avsgn_pyg.common.settings import TrainConfig

#: Devices with a fused Adam kernel: one launch (or one pass over memory) for all parameters.
FUSED_DEVICES = frozenset({"cpu", "cuda", "mps", "xpu"})


def build_optimizer(
    model: nn.Module, learning_rate: float, weight_decay: float = 0.0, decayed: str = "weights"
) -> Optimizer:
    """Return Adam; with `weight_decay` AdamW.

    Move the model to its device first: that of the parameters decides whether the kernel is fused.

    Args:
        decayed: ``weights``: parameters named weight with two axes or more, so neither biases and norms nor learned
            tables (relative time, positions, label embeddings); ``matrices``: every parameter with two axes or more.

    Raises:
        ValueError: `model` has no trainable parameter.
    """
    parameters = [parameter for parameter in model.parameters() if parameter.requires_grad]
    if not parameters:
        raise ValueError(f"{type(model).__name__} has no trainable parameter, so there is nothing to optimize")
    fused = all(p.device.type in FUSED_DEVICES and p.is_floating_point() for p in parameters)
    if not weight_decay:
        return Adam(parameters, lr=learning_rate, fused=fused)
    shrinks = {id(p) for name, p in model.named_parameters()
               if p.ndim > 1 and (decayed == "matrices" or "weight" in name.rpartition(".")[2])}
    groups = [{"params": [p for p in parameters if (id(p) in shrinks) is which], "weight_decay": rate}
              for which, rate in ((True, weight_decay), (False, 0.0))]
    return AdamW([group for group in groups if group["params"]], lr=learning_rate, fused=fused)


#: ``train.schedule`` -> what becomes of it if a run is given more epochs.
LENGTHENED = {
    "constant": "the learning rate stays what it was, as in a run of that length",
    "step": "its milestones stay where they were, as in a run of that length",
    "cosine": "its cosine is stretched over all epochs, so the rate rises again, unlike in a run of that length",
}


def learning_rate_multiplier(step: int, steps_per_epoch: int, recipe: TrainConfig) -> float:
    """Return the factor of the base rate at optimizer step `step`, counted from 0.

    ``step`` multiplies by gamma after each milestone (in finished epochs), ``cosine`` falls to zero at the end of the
    last epoch, ``constant`` stays; all three rise linearly over ``warmup_epochs`` first.
    """
    epoch = step / steps_per_epoch
    warmup = recipe.warmup_epochs * steps_per_epoch
    rise = min(1.0, (step + 1) / warmup) if warmup else 1.0
    if recipe.schedule == "constant":
        return rise
    if recipe.schedule == "cosine":
        length = max(recipe.epochs - recipe.warmup_epochs, 1 / steps_per_epoch)
        done = min(max((epoch - recipe.warmup_epochs) / length, 0.0), 1.0)
        return rise * 0.5 * (1.0 + math.cos(math.pi * done))
    return rise * recipe.gamma ** sum(epoch >= milestone for milestone in recipe.milestones)


def build_schedule(optimizer: Optimizer, recipe: TrainConfig, steps_per_epoch: int, step: int = 0) -> LambdaLR:
    """Return the recipe's schedule at optimizer step `step`, which is above 0 when a run is resumed."""
    for group in optimizer.param_groups:
        group["initial_lr"] = recipe.learning_rate
    return LambdaLR(optimizer, lambda at: learning_rate_multiplier(at, steps_per_epoch, recipe), last_epoch=step - 1)


def build_average(model: nn.Module, decay: float = 0.0) -> AveragedModel:
    """Return a copy of `model` whose ``update_parameters(model)`` moves it towards the trained weights.

    The decay rises as (1 + n) / (10 + n) up to `decay`, so that the random start is forgotten early; 0 copies the
    weights as they are. Buffers are always copied.
    """

    def average(kept: Sequence[Tensor], current: Sequence[Tensor], _: Tensor | int) -> None:
        # The third argument is a counter on the parameters' device; reading it would wait for the GPU in every step.
        n = int(averaged.n_averaged)
        get_ema_multi_avg_fn(min(decay, (1 + n) / (10 + n)))(list(kept), list(current), n)

    averaged = AveragedModel(model, multi_avg_fn=average).requires_grad_(False).eval()
    return averaged


def flatten_moments(model: nn.Module, optimizer: Optimizer) -> dict[str, Tensor]:
    """Return the optimizer's state as ``{"exp_avg/<parameter>": tensor, ...}`` on the CPU."""
    names, state = _names(model, optimizer), optimizer.state_dict()["state"]
    return {f"{key}/{names[index]}": torch.as_tensor(value).detach().to("cpu", copy=True)
            for index, values in state.items() for key, value in values.items()}


def restore_moments(model: nn.Module, optimizer: Optimizer, moments: dict[str, Tensor]) -> None:
    """Restore what :func:`flatten_moments` returned; KeyError for a parameter that the optimizer does not have."""
    positions = {name: index for index, name in enumerate(_names(model, optimizer))}
    state: dict[int, dict[str, Tensor]] = {}
    for key, value in moments.items():
        kind, _, name = key.partition("/")
        state.setdefault(positions[name], {})[kind] = value
    optimizer.load_state_dict({"state": state, "param_groups": optimizer.state_dict()["param_groups"]})


def _names(model: nn.Module, optimizer: Optimizer) -> list[str]:
    """The model's names of the optimizer's parameters, in the optimizer's order."""
    names = {id(parameter): name for name, parameter in model.named_parameters()}
    return [names[id(parameter)] for group in optimizer.param_groups for parameter in group["params"]]
