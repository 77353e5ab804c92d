"""CMGI: effects of residual, relative time and dropout; tests/model/test_section3.py has the equations."""

from __future__ import annotations

import torch
from torch import Tensor

from avsgn_pyg.graph.build import build_batch
from avsgn_pyg.graph.edges import subgraph_edges
from avsgn_pyg.graph.topology import COMPLETE, Topology
from avsgn_pyg.layers.convolution import Convolution
from avsgn_pyg.layers.time import SubgraphTime
from avsgn_pyg.model.cmgi import CMGI, Interaction

B, T, R, D = 2, 4, 6, 8


def cmgi(**settings: object) -> CMGI:
    return CMGI(D, lambda subgraph: Convolution(D), **settings).double().eval()


def nodes() -> dict[str, Tensor]:
    return {name: torch.randn(B * count, D).double() for name, count in (("audio", T), ("visual", T), ("text", R))}


def run(module: CMGI, aligned: dict[str, Tensor], topology: Topology = COMPLETE) -> Interaction:
    batch = build_batch(torch.randn(B, T, 2), torch.randn(B, T, 2), text_nodes=R, topology=topology)
    return module(aligned, {name: subgraph_edges(batch, name, as_list=module.as_list) for name in module.layers})


def test_without_residual_uniform_attention_makes_all_seconds_equal():
    """The reason for the default: the residual keeps the differences."""
    aligned = nodes()

    def spread(residual: bool) -> float:
        module = cmgi(residual=residual, norm="none")
        for adjacency in module.adjacency.values():
            adjacency[0].query.weight.data.zero_()
        return run(module, aligned).nodes["audio"].unflatten(0, (B, T)).std(1).mean().item()

    assert spread(residual=False) < 1e-6 < 1e-2 < spread(residual=True)


def test_relative_time_gives_near_seconds_more_weight():
    module = cmgi(subgraphs=("av",), time=lambda _: SubgraphTime((True, True), slope=3.0))
    module.adjacency["av"][0].query.weight.data.zero_()
    for topology in (COMPLETE, Topology("window", 3)):
        weights = run(module, nodes(), topology).adjacency["av"][0]
        weights = (weights.to_dense() if weights.is_sparse else weights)[0]
        assert weights[0, 0] > weights[0, 1] > weights[0, 3] and torch.isclose(weights[0, 0], weights[0, T])


def test_dropout_is_off_in_evaluation():
    module, aligned = cmgi(dropout=0.5), nodes()
    assert torch.equal(run(module, aligned).nodes["audio"], run(module, aligned).nodes["audio"])
    module.train()
    assert not torch.equal(run(module, aligned).nodes["audio"], run(module, aligned).nodes["audio"])
