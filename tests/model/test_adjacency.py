"""Eq. 7 over the edges that exist: a softmax with the others left out, made without an [N, N]."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from avsgn_pyg.graph.topology import CrossModalOnly, Layout, TopK, Topology, Window
from avsgn_pyg.model import adjacency, edgewise
from avsgn_pyg.model.adjacency import AttentionAdjacency
from avsgn_pyg.model.time import SubgraphTime

B, T, R, D = 3, 6, 4, 8
LAYOUTS = {"seconds": Layout((T, T)), "text": Layout((T, R), (True, False))}


@pytest.fixture(autouse=True)
def _float64():
    torch.set_default_dtype(torch.float64)
    yield
    torch.set_default_dtype(torch.float32)


def masked(module: AttentionAdjacency, x: Tensor, topology: Topology, layout: Layout,
           time: SubgraphTime | None) -> Tensor:
    """The oracle: the whole matrix of scores, what is no edge at minus infinity."""
    score = (x @ module.query.weight.T) @ (x @ module.key.weight.T).mT * module.scale
    score = score if time is None else score + time(*layout.rows)
    if layout.real is not None:
        score = score.masked_fill(~layout.real[:, None], -torch.inf)
    if isinstance(topology, TopK):
        kept = score >= score.topk(topology.strongest).values[..., -1:]
    else:
        kept = torch.zeros(layout.nodes, layout.nodes, dtype=torch.bool)
        kept[tuple(topology.pairs(layout).flip(0))] = True
    weight = score.masked_fill(~kept, -torch.inf).softmax(-1)
    return weight if layout.real is None else weight.where(layout.real[..., None], 0)


@pytest.mark.parametrize("kernels", [False, True])
@pytest.mark.parametrize("padded", [False, True])
@pytest.mark.parametrize("timed", [False, True])
@pytest.mark.parametrize("kind", LAYOUTS)
@pytest.mark.parametrize("topology", [Window(2), TopK(3), CrossModalOnly()], ids=lambda one: type(one).__name__)
def test_attention_is_normalised_over_the_edges_that_exist(topology, kind, timed, padded, kernels, monkeypatch):
    for module in (adjacency, edgewise):  # several blocks of edges and of targets
        monkeypatch.setattr(module, "CHUNK", 40)
    monkeypatch.setattr(edgewise, "_has_kernels", lambda rows: kernels)
    layout = LAYOUTS[kind]
    if padded:
        real = torch.ones(B, layout.nodes, dtype=torch.bool)
        real[1, 4:T] = False
        layout = Layout(layout.rows, layout.timed, real)
    module = AttentionAdjacency(D)
    time = SubgraphTime(layout.timed, slope=0.4) if timed else None
    x = torch.randn(B, layout.nodes, D, requires_grad=True)
    inputs = [x, *module.parameters(), *(time.parameters() if time is not None else ())]
    found = module.on_edges(x, topology, layout, time).matrix(B, layout.nodes).to_dense()
    expected = masked(module, x, topology, layout, time)
    torch.testing.assert_close(found, expected, rtol=1e-9, atol=1e-12)
    probe = torch.randn_like(expected)
    for ours, theirs in zip(torch.autograd.grad((found * probe).sum(), inputs, allow_unused=True),
                            torch.autograd.grad((expected * probe).sum(), inputs, allow_unused=True), strict=True):
        ours = torch.zeros(()) if ours is None else ours
        torch.testing.assert_close(ours, torch.zeros(()) if theirs is None else theirs, rtol=1e-8, atol=1e-11)


def test_a_source_that_only_fills_up_weighs_nothing_in_the_matrix():
    module, x = AttentionAdjacency(D), torch.randn(B, 5, D)
    real = torch.tensor([[True] * 5, [True, False, True, False, True], [True] * 5])
    weights = module(x, None, real)
    assert not weights[1, :, [1, 3]].any() and torch.allclose(weights.sum(-1), torch.ones(B, 5))
    torch.testing.assert_close(weights[1, real[1]][:, real[1]], module(x[1:2, real[1]])[0])
