"""Audio-visual pairs, introduced by PSP and used by CPSP and VSCG: recurrent streams, propagation, similarity.

Shapes: B videos, T segments, D width of a stream (both directions of its LSTM).
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from avsgn_pyg.graph.localization import Localization
from avsgn_pyg.model.losses import at_least_single

#: Key of the streams after propagation: ``output.stages[PROPAGATED]["audio"]``; "fused" is their mean.
PROPAGATED = "propagated"


class RecurrentStreams(nn.Module):
    """Two linear layers without a non-linearity between them, then a bidirectional LSTM, for each modality."""

    def __init__(self, audio_width: int, visual_width: int, *, between: int, width: int, hidden: int) -> None:
        super().__init__()
        self.audio, self.visual = (
            nn.Sequential(nn.Linear(features, between, bias=False), nn.Linear(between, width, bias=False))
            for features in (audio_width, visual_width))
        self.audio_time, self.visual_time = (
            nn.LSTM(width, hidden, batch_first=True, bidirectional=True) for _ in range(2))

    def forward(self, audio: Float[Tensor, "B T a"], visual: Float[Tensor, "B T v"]) -> tuple[Tensor, Tensor]:
        """Both streams [B, T, D]."""
        return self.audio_time(self.audio(audio))[0], self.visual_time(self.visual(visual))[0]


def positive(similarity: Float[Tensor, "B T S"], threshold: float) -> Float[Tensor, "B T S"]:
    """Rectify and normalize rows of similarities, set those up to `threshold` to zero, and normalize again.

    A row without any similarity stays zero.
    """
    share = _normalize(similarity.relu())
    return _normalize(share * (share > threshold))


def _normalize(rows: Tensor) -> Tensor:
    return rows / (rows.sum(-1, keepdim=True) + 1e-8)


class PositiveSamplePropagation(nn.Module):
    """Every second of one modality adds the seconds of the other that are similar to it.

    ``beta = relu(v W2 (a W1)^T / sqrt(D))`` and its transpose, restricted to positive samples by :func:`positive`; then
    ``v + gamma_va (a W2')``, a layer, and a norm shared by both streams.
    """

    def __init__(self, dim: int, threshold: float, dropout: float) -> None:
        super().__init__()
        self.audio_key, self.audio_value = _branch(dim, dropout), _branch(dim, dropout)
        self.visual_key, self.visual_value = _branch(dim, dropout), _branch(dim, dropout)
        self.audio_out, self.visual_out = _branch(dim, dropout), _branch(dim, dropout)
        self.norm = nn.LayerNorm(dim, eps=1e-6)
        self.threshold = threshold

    def forward(self, audio: Float[Tensor, "B T D"], visual: Float[Tensor, "B T D"]) -> tuple[Tensor, Tensor]:
        """Both streams [B, T, D]."""
        similarity = self.visual_key(visual) @ self.audio_key(audio).mT / math.sqrt(audio.shape[-1])
        from_audio = positive(similarity, self.threshold) @ self.audio_value(audio)
        from_visual = positive(similarity.mT, self.threshold) @ self.visual_value(visual)
        return self.norm(self.audio_out(audio + from_visual)), self.norm(self.visual_out(visual + from_audio))


def _branch(dim: int, dropout: float) -> nn.Module:
    layer = nn.Linear(dim, dim, bias=False)
    nn.init.xavier_uniform_(layer.weight)
    return nn.Sequential(layer, nn.ReLU(), nn.Dropout(dropout))


def pair_similarity_loss(audio: Float[Tensor, "B T D"], visual: Float[Tensor, "B T D"],
                         target: Float[Tensor, "B T"]) -> Float[Tensor, ""]:
    """AVPS: the normalized rectified cosines of each video against its normalized event seconds.

    Mean squared error over all seconds; the target of a video without an event is zero.
    """
    cosine = F.cosine_similarity(at_least_single(audio), at_least_single(visual), dim=-1)
    return F.mse_loss(_normalize(cosine.relu()), _normalize(target.to(cosine.dtype)))


def pair_term(output: Localization, _: Tensor, relevance: Tensor) -> Tensor:
    """AVPS of the propagated streams."""
    stage = output.stages[PROPAGATED]
    return pair_similarity_loss(stage["audio"], stage["visual"], relevance)


def mean_of(audio: Tensor, visual: Tensor) -> Tensor:
    """The mean of both streams."""
    return (audio + visual) / 2


def video_triplet_loss(fused: Float[Tensor, "B T D"], category: Tensor, margin: float, negatives: int
                       ) -> Float[Tensor, ""]:
    """The farthest video of the same class should be closer, by `margin`, than the nearest of other classes.

    Distances are between the means of the videos' unit rows; those of the nearest `negatives` videos of other classes,
    or of all if there are fewer, are averaged. The distance to the same class is zero if no other video has it.
    Videos without an event, or in a batch without other classes, are left out.
    """
    rows = F.normalize(at_least_single(fused), dim=-1).mean(1)
    known = category >= 0
    same = (category[:, None] == category) & known
    other = (category[:, None] != category) & known & known[:, None]
    distance = ((rows[:, None] - rows).square().sum(-1) + 1e-12).sqrt()
    farthest = distance.masked_fill(~same, 0).amax(1)
    nearest, index = distance.masked_fill(~other, math.inf).topk(min(negatives, len(rows)), dim=1, largest=False)
    there = other.gather(1, index)
    counted = known & there.any(1)
    mean_nearest = nearest.masked_fill(~there, 0).sum(1) / there.sum(1).clamp(min=1)
    each = (margin + farthest - mean_nearest).clamp(min=0)
    return torch.where(counted, each, 0).sum() / counted.sum().clamp(min=1)
