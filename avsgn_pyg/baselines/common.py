"""Inputs, outputs and weak losses that baselines share.

Shapes: B videos, T segments, K = C + 1 scores (background is the last).
"""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Final

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch_geometric.data import HeteroData

from avsgn_pyg.graph.localization import Localization
from avsgn_pyg.graph.schema import AUDIO, NO_EVENT, VISUAL
from avsgn_pyg.graph.views import dense_view
from avsgn_pyg.model.losses import Loss, Scalar, at_least_single, class_loss, joint_scores

#: For a class's ``only`` (:func:`avsgn_pyg.baselines.options.build_with`): the option needs that supervision.
FULL_ONLY: Final = ("supervision", "full")
WEAK_ONLY: Final = ("supervision", "weak")


def streams(batch: HeteroData) -> tuple[Float[Tensor, "B T a"], Float[Tensor, "B T v"]]:
    """Return audio and visual features of a batch, one row per second.

    Raises:
        ValueError: the videos differ in length (the recurrent baselines were published for one length), or the two
            modalities do.
    """
    audio, visual = dense_view(batch, AUDIO), dense_view(batch, VISUAL)
    if audio.shape[:2] != visual.shape[:2]:
        raise ValueError(f"audio and visual must have the same videos and seconds, got {tuple(audio.shape[:2])} and "
                         f"{tuple(visual.shape[:2])}")
    return audio, visual


class PreparedInputs(nn.Module):
    """A baseline behind layer norm and dropout on its input features, which ours has and no publication of theirs.

    Args:
        model: maps a batch to a Localization.
        audio_width, visual_width: feature widths.
        input_norm: whether to normalize every second.
        input_dropout: rate.
    """

    def __init__(self, *, model: nn.Module, audio_width: int, visual_width: int, input_norm: bool = False,
                 input_dropout: float = 0.0) -> None:
        super().__init__()
        self.model = model
        self.prepare = nn.ModuleDict({
            name: nn.Sequential(nn.LayerNorm(width) if input_norm else nn.Identity(), nn.Dropout(input_dropout))
            for name, width in ((AUDIO, audio_width), (VISUAL, visual_width))})

    def forward(self, batch: HeteroData) -> Localization:
        changed = copy.copy(batch)
        for name, prepare in self.prepare.items():
            changed[name].x = prepare(batch[name].x)
        return self.model(changed)


def from_segment_scores(scores: Float[Tensor, "B T K"], **more: object) -> Localization:
    """Return the output of a model with C + 1 scores per second.

    The class is the maximum over time of each class's score; the relevance is the log-odds of all classes against
    background.
    """
    classes, background = scores[..., :-1], scores[..., -1]
    relevance = classes.logsumexp(-1) - background
    return Localization(classes.amax(1), relevance, segment_scores=scores, **more)


def soft_margin_loss(logits: Float[Tensor, "B K"], category: Int[Tensor, "B"]) -> Scalar:
    """The weak loss of AVEL's code and its successors: multi-label soft margin on *softmaxed* scores.

    The probabilities pass through a second sigmoid, so with 28 classes the loss stays between .68 and .72 and its
    gradients are small.
    """
    known = category != NO_EVENT
    logits = at_least_single(logits)
    target = F.one_hot(category.clamp(min=0), logits.shape[-1]).to(logits.dtype)
    each = F.multilabel_soft_margin_loss(logits.softmax(-1), target, reduction="none")
    return torch.where(known, each, 0).sum() / known.sum().clamp(min=1)


#: How the weak objective of a baseline compares a video's pooled scores with its class.
VIDEO_LOSSES: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
    "cross_entropy": class_loss, "soft_margin": soft_margin_loss}


def joint_term(video_loss: str) -> Loss:
    """The weak loss of baselines with two heads: the maximum of :func:`joint_scores` against the video's class."""

    def loss(output: Localization, category: Tensor, _: Tensor | None) -> Tensor:
        return VIDEO_LOSSES[video_loss](joint_scores(output.category, output.relevance).amax(1), category)

    return loss


def pooled_term(video_loss: str, pooling: str) -> Loss:
    """The weak loss of baselines with segment scores: scores pooled over time against the video's class."""
    pool = {"max": torch.amax, "mean": torch.mean}[pooling]

    def loss(output: Localization, category: Tensor, _: Tensor | None) -> Tensor:
        return VIDEO_LOSSES[video_loss](pool(output.segment_scores, dim=1), category)

    return loss
