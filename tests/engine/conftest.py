"""A network, losses and videos small enough that an epoch takes milliseconds."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from avsgn_pyg.common.config import Config
from avsgn_pyg.data.videos import Videos
from avsgn_pyg.engine.devices import make_accelerator
from avsgn_pyg.engine.evaluator import predict
from avsgn_pyg.engine.files import Meta
from avsgn_pyg.engine.run_folder import RunFolder
from avsgn_pyg.engine.trainer import Trainer
from avsgn_pyg.graph.localization import Localization
from avsgn_pyg.graph.views import dense_view

CLASSES, SEGMENTS, WIDTH = 3, 4, 6


class TinyModel(nn.Module):
    """Both streams through one layer, with dropout, a norm with buffers, and a part that no loss reads."""

    def __init__(self, dropout: float = 0.0) -> None:
        super().__init__()
        self.mix = nn.Linear(2 * WIDTH, 8)
        self.norm = nn.BatchNorm1d(8)
        self.dropout = nn.Dropout(dropout)
        self.category = nn.Linear(8, CLASSES)
        self.relevance = nn.Linear(8, 1)
        self.unread = nn.Linear(8, CLASSES)

    def forward(self, batch: Any) -> Localization:
        both = torch.cat([dense_view(batch, "audio"), dense_view(batch, "visual")], -1)
        hidden = self.norm(self.mix(both).flatten(0, 1)).unflatten(0, both.shape[:2])
        hidden = self.dropout(hidden.relu())
        pooled = hidden.amax(1)
        return Localization(self.category(pooled), self.relevance(hidden)[..., 0], gate_category=self.unread(pooled))


class TinyObjective:
    """Two named losses; `poison` makes the one of a given call infinite."""

    names = labels = ("category", "relevance")

    def __init__(self, poison: int | None = None) -> None:
        self.poison, self.calls = poison, 0

    def __call__(self, found: Localization, category: torch.Tensor, relevance: torch.Tensor) -> dict[str, torch.Tensor]:
        self.calls += 1
        factor = float("inf") if self.calls == self.poison else 1.0
        return {"category": factor * F.cross_entropy(found.category.float(), category),
                "relevance": F.binary_cross_entropy_with_logits(found.relevance.float(), relevance)}

    def total(self, losses: dict[str, torch.Tensor]) -> torch.Tensor:
        return losses["category"] + 0.5 * losses["relevance"]


def judge(model: nn.Module, videos: Videos) -> dict[str, float]:
    """The share of videos whose class is right."""
    right = predict(model, videos).category.argmax(1) == videos.category
    return {"class_accuracy": 100.0 * float(right.float().mean())}


@pytest.fixture
def tiny_model() -> type[TinyModel]:
    return TinyModel


@pytest.fixture
def tiny_objective() -> type[TinyObjective]:
    return TinyObjective


@pytest.fixture(scope="session")
def meta() -> Meta:
    return Meta(categories=("a", "b", "c"), audio_width=WIDTH, visual_width=WIDTH, segments=SEGMENTS, dataset="tiny",
                synthetic=True)


@pytest.fixture(scope="session")
def make_trainer(meta: Meta, make_videos: Callable[..., Videos]) -> Callable[..., Trainer]:
    """A trainer of the tiny model in a folder; keyword arguments replace ``train`` settings of a quick recipe.

    `every`: of ``evaluate``; `lengthen`: a finished run.
    """

    def make(folder: Path, *, objective: TinyObjective | None = None, dropout: float = 0.3, count: int = 24,
             every: int = 1, lengthen: bool = False, **train: Any) -> Trainer:
        recipe = {"epochs": 4, "batch_size": 8, "learning_rate": 0.02, "device": "cpu", **train}
        config = Config.model_validate({"train": recipe, "evaluate": {"every": every}})
        accelerator = make_accelerator(config.train)
        torch.manual_seed(config.train.seed)
        scored = {"val": make_videos(12, seed=1)} if every else {}
        run = RunFolder(folder)
        run.state(config, lengthen=lengthen)
        return Trainer(config, TinyModel(dropout), objective or TinyObjective(), make_videos(count), scored,
                       meta=meta, run=run, accelerator=accelerator, judge=judge)

    return make
