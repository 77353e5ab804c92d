"""Small synthetic batches for the tests of the baselines."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch_geometric.data import Batch

from avsgn_pyg.graph.build import build_batch
from avsgn_pyg.graph.schema import NO_EVENT

B, T, C, AUDIO_WIDTH, VISUAL_WIDTH = 4, 6, 3, 10, 14


@pytest.fixture
def shape() -> dict[str, int]:
    """Arguments of every model."""
    return {"audio_width": AUDIO_WIDTH, "visual_width": VISUAL_WIDTH, "segments": T, "classes": C}


@pytest.fixture
def category() -> torch.Tensor:
    return torch.tensor([0, NO_EVENT, 2, 0])


@pytest.fixture
def relevance() -> torch.Tensor:
    rows = torch.tensor([[1, 1, 1, 0, 0, 0], [0] * 6, [0, 0, 1, 1, 1, 1], [1] * 6])
    return rows.float()


@pytest.fixture
def make_batch(category: torch.Tensor, relevance: torch.Tensor) -> Callable[..., Batch]:
    """A batch of random or given features."""

    def make(audio: torch.Tensor | None = None, visual: torch.Tensor | None = None) -> Batch:
        audio = torch.randn(B, T, AUDIO_WIDTH) if audio is None else audio
        visual = torch.randn(B, T, VISUAL_WIDTH) if visual is None else visual
        return build_batch(audio, visual, text_nodes=T, category=category, relevance=relevance, row=torch.arange(B))

    return make
