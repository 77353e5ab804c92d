"""Attention with rows shared by all videos equals attention with a copy for each video."""

from __future__ import annotations

import pytest
import torch

from avsgn_pyg.model.attention import CrossAttention

WIDTH, HEADS = 32, 4
#: One side is the same for every video: so few of its rows that they are folded into the weights, and more.
SHAPES = {"few constant queries": ((10, WIDTH), (3, 7, WIDTH)), "few constant sources": ((3, 7, WIDTH), (10, WIDTH)),
          "many constant queries": ((40, WIDTH), (3, 7, WIDTH)), "many constant sources": ((3, 7, WIDTH), (40, WIDTH))}


@pytest.fixture
def attention() -> CrossAttention:
    return CrossAttention(WIDTH, HEADS, dropout=0.5).double()


@pytest.fixture(params=SHAPES)
def rows(request: pytest.FixtureRequest) -> list[torch.Tensor]:
    return [torch.randn(shape, dtype=torch.float64, requires_grad=True) for shape in SHAPES[request.param]]


def repeated(rows: list[torch.Tensor]) -> list[torch.Tensor]:
    return [part.expand(3, *part.shape[-2:]) for part in rows]


def test_constant_rows_equal_repeated_ones_in_value_and_every_gradient(attention, rows):
    attention.eval()
    inputs, outputs = [*rows, *attention.parameters()], (attention(*rows), attention(*repeated(rows)))
    torch.testing.assert_close(*outputs, rtol=1e-10, atol=1e-12)
    probe = torch.randn_like(outputs[0])
    for ours, theirs in zip(*(torch.autograd.grad(one, inputs, probe) for one in outputs), strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-10, atol=1e-12)


def test_weights_are_dropped_in_training_and_keep_their_mean(attention, rows):
    with torch.no_grad():
        expected = attention.eval()(*rows)
        attention.train()
        draws = torch.stack([attention(*rows) for _ in range(400)])
    assert not torch.equal(draws[0], draws[1])
    error = (draws.mean(0) - expected).abs() / (draws.std(0) / len(draws) ** 0.5)
    assert error.max() < 6.0
