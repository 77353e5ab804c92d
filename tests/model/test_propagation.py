"""Two roads, one layer: blocks and PyG's own message passing over real edges agree in values and gradients."""

from __future__ import annotations

import copy
import pickle
from collections.abc import Iterator

import pytest
import torch
from torch import Tensor, nn
from torch_geometric.nn import MessagePassing, SumAggregation

from avsgn_pyg.blocks import FallbackError, count_paths
from avsgn_pyg.graph import topology
from avsgn_pyg.graph.topology import Layout, SparseAdjacency, Window, batch_edges
from avsgn_pyg.model import propagation
from avsgn_pyg.model.convs import CONVS, ConvRow
from avsgn_pyg.model.propagation import Propagation, ScatterSum

B, N, D = 3, 7, 8

#: Options beside the defaults, which every row is tried with.
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
#: Rows whose message is no product of an edge's number and its source: they run on broadcast blocks.
WITHOUT_PRODUCTS = {"film", "gatv2", "gen", "gine", "resgated"}
#: Rows that add up weighted sources: along sparse edges they make no messages.
SUMMED = {"gcn", "graph", "sage", "gin", "tag", "sg", "appnp", "arma"}
CASES = [pytest.param(conv, options, id=f"{conv}-{options}") for conv, tried in OPTIONS.items()
         for options in ({}, *tried)]


def both_roads(conv: str, options: dict) -> tuple[Propagation, Propagation]:
    blocks = Propagation(D, conv, options, "blocks").double()
    native = Propagation(D, conv, options, "native").double()
    native.load_state_dict(blocks.state_dict())
    return blocks, native


def run(road: nn.Module, x: Tensor, scores: Tensor, *given: object) -> list[Tensor]:
    """The answer, then the gradients of input, scores and every parameter."""
    x, scores = x.clone().requires_grad_(), scores.clone().requires_grad_()
    out = road(x, scores.softmax(-1), *given)
    probe = torch.linspace(-1, 1, out.numel(), dtype=out.dtype).view_as(out)
    parts = torch.autograd.grad((out * probe).sum(), [x, scores, *road.parameters()], allow_unused=True)
    return [out, *(part for part in parts if part is not None)]


@pytest.mark.parametrize(("conv", "options"), CASES)
def test_blocks_and_native_agree_in_values_and_every_gradient(conv: str, options: dict):
    x, scores = torch.randn(B, N, D).double(), torch.randn(B, N, N).double()
    blocks, native = both_roads(conv, options)
    ours, theirs = run(blocks, x, scores), run(native, x, scores)
    assert len(ours) == len(theirs) > 3
    for one, two in zip(ours, theirs, strict=True):
        torch.testing.assert_close(one, two, rtol=1e-9, atol=1e-11)


def test_every_row_of_the_table_is_compared_and_there_are_enough():
    assert set(OPTIONS) == set(CONVS) and len(CONVS) >= 12


@pytest.mark.parametrize("backend", ["blocks", "native"])
@pytest.mark.parametrize(("conv", "options"), CASES)
def test_every_layer_hears_the_attention(conv: str, options: dict, backend: str):
    """The source is perturbed off the diagonal only, so that a layer's own root weight cannot answer for it."""
    layer = Propagation(D, conv, options, backend).double()
    x, scores = torch.randn(B, N, D).double(), torch.randn(B, N, N).double().requires_grad_()
    out = layer(x, scores.softmax(-1))
    louder = scores.detach().clone()
    louder[:, 0, 3] += 2
    assert (layer(x, louder.softmax(-1)) - out)[:, 0].abs().max() > 1e-6
    probe = torch.randn_like(out)
    assert torch.autograd.grad((out * probe).sum(), scores)[0].abs().amax((0, 1)).min() > 1e-9


@pytest.mark.parametrize(("conv", "options"), CASES)
def test_a_video_is_not_touched_by_the_others_of_its_batch(conv: str, options: dict):
    layer = Propagation(D, conv, options).double()
    x, adjacency = torch.randn(B, N, D).double(), torch.randn(B, N, N).double().softmax(-1)
    torch.testing.assert_close(layer(x, adjacency)[1:2], layer(x[1:2], adjacency[1:2]), rtol=1e-9, atol=1e-11)


@pytest.mark.parametrize("masked", [False, True])
@pytest.mark.parametrize(("conv", "options"), CASES)
def test_blocks_fall_back_nowhere(conv: str, options: dict, masked: bool):
    layer = Propagation(D, conv, options, "auto")
    x, scores = torch.randn(B, N, D), torch.randn(B, N, N)
    real = torch.arange(N) < torch.tensor([N, 4, 1])[:, None]
    with count_paths(strict=True) as paths:
        layer(x, scores.softmax(-1), Layout((4, N - 4), real=real if masked else None))
    assert not sum(paths.fallback.values()), paths.fallback
    written_out = conv in WITHOUT_PRODUCTS or {"max", "dot_product"} & {*map(str, options.values())}
    assert written_out or sum(paths.matmul.values())


class Ranked(MessagePassing):
    """Sorting a message's channels has no rule on blocks."""

    def forward(self, x: Tensor, edge_index: Tensor, edge_weight: Tensor) -> Tensor:
        return self.propagate(edge_index, x=x, edge_weight=edge_weight)

    def message(self, x_j: Tensor, edge_weight: Tensor) -> Tensor:
        return edge_weight.view(-1, 1) * x_j.sort(dim=-1).values


def test_where_blocks_refuse_a_layer_auto_takes_real_edges_and_says_so(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setitem(CONVS, "mine", ConvRow(lambda dim: Ranked(), "edge_weight"))
    x, adjacency = torch.randn(2, N, D), torch.rand(2, N, N)
    layout = Layout((4, N - 4), real=torch.arange(N) < torch.tensor([[N], [4]]))
    with count_paths() as paths:
        found = Propagation(D, "mine", {}, "auto")(x, adjacency, layout)
    assert paths.fallback["mine on real edges"] == 1
    torch.testing.assert_close(found, (adjacency * layout.kept) @ x.sort(-1).values)
    with pytest.raises(FallbackError, match="leave out"):
        Propagation(D, "mine", {}, "blocks")(x, adjacency, layout)
    with count_paths(strict=True), pytest.raises(FallbackError):
        Propagation(D, "mine", {}, "auto")(x, adjacency, layout)


@pytest.mark.parametrize("conv", sorted(CONVS))
@pytest.mark.parametrize("backend", ["blocks", "native"])
def test_rows_that_only_fill_up_are_never_a_source(conv: str, backend: str):
    """The padded layer answers as the layer on the real nodes alone, in values and gradients."""
    layer = Propagation(D, conv, {}, backend).double()
    real = torch.ones(B, N, dtype=torch.bool)
    real[1, 4:] = False
    x, scores = torch.randn(B, N, D).double(), torch.randn(B, N, N).double()
    padded = scores.masked_fill(~real[:, None], -torch.inf).softmax(-1)
    short = layer(x[1:2, :4], scores[1:2, :4, :4].softmax(-1))
    fuller = x.clone()
    fuller[1, 4:] = 100.0
    fuller.requires_grad_()
    out = layer(fuller, padded, Layout((3, 4), real=real))
    torch.testing.assert_close(out[1:2, :4], short, rtol=1e-9, atol=1e-11)
    gradient = torch.autograd.grad(out[real].square().sum(), fuller)[0]
    assert not gradient[1, 4:].any() and gradient[1, :4].any()


@pytest.mark.parametrize("conv", sorted(CONVS))
def test_messages_made_again_in_the_backward_pass_are_the_same(conv: str, monkeypatch: pytest.MonkeyPatch):
    layer = Propagation(D, conv, {}, "native").double()
    x, scores = torch.randn(B, N, D).double(), torch.randn(B, N, N).double()
    kept = run(layer, x, scores)
    monkeypatch.setattr(propagation, "REMAKE_ABOVE", 0)
    for one, two in zip(kept, run(layer, x, scores), strict=True):
        torch.testing.assert_close(one, two, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize(("conv", "options"), CASES)
def test_targets_taken_some_at_a_time_answer_the_same(conv: str, options: dict, monkeypatch: pytest.MonkeyPatch):
    layer = Propagation(D, conv, options, "native").double()
    x, scores = torch.randn(B, N, D).double(), torch.randn(B, N, N).double()
    layout = Layout((4, N - 4), real=torch.arange(N) < torch.tensor([N, 4, 1])[:, None])  # some targets have no edge
    kept = run(layer, x, scores, layout)
    monkeypatch.setattr(propagation, "REMAKE_ABOVE", 0)
    for pieces in (2, 5):
        monkeypatch.setattr(propagation, "PIECE", 66 * D * 8 // pieces)
        for one, two in zip(kept, run(layer, x, scores, layout), strict=True):
            torch.testing.assert_close(one, two, rtol=1e-9, atol=1e-12)
    assert layer.local == (conv not in ("tag", "sg", "appnp", "arma"))


@pytest.mark.parametrize(("conv", "options"), CASES)
def test_sums_along_sparse_edges_are_those_of_real_messages(conv: str, options: dict):
    layer = Propagation(D, conv, options, "native").double()
    x, scores = torch.randn(B, N, D).double(), torch.randn(B, N, N).double()
    layout = Layout((4, N - 4), real=torch.arange(N) < torch.tensor([N, 4, 1])[:, None])  # some targets have no edge

    class Sparse(nn.Module):
        def parameters(self, recurse: bool = True) -> Iterator[nn.Parameter]:
            return layer.parameters(recurse)

        def forward(self, x: Tensor, weights: Tensor) -> Tensor:
            return layer(x, SparseAdjacency.of(weights, layout.kept))

    for one, two in zip(run(layer, x, scores, layout), run(Sparse(), x, scores), strict=True):
        torch.testing.assert_close(one, two, rtol=1e-9, atol=1e-12)
    assert layer.summed == (conv in SUMMED and options.get("aggr") not in ("mean", "max"))


@pytest.mark.parametrize("conv", sorted(SUMMED))
def test_sums_along_sparse_edges_make_no_message(conv: str, monkeypatch: pytest.MonkeyPatch):
    layer = Propagation(D, conv, {}, "native")
    edges = SparseAdjacency.of(torch.rand(B, N, N).requires_grad_())
    monkeypatch.setattr(type(next(layer.conv.modules())), "message", None)
    layer(torch.randn(B, N, D), edges).sum().backward()
    with pytest.raises(TypeError):
        layer(torch.randn(B, N, D), torch.rand(B, N, N))


def test_a_copy_sums_with_its_own_weights():
    layer = Propagation(D, "gcn", {}, "native")
    for other in (copy.deepcopy(layer), pickle.loads(pickle.dumps(layer))):
        assert other.conv.propagate.layer is other.conv
        other.conv.lin.weight.data.zero_()
        answer = other(torch.randn(B, N, D), SparseAdjacency.of(torch.rand(B, N, N)))
        assert not answer.any() and layer.conv.lin.weight.any()


def test_only_the_road_of_real_edges_is_changed():
    assert "propagate" not in vars(Propagation(D, "gcn", {}, "auto").conv)
    assert not Propagation(D, "gcn", {}, "auto").summed


def test_a_piece_is_given_its_own_nodes_alone(monkeypatch: pytest.MonkeyPatch):
    """Else what a layer does to every node is done once a piece, and time grows with the square of the length."""
    layer, seconds, given = Propagation(D, "gat", {}, "native"), 400, []
    index = batch_edges(Window(2), Layout((seconds, seconds)), 1, torch.device("cpu"))
    monkeypatch.setattr(propagation, "REMAKE_ABOVE", 0)
    monkeypatch.setattr(propagation, "PIECE", -(-index.shape[1] * D * 4 // 20))
    layer.conv.register_forward_pre_hook(lambda _, taken: given.append(len(taken[0])))
    with torch.no_grad():
        layer(torch.randn(1, 2 * seconds, D), SparseAdjacency(index, torch.rand(index.shape[1])))
    assert len(given) == 20 and max(given) <= 2 * (2 * seconds / 20 + 2 * 2 + 1)


def test_statistics_over_all_nodes_keep_them_together():
    assert not Propagation(D, "gen", {"norm": "batch"}).local


def test_forced_blocks_refuse_sparse_edges():
    with pytest.raises(ValueError, match="backend=blocks runs matrices, and a sparse adjacency came"):
        Propagation(D, "gat", {}, "blocks")(torch.randn(B, N, D), SparseAdjacency.of(torch.rand(B, N, N)))


def test_attention_weighs_the_message_into_its_row():
    layer = Propagation(D, "gcn", {"bias": False}, "native").double()
    x, adjacency = torch.randn(1, N, D).double(), torch.zeros(1, N, N).double()
    adjacency[0, 2, 5] = 1  # into 2 from 5
    out = layer(x, adjacency)[0]
    torch.testing.assert_close(out[2], x[0, 5] @ layer.conv.lin.weight.T)
    assert out.abs().sum(-1).count_nonzero() == 1


@pytest.mark.parametrize("conv", sorted(CONVS))
def test_edges_first_made_under_inference_mode_serve_a_later_backward(conv: str):
    topology._complete.cache_clear()
    layer = Propagation(D, conv, {}, "native")
    x, adjacency = torch.randn(B, N, D), torch.rand(B, N, N).requires_grad_()
    with torch.inference_mode():
        expected = layer(x, adjacency)
    out = layer(x, adjacency)
    out.square().sum().backward()
    assert torch.equal(out, expected) and adjacency.grad.any()


@pytest.mark.parametrize("backend", ["blocks", "native"])
@pytest.mark.parametrize("conv", ["gat", "gatv2", "transformer", "appnp", "arma"])
def test_a_layer_s_own_dropout_is_off_in_evaluation(conv: str, backend: str):
    layer = Propagation(D, conv, {"dropout": 0.5}, backend).eval()
    x, adjacency = torch.randn(B, N, D), torch.rand(B, N, N)
    assert torch.equal(layer(x, adjacency), layer(x, adjacency))
    layer.train()
    assert not torch.equal(layer(x, adjacency), layer(x, adjacency))


@pytest.mark.skipif(propagation.torch_scatter is None, reason="torch_scatter is not installed")
def test_sums_are_equal_with_and_without_torch_scatter(monkeypatch: pytest.MonkeyPatch):
    messages, index = torch.randn(50, 4), torch.randint(0, 6, (50,))
    ours = ScatterSum()(messages, index, dim_size=6)
    monkeypatch.setattr(propagation, "torch_scatter", None)
    assert torch.equal(ours, ScatterSum()(messages, index, dim_size=6))


def test_native_sums_go_to_torch_scatter_and_blocks_keep_pyg_s():
    assert type(Propagation(D, "gcn", {}, "native").conv.aggr_module) is ScatterSum
    assert type(Propagation(D, "gcn", {}, "blocks").conv.aggr_module) is SumAggregation


def test_a_layer_that_is_no_messagepassing_runs_too(monkeypatch: pytest.MonkeyPatch):
    class Mean(nn.Module):
        def forward(self, x: Tensor, edge_index: Tensor, edge_weight: Tensor) -> Tensor:
            out = torch.zeros_like(x)
            return out.index_add(0, edge_index[1], edge_weight[:, None] * x[edge_index[0]])

    monkeypatch.setitem(CONVS, "mine", ConvRow(lambda dim: Mean(), "edge_weight"))
    x, adjacency = torch.randn(B, N, D), torch.rand(B, N, N)
    for backend in ("auto", "native"):
        torch.testing.assert_close(Propagation(D, "mine", {}, backend)(x, adjacency), adjacency @ x)


def test_a_road_that_does_not_exist_is_refused_by_name():
    with pytest.raises(ValueError, match="backend='dense'; choose one of"):
        Propagation(D, backend="dense")
