"""Section 3.4, Eq. 8: one layer of message passing over a complete, weighted subgraph.

The layer is a stock PyG convolution, chosen by name in :data:`CONVS`. Two roads run the same parameters and
are tested equal in values and gradients: ``native`` hands PyG the real edge list, ``dense`` is the
convolution's closed form on [B, N, D] blocks, which a complete graph allows at the price of dense algebra.

Every layer must *hear* the attention of Eq. 7: its row says whether as edge weight or as edge attribute.

Letters: B videos, N nodes in one subgraph, D width. ``adjacency[b, i, j]`` weighs the message into i from j.
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn
from torch_geometric.nn import GATConv, GCNConv, GraphConv
from torch_geometric.nn.aggr import Aggregation
from torch_geometric.utils import scatter

try:
    import torch_scatter
except ImportError:  # PyG's own scatter gives the same sums
    torch_scatter = None


class ScatterSum(Aggregation):
    """Sum of messages into their targets by torch_scatter where it runs, else by PyG's scatter (equal to the bit)."""

    def forward(self, x: Tensor, index: Tensor | None = None, ptr: Tensor | None = None,
                dim_size: int | None = None, dim: int = -2) -> Tensor:
        if torch_scatter is not None and (x.device.type == "cpu" or torch.ops.torch_scatter.cuda_version() != -1):
            return torch_scatter.scatter(x, index, dim=dim, dim_size=dim_size, reduce="sum")
        return scatter(x, index, dim=dim, dim_size=dim_size, reduce="sum")


@dataclass(frozen=True)
class ConvRow:
    """One convolution of the table.

    Attributes:
        build: ``(dim, **options) -> conv`` keeping [*, D] -> [*, D]; its keywords are the allowed options.
        hears: the keyword by which the convolution takes the attention of Eq. 7.
        dense: ``(conv, x [B, N, D], adjacency [B, N, N]) -> [B, N, D]``, the closed form on a complete
            graph with the convolution's own parameters; ``None`` where there is none.
    """

    build: Callable[..., nn.Module]
    hears: str
    dense: Callable[[nn.Module, Tensor, Tensor], Tensor] | None


def _gcn(dim: int, *, bias: bool = True) -> GCNConv:
    # Rows of Eq. 7 sum to one and hold the self edge: PyG's own normalization and self loops would change them.
    return GCNConv(dim, dim, bias=bias, normalize=False, add_self_loops=False, aggr=ScatterSum())


def _dense_gcn(conv: GCNConv, x: Tensor, adjacency: Tensor) -> Tensor:
    out = adjacency @ conv.lin(x)
    return out if conv.bias is None else out + conv.bias


def _graph(dim: int, *, bias: bool = True) -> GraphConv:
    return GraphConv(dim, dim, bias=bias, aggr=ScatterSum())


def _dense_graph(conv: GraphConv, x: Tensor, adjacency: Tensor) -> Tensor:
    return conv.lin_rel(adjacency @ x) + conv.lin_root(x)


def _gat(dim: int, *, heads: Any = 4, negative_slope: float = 0.2, dropout: Any = 0.0, bias: bool = True) -> GATConv:
    # Options come unchecked from a config's free-form mapping.
    if type(heads) is not int or heads < 1:
        raise ValueError(f"conv=gat: heads={heads!r} must be a whole number of at least 1")
    if type(dropout) not in (int, float) or not 0 <= dropout < 1:
        raise ValueError(f"conv=gat: dropout={dropout!r} must be a number in [0, 1)")
    if dim % heads:
        raise ValueError(f"conv=gat: dim={dim} is not a multiple of heads={heads}")
    return GATConv(dim, dim // heads, heads=heads, negative_slope=negative_slope, dropout=dropout, bias=bias,
                   add_self_loops=False, edge_dim=1, aggr=ScatterSum())


def _dense_gat(conv: GATConv, x: Tensor, adjacency: Tensor) -> Tensor:
    values = conv.lin(x).unflatten(-1, (conv.heads, conv.out_channels))  # [B, N, h, c]
    source = (values * conv.att_src).sum(-1).transpose(1, 2)  # [B, h, N]
    target = (values * conv.att_dst).sum(-1).transpose(1, 2)
    edge = (conv.lin_edge.weight.view_as(conv.att_edge) * conv.att_edge).sum(-1)  # [1, h]: edge_dim is 1
    score = target[..., :, None] + source[..., None, :] + edge[..., None, None] * adjacency[:, None]
    weight = F.leaky_relu(score, conv.negative_slope).softmax(-1)
    weight = F.dropout(weight, conv.dropout, conv.training)
    out = (weight @ values.transpose(1, 2)).transpose(1, 2).flatten(-2)
    return out if conv.bias is None else out + conv.bias


#: Name in a config -> convolution. A layer of your own is one row.
CONVS: dict[str, ConvRow] = {
    "gcn": ConvRow(_gcn, "edge_weight", _dense_gcn),
    "graph": ConvRow(_graph, "edge_weight", _dense_graph),
    "gat": ConvRow(_gat, "edge_attr", _dense_gat),
}


class Propagation(nn.Module):
    """One convolution on B complete subgraphs, by the road chosen at construction.

    Args:
        dim: D, kept by the layer.
        conv: a name in :data:`CONVS`.
        options: the convolution's own settings (``{"heads": 4}``).
        backend: ``dense`` | ``native`` | ``auto`` (dense where the row has it).

    Raises:
        ValueError: for an unknown convolution, option or road; it names what would work.
    """

    def __init__(self, dim: int, conv: str = "gcn", options: Mapping[str, Any] | None = None,
                 backend: str = "auto") -> None:
        super().__init__()
        row = _find(conv)
        allowed = {name: p for name, p in inspect.signature(row.build).parameters.items() if p.kind is p.KEYWORD_ONLY}
        for option in options or {}:
            if option not in allowed:
                raise ValueError(f"conv={conv!r} has no option {option!r}; it has {sorted(allowed)}")
        if backend == "dense" and row.dense is None:
            raise ValueError(f"conv={conv!r} has no dense form; use backend: native (or auto)")
        self.conv = row.build(dim, **(options or {}))
        self._run = _native(row.hears) if backend == "native" or row.dense is None else row.dense

    def forward(self, x: Float[Tensor, "B N D"], adjacency: Float[Tensor, "B N N"]) -> Float[Tensor, "B N D"]:
        return self._run(self.conv, x, adjacency)


def _find(conv: str) -> ConvRow:
    if conv not in CONVS:
        raise ValueError(f"conv={conv!r} is not in the table; choose one of {sorted(CONVS)}, or add a row")
    return CONVS[conv]


def _native(hears: str) -> Callable[[nn.Module, Tensor, Tensor], Tensor]:
    def run(conv: nn.Module, x: Tensor, adjacency: Tensor) -> Tensor:
        edges = complete_edges(*x.shape[:2], x.device)
        attention = adjacency.reshape(-1, 1) if hears == "edge_attr" else adjacency.reshape(-1)
        return conv(x.flatten(0, 1), edges, **{hears: attention}).view(*x.shape[:2], -1)

    return run


# A tensor made under inference mode could not serve a later training step, hence the switch back.
@functools.lru_cache(maxsize=8)
@torch.inference_mode(False)
def complete_edges(graphs: int, nodes: int, device: torch.device) -> Tensor:
    """[2, B N N] edge list of B complete graphs with self edges, sorted by target: entry (b, i, j) is edge j -> i."""
    offset = torch.arange(graphs, device=device).view(-1, 1, 1) * nodes
    member = torch.arange(nodes, device=device)
    source = (member.view(1, 1, -1) + offset).expand(graphs, nodes, nodes)
    target = (member.view(1, -1, 1) + offset).expand(graphs, nodes, nodes)
    return torch.stack((source.reshape(-1), target.reshape(-1)))
