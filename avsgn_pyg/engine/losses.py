"""The losses that are descended, and their record of an epoch, kept so that no step waits for the device."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import NoReturn, Protocol, runtime_checkable

import torch
from torch import Tensor, nn
from torch_geometric.data import HeteroData

from avsgn_pyg.errors import TrainingError
from avsgn_pyg.graph.schema import CATEGORY, PASTED, RELEVANCE
from avsgn_pyg.localization import Localization


@runtime_checkable
class NamedLosses(Protocol):
    """What training asks of an objective: named losses, and the scalar that is descended.

    One whose `names` hold ``pasted`` is also handed where augmentation pasted, as ``pasted`` [B, T].
    """

    @property
    def names(self) -> tuple[str, ...]: ...

    def __call__(self, answer: Localization, category: Tensor, relevance: Tensor) -> dict[str, Tensor]: ...

    def total(self, losses: Mapping[str, Tensor]) -> Tensor: ...


@runtime_checkable
class Scheduled(Protocol):
    """An objective that changes while training goes on."""

    def begin(self, trained: float) -> None:
        """Hear, before each epoch, which share of the epochs is behind."""


class Learner(nn.Module):
    """Model and objective as one module, which is what several processes synchronise.

    Its outputs are the losses alone, so a part of the model that no loss reads is seen to be unused.
    """

    def __init__(self, model: nn.Module, objective: NamedLosses) -> None:
        super().__init__()
        self.model, self.objective = model, objective

    def forward(self, batch: HeteroData) -> tuple[dict[str, Tensor], Tensor]:
        known = {PASTED: batch[PASTED]} if PASTED in self.objective.names else {}
        losses = self.objective(self.model(batch), batch[CATEGORY], batch[RELEVANCE], **known)
        return losses, self.objective.total(losses)


class LossLog:
    """Collects named losses step by step; reads them back only now and then.

    Means are over videos: each step counts as many times as it had videos.

    Args:
        epoch: which, from 1; errors name it.
        scaled: whether a loss scaler (fp16) skips the steps whose gradients overflow. Only then may a
            gradient norm be infinite: such a step moved nothing.
    """

    def __init__(self, epoch: int, *, scaled: bool = False) -> None:
        self.epoch, self.scaled = epoch, scaled
        self.steps = 0
        self._names: tuple[str, ...] = ()
        self._waiting: list[Tensor] = []
        self._videos: list[int] = []
        self._sums: list[float] = []
        self._seen = 0
        self._norms: list[Tensor] = []
        self._norm_steps: list[int] = []
        self._norm_sum, self._norm_count = 0.0, 0

    def add(self, losses: Mapping[str, Tensor], total: Tensor, videos: int) -> None:
        """Note a step's losses (scalars, on any device); nothing is read yet."""
        self._names = (*losses, "total")
        self._waiting.append(torch.stack([value.detach().float() for value in (*losses.values(), total)]))
        self._videos.append(videos)
        self.steps += 1

    def add_norm(self, norm: Tensor) -> None:
        """Note an optimizer step's gradient norm before clipping."""
        self._norms.append(norm.detach().float())
        self._norm_steps.append(self.steps)

    def read(self) -> dict[str, float]:
        """Bring what waits to the host; the means so far, ``total`` last.

        Raises:
            TrainingError: a loss, or without a scaler a gradient norm, is nan or infinite; names the epoch, the
                step and the losses of that step, or its norm. What broke first is told.
        """
        norms = torch.stack(self._norms).tolist() if self._norms else []
        broken = self._broken_norm(norms)
        if self._waiting:
            rows = torch.stack(self._waiting).double().cpu()
            self._check(rows, before=broken)
            weights = torch.tensor(self._videos[-len(rows) :], dtype=torch.float64)
            sums = (weights @ rows).tolist()
            self._sums = [a + b for a, b in zip(self._sums or [0.0] * len(sums), sums, strict=True)]
            self._seen += int(weights.sum())
            self._waiting.clear()
        if broken is not None:
            self._stop("the gradient norm", broken, f"{norms[self._norm_steps.index(broken)]}")
        self._take_norms(norms)
        return {name: value / self._seen for name, value in zip(self._names, self._sums, strict=True)}

    @property
    def gradient_norm(self) -> float | None:
        """Mean gradient norm before clipping, ``None`` where none was taken; call :meth:`read` first."""
        return self._norm_sum / self._norm_count if self._norm_count else None

    def _broken_norm(self, norms: list[float]) -> int | None:
        """The first step with a norm that training cannot have gone through."""
        if self.scaled:
            return None
        steps = zip(self._norm_steps, norms, strict=True)
        return next((step for step, norm in steps if not math.isfinite(norm)), None)

    def _take_norms(self, norms: list[float]) -> None:
        taken = [norm for norm in norms if math.isfinite(norm)]
        self._norm_sum += sum(taken)
        self._norm_count += len(taken)
        self._norms.clear()
        self._norm_steps.clear()

    def _check(self, rows: Tensor, before: int | None) -> None:
        """Refuse a broken loss, unless a broken norm at an earlier step is what broke it."""
        broken = ~rows.isfinite().all(-1)
        if broken.any():
            first = int(broken.nonzero()[0])
            step = self.steps - len(rows) + first + 1
            if before is None or step <= before:
                values = zip(self._names, rows[first].tolist(), strict=True)
                self._stop("a loss", step, ", ".join(f"{name}={value:.4g}" for name, value in values))

    def _stop(self, what: str, step: int, values: str) -> NoReturn:
        raise TrainingError(
            f"{what} is not finite in epoch {self.epoch}, step {step}: {values}. The last checkpoint is "
            "untouched. A lower train.learning_rate, train.clip_norm, or train.precision=no may help"
        )


def check_weights(module: nn.Module, epoch: int) -> None:
    """Refuse to keep weights that are no numbers: what broke in an epoch's last step shows in no loss of it.

    Raises:
        TrainingError: names the epoch and the first parameter or buffer that is not finite.
    """
    state = module.state_dict()
    finite = torch.stack([value.isfinite().all() for value in state.values()]).tolist()
    broken = [name for name, good in zip(state, finite, strict=True) if not good]
    if broken:
        raise TrainingError(
            f"after epoch {epoch}, {broken[0]} is not finite ({len(broken)} of {len(state)} tensors). The last "
            "checkpoint is untouched. A lower train.learning_rate or train.clip_norm may help"
        )
