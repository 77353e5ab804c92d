"""A baseline of dense localization without time: every second is classified alone, and runs of seconds are events.

Not from a paper. A network of two layers gives every second a probability of each class. At each of nine thresholds,
the maximal runs of seconds above it are events, after short gaps are closed; the score of an event is the mean
probability of its seconds. A model that is better uses other seconds or the interaction of the modalities.

Shapes: B videos, T seconds (or other steps of the features), C classes, S thresholds, L = S T points.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar, Final

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float
from torch import Tensor, nn
from torch_geometric.data import HeteroData

from avsgn_pyg.graph.detection import DenseOutput
from avsgn_pyg.graph.schema import AUDIO, EVENTS, VISUAL
from avsgn_pyg.graph.views import as_batch, padded_view
from avsgn_pyg.model.dense_losses import assign
from avsgn_pyg.model.losses import Scalar, at_least_single

#: Thresholds at which seconds are joined to events.
THRESHOLDS: Final = (0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9)
#: The logit of no event at all.
NOTHING: Final = -1e4
#: Name in ``stages`` of every second's own scores, which are trained.
SECONDS: Final = "seconds"


class PerSecond(nn.Module):
    """Two layers on both modalities of a second, then runs.

    Args:
        audio_width, visual_width, classes, rate: set by the data; `rate` is steps a second.
        dim: width of both hidden layers.
        dropout: rate on features and hidden layers.
        gap: longest gap in a run that is closed, in steps.
    """

    def __init__(self, *, audio_width: int, visual_width: int, classes: int, rate: int, dim: int = 256,
                 dropout: float = 0.2, gap: int = 1) -> None:
        super().__init__()
        self.norms = nn.ModuleDict({AUDIO: nn.LayerNorm(audio_width), VISUAL: nn.LayerNorm(visual_width)})
        self.layers = nn.Sequential(
            nn.Dropout(dropout), nn.Linear(audio_width + visual_width, dim), nn.ReLU(),
            nn.Dropout(dropout), nn.Linear(dim, dim), nn.ReLU(), nn.Dropout(dropout), nn.Linear(dim, classes))
        self.rate, self.gap = rate, gap

    def forward(self, data: HeteroData) -> DenseOutput:
        """Runs of every class and threshold; videos may differ in length."""
        batch = as_batch(data)
        (audio, mask), (visual, _) = padded_view(batch, AUDIO), padded_view(batch, VISUAL)
        scores = self.layers(torch.cat((self.norms[AUDIO](audio), self.norms[VISUAL](visual)), -1))
        found, distances = runs(scores.detach().float().sigmoid(), mask, self.gap)
        times = (torch.arange(scores.shape[1], device=scores.device) + 0.5).repeat(len(THRESHOLDS)) / self.rate
        mask = None if mask is None else mask.repeat(1, len(THRESHOLDS))
        return DenseOutput(found, distances / self.rate, times, mask, stages={SECONDS: {"scores": scores}})


def runs(
    probability: Float[Tensor, "B T C"], mask: Bool[Tensor, "B T"] | None, gap: int
) -> tuple[Float[Tensor, "B L C"], Float[Tensor, "B L C 2"]]:
    """Return the runs above each threshold: a score and two distances, in steps, at the first step of each run.

    Other points have the score :data:`NOTHING`.
    """
    steps = probability.shape[1]
    if mask is not None:
        probability = probability.masked_fill(~mask[..., None], 0)
    on = probability[:, None] > probability.new_tensor(THRESHOLDS).view(-1, 1, 1)  # [B, S, T, C]
    on = _closed(on.float().transpose(-1, -2), gap).transpose(-1, -2) > 0
    first, last = on & ~F.pad(on, (0, 0, 1, 0))[:, :, :-1], on & ~F.pad(on, (0, 0, 0, 1))[:, :, 1:]
    at = torch.arange(steps, device=on.device).view(-1, 1)
    end = torch.where(last, at, steps - 1).flip(2).cummin(2).values.flip(2)  # the next last step of a run
    total = F.pad(probability.cumsum(1), (0, 0, 1, 0))[:, None].expand(-1, len(THRESHOLDS), -1, -1)
    length = end - at + 1
    mean = (total.gather(2, end + 1) - total[:, :, :-1]) / length
    scores = torch.where(first, mean.logit(eps=1e-6), NOTHING)
    distances = torch.stack((torch.full_like(mean, 0.5), length - 0.5), -1)
    return scores.flatten(1, 2), distances.flatten(1, 2)


def _closed(on: Float[Tensor, "B S C T"], gap: int) -> Float[Tensor, "B S C T"]:
    """Morphological closing: gaps of at most `gap` steps between two steps with 1 become 1."""
    grown = F.max_pool1d(F.pad(on, (gap, gap)).flatten(0, 1), gap + 1, 1)
    return 1 - F.max_pool1d(1 - grown, gap + 1, 1).unflatten(0, on.shape[:2])


@dataclass(frozen=True)
class PerSecondObjective:
    """The loss ``score``: binary cross-entropy of every class in every second, mean over both."""

    labels: ClassVar = (EVENTS,)
    names: ClassVar = ("score",)

    def __call__(self, output: DenseOutput, events: Float[Tensor, "B K 3"]) -> dict[str, Tensor]:
        """Return the loss; a second has an event if its middle lies inside."""
        scores = at_least_single(output.stages[SECONDS]["scores"])
        steps = scores.shape[1]
        mask = None if output.mask is None else output.mask[:, :steps]
        seconds = DenseOutput(scores, output.distances[:, :steps], output.times[:steps], mask)
        target = assign(seconds, events).present.to(scores.dtype)
        each = F.binary_cross_entropy_with_logits(scores, target, reduction="none").mean(-1)
        return {"score": each.mean() if mask is None else each[mask].mean()}

    def total(self, losses: Mapping[str, Tensor]) -> Scalar:
        """Return the loss."""
        return losses["score"]
