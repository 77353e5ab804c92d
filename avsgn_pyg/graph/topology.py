"""Which edges a video's graph has: all of them, or fewer, so that long videos fit into memory.

A topology gives every node one interval of sources in each relation, so the edges of a whole batch, videos of
different length included, are written in one go. Edges are (source, target), sorted by target.

Shapes: B videos, M target nodes of a relation in the whole batch, E edges.
"""

from __future__ import annotations

import functools
from dataclasses import dataclass
from typing import Final

import torch
from jaxtyping import Int
from torch import Tensor
from torch.utils.weak import WeakTensorKeyDictionary

from avsgn_pyg.graph.schema import TEXT

#: Names of the topologies, as a config gives them.
TOPOLOGIES: Final = ("complete", "window", "cross_modal_only")


@dataclass(frozen=True)
class Topology:
    """Which nodes of a subgraph are connected.

    Attributes:
        name: ``complete`` (Section 3.4: every pair, self edges included), ``window`` (seconds are connected to
            seconds at most `window` away, in either modality; text nodes to all), or ``cross_modal_only`` (edges
            between the two modalities alone).
        window: seconds; read by ``window`` alone.

    Raises:
        ValueError: an unknown name, or a window below one second.
    """

    name: str = "complete"
    window: int = 10

    def __post_init__(self) -> None:
        if self.name not in TOPOLOGIES:
            raise ValueError(f"topology={self.name!r}; choose one of {list(TOPOLOGIES)}")
        if self.window < 1:
            raise ValueError(f"window={self.window} must be at least 1 second")

    def edges(self, source: str, target: str, sources: Int[Tensor, "B"],
              targets: Int[Tensor, "B"]) -> Int[Tensor, "2 E"]:
        """The edges of one relation in a batch, nodes numbered across the whole batch.

        Args:
            source, target: node types of the relation.
            sources, targets: their number of nodes in each video.
        """
        # For every target, the sources of its video that it has an edge from: numbers first, ..., end - 1.
        second = torch.arange(int(targets.sum())) - starts(targets)[:-1].repeat_interleave(targets)
        end = sources.repeat_interleave(targets)
        first = torch.zeros_like(end)
        if self.name == "window" and TEXT not in (source, target):
            first, end = (second - self.window).clamp(min=0), torch.minimum(second + self.window + 1, end)
        if self.name == "cross_modal_only" and source == target:
            end = first
        return _intervals(starts(sources)[:-1].repeat_interleave(targets) + first, (end - first).clamp(min=0))


#: The topology of the paper.
COMPLETE: Final = Topology()


def starts(counts: Int[Tensor, "B"]) -> Int[Tensor, "B1"]:
    """The index of the first node of each video, then the number of all nodes."""
    return torch.cat((counts.new_zeros(1), counts.cumsum(0)))


def _intervals(first: Int[Tensor, "M"], count: Int[Tensor, "M"]) -> Int[Tensor, "2 E"]:
    """Edges into target i from the sources ``first[i], ..., first[i] + count[i] - 1``."""
    target = torch.arange(len(first)).repeat_interleave(count)
    shift = first - (count.cumsum(0) - count)
    return torch.stack((torch.arange(len(target)) + shift[target], target))


def complete_edges(videos: int, sources: int, targets: int) -> Int[Tensor, "2 E"]:
    """Every source of a video to every target of it, for videos of one size."""
    count = torch.ones(videos, dtype=torch.int64)
    return COMPLETE.edges(TEXT, TEXT, count * sources, count * targets)


#: Never returned, so that no caller can write into them.
_reference = functools.lru_cache(maxsize=16)(torch.inference_mode(False)(complete_edges))

#: Edge tensor -> (its version, size, whether it is complete); read for devices other than the CPU.
_known = WeakTensorKeyDictionary()


def note_complete(index: Int[Tensor, "2 E"], videos: int, sources: int, targets: int) -> None:
    """Remember that `index`, as it is now, is :func:`complete_edges` of this size."""
    _known[index] = (index._version, (videos, sources, targets), True)


def is_complete(index: Int[Tensor, "2 E"], videos: int, sources: int, targets: int) -> bool:
    """Whether `index` contains exactly the edges of :func:`complete_edges`, in that order.

    On a CPU they are compared one by one. On other devices that would wait for the device, so edges that
    :mod:`avsgn_pyg.graph.build` made and nobody has written into since are known, and any others are compared once for
    each version of their tensor.
    """
    size = (videos, sources, targets)
    if index.shape != (2, videos * sources * targets):
        return False
    if index.device.type == "cpu":
        return torch.equal(index, _reference(*size))
    if index.is_inference():  # such a tensor has no version, so nothing about it can be remembered
        return torch.equal(index.cpu(), _reference(*size))
    if _known.get(index, (None, None, False))[:2] != (index._version, size):
        _known[index] = (index._version, size, torch.equal(index.cpu(), _reference(*size)))
    return _known[index][2]
