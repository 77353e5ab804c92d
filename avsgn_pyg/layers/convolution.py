"""Section 3.4, Eq. 8: one convolution of the table on a weighted subgraph, along its edges.

``A H W`` with A from Eq. 7, or any PyG convolution in its place. Both backends run the same, unmodified convolution:
along an edge list as PyG means it, or on a :class:`~avsgn_pyg.blocks.CompleteIndex`, where it becomes dense algebra.
`edges` are those of :mod:`avsgn_pyg.graph.edges`; their `index` is one of the two.

Shapes: M nodes of a subgraph in the whole batch, E edges, D width.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping
from typing import Any, Protocol, runtime_checkable

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch_geometric.nn import Aggregation, MessagePassing, SumAggregation
from torch_geometric.utils import scatter

from avsgn_pyg.blocks import CompleteIndex, FallbackError, count_layer
from avsgn_pyg.layers.convs import EDGE_ATTR, build_conv, find_conv

try:
    import torch_scatter
except ImportError:  # PyG's own scatter gives the same sums
    torch_scatter = None

#: ``auto`` runs complete subgraphs as dense algebra and others along their edge list; ``blocks`` raises where the
#: subgraph or the layer does not allow dense algebra; ``native`` always runs along the edge list.
BACKENDS = ("auto", "blocks", "native")


@runtime_checkable
class Edges(Protocol):
    """A subgraph's edges: `index` is a list [2, E], or a :class:`~avsgn_pyg.blocks.CompleteIndex`."""

    index: Tensor


class ScatterSum(Aggregation):
    """Sum of messages into their targets by torch_scatter if available, else by PyG's scatter (equal to the bit)."""

    def forward(self, x: Tensor, index: Tensor | None = None, ptr: Tensor | None = None,
                dim_size: int | None = None, dim: int = -2) -> Tensor:
        if (torch_scatter is not None and type(index) is Tensor
                and (x.device.type == "cpu" or torch.ops.torch_scatter.cuda_version() != -1)):
            return torch_scatter.scatter(x, index, dim=dim, dim_size=dim_size, reduce="sum")
        return scatter(x, index, dim=dim, dim_size=dim_size, reduce="sum")


class Convolution(nn.Module):
    """One convolution of :data:`~avsgn_pyg.layers.convs.CONVS`, weighted by attention.

    Args:
        dim: D, kept by the layer.
        name: its row in the table.
        options: its own settings (``{"heads": 4}``).
        backend: one of :data:`BACKENDS`.

    Raises:
        ValueError: an unknown convolution, option or backend; it names what would work.
    """

    def __init__(self, dim: int, name: str = "gcn", options: Mapping[str, Any] | None = None,
                 backend: str = "auto") -> None:
        super().__init__()
        if backend not in BACKENDS:
            raise ValueError(f"backend={backend!r}; choose one of {list(BACKENDS)}")
        self.name, self.attention, self.backend = name, find_conv(name).attention, backend
        self.conv = build_conv(name, dim, options)
        self.hops = int(getattr(self.conv, "K", 1))
        layers = [layer for layer in self.conv.modules() if isinstance(layer, MessagePassing)]
        self.fused = find_conv(name).fused and all(type(layer.aggr_module) is SumAggregation for layer in layers)
        for layer in layers:
            if type(layer.aggr_module) is SumAggregation:
                layer.aggr_module = ScatterSum()

    def forward(self, x: Float[Tensor, "M D"], edges: Edges,
                weight: Float[Tensor, "..."]) -> Float[Tensor, "M D"]:
        """Messages along `edges`, weighted by `weight` as :class:`~avsgn_pyg.model.cmgi.Adjacency` gives it.

        Raises:
            FallbackError: ``backend="blocks"``, and the layer uses an operation that has no dense form.
            ValueError: ``backend="blocks"``, and the subgraph is not complete.
        """
        if not isinstance(edges.index, CompleteIndex):
            if self.backend == "blocks":
                raise ValueError("backend=blocks needs complete subgraphs of equally long videos, got edges that are "
                                 "not exactly those of build_batch; use backend=auto")
            return self.along(x, edges, weight)
        if self.backend == "native":
            count_layer(self.name, "edge_list")
            return self._messages(x, edges.index.edge_list(), weight.reshape(-1))
        try:
            values = edges.index.edges(weight.reshape(-1, 1)) if self.attention == EDGE_ATTR else weight.reshape(-1)
            output = self.conv(x, edges.index, **{self.attention: values})
        except FallbackError as error:
            if self.backend == "blocks":
                raise
            count_layer(self.name, "fallback")
            warnings.warn(f"conv={self.name} runs along the edge list, which is slower: {error}", stacklevel=2)
            return self._messages(x, edges.index.edge_list(), weight.reshape(-1))
        count_layer(self.name, "complete")
        return output

    def along(self, x: Float[Tensor, "M D"], edges: Edges, weight: Float[Tensor, "E"]) -> Float[Tensor, "M D"]:
        """Messages along an edge list.

        A layer that sums weighted sources takes a sparse matrix, PyG's ``adj_t``, and stores no messages [E, D]; this
        way an hour of video fits into memory.
        """
        count_layer(self.name, "edge_list")
        autocast = torch.is_autocast_enabled(x.device.type)
        weight = weight if autocast else weight.to(x.dtype)
        sparse = x.dtype in (torch.float32, torch.float64) and not autocast  # what the kernels support
        if self.fused and sparse and edges.rowptr is not None:
            return self.conv(x, edges.adj_t(weight))
        return self._messages(x, edges.index, weight)

    def _messages(self, x: Tensor, index: Tensor, weight: Tensor) -> Tensor:
        weight = weight[:, None] if self.attention == EDGE_ATTR else weight
        return self.conv(x, index, **{self.attention: weight})


class TypedConvolution(nn.Module):
    """A convolution for each of a subgraph's four relations (``relations: typed``); the paper prints one for all.

    ``h_i = sum_s conv_{s -> m(i)}(X, A_{m(i), s})_i`` over the two modalities s, m(i) being that of node i, and
    ``A_{t, s}`` the edges from modality s into modality t at their weights of Eq. 7, whose softmax runs over both
    modalities. With ``gcn`` this is ``H_t = A_{t, t} H_t W_tt + A_{t, s} H_s W_ts + b_tt + b_ts``. One
    relation is not a complete graph, so these run along the edge list.

    Args:
        build: makes one relation's convolution; it is called four times. ``aggr: mean`` of ``sage`` and ``film`` is a
            weighted sum here, because one relation's weights sum to less than one.

    Raises:
        ValueError: a layer of several hops. Within one relation between two modalities there is no second hop.
    """

    def __init__(self, build: Callable[[], Convolution]) -> None:
        super().__init__()
        self.convs = nn.ModuleDict({f"{target}{source}": build() for target in (0, 1) for source in (0, 1)})
        for conv in self.convs.values():
            if conv.hops > 1:
                raise ValueError(f"relations=typed gives every relation its own layer, and conv={conv.name} makes "
                                 f"K={conv.hops} hops along it: between two modalities there is no second hop. Use "
                                 "conv_options={K: 1}, a layer of one hop such as gcn, or relations=shared")

    def forward(self, x: Float[Tensor, "M D"], edges: Edges, weight: Float[Tensor, "E"]) -> Float[Tensor, "M D"]:
        """Sums of the two relations into each modality."""
        parts = []
        for number, conv in enumerate(self.convs.values()):
            chosen = edges.relation == number
            into = conv.along(x, edges.select(chosen), weight[chosen])
            parts.append(edges.split(into)[number // 2])
        return torch.cat((parts[0] + parts[1], parts[2] + parts[3]))
