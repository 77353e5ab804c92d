"""Model and objective as one module, and the means of an epoch's losses."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn
from torch_geometric.data import HeteroData

from avsgn_pyg.common.errors import TrainingError
from avsgn_pyg.graph.schema import PASTED


class Learner(nn.Module):
    """Model and objective as one module, which several processes synchronise.

    Its outputs are the losses alone, so parts of the model that no loss uses are found to be unused.

    Args:
        objective: with `names`, the `labels` of a batch that it takes, a call that returns named losses, and `total`:
            see :class:`avsgn_pyg.model.losses.Objective`.
    """

    def __init__(self, model: nn.Module, objective: Any) -> None:
        super().__init__()
        self.model, self.objective = model, objective

    def forward(self, batch: HeteroData) -> tuple[dict[str, Tensor], Tensor]:
        pasted = {PASTED: batch[PASTED]} if PASTED in self.objective.names else {}
        losses = self.objective(self.model(batch), *(batch[name] for name in self.objective.labels), **pasted)
        return losses, self.objective.total(losses)


class LossLog:
    """Means of an epoch's losses over its videos; values stay on the device until :meth:`read`.

    Args:
        epoch: counted from 1; errors name it.
        scaled: whether a loss scaler (fp16) skips the steps whose gradients overflow. Such a step changes no weight, so
            its norm may be infinite.
    """

    def __init__(self, epoch: int, *, scaled: bool = False) -> None:
        self.epoch, self.scaled, self.steps = epoch, scaled, 0
        self._rows: list[Tensor] = []
        self._videos: list[int] = []
        self._sums, self._seen = torch.zeros((), dtype=torch.float64), 0
        self._norms: list[float] = []

    def add(self, losses: Mapping[str, Tensor], total: Tensor, videos: int, norm: Tensor | None = None) -> None:
        """Add a step's losses, and its gradient norm before clipping if one was computed (scalars, on any device)."""
        self._names = (*losses, "total")
        values = (*losses.values(), total, torch.full_like(total, -1.0) if norm is None else norm)
        self._rows.append(torch.stack([value.detach().float().to(total.device) for value in values]))
        self._videos.append(videos)
        self.steps += 1

    def read(self) -> dict[str, float]:
        """Return the means so far, ``total`` last.

        Raises:
            TrainingError: a loss, or without a scaler a gradient norm, is nan or infinite; names the epoch, the first
                such step, and its losses or its norm.
        """
        if self._rows:
            rows = torch.stack(self._rows).cpu().double()
            first = self.steps - len(rows) + 1
            for step, (*losses, norm) in enumerate(rows.tolist(), first):
                self._check(step, losses, norm)
            weights = torch.tensor(self._videos, dtype=torch.float64)
            self._sums = self._sums + weights @ rows[:, :-1]
            self._seen += int(weights.sum())
            self._norms += [norm for norm in rows[:, -1].tolist() if norm >= 0 and math.isfinite(norm)]
            self._rows, self._videos = [], []
        return dict(zip(self._names, (self._sums / self._seen).tolist(), strict=True))

    @property
    def videos(self) -> int:
        """Videos that were read."""
        return self._seen

    @property
    def gradient_norm(self) -> float | None:
        """Mean gradient norm before clipping, ``None`` if none was computed; call :meth:`read` first."""
        return sum(self._norms) / len(self._norms) if self._norms else None

    def _check(self, step: int, losses: list[float], norm: float) -> None:
        if not all(map(math.isfinite, losses)):
            found = "a loss", ", ".join(f"{name}={value:.4g}" for name, value in zip(self._names, losses, strict=True))
        elif not self.scaled and not math.isfinite(norm):
            found = "the gradient norm", f"{norm}"
        else:
            return
        raise TrainingError(
            f"{found[0]} is not finite in epoch {self.epoch}, step {step}: {found[1]}. The last checkpoint is "
            "unchanged. A lower train.learning_rate, train.clip_norm, or train.precision=no may help")


def check_weights(module: nn.Module, epoch: int) -> None:
    """Refuse weights that are not finite; no loss of the epoch shows what went wrong in its last step.

    Raises:
        TrainingError: names the epoch and the first parameter or buffer that is not finite.
    """
    state = module.state_dict()
    finite = torch.stack([value.isfinite().all() for value in state.values()]).tolist()
    broken = [name for name, good in zip(state, finite, strict=True) if not good]
    if broken:
        raise TrainingError(
            f"after epoch {epoch}, {broken[0]} is not finite ({len(broken)} of {len(state)} tensors). The last "
            "checkpoint is unchanged. A lower train.learning_rate or train.clip_norm may help")
