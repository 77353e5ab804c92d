"""Random outputs and labels for the metrics: small, full of ties, some videos without an event."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import pytest
import torch
from hypothesis import settings
from torch import Tensor

settings.register_profile("metrics", max_examples=25, deadline=None)
settings.load_profile("metrics")


class Outputs(NamedTuple):
    """What :func:`avsgn_pyg.metrics.evaluate` takes, in its order."""

    category_logits: Tensor
    relevance_logits: Tensor
    category: Tensor
    relevance: Tensor


def _make(seed: int, videos: int = 6, segments: int = 5, classes: int = 3) -> Outputs:
    generator = torch.Generator().manual_seed(seed)

    def coarse(*shape: int) -> Tensor:
        return torch.randn(shape, generator=generator).mul(2).round() / 2

    category = torch.randint(-1, classes, (videos,), generator=generator)
    relevance = torch.randint(2, (videos, segments), generator=generator).float()
    relevance[category == -1] = 0
    return Outputs(coarse(videos, classes), coarse(videos, segments), category, relevance)


def _pad(outputs: Outputs, padding: float) -> tuple[Outputs, Tensor]:
    videos, segments = outputs.relevance.shape
    mask = torch.arange(segments) < (torch.arange(videos) * 7 % segments + 1)[:, None]
    timed = {name: getattr(outputs, name).masked_fill(~mask, padding) for name in ("relevance_logits", "relevance")}
    return outputs._replace(**timed), mask


@pytest.fixture(scope="session")
def pad() -> Callable[[Outputs, float], tuple[Outputs, Tensor]]:
    """pad(outputs, padding): videos of mixed lengths, and their mask."""
    return _pad


@pytest.fixture(scope="session")
def make_outputs() -> Callable[..., Outputs]:
    """make_outputs(seed, videos, segments, classes): logits on a coarse grid, so that ties are common."""
    return _make
