"""Two roads, one layer: the dense form and PyG's own message passing agree in values and gradients."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from avsgn_pyg.model import propagation
from avsgn_pyg.model.propagation import CONVS, Propagation, ScatterSum, complete_edges

B, N, D = 3, 7, 8

CASES = [("gcn", {}), ("gcn", {"bias": False}), ("graph", {}), ("graph", {"bias": False}), ("gat", {}),
         ("gat", {"heads": 2, "negative_slope": 0.1}), ("gat", {"heads": 1, "bias": False})]


def both_roads(conv: str, options: dict) -> tuple[Propagation, Propagation]:
    dense = Propagation(D, conv, options, "dense").double()
    native = Propagation(D, conv, options, "native").double()
    native.load_state_dict(dense.state_dict())
    return dense, native


def run(road: Propagation, x: Tensor, scores: Tensor) -> list[Tensor]:
    """The answer, then the gradients of input, scores and every parameter."""
    x, scores = x.clone().requires_grad_(), scores.clone().requires_grad_()
    out = road(x, scores.softmax(-1))
    probe = torch.linspace(-1, 1, out.numel(), dtype=out.dtype).view_as(out)
    return [out, *torch.autograd.grad((out * probe).sum(), [x, scores, *road.parameters()])]


@pytest.mark.parametrize(("conv", "options"), CASES)
def test_dense_and_native_agree_in_values_and_every_gradient(conv: str, options: dict):
    x, scores = torch.randn(B, N, D).double(), torch.randn(B, N, N).double()
    dense, native = both_roads(conv, options)
    for one, two in zip(run(dense, x, scores), run(native, x, scores), strict=True):
        torch.testing.assert_close(one, two, rtol=1e-9, atol=1e-12)


def test_every_row_of_the_table_is_compared():
    assert {conv for conv, _ in CASES} == set(CONVS)


@pytest.mark.parametrize("backend", ["dense", "native"])
@pytest.mark.parametrize("conv", sorted(CONVS))
def test_every_layer_hears_the_attention(conv: str, backend: str):
    """The source is perturbed off the diagonal only, so that a layer's own root weight cannot answer for it."""
    layer = Propagation(D, conv, {}, backend).double()
    x, scores = torch.randn(B, N, D).double(), torch.randn(B, N, N).double().requires_grad_()
    out = layer(x, scores.softmax(-1))
    louder = scores.detach().clone()
    louder[:, 0, 3] += 2
    assert (layer(x, louder.softmax(-1)) - out)[:, 0].abs().max() > 1e-6
    assert torch.autograd.grad(out.square().sum(), scores)[0].abs().min(0).values.max() > 0


def test_attention_weighs_the_message_into_its_row():
    layer = Propagation(D, "gcn", {"bias": False}, "native").double()
    x, adjacency = torch.randn(1, N, D).double(), torch.zeros(1, N, N).double()
    adjacency[0, 2, 5] = 1  # into 2 from 5
    out = layer(x, adjacency)[0]
    torch.testing.assert_close(out[2], x[0, 5] @ layer.conv.lin.weight.T)
    assert out.abs().sum(-1).count_nonzero() == 1


def test_edges_are_complete_and_stay_within_their_graph():
    edges = complete_edges(2, 3, torch.device("cpu"))
    assert edges.shape == (2, 2 * 9) and len({tuple(edge) for edge in edges.T.tolist()}) == 18
    assert torch.equal(edges[0] // 3, edges[1] // 3) and torch.equal(edges[1], edges[1].sort().values)


@pytest.mark.parametrize("conv", sorted(CONVS))
def test_edges_first_made_under_inference_mode_serve_a_later_backward(conv: str):
    complete_edges.cache_clear()
    layer = Propagation(D, conv, {}, "native")
    x, adjacency = torch.randn(B, N, D), torch.rand(B, N, N).requires_grad_()
    with torch.inference_mode():
        expected = layer(x, adjacency)
    out = layer(x, adjacency)
    out.square().sum().backward()
    assert torch.equal(out, expected) and adjacency.grad.any()


def test_dropout_of_gat_is_off_in_evaluation():
    layer = Propagation(D, "gat", {"dropout": 0.5}, "dense").eval()
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


def test_a_layer_of_your_own_is_one_row(monkeypatch: pytest.MonkeyPatch):
    class Mean(nn.Module):
        def forward(self, x: Tensor, edge_index: Tensor, edge_weight: Tensor) -> Tensor:
            out = torch.zeros_like(x)
            return out.index_add(0, edge_index[1], edge_weight[:, None] * x[edge_index[0]])

    monkeypatch.setitem(CONVS, "mine", propagation.ConvRow(lambda dim: Mean(), "edge_weight", None))
    x, adjacency = torch.randn(B, N, D), torch.rand(B, N, N)
    torch.testing.assert_close(Propagation(D, "mine")(x, adjacency), adjacency @ x)
    with pytest.raises(ValueError, match="no dense form"):
        Propagation(D, "mine", backend="dense")


@pytest.mark.parametrize(("conv", "options", "words"), [
    ("gnc", {}, "choose one of"), ("gcn", {"heads": 2}, "no option 'heads'"), ("gat", {"heads": 3}, "not a multiple"),
    ("gat", {"heads": True}, "heads=True must be a whole number"), ("gat", {"dropout": 1}, r"dropout=1 .*\[0, 1\)"),
])
def test_what_cannot_be_built_is_refused_by_name(conv: str, options: dict, words: str):
    with pytest.raises(ValueError, match=words):
        Propagation(D, conv, options)
