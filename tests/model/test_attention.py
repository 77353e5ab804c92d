"""Attention whose constant rows are folded into the weights says what the plain road says."""

from __future__ import annotations

import pytest
import torch

from avsgn_pyg.model.attention import CrossAttention

WIDTH, HEADS = 32, 4
#: One side is the same for every video. (HEADS - 1) * 10 < WIDTH, so that the folded road is taken.
SHAPES = {"constant query": ((10, WIDTH), (3, 7, WIDTH)), "constant source": ((3, 7, WIDTH), (10, WIDTH))}


@pytest.fixture
def attention() -> CrossAttention:
    return CrossAttention(WIDTH, HEADS, dropout=0.5).double()


@pytest.fixture(params=SHAPES)
def rows(request: pytest.FixtureRequest) -> list[torch.Tensor]:
    return [torch.randn(shape, dtype=torch.float64, requires_grad=True) for shape in SHAPES[request.param]]


def refuse(*_: object) -> None:
    raise AssertionError("the plain road was taken")


def test_folded_attention_equals_plain_in_value_and_every_gradient(attention, rows, monkeypatch):
    attention.eval()
    inputs = [*rows, *attention.parameters()]
    plain = attention.plain(*rows)
    weight = torch.randn_like(plain)
    expected = torch.autograd.grad((plain * weight).sum(), inputs)
    monkeypatch.setattr(attention, "plain", refuse)
    folded = attention(*rows)
    torch.testing.assert_close(folded, plain, rtol=1e-10, atol=1e-12)
    for ours, theirs in zip(torch.autograd.grad((folded * weight).sum(), inputs), expected, strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-10, atol=1e-12)


def test_folded_attention_drops_weights_in_training_and_keeps_their_mean(attention, rows):
    with torch.no_grad():
        expected = attention.eval()(*rows)
        attention.train()
        draws = torch.stack([attention(*rows) for _ in range(600)])
    assert not torch.equal(draws[0], draws[1])
    error = (draws.mean(0) - expected).abs() / (draws.std(0) / len(draws) ** 0.5)
    assert error.max() < 6.0


@pytest.mark.parametrize("query_rows", [11, 40])
def test_many_constant_rows_take_the_plain_road(attention, query_rows, monkeypatch):
    monkeypatch.setattr(attention, "plain", refuse)
    with pytest.raises(AssertionError, match="plain road"):
        attention(torch.randn(query_rows, WIDTH).double(), torch.randn(3, 7, WIDTH).double())
