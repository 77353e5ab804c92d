"""Section 3.4 with a convolution for every relation: audio to audio, audio to visual, and so on.

The paper prints one W a layer and subgraph (``relations: shared``). ``typed`` is the heterogeneous reading.

Letters: B videos, T and R rows of the two modalities, N = T + R, D width, E edges.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn

from avsgn_pyg.graph.topology import Layout, SparseAdjacency
from avsgn_pyg.model.propagation import Propagation


class TypedPropagation(nn.Module):
    """``h_i = sum_s conv_{s -> m(i)}(X, A_{m(i), s})_i`` over the two modalities s, m(i) being that of node i.

    ``A_{t, s}`` is the part of Eq. 7's adjacency with targets in modality t and sources in s: attention is shared
    out between both modalities first, so relations weigh as much as they are listened to. With ``gcn`` this is
    ``H_t = A_{t, t} H_t W_tt + A_{t, s} H_s W_ts + b_tt + b_ts``.

    Args:
        build: makes one relation's layer; it is called four times. Layers that divide by what they hear (``aggr: mean``
            of ``sage`` and ``film``) take the sum: the weights of one relation sum to less than one.

    Raises:
        ValueError: a layer of several hops. No edge of a relation between modalities follows another, so that all hops
            after its first hear nothing.
    """

    def __init__(self, build: Callable[[], Propagation]) -> None:
        super().__init__()
        self.convs = nn.ModuleDict({f"{target}{source}": build() for target in (0, 1) for source in (0, 1)})
        for conv in self.convs.values():
            if conv.hops > 1:
                raise ValueError(f"relations=typed gives every relation a layer of its own, and conv={conv.name} makes "
                                 f"K={conv.hops} hops along it: between two modalities there is no second hop. Use "
                                 "conv_options={K: 1}, a layer of one hop such as gcn, or relations=shared")

    def forward(self, x: Float[Tensor, "B N D"], adjacency: Float[Tensor, "B N N"] | SparseAdjacency,
                layout: Layout) -> Float[Tensor, "B N D"]:
        answers = []
        for target in (0, 1):
            heard = [self.convs[f"{target}{source}"].pass_messages(x, *_relation(adjacency, layout, target, source))
                     for source in (0, 1)]
            answers.append((heard[0] + heard[1]).split(layout.rows, dim=1)[target])
        return torch.cat(answers, dim=1)


def _relation(adjacency: Tensor | SparseAdjacency, layout: Layout, target: int,
              source: int) -> tuple[Tensor | SparseAdjacency, Bool[Tensor, "*B N N"] | None]:
    """The edges of one relation: alone, or as those of a matrix that are kept."""
    device = adjacency.device if isinstance(adjacency, Tensor) else adjacency.index.device
    second = torch.arange(layout.nodes, device=device) >= layout.rows[0]
    of_target, of_source = second == bool(target), second == bool(source)
    if isinstance(adjacency, Tensor):
        part = (of_target[:, None] & of_source)[None]
        return adjacency, part if layout.kept is None else part & layout.kept
    ends = adjacency.index % layout.nodes
    return adjacency.where(of_source[ends[0]] & of_target[ends[1]]), None
