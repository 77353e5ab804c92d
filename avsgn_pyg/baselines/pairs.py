"""Audio-visual pairs, introduced by PSP and built upon by CPSP: recurrent streams, propagation, similarity.

Shapes: B videos, T segments, D width of a stream (both directions of its LSTM).
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from avsgn_pyg.localization import Localization
from avsgn_pyg.losses import at_least_single

#: Where a model of this line leaves its streams: ``answer.stages[PROPAGATED]["audio"]``, and their mean under "fused".
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
    """Rows of rectified similarities brought to sum one, those up to `threshold` cut, and the rest to sum one again.

    A row in which nothing is similar stays zero.
    """
    share = _to_one(similarity.relu())
    return _to_one(share * (share > threshold))


def _to_one(rows: Tensor) -> Tensor:
    return rows / (rows.sum(-1, keepdim=True) + 1e-8)


class PositiveSamplePropagation(nn.Module):
    """Every second of one modality takes up those seconds of the other that it is similar to.

    ``beta = relu(v W2 (a W1)^T / sqrt(D))`` and its transpose, made positive samples by :func:`positive`; then
    ``v + gamma_va (a W2')``, a layer, and a norm that both streams share.
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
        heard, seen = self.audio_key(audio), self.visual_key(visual)
        similarity = seen @ heard.mT / math.sqrt(heard.shape[-1])
        from_audio = positive(similarity, self.threshold) @ self.audio_value(audio)
        from_visual = positive(similarity.mT, self.threshold) @ self.visual_value(visual)
        return self.norm(self.audio_out(audio + from_visual)), self.norm(self.visual_out(visual + from_audio))


def _branch(dim: int, dropout: float) -> nn.Module:
    layer = nn.Linear(dim, dim, bias=False)
    nn.init.xavier_uniform_(layer.weight)
    return nn.Sequential(layer, nn.ReLU(), nn.Dropout(dropout))


def pair_similarity_loss(audio: Float[Tensor, "B T D"], visual: Float[Tensor, "B T D"],
                         target: Float[Tensor, "B T"]) -> Float[Tensor, ""]:
    """AVPS: each video's rectified cosines, brought to sum one, against its event seconds, brought to sum one.

    Mean squared error over all seconds; a video without an event has the target zero.
    """
    cosine = F.cosine_similarity(at_least_single(audio), at_least_single(visual), dim=-1)
    return F.mse_loss(_to_one(cosine.relu()), _to_one(target.to(cosine.dtype)))


def pair_term(answer: Localization, _: Tensor, relevance: Tensor) -> Tensor:
    """AVPS of an answer's propagated streams."""
    stage = answer.stages[PROPAGATED]
    return pair_similarity_loss(stage["audio"], stage["visual"], relevance)


def mean_of(audio: Tensor, visual: Tensor) -> Tensor:
    """How this line fuses."""
    return (audio + visual) / 2


def video_triplet_loss(fused: Float[Tensor, "B T D"], category: Tensor, margin: float, negatives: int
                       ) -> Float[Tensor, ""]:
    """Each video's farthest of its class should be nearer, by `margin`, than the mean of its nearest of other classes.

    Distances between the videos' mean unit rows. A video without another of its class (its farthest is itself), counts
    with distance zero; where fewer than `negatives` videos of other classes are in the batch, those are taken; a video
    that has none, or has no event, is left out.
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
