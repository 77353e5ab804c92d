"""Attention over the regions of a picture, as in AVEL, CMRAN, CMBS and their successors.

A visual second is [R, v] here: 49 rows for a 7 x 7 map, one for a vector. Over one region every attention weight is 1,
so a model for vectors is built without this attention (:class:`OneRegion`).

Shapes: B videos, T segments, R regions, a / v widths of the features.
"""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch_geometric.data import HeteroData

from avsgn_pyg.baselines.common import streams
from avsgn_pyg.graph.views import region_rows

Regions = Float[Tensor, "B T R v"]
Chosen = Float[Tensor, "B T v"]


def region_streams(batch: HeteroData) -> tuple[Float[Tensor, "B T a"], Regions]:
    """Return audio features, one row per second, and visual ones, R rows per second (errors: :func:`streams`)."""
    audio, visual = streams(batch)
    return audio, region_rows(batch).unflatten(0, visual.shape[:2])


class OneRegion(nn.Module):
    """Returns the only region; other arguments are ignored."""

    def forward(self, *rows: Tensor) -> Chosen:
        """The only region.

        Raises:
            ValueError: there are more; the model was built for vectors.
        """
        regions = rows[-1].shape[-2]
        if regions != 1:
            raise ValueError(f"this model was built for one vector per second (data.regions=pool), got {regions} "
                             "regions per second")
        return rows[-1].squeeze(-2)


class AudioGuidedAttention(nn.Module):
    """AVEL's: ``sum_r softmax_r(w tanh(W relu(U v_r) + G relu(H a))) v_r``."""

    def __init__(self, audio_width: int, width: int, hidden: int = 512, narrow: int = 49) -> None:
        super().__init__()
        self.ask_audio, self.ask_visual = nn.Linear(audio_width, hidden), nn.Linear(width, hidden)
        self.narrow_audio, self.narrow_visual = (nn.Linear(hidden, narrow, bias=False) for _ in range(2))
        self.score = nn.Linear(narrow, 1, bias=False)

    def forward(self, audio: Float[Tensor, "B T a"], visual: Regions) -> Chosen:
        query = self.narrow_audio(self.ask_audio(audio).relu()).unsqueeze(-2)
        score = self.score((self.narrow_visual(self.ask_visual(visual).relu()) + query).tanh())
        return weighted_sum(score, visual)


class SpatialAttention(nn.Module):
    """CMRAN's, after its attention over channels: ``sum_r softmax_r(tanh(w (relu(W c_r) * relu(U a)))) c_r``."""

    def __init__(self, audio_width: int, width: int, hidden: int = 256) -> None:
        super().__init__()
        self.ask_audio, self.ask_visual = nn.Linear(audio_width, hidden), nn.Linear(width, hidden)
        self.score = nn.Linear(hidden, 1)

    def forward(self, audio: Float[Tensor, "B T a"], visual: Regions) -> Chosen:
        product = self.ask_visual(visual).relu() * self.ask_audio(audio).relu().unsqueeze(-2)
        return weighted_sum(self.score(product).tanh(), visual)


class GlobalAttention(nn.Module):
    """CMBS's attention of the regions' mean: ``sum_r softmax_r(tanh(w (relu(W u_r) * relu(U mean u)))) u_r``."""

    def __init__(self, width: int, hidden: int = 256) -> None:
        super().__init__()
        self.ask_mean, self.ask_region = nn.Linear(width, hidden), nn.Linear(width, hidden)
        self.score = nn.Linear(hidden, 1)

    def forward(self, visual: Regions) -> Chosen:
        product = self.ask_region(visual).relu() * self.ask_mean(visual.mean(-2, keepdim=True)).relu()
        return weighted_sum(self.score(product).tanh(), visual)


class RegionMixing(nn.Module):
    """Self-attention between regions, one head without a scale: ``softmax_s(W v_r . U v_s)`` over the values."""

    def __init__(self, width: int, narrow: int = 4) -> None:
        super().__init__()
        self.query, self.key = (nn.Linear(width, max(1, width // narrow)) for _ in range(2))

    def forward(self, visual: Regions, values: Regions) -> Regions:
        return (self.query(visual) @ self.key(visual).mT).softmax(-1) @ values


class NoMixing(nn.Module):
    """Replaces :class:`RegionMixing` if there is one region: returns the values."""

    def forward(self, visual: Regions, values: Regions) -> Regions:
        return values


def weighted_sum(score: Float[Tensor, "B T R 1"], visual: Regions) -> Chosen:
    """Sum of the regions weighted by the softmax of their scores."""
    return torch.sum(score.softmax(-2) * visual, -2)
