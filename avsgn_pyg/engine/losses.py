"""The losses that are descended, and their record of an epoch, kept so that no step waits for the device."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Protocol, runtime_checkable

import torch
from torch import Tensor, nn
from torch_geometric.data import HeteroData

from avsgn_pyg.graph.schema import CATEGORY, RELEVANCE
from avsgn_pyg.localization import Localization


class TrainingError(RuntimeError):
    """Training cannot go on; the message says where it stopped and what may help."""


@runtime_checkable
class NamedLosses(Protocol):
    """What training asks of an objective: named losses, and the scalar that is descended."""

    def __call__(self, answer: Localization, category: Tensor, relevance: Tensor) -> dict[str, Tensor]: ...

    def total(self, losses: Mapping[str, Tensor]) -> Tensor: ...


class Learner(nn.Module):
    """Model and objective as one module, which is what several processes synchronise.

    Its outputs are the losses alone, so a part of the model that no loss reads is seen to be unused.
    """

    def __init__(self, model: nn.Module, objective: NamedLosses) -> None:
        super().__init__()
        self.model, self.objective = model, objective

    def forward(self, batch: HeteroData) -> tuple[dict[str, Tensor], Tensor]:
        losses = self.objective(self.model(batch), batch[CATEGORY], batch[RELEVANCE])
        return losses, self.objective.total(losses)


class LossLog:
    """Collects named losses step by step; reads them back only now and then.

    Means are over videos: each step counts as many times as it had videos.
    """

    def __init__(self, epoch: int) -> None:
        self.epoch = epoch
        self.steps = 0
        self._names: tuple[str, ...] = ()
        self._waiting: list[Tensor] = []
        self._videos: list[int] = []
        self._sums: list[float] = []
        self._seen = 0
        self._norms: list[Tensor] = []
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

    def read(self) -> dict[str, float]:
        """Bring what waits to the host; the means so far, ``total`` last.

        Raises:
            TrainingError: a loss is nan or infinite; names the epoch, the step and the losses of that step.
        """
        if self._waiting:
            rows = torch.stack(self._waiting).double().cpu()
            self._check(rows)
            weights = torch.tensor(self._videos[-len(rows) :], dtype=torch.float64)
            sums = (weights @ rows).tolist()
            self._sums = [a + b for a, b in zip(self._sums or [0.0] * len(sums), sums, strict=True)]
            self._seen += int(weights.sum())
            self._waiting.clear()
        self._read_norms()
        return {name: value / self._seen for name, value in zip(self._names, self._sums, strict=True)}

    @property
    def gradient_norm(self) -> float | None:
        """Mean gradient norm before clipping, ``None`` where none was taken; call :meth:`read` first."""
        return self._norm_sum / self._norm_count if self._norm_count else None

    def _read_norms(self) -> None:
        if self._norms:
            # Under fp16 a skipped step has an infinite norm; it moved nothing and is not counted.
            norms = [norm for norm in torch.stack(self._norms).tolist() if math.isfinite(norm)]
            self._norm_sum += sum(norms)
            self._norm_count += len(norms)
            self._norms.clear()

    def _check(self, rows: Tensor) -> None:
        broken = ~rows.isfinite().all(-1)
        if broken.any():
            first = int(broken.nonzero()[0])
            step = self.steps - len(rows) + first + 1
            values = ", ".join(f"{n}={v:.4g}" for n, v in zip(self._names, rows[first].tolist(), strict=True))
            raise TrainingError(
                f"a loss is not finite in epoch {self.epoch}, step {step}: {values}. The last checkpoint is "
                "untouched. A lower train.learning_rate, train.clip_norm, or train.precision=no may help"
            )
