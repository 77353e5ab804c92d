"""Several events of one video with times in seconds: what a dense model returns, and its decoding by soft-NMS.

Every point in time proposes an event of every class. Among overlapping proposals of one class, the best is kept, and
the score of every other is multiplied by ``exp(-tIoU^2 / sigma)``, then the next best is kept, and so on (Bodla et al.,
ICCV 2017).

Shapes: B videos, L points in time (of every level, where a model has several), C event classes, N nodes in one
subgraph, G = B C pairs of video and class, k proposals of one pair.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

import torch
from jaxtyping import Bool, Float
from torch import Tensor


class Detection(NamedTuple):
    """One event: its class, start and end in seconds, and its score in (0, 1)."""

    category: int
    start: float
    end: float
    score: float


@dataclass(frozen=True)
class DenseOutput:
    """The output of a dense model for a batch: at every point in time and for every class, a score and an interval.

    Attributes:
        scores: [B, L, C] logits of the class's event at the point.
        distances: [B, L, C, 2] seconds, at least 0, from the point back to the start and on to the end of that event.
        times: [L] seconds from the start of the video to each point.
        mask: [B, L] False for padding, where the other fields have no meaning. ``None`` if all videos have L points.
        reach: [L, 2] seconds; a point learns the events whose larger distance lies in ``[first, second)``, so that
            each level of a temporal pyramid has its lengths. ``None``: all events.
        adjacency, stages: as of :class:`~avsgn_pyg.graph.localization.Localization`.
    """

    scores: Float[Tensor, "B L C"]
    distances: Float[Tensor, "B L C 2"]
    times: Float[Tensor, "L"]
    mask: Bool[Tensor, "B L"] | None = None
    reach: Float[Tensor, "L 2"] | None = None
    adjacency: Mapping[str, tuple[Tensor, ...]] = field(default_factory=dict)
    stages: Mapping[str, Mapping[str, Tensor]] = field(default_factory=dict)


def decode_dense(
    output: DenseOutput, *, limit: int, threshold: float, sigma: float, durations: Float[Tensor, "B"] | None = None
) -> list[list[Detection]]:
    """Return the events of every video, from the highest score down.

    Args:
        limit: most events of a video.
        threshold: events with a score at or below it are left out, before and after soft-NMS.
        sigma: of soft-NMS; the smaller, the less of an overlapping proposal is left.
        durations: seconds of each video, after which no event ends; ``None``: ends are left as predicted.

    Raises:
        ValueError: a `limit` below 1, a `threshold` outside [0, 1) or a `sigma` that is not positive.
    """
    if limit < 1 or not 0.0 <= threshold < 1.0 or not sigma > 0.0:
        raise ValueError(f"limit={limit}, threshold={threshold}, sigma={sigma}: expected a limit of at least 1, a "
                         "threshold in [0, 1) and a positive sigma")
    scores, start, end = _proposals(output, threshold, durations)
    kept = soft_nms(scores, start, end, steps=limit, threshold=threshold, sigma=sigma)
    videos, _, classes = output.scores.shape
    steps = kept[0].shape[1]
    scores, start, end = (rows.reshape(videos, classes * steps) for rows in kept)
    order = scores.argsort(dim=1, descending=True, stable=True)[:, :limit]
    columns = (order // max(steps, 1), *(rows.gather(1, order) for rows in (start, end, scores)))
    found = zip(*(column.tolist() for column in columns), strict=True)
    return [[Detection(*each) for each in zip(*video, strict=True) if each[3] > threshold] for video in found]


def soft_nms(
    scores: Float[Tensor, "G k"], start: Float[Tensor, "G k"], end: Float[Tensor, "G k"], *, steps: int,
    threshold: float, sigma: float,
) -> tuple[Float[Tensor, "G s"], Float[Tensor, "G s"], Float[Tensor, "G s"]]:
    """Return new score, start and end of the s <= `steps` best proposals of each group, best first.

    Proposals with a score at or below `threshold` may be left out, and have no place among the better ones.
    """
    kept, left = [], scores.clone()
    for _ in range(min(steps, scores.shape[1])):
        best, index = left.max(1, keepdim=True)
        if not bool((best > threshold).any()):
            break
        first, last = start.gather(1, index), end.gather(1, index)
        kept.append(torch.cat((best, first, last), 1))
        shared = (torch.minimum(end, last) - torch.maximum(start, first)).clamp_min(0)
        overlap = shared / ((end - start) + (last - first) - shared).clamp_min(torch.finfo(shared.dtype).eps)
        left = (left * torch.exp(-overlap.square() / sigma)).scatter(1, index, 0.0)
    best, first, last = torch.stack(kept, -1).unbind(1) if kept else (scores[:, :0],) * 3
    return best, first, last


def _proposals(output: DenseOutput, threshold: float, durations: Tensor | None) -> tuple[Tensor, Tensor, Tensor]:
    """Return score, start and end [G, k] of the proposals above the threshold; score 0 fills up shorter rows."""
    before, after = output.distances.detach().float().unbind(-1)
    times = output.times.float()[:, None]
    start, end = (times - before).clamp_min(0.0), times + after
    if durations is not None:
        end = end.minimum(durations.to(end).view(-1, 1, 1))
    scores = output.scores.detach().float().sigmoid()
    good = (scores > threshold) & (end > start)
    if output.mask is not None:
        good &= output.mask[..., None]
    scores, start, end = (rows.mT.flatten(0, 1) for rows in (torch.where(good, scores, 0.0), start, end))
    scores, index = scores.topk(int((scores > 0).sum(1).max()), dim=1)
    return scores, start.gather(1, index), end.gather(1, index)
