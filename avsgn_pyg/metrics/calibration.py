"""Reliability: how often something happens, given the probability that was predicted for it.

Shapes: N predictions, K bins.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import torch
from jaxtyping import Bool, Float
from torch import Tensor

#: Bins of equal width.
BINS: Final = 10


@dataclass(frozen=True, eq=False)
class Reliability:
    """Predictions by the bin of their probability; an empty bin has zeros.

    Attributes:
        count: [K] predictions.
        predicted: [K] their mean probability.
        observed: [K] the share of them that came true.
    """

    count: Float[Tensor, "K"]
    predicted: Float[Tensor, "K"]
    observed: Float[Tensor, "K"]

    @property
    def error(self) -> float:
        """Expected calibration error in percent: the mean difference of both, weighted by the predictions in a bin."""
        return 100.0 * float(((self.predicted - self.observed).abs() * self.count).sum() / self.count.sum())


def reliability(probability: Float[Tensor, "N"], true: Bool[Tensor, "N"], bins: int = BINS) -> Reliability:
    """Return the predictions in `bins` bins; ValueError if there is none, or one that is not a probability."""
    if not len(probability) or not bool(((probability >= 0) & (probability <= 1)).all()):
        raise ValueError(f"expected one or more probabilities in [0, 1], got {len(probability)} numbers")
    place = (probability * bins).long().clamp(max=bins - 1)
    columns = torch.stack((torch.ones_like(probability), probability, true.to(probability)), dim=1).double()
    count, *sums = torch.zeros(bins, 3, dtype=torch.float64).index_add_(0, place, columns).unbind(1)
    return Reliability(count, *(each / count.clamp(min=1) for each in sums))
