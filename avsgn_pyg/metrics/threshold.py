"""The threshold of a validation split: the tau at which its segment accuracy is best."""

from __future__ import annotations

import torch
from jaxtyping import Float, Int, Num
from torch import Tensor

from avsgn_pyg.metrics.segment import Mask, check_answers, emptied, segment_targets


def best_tau(
    category_logits: Float[Tensor, "N C"],
    relevance_logits: Float[Tensor, "N T"],
    category: Int[Tensor, "N"],
    relevance: Num[Tensor, "N T"],
    mask: Mask = None,
) -> float:
    """The tau in [0, 1) with which :func:`~avsgn_pyg.localization.decode` gets most segments right.

    Exact: between two neighbouring sigmoid values every tau answers alike, so each such gap is counted
    once, by sorting. Of the best gaps the one whose tau is nearest 0.5 wins (the lower, if two are), and a
    gap's tau is 0.5 where it contains it, else its middle. The result is a value of the logits' own float
    type, so that the comparison inside ``decode`` does not round it. Tune on validation, never on test.

    Args:
        category_logits: class logits of the videos.
        relevance_logits: event-relevance logits of the segments.
        category: true class, or ``NO_EVENT`` (-1).
        relevance: 1 in the event's seconds, 0 in the others.
        mask: as of :func:`avsgn_pyg.metrics.evaluate`.

    Raises:
        ValueError: shapes that do not fit, labels out of range, or logits that are not finite.
    """
    relevance, relevance_logits = emptied(relevance, mask), emptied(relevance_logits, mask)
    target = segment_targets(category, relevance, category_logits.shape[-1])
    check_answers(category_logits, relevance_logits, target)

    def real(values: Tensor) -> Tensor:
        return values.flatten() if mask is None else values[mask]

    probability = real(relevance_logits.sigmoid())
    edges = torch.cat([probability.new_zeros(1), probability, probability.new_ones(1)]).unique()
    kept = target == category_logits.argmax(-1, keepdim=True)
    dropped = target == category_logits.shape[-1]
    # Gap i is [edges[i], edges[i + 1]): its tau drops the seconds at edges[0..i] and keeps those above.
    gain = real(dropped.long() - kept.long())
    level = torch.searchsorted(edges, probability)
    gains = torch.zeros(len(edges), dtype=torch.long, device=edges.device)
    gains.scatter_add_(0, level, gain)
    right = gains.cumsum(0)[:-1]
    tau = _inside(edges[:-1], edges[1:])[right == right.max()]
    return tau[(tau.double() - 0.5).abs().argmin()].item()


def _inside(low: Float[Tensor, "G"], high: Float[Tensor, "G"]) -> Float[Tensor, "G"]:
    """One value of each gap [low, high): 0.5 if it is in there, else the middle."""
    middle = ((low.double() + high.double()) / 2).to(low.dtype)
    # The middle of two neighbouring floats may round up to the end that is no longer in the gap.
    middle = torch.where(middle < high, middle, low)
    return torch.where((low <= 0.5) & (high > 0.5), torch.full_like(low, 0.5), middle)
