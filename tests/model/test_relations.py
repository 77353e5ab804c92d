"""A convolution for every relation: its formula, both roads, and that shared weights are a special case."""

from __future__ import annotations

import pytest
import torch

from avsgn_pyg.graph.topology import Layout, SparseAdjacency, Topology, batch_edges
from avsgn_pyg.model.convs import CONVS
from avsgn_pyg.model.propagation import Propagation
from avsgn_pyg.model.relations import TypedPropagation

B, T, R, D = 2, 4, 3, 8
LAYOUT = Layout((T, R), (True, False))


def typed(conv: str, backend: str, **options: object) -> TypedPropagation:
    return TypedPropagation(lambda: Propagation(D, conv, options, backend)).double()


@pytest.mark.parametrize("backend", ["auto", "native"])
def test_relations_are_summed_as_the_formula_says(backend: str):
    layer, x = typed("gcn", backend), torch.randn(B, T + R, D).double()
    adjacency = torch.rand(B, T + R, T + R).double()
    places = (slice(0, T), slice(T, T + R))
    expected = [sum(adjacency[:, places[t], places[s]] @ x[:, places[s]] @ layer.convs[f"{t}{s}"].conv.lin.weight.T
                    + layer.convs[f"{t}{s}"].conv.bias for s in (0, 1)) for t in (0, 1)]
    torch.testing.assert_close(layer(x, adjacency, LAYOUT), torch.cat(expected, dim=1))


#: Layers of several hops, held to the one that a relation between modalities has.
ONE_HOP = {conv: {"K": 1} for conv in ("sg", "tag", "appnp")}


@pytest.mark.parametrize("backend", ["auto", "native"])
@pytest.mark.parametrize("conv", sorted(CONVS))
def test_every_relation_of_every_layer_hears_the_attention(conv: str, backend: str):
    layer, x = typed(conv, backend, **ONE_HOP.get(conv, {})), torch.randn(B, T + R, D).double()
    adjacency = torch.rand(B, T + R, T + R).double().requires_grad_()
    out = layer(x, adjacency, LAYOUT)
    (heard,) = torch.autograd.grad((out * torch.randn_like(out)).sum(), adjacency)
    for target in (slice(0, T), slice(T, None)):
        for source in (slice(0, T), slice(T, None)):
            assert heard[:, target, source].abs().amax((1, 2)).min() > 1e-9, (target, source)


@pytest.mark.parametrize("conv", sorted(ONE_HOP))
def test_a_second_hop_between_modalities_is_refused_by_name(conv: str):
    with pytest.raises(ValueError, match=rf"conv={conv} makes K=2 hops.*conv_options=.K: 1."):
        typed(conv, "auto", K=2)


@pytest.mark.parametrize("conv", sorted(CONVS))
def test_both_roads_agree_in_values_and_every_gradient(conv: str):
    one, two = (typed(conv, backend, **ONE_HOP.get(conv, {})) for backend in ("auto", "native"))
    two.load_state_dict(one.state_dict())
    x = torch.randn(B, T + R, D).double().requires_grad_()
    scores = torch.randn(B, T + R, T + R).double().requires_grad_()
    found = []
    for layer in (one, two):
        out = layer(x, scores.softmax(-1), LAYOUT)
        probe = torch.linspace(-1, 1, out.numel()).double().view_as(out)
        gradients = torch.autograd.grad((out * probe).sum(), [x, scores, *layer.parameters()], allow_unused=True)
        found.append([out, *(part for part in gradients if part is not None)])
    for ours, theirs in zip(*found, strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-9, atol=1e-11)


def test_shared_weights_are_the_case_in_which_all_relations_agree():
    layer, shared = typed("gcn", "auto", bias=False), Propagation(D, "gcn", {"bias": False}).double()
    for conv in layer.convs.values():
        conv.load_state_dict(shared.state_dict())
    x, adjacency = torch.randn(B, T + R, D).double(), torch.rand(B, T + R, T + R).double()
    torch.testing.assert_close(layer(x, adjacency, LAYOUT), shared(x, adjacency))


@pytest.mark.parametrize("conv", ["gcn", "gat"])
def test_sparse_edges_are_parted_by_relation_too(conv: str):
    layer, x = typed(conv, "native"), torch.randn(B, T + R, D).double()
    index = batch_edges(Topology(), LAYOUT, B, torch.device("cpu"))
    adjacency = torch.rand(B, T + R, T + R).double()
    torch.testing.assert_close(layer(x, SparseAdjacency(index, adjacency.flatten()), LAYOUT),
                               layer(x, adjacency, LAYOUT))


def test_a_relation_reaches_its_own_targets_alone():
    layer, x = typed("gcn", "auto"), torch.randn(B, T + R, D).double()
    adjacency = torch.rand(B, T + R, T + R).double()
    before = layer(x, adjacency, LAYOUT)
    layer.convs["10"].conv.lin.weight.data += 1
    after = layer(x, adjacency, LAYOUT)
    assert torch.equal(before[:, :T], after[:, :T]) and (before[:, T:] != after[:, T:]).all()
