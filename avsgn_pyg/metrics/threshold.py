"""The threshold of a validation split: the tau with the best segment accuracy."""

from __future__ import annotations

import torch
from jaxtyping import Float, Int, Num
from torch import Tensor

from avsgn_pyg.metrics.segment import Mask, check_outputs, segment_targets, zero_padding


def best_tau(
    category_logits: Float[Tensor, "N C"], relevance_logits: Float[Tensor, "N T"], category: Int[Tensor, "N"],
    relevance: Num[Tensor, "N T"], mask: Mask = None,
) -> float:
    """Return the tau in [0, 1) with which :func:`~avsgn_pyg.graph.localization.decode` gets most segments right.

    The search is exact: every tau between two neighbouring sigmoid values decodes alike, so each such gap is scored
    once. Of the best gaps the one whose tau is nearest 0.5 wins (the lower of two); its tau is 0.5 if the gap contains
    it, else its middle, rounded to the logits' float type as in ``decode``. Tune on validation, never on test.

    Args:
        category_logits: class logits of the videos.
        relevance_logits: event-relevance logits of the segments.
        category: true class, or ``NO_EVENT`` (-1).
        relevance: 1 in the event's seconds, 0 in the others.
        mask: as for :func:`avsgn_pyg.metrics.evaluate`.

    Raises:
        ValueError: shapes that do not fit, labels out of range, or logits that are not finite.
    """
    relevance, relevance_logits = zero_padding(relevance, mask), zero_padding(relevance_logits, mask)
    target = segment_targets(category, relevance, category_logits.shape[-1])
    check_outputs(category_logits, relevance_logits, target)
    mask = torch.ones_like(target, dtype=torch.bool) if mask is None else mask
    probability = relevance_logits.sigmoid()[mask]
    edges = torch.cat([probability.new_zeros(1), probability, probability.new_ones(1)]).unique()
    right_as_event = target == category_logits.argmax(-1, keepdim=True)
    right_as_background = target == category_logits.shape[-1]
    # Gap i is [edges[i], edges[i + 1]): the seconds at edges[0..i] become background, those above stay events.
    gain = (right_as_background.long() - right_as_event.long())[mask]
    gains = torch.zeros(len(edges), dtype=torch.long, device=edges.device)
    gains.scatter_add_(0, torch.searchsorted(edges, probability), gain)
    right = gains.cumsum(0)[:-1]
    tau = _inside(edges[:-1], edges[1:])[right == right.max()]
    return tau[(tau.double() - 0.5).abs().argmin()].item()


def _inside(low: Float[Tensor, "G"], high: Float[Tensor, "G"]) -> Float[Tensor, "G"]:
    """Return one value of each gap [low, high): 0.5 if the gap contains it, else the middle."""
    middle = ((low.double() + high.double()) / 2).to(low.dtype)
    # The middle of two neighbouring floats may round up to `high`, which is outside.
    middle = torch.where(middle < high, middle, low)
    return torch.where((low <= 0.5) & (high > 0.5), torch.full_like(low, 0.5), middle)
