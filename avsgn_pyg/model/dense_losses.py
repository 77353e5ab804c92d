"""Losses of dense models: focal loss on every point and class, and IoU loss on the intervals where there is an event.

Shapes: B videos, L points, C classes, K events of the video with the most (other videos' are padded).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar, NamedTuple

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float
from torch import Tensor

from avsgn_pyg.graph.detection import DenseOutput
from avsgn_pyg.graph.schema import EVENTS
from avsgn_pyg.model.losses import Scalar, at_least_single


class Targets(NamedTuple):
    """What a dense model learns: where a class has an event, and the distances to its start and end there (else 0)."""

    present: Bool[Tensor, "B L C"]
    distances: Float[Tensor, "B L C 2"]


def assign(output: DenseOutput, events: Float[Tensor, "B K 3"]) -> Targets:
    """Return the targets of `output`; a point inside several events of a class learns the shortest.

    Only `scores` (for its shape), `times`, `mask` and `reach` of the output are read. An event learns at the points
    inside it whose larger distance to its ends lies in their reach.
    """
    videos, points, classes = output.scores.shape
    order = (events[..., 2] - events[..., 1]).argsort(dim=1, stable=True)
    category, start, end = events.gather(1, order[..., None].expand_as(events)).unbind(-1)
    times = output.times[None, :, None]
    distances = torch.stack((times - start[:, None], end[:, None] - times), dim=-1)  # [B, L, K, 2]
    learns = (distances.amin(-1) >= 0) & (category >= 0)[:, None]
    if output.mask is not None:
        learns = learns & output.mask[..., None]
    if output.reach is not None:
        larger, (least, most) = distances.amax(-1), output.reach[..., None].unbind(1)
        learns = learns & (larger >= least) & (larger < most)
    # The place of the shortest event of each class, in `order`; K, a row of zeros, where there is none.
    count = events.shape[1]
    place = torch.where(learns, torch.arange(count, device=events.device), count)
    columns = category.long().clamp(min=0)[:, None].expand(-1, points, -1)
    shortest = torch.full((videos, points, classes), count, device=events.device).scatter_reduce(
        2, columns, place, "amin")
    padded = F.pad(distances, (0, 0, 0, 1))
    return Targets(shortest < count, padded.gather(2, shortest[..., None].expand(-1, -1, -1, 2)))


def focal_loss(scores: Float[Tensor, "*N"], target: Float[Tensor, "*N"], *, alpha: float = 0.25,
               gamma: float = 2.0) -> Float[Tensor, "*N"]:
    """Sigmoid focal loss (Lin et al., ICCV 2017) of logits: easy points weigh little.

    Args:
        alpha: weight of the positives; ``1 - alpha`` is that of the negatives.
        gamma: exponent; 0 is the weighted cross-entropy.
    """
    probability = scores.sigmoid()
    missing = target * (1 - probability) + (1 - target) * probability
    weight = target * alpha + (1 - target) * (1 - alpha)
    return weight * missing**gamma * F.binary_cross_entropy_with_logits(scores, target, reduction="none")


def interval_iou(distances: Float[Tensor, "*N 2"], target: Float[Tensor, "*N 2"]) -> Float[Tensor, "*N"]:
    """IoU of intervals that share a point, given by their distances from it."""
    shared = torch.minimum(distances, target).sum(-1)
    return shared / (distances.sum(-1) + target.sum(-1) - shared).clamp(min=1e-6)


def diou_loss(distances: Float[Tensor, "*N 2"], target: Float[Tensor, "*N 2"]) -> Float[Tensor, "*N"]:
    """Distance-IoU loss (Zheng et al., AAAI 2020) in one dimension: 1 - IoU + the squared distance of the centres,
    relative to the interval around both."""
    gap = ((distances - target) * distances.new_tensor([-0.5, 0.5])).sum(-1)
    around = torch.maximum(distances, target).sum(-1).clamp(min=1e-6)
    return 1 - interval_iou(distances, target) + (gap / around).square()


@dataclass(frozen=True)
class DenseObjective:
    """The losses ``score`` and ``interval``, both sums over points and classes divided by the number with an event.

    Attributes:
        interval_weight: weight of the loss of the intervals in the sum.
        alpha, gamma: of the focal loss.
    """

    interval_weight: float = 1.0
    alpha: float = 0.25
    gamma: float = 2.0

    labels: ClassVar = (EVENTS,)
    names: ClassVar = ("score", "interval")

    def __call__(self, output: DenseOutput, events: Float[Tensor, "B K 3"]) -> dict[str, Tensor]:
        """Return each named loss."""
        present, distances = assign(output, events)
        count = present.sum().clamp(min=1)
        scores = at_least_single(output.scores)
        each = focal_loss(scores, present.to(scores.dtype), alpha=self.alpha, gamma=self.gamma)
        if output.mask is not None:
            each = each.masked_fill(~output.mask[..., None], 0)
        intervals = diou_loss(output.distances[present].float(), distances[present])
        return {"score": each.sum() / count, "interval": intervals.sum() / count}

    def total(self, losses: Mapping[str, Tensor]) -> Scalar:
        """Return the weighted sum to minimize."""
        return losses["score"] + self.interval_weight * losses["interval"]
