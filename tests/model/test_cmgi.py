"""CMGI: the switches of Table 3 and the options of Eq. 7 and 8."""

from __future__ import annotations

import itertools
from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

from avsgn_pyg.graph.build import build_batch
from avsgn_pyg.graph.edges import subgraph_edges
from avsgn_pyg.graph.topology import COMPLETE, Topology
from avsgn_pyg.layers.convolution import Convolution
from avsgn_pyg.layers.time import SubgraphTime
from avsgn_pyg.model.cmgi import CMGI, Interaction

B, T, R, D = 2, 4, 6, 8
SUBSETS = [subset for size in range(4) for subset in itertools.combinations(("av", "vt", "at"), size)]


def plain(_: str) -> nn.Module:
    return Convolution(D)


def cmgi(conv: Callable[[str], nn.Module] = plain, **settings: object) -> CMGI:
    return CMGI(D, conv, **settings).double().eval()


def nodes() -> dict[str, Tensor]:
    return {name: torch.randn(B * count, D).double() for name, count in (("audio", T), ("visual", T), ("text", R))}


def run(module: CMGI, aligned: dict[str, Tensor], topology: Topology = COMPLETE) -> Interaction:
    batch = build_batch(torch.randn(B, T, 2), torch.randn(B, T, 2), text_nodes=R, topology=topology)
    return module(aligned, {name: subgraph_edges(batch, name, as_list=module.as_list) for name in module.layers})


@pytest.mark.parametrize("subset", SUBSETS)
def test_any_subset_of_subgraphs_runs(subset: tuple[str, ...]):
    out = run(cmgi(subgraphs=subset), nodes())
    assert set(out.adjacency) == set(subset)
    assert {name: len(rows) for name, rows in out.nodes.items()} == {"audio": B * T, "visual": B * T, "text": B * R}


@pytest.mark.parametrize("modality", ["audio", "visual", "text"])
def test_a_modality_in_no_subgraph_keeps_its_aligned_features(modality: str):
    without, aligned = [name for name in ("av", "vt", "at") if modality[0] not in name], nodes()
    assert torch.equal(run(cmgi(subgraphs=without), aligned).nodes[modality], aligned[modality])


def test_weights_into_a_node_sum_to_one():
    for topology, topk in ((COMPLETE, None), (Topology("window", 1), None), (Topology("window", 1), 2)):
        matrix = run(cmgi(topk=topk), nodes(), topology).adjacency["vt"][0]
        matrix = matrix.to_dense() if matrix.is_sparse else matrix
        torch.testing.assert_close(matrix.sum(-1), torch.ones(B, T + R).double())
        if topk is not None:
            assert int((matrix > 0).sum(-1).max()) == topk


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


def test_each_subgraph_can_have_its_layer():
    convs = {"av": "gat", "vt": "gcn", "at": "tag"}
    module = cmgi(lambda name: Convolution(D, convs[name]))
    found = {name: {layer.conv.name for layer in layers} for name, layers in module.layers.items()}
    assert found == {name: {conv} for name, conv in convs.items()}
    assert run(module, nodes()).nodes["audio"].isfinite().all()


def test_dropout_is_off_in_evaluation():
    module, aligned = cmgi(dropout=0.5), nodes()
    assert torch.equal(run(module, aligned).nodes["audio"], run(module, aligned).nodes["audio"])
    module.train()
    assert not torch.equal(run(module, aligned).nodes["audio"], run(module, aligned).nodes["audio"])
