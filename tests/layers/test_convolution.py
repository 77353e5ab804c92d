"""A layer on both backends: dense algebra on complete graphs and PyG on an edge list agree in every gradient."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import Tensor, nn
from torch_geometric.nn import MessagePassing, SumAggregation

from avsgn_pyg.blocks import FallbackError, count_paths
from avsgn_pyg.graph.build import build_batch, build_video, collate
from avsgn_pyg.graph.edges import Complete, EdgeList, subgraph_edges
from avsgn_pyg.graph.topology import COMPLETE, Topology
from avsgn_pyg.layers import convolution
from avsgn_pyg.layers.convolution import Convolution, ScatterSum, TypedConvolution
from avsgn_pyg.layers.convs import CONVS, ConvRow

B, T, R, D = 3, 4, 3, 8
N = T + R

#: Options with which every row is tested, in addition to the defaults.
OPTIONS: dict[str, list[dict]] = {
    "gcn": [{"bias": False}],
    "graph": [{"bias": False}, {"aggr": "mean"}, {"aggr": "max"}],
    "sage": [{"normalize": True}, {"aggr": "max", "bias": False}],
    "gin": [{"train_eps": True, "eps": 0.3}, {"depth": 3}],
    "gine": [{"train_eps": True}, {"aggr": "add"}, {"aggr": "max", "depth": 1}],
    "gat": [{"heads": 2, "negative_slope": 0.1}, {"heads": 1, "bias": False}],
    "gatv2": [{"heads": 2, "share_weights": True}, {"bias": False}],
    "transformer": [{"heads": 1, "beta": True}, {"root_weight": False, "bias": False}],
    "general": [{"heads": 2, "attention_type": "dot_product"}, {"l2_normalize": True}],
    "tag": [{"K": 1}, {"K": 2, "bias": False}],
    "sg": [{"K": 1, "bias": False}],
    "appnp": [{"K": 2, "alpha": 0.5}],
    "arma": [{"num_stacks": 2, "num_layers": 2, "shared_weights": True}],
    "gen": [{"aggr": "add"}, {"aggr": "mean", "num_layers": 1}, {"learn_t": True, "bias": True}, {"aggr": "powermean"}],
    "film": [{"aggr": "max"}],
    "resgated": [{"root_weight": False, "bias": False}],
}
#: Layers of several hops, held to one.
ONE_HOP = {conv: {"K": 1} for conv in ("sg", "tag", "appnp")}
CASES = [pytest.param(conv, options, id=f"{conv}-{options}") for conv, tried in OPTIONS.items()
         for options in ({}, *tried)]


def edges_of(topology: Topology = COMPLETE, videos: int = B) -> tuple[EdgeList | Complete, EdgeList]:
    """The subgraph of vision and text as it is taken, and as a list."""
    batch = build_batch(torch.randn(videos, T, 2), torch.randn(videos, T, 2), text_nodes=R, topology=topology)
    return subgraph_edges(batch, "vt"), subgraph_edges(batch, "vt", as_list=True)


def fewer_edges() -> EdgeList:
    """Videos of different length, a node without any edge, and one edge twice."""
    batch = collate([build_video(torch.randn(t, 2), torch.randn(t, 2), text_nodes=R) for t in (4, 2, 4)])
    for source in ("visual", "text"):
        index = batch[source, "vt", "text"].edge_index
        batch[source, "vt", "text"].edge_index = index[:, index[1] != 2]
    index = batch["text", "vt", "visual"].edge_index
    batch["text", "vt", "visual"].edge_index = torch.cat((index, index[:, 4:5]), dim=1)
    return subgraph_edges(batch, "vt")


def nodes(edges: EdgeList) -> Tensor:
    return torch.randn(sum(edges.nodes), D).double()


def in_list_order(x: Tensor) -> Tensor:
    """Nodes as a list has them: all of the first modality, then all of the second."""
    return torch.cat([part.flatten(0, 1) for part in x.unflatten(0, (B, N)).split((T, R), dim=1)])


def gradients(out: Tensor, leaves: list[Tensor]) -> list[Tensor]:
    probe = torch.linspace(-1, 1, out.numel(), dtype=out.dtype).view_as(out)
    given = torch.autograd.grad((out * probe).sum(), leaves, allow_unused=True)
    return [torch.zeros_like(leaf) if one is None else one for leaf, one in zip(leaves, given, strict=True)]


@pytest.mark.parametrize(("conv", "options"), CASES)
def test_complete_graphs_and_edge_lists_agree_in_values_and_every_gradient(conv: str, options: dict):
    assert set(OPTIONS) == set(CONVS)
    layer = Convolution(D, conv, options).double()
    complete, edges = edges_of()
    x, scores = torch.randn(B * N, D).double().requires_grad_(), torch.randn(B, N, N).double().requires_grad_()
    leaves = [x, scores, *layer.parameters()]
    ours = in_list_order(layer(x, complete, scores.softmax(-1)))
    theirs = layer(in_list_order(x), edges, scores.softmax(-1)[tuple(edges.place)])
    torch.testing.assert_close(ours, theirs, rtol=1e-9, atol=1e-11)
    for one, two in zip(gradients(ours, leaves), gradients(theirs, leaves), strict=True):
        torch.testing.assert_close(one, two, rtol=1e-9, atol=1e-11)


@pytest.mark.parametrize("some", ["window", "fewer"])
@pytest.mark.parametrize(("conv", "options"), CASES)
def test_along_a_list_a_layer_equals_that_of_pyg(conv: str, options: dict, some: str):
    """Whether it takes the list as a sparse matrix, which it may where no edge comes twice, or makes messages."""
    layer = Convolution(D, conv, options).double()
    edges = fewer_edges() if some == "fewer" else edges_of(Topology("window", 1))[1]
    plain = copy.deepcopy(layer.conv)
    for part in plain.modules():
        if isinstance(part, MessagePassing) and type(part.aggr_module) is ScatterSum:
            part.aggr_module = SumAggregation()
    x, weight = nodes(edges).requires_grad_(), torch.rand(edges.index.shape[1]).double().requires_grad_()
    given = {layer.attention: weight if layer.attention == "edge_weight" else weight[:, None]}
    ours, theirs = layer(x, edges, weight), plain(x, edges.index, **given)
    torch.testing.assert_close(ours, theirs, rtol=1e-9, atol=1e-11)
    for one, two in zip(gradients(ours, [x, weight, *layer.parameters()]),
                        gradients(theirs, [x, weight, *plain.parameters()]), strict=True):
        torch.testing.assert_close(one, two, rtol=1e-9, atol=1e-11)


@pytest.mark.parametrize("complete", [True, False])
@pytest.mark.parametrize(("conv", "options"), CASES)
def test_every_layer_depends_on_the_attention(conv: str, options: dict, complete: bool):
    """An edge between two nodes is perturbed, so that a root weight of the layer has no part in it."""
    layer, taken = Convolution(D, conv, options).double(), edges_of()[0 if complete else 1]
    edges = edges_of()[1]
    x, scores = torch.randn(B * N, D).double(), torch.randn(B, N, N).double().requires_grad_()

    def run(scores: Tensor) -> Tensor:
        return layer(x, taken, scores.softmax(-1) if complete else scores.softmax(-1)[tuple(edges.place)])

    out, other = run(scores), scores.detach().clone()
    other[:, 0, 3] += 2
    assert (run(other) - out)[0].abs().max() > 1e-6
    assert torch.autograd.grad((out * torch.randn_like(out)).sum(), scores)[0].abs().amax((0, 1)).min() > 1e-9


class SortedMessages(MessagePassing):
    """Sorting a message's channels has no rule on complete blocks."""

    def forward(self, x: Tensor, edge_index: Tensor, edge_weight: Tensor) -> Tensor:
        return self.propagate(edge_index, x=x, edge_weight=edge_weight)

    def message(self, x_j: Tensor, edge_weight: Tensor) -> Tensor:
        return edge_weight.view(-1, 1) * x_j.sort(dim=-1).values


def test_a_layer_without_a_rule_falls_back_to_the_edge_list_with_a_warning(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setitem(CONVS, "mine", ConvRow(lambda dim: SortedMessages(), "edge_weight"))
    x, weight, (complete, _) = torch.randn(B * N, D), torch.rand(B, N, N), edges_of()
    with count_paths() as paths, pytest.warns(UserWarning, match="conv=mine"):
        found = Convolution(D, "mine")(x, complete, weight)
    assert paths.fallback == paths.edge_list == {"mine": 1} and not paths.complete
    torch.testing.assert_close(found, (weight @ x.sort(-1).values.unflatten(0, (B, N))).flatten(0, 1))


def test_backend_blocks_does_not_fall_back(monkeypatch: pytest.MonkeyPatch):
    x, weight, (complete, edges) = torch.randn(B * N, D), torch.rand(B, N, N), edges_of()
    with pytest.raises(ValueError, match="needs complete subgraphs"):
        Convolution(D, "gcn", {}, "blocks")(x, edges, weight.flatten())
    monkeypatch.setitem(CONVS, "mine", ConvRow(lambda dim: SortedMessages(), "edge_weight"))
    with pytest.raises(FallbackError):
        Convolution(D, "mine", {}, "blocks")(x, complete, weight)


def test_a_layer_need_not_be_a_messagepassing(monkeypatch: pytest.MonkeyPatch):
    class Mean(nn.Module):
        def forward(self, x: Tensor, edge_index: Tensor, edge_weight: Tensor) -> Tensor:
            out = torch.zeros_like(x)
            return out.index_add(0, edge_index[1], edge_weight[:, None] * x[edge_index[0]])

    monkeypatch.setitem(CONVS, "mine", ConvRow(lambda dim: Mean(), "edge_weight"))
    x, weight, (complete, edges) = torch.randn(B * N, D), torch.rand(B, N, N), edges_of()
    expected = (weight @ x.unflatten(0, (B, N))).flatten(0, 1)
    torch.testing.assert_close(Convolution(D, "mine")(x, complete, weight), expected)
    torch.testing.assert_close(Convolution(D, "mine")(in_list_order(x), edges, weight[tuple(edges.place)]),
                               in_list_order(expected))


@pytest.mark.skipif(convolution.torch_scatter is None, reason="torch_scatter is not installed")
def test_sums_are_equal_with_and_without_torch_scatter(monkeypatch: pytest.MonkeyPatch):
    messages, index = torch.randn(50, 4), torch.randint(0, 6, (50,))
    ours = ScatterSum()(messages, index, dim_size=6)
    monkeypatch.setattr(convolution, "torch_scatter", None)
    assert torch.equal(ours, ScatterSum()(messages, index, dim_size=6))


# --- A convolution for every relation ------------------------------------------------------------------


def typed(conv: str, **options: object) -> TypedConvolution:
    return TypedConvolution(lambda: Convolution(D, conv, options)).double()


def dense(edges: EdgeList, weight: Tensor) -> Tensor:
    return torch.zeros(sum(edges.nodes), sum(edges.nodes)).double().index_put(tuple(edges.index.flip(0)), weight,
                                                                             accumulate=True)


@pytest.mark.parametrize("fewer", [False, True])
def test_typed_convolutions_are_summed_over_relations(fewer: bool):
    layer, edges = typed("gcn"), fewer_edges() if fewer else edges_of(Topology("window", 1))[1]
    x, weight = nodes(edges), torch.rand(edges.index.shape[1]).double()
    a, first = dense(edges, weight), edges.nodes[0]
    places = (slice(0, first), slice(first, None))
    expected = [sum(a[places[t], places[s]] @ x[places[s]] @ layer.convs[f"{t}{s}"].conv.lin.weight.T
                    + layer.convs[f"{t}{s}"].conv.bias for s in (0, 1)) for t in (0, 1)]
    torch.testing.assert_close(layer(x, edges, weight), torch.cat(expected))


@pytest.mark.parametrize("conv", sorted(CONVS))
def test_every_relation_of_every_layer_depends_on_the_attention(conv: str):
    layer, (_, edges) = typed(conv, **ONE_HOP.get(conv, {})), edges_of()
    weight = torch.rand(edges.index.shape[1]).double().requires_grad_()
    out = layer(nodes(edges), edges, weight)
    (found,) = torch.autograd.grad((out * torch.randn_like(out)).sum(), weight)
    for relation in range(4):
        assert found[edges.relation == relation].abs().max() > 1e-9, relation


@pytest.mark.parametrize("conv", sorted(ONE_HOP))
def test_typed_layers_must_have_one_hop(conv: str):
    with pytest.raises(ValueError, match=rf"conv={conv}.*K=2"):
        typed(conv, K=2)
