"""The output of every model, :class:`Localization`, and its decoding into segment labels and events.

Shapes: B videos, T segments of one second, C event classes (background is index C), D hidden width,
N nodes in one subgraph.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn
from torch.nn.functional import logsigmoid


@dataclass(frozen=True)
class Localization:
    """The output of a model for a batch. Heads return *logits*, without softmax or sigmoid.

    Attributes:
        category: [B, C] class logits of the video (Eq. 10 before its softmax).
        relevance: [B, T] event-relevance logits of the segments (Eq. 11 before its sigmoid).
        gate_category: [B, C] class logits behind both gates (Eq. 14), or ``None``.
        gates: ``{"audio": g_a, "visual": g_v}``, each [B, T, 1] (or [B, T, D]), in (0, 1).
        adjacency: subgraph -> one [B, N, N] per distinct adjacency (Eq. 7); row i weighs the messages *into* node i, so
            the row of every node with an incoming edge sums to one. A sparse COO tensor if the subgraph ran along its
            edge list.
        stages: stage (``encoder``, ``cmsa``, ``cmgi``) -> modality -> [B, rows, width] features; the text of
            ``encoder`` is the label text as it enters CMSA.
        segment_scores: [B, T, C + 1] logits of models that score every segment, else ``None``.
        mask: [B, T] False for padding, where the other fields have no meaning. ``None`` if all videos have the same
            length.
    """

    category: Float[Tensor, "B C"]
    relevance: Float[Tensor, "B T"]
    gate_category: Float[Tensor, "B C"] | None = None
    gates: Mapping[str, Tensor] = field(default_factory=dict)
    adjacency: Mapping[str, tuple[Tensor, ...]] = field(default_factory=dict)
    stages: Mapping[str, Mapping[str, Tensor]] = field(default_factory=dict)
    segment_scores: Float[Tensor, "B T C1"] | None = None
    mask: Bool[Tensor, "B T"] | None = None


class Event(NamedTuple):
    """One contiguous run of a class: seconds [start, end)."""

    category: int
    start: int
    end: int


def ensemble(outputs: Sequence[Localization]) -> Localization:
    """Return the mean of several models' *probabilities* for the same videos, as the logits that have them.

    Of category and segment scores the softmax is averaged, of relevance the sigmoid; gates are averaged as they are.
    What belongs to a single model (`gate_category`, `adjacency`, `stages`) is left out.

    Args:
        outputs: at least one, of equal shapes; a single one is returned as it is.
    """
    first, *others = outputs
    if not others:
        return first

    def mean(logits: Sequence[Tensor]) -> Tensor:
        """The logarithm of a mean of probabilities, given by their logarithms."""
        return torch.stack(tuple(logits)).logsumexp(0) - math.log(len(outputs))

    def softmax(name: str) -> Tensor:
        return mean([getattr(output, name).log_softmax(-1) for output in outputs])

    signs = (mean([logsigmoid(sign * output.relevance) for output in outputs]) for sign in (1, -1))
    gates = {name: torch.stack([output.gates[name] for output in outputs]).mean(0) for name in first.gates}
    return Localization(softmax("category"), torch.sub(*signs), gates=gates, mask=first.mask,
                        segment_scores=None if first.segment_scores is None else softmax("segment_scores"))


class Ensemble(nn.Module):
    """Models for the same inputs and classes; the output is :func:`ensemble` of theirs."""

    def __init__(self, models: Sequence[nn.Module]) -> None:
        super().__init__()
        self.members = nn.ModuleList(models)

    def forward(self, batch: Any) -> Localization:
        return ensemble([model(batch) for model in self.members])


def decode(
    category: Float[Tensor, "N C"], relevance: Float[Tensor, "N T"], tau: float, mask: Bool[Tensor, "N T"] | None = None
) -> Int[Tensor, "N T"]:
    """Return segment labels of the two-head protocol; background is C.

    The class of the video is the first maximum of `category`. Segments with ``sigmoid(relevance) > tau`` (strictly)
    have that class; the others, and padding, are background.
    """
    background = category.shape[-1]
    above = relevance.sigmoid() > tau
    return torch.where(above if mask is None else above & mask, category.argmax(-1, keepdim=True), background)


def decode_segments(scores: Float[Tensor, "N T C1"]) -> Int[Tensor, "N T"]:
    """Return segment labels of models with C + 1 scores per segment: the first maximum; background is last."""
    return scores.argmax(-1)


def events(labels: Int[Tensor, "T"], background: int) -> list[Event]:
    """Return the maximal runs of one class other than `background`, in time order."""
    found: list[Event] = []
    start = 0
    values = [*labels.tolist(), None]
    for second in range(1, len(values)):
        if values[second] != values[start]:
            if values[start] != background:
                found.append(Event(values[start], start, second))
            start = second
    return found


def overlap(one: Event, other: Event) -> float:
    """Return the shared seconds of two events over their joint seconds (IoU); 0 if their classes differ."""
    shared = min(one.end, other.end) - max(one.start, other.start)
    if one.category != other.category or shared <= 0:
        return 0.0
    return shared / ((one.end - one.start) + (other.end - other.start) - shared)
