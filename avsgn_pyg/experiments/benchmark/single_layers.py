"""Single layers on B complete graphs of N nodes, forward and backward: along the edge list, relative to blocks.

Besides the table's convolutions, some of PyG's own: one without a row, and two that fall back to the edge list.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Final

import torch
import torch_geometric.nn as pyg
from torch import Tensor, nn

from avsgn_pyg.blocks import CompleteIndex, FallbackError, count_layer, count_paths
from avsgn_pyg.experiments.benchmark.results import Comparison, Row
from avsgn_pyg.experiments.benchmark.workload import Workload
from avsgn_pyg.layers.convs import CONVS, EDGE_ATTR, EDGE_WEIGHT, build_conv, find_conv

#: Name -> function of (width, N) that builds a layer of PyG, and its argument for a weight per edge.
STOCK: Final[dict[str, tuple[Callable[[int, int], nn.Module], str]]] = {
    "PNAConv": (lambda dim, nodes: pyg.PNAConv(dim, dim, ["mean", "max", "min", "std"], ["identity", "amplification"],
                                               torch.tensor([0] * nodes + [nodes]), edge_dim=1), EDGE_ATTR),
    "GCNConv with self loops": (lambda dim, nodes: pyg.GCNConv(dim, dim), EDGE_WEIGHT),
    "ChebConv": (lambda dim, nodes: pyg.ChebConv(dim, dim, K=2), EDGE_WEIGHT),
}
#: Most numbers in the messages [E, D] of a layer, of which several are held at once: 1 GiB.
LARGEST: Final = 2**28


def single_layer_rows(workload: Workload) -> Iterator[Comparison | Row]:
    """Compare every layer of the table, and those of :data:`STOCK`, at every size of the workload."""
    dim = workload.config().model.dim
    for graphs, nodes in workload.graphs:
        for name in (*CONVS, *STOCK):
            title, numbers = f"{name} B={graphs} N={nodes} D={dim}", graphs * nodes**2 * dim
            if numbers > LARGEST:
                yield Row(title, None, "ms", note=f"messages of {numbers / LARGEST:.1f} GiB; set a smaller model.dim")
                continue
            runs = {form: layer_pass(name, dim, graphs, nodes, form == "blocks", workload)
                    for form in ("blocks", "edge list")}
            with count_paths() as paths:
                runs["blocks"]()
            ran = "falls back" if paths.fallback else f"matmul {paths.matmul.total()}, widest {paths.widest}"
            yield Comparison(title, runs, rounds=min(workload.rounds, 5), note=ran)


def layer_pass(name: str, dim: int, graphs: int, nodes: int, blocks: bool,
               workload: Workload) -> Callable[[], tuple[Tensor | None, ...]]:
    """Return a function for the gradients of one layer; where blocks fall back, it tries them first, as the model."""
    torch.manual_seed(workload.seed)
    build, takes = STOCK.get(name, (lambda dim, _: build_conv(name, dim), None))
    takes = takes or find_conv(name).attention
    index, layer = CompleteIndex(graphs, nodes, workload.device), build(dim, nodes).to(workload.device)
    x = torch.randn(graphs * nodes, dim, device=workload.device, requires_grad=True)
    weight = torch.rand(graphs, nodes, nodes, device=workload.device).softmax(-1).flatten().requires_grad_()
    leaves, edges = [x, weight, *layer.parameters()], index.edge_list()
    upstream = torch.randn(len(x), dim, device=workload.device)

    def forward(index: Tensor) -> Tensor:
        values = weight.view(-1, 1) if takes == EDGE_ATTR else weight
        return layer(x, index, **{takes: index.edges(values) if isinstance(index, CompleteIndex) else values})

    def run() -> tuple[Tensor | None, ...]:
        try:
            out = forward(index if blocks else edges)
        except FallbackError:
            count_layer(name, "fallback")
            out = forward(edges)
        return torch.autograd.grad(out, leaves, upstream, allow_unused=True)

    return run
