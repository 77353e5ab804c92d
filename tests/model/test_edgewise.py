"""Scores and sums along edges: each is the other's gradient, by kernels and a block of edges at a time."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from avsgn_pyg.model import edgewise
from avsgn_pyg.model.edgewise import edge_scores, weighted_sum

M, D = 4, 3
#: Sorted by target; node 2 hears nothing, node 0 hears itself, sources are in no order.
EDGES = torch.tensor([[3, 0, 1, 1, 2, 0], [0, 0, 1, 3, 3, 3]])


@pytest.fixture(params=["kernels", "blocks of edges"])
def road(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.setattr(edgewise, "CHUNK", 2 * D)
    monkeypatch.setattr(edgewise, "_has_kernels", lambda rows: request.param == "kernels")
    return request.param


def rows(*shape: int) -> Tensor:
    return torch.randn(*shape, dtype=torch.float64, requires_grad=True)


def test_scores_are_products_of_an_edge_s_ends(road: str):
    asked, told = rows(M, D), rows(M, D)
    expected = torch.stack([asked[i] @ told[j] for j, i in EDGES.T])
    torch.testing.assert_close(edge_scores(asked, told, EDGES), expected)


def test_sums_are_products_with_the_matrix_of_the_edges(road: str):
    x, weight = rows(M, D), rows(6)
    matrix = torch.zeros(M, M, dtype=torch.float64).index_put((EDGES[1], EDGES[0]), weight)
    torch.testing.assert_close(weighted_sum(x, weight, EDGES), matrix @ x)


@pytest.mark.parametrize("check", [torch.autograd.gradcheck, torch.autograd.gradgradcheck])
def test_gradients_and_theirs_are_right(road: str, check: Callable[..., bool]):
    assert check(lambda one, two: edge_scores(one, two, EDGES), (rows(M, D), rows(M, D)))
    assert check(lambda x, weight: weighted_sum(x, weight, EDGES), (rows(M, D), rows(6)))


def test_without_edges_nothing_is_heard(road: str):
    x, weight, none = rows(M, D), rows(0), torch.empty(2, 0, dtype=torch.int64)
    answer = weighted_sum(x, weight, none)
    (answer.sum() + edge_scores(x, x, none).sum()).backward()
    assert answer.shape == (M, D) and not answer.any() and not x.grad.any() and weight.grad.shape == (0,)


def test_only_what_is_learned_gets_a_gradient(road: str):
    x, weight = rows(M, D), rows(6)
    assert weighted_sum(x.detach(), weight, EDGES).sum().backward() is None and weight.grad is not None
    edge_scores(x, rows(M, D).detach(), EDGES).sum().backward()
    assert x.grad is not None


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32])
def test_coarse_rows_meet_finer_weights_as_in_a_message(dtype: torch.dtype):
    x, weight = torch.randn(M, D).to(dtype), torch.rand(6)
    found = weighted_sum(x, weight, EDGES)
    assert found.dtype == torch.float32
    expected = torch.zeros(M, D).index_add(0, EDGES[1], weight[:, None] * x[EDGES[0]])
    torch.testing.assert_close(found, expected)
    assert weighted_sum(x, weight.to(dtype), EDGES).dtype == dtype


def test_nothing_is_said_about_beta():
    say = ("import torch; from avsgn_pyg.model.edgewise import weighted_sum; "
           "weighted_sum(torch.ones(1, 1), torch.ones(1), torch.zeros(2, 1, dtype=torch.int64))")
    told = subprocess.run([sys.executable, "-W", "error::UserWarning", "-c", say], capture_output=True, text=True)
    assert told.returncode == 0, told.stderr


def test_functional_gradients_pass():
    x, weight, index = torch.randn(3, 2), torch.rand(4), torch.tensor([[0, 1, 2, 0], [0, 0, 1, 2]])
    of_x = torch.func.grad(lambda rows: weighted_sum(rows, weight, index).sum())(x)
    of_asked = torch.func.grad(lambda rows: edge_scores(rows, x, index).sum())(x)
    leaf = x.clone().requires_grad_()
    assert torch.allclose(of_x, torch.autograd.grad(weighted_sum(leaf, weight, index).sum(), leaf)[0])
    assert torch.allclose(of_asked, torch.autograd.grad(edge_scores(leaf, x, index).sum(), leaf)[0])
