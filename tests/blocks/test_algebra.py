"""Sums over products of broadcast blocks equal sums over the written out product."""

from __future__ import annotations

import itertools

import pytest
import torch
from torch import Tensor

from avsgn_pyg.blocks import algebra, count_paths

B, N = 2, 3
#: Shapes of factors over graphs, targets and sources: one for all, per source, per target, per edge.
SPANS = {"all": (1, 1, 1), "source": (B, 1, N), "target": (B, N, 1), "edge": (B, N, N)}


def product(term: tuple[Tensor, ...], trail: tuple[int, ...]) -> Tensor:
    total = torch.ones(B, N, N, *trail, dtype=torch.double)
    for block in term:
        total = total * block
    return total


def factor(span: str, *trail: int) -> Tensor:
    return torch.randn(*SPANS[span], *trail, dtype=torch.double)


@pytest.mark.parametrize("axis", [algebra.TARGET, algebra.SOURCE])
@pytest.mark.parametrize("trails", [((), ()), ((1,), (4,)), ((4,), (4,)), ((2, 1), (2, 4)), ((1, 4), (2, 4)),
                                    ((2, 1), (1, 4)), ((1, 1), (2, 20))])
def test_a_sum_over_nodes_is_that_of_the_product(axis: int, trails: tuple):
    trail = torch.broadcast_shapes(*trails)
    for spans in itertools.product(SPANS, SPANS, ("all", "edge")):
        term = (*(factor(span, *own) for span, own in zip(spans[:2], trails, strict=True)),
                factor(spans[2], *[1] * len(trail)))
        ours = algebra.sum_over_nodes(term, axis, N)
        wanted = product(term, trail).sum(axis, keepdim=True)
        torch.testing.assert_close(ours.expand(wanted.shape), wanted)


@pytest.mark.parametrize("trails", [((4,), (4,)), ((1,), (4,)), ((2, 4), (2, 4)), ((2, 4), (1, 4)), ((1,), (1,))])
def test_a_sum_over_channels_is_that_of_the_product(trails: tuple):
    trail = torch.broadcast_shapes(*trails)
    for spans in itertools.product(SPANS, SPANS):
        term = tuple(factor(span, *own) for span, own in zip(spans, trails, strict=True))
        ours = algebra.sum_over_channels(term)
        if ours is not None:
            wanted = product(term, trail).sum(-1, keepdim=True)
            torch.testing.assert_close(product(ours, (*trail[:-1], 1)), wanted)


@pytest.mark.parametrize("channels", [1, 4, 40])
def test_a_sum_of_products_can_be_written_out(channels: int):
    terms = ((factor("edge", 1), factor("source", channels)), (factor("target", channels),), (factor("all", 1),))
    wanted = sum(product(term, (channels,)) for term in terms)
    torch.testing.assert_close(algebra.write_out(terms, "test").expand(wanted.shape), wanted)


def test_a_weighted_sum_and_a_score_are_matrix_products():
    with count_paths() as paths:
        algebra.sum_over_nodes((factor("edge", 1), factor("source", 4)), algebra.SOURCE, N)
        algebra.sum_over_channels((factor("target", 4), factor("source", 4)))
    assert paths.matmul == {"sum": 1, "score": 1} and not paths.broadcast
