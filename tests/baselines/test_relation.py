"""CMRAN's attention: each block equals its formula."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor, nn

from avsgn_pyg.baselines.relation import (
    ChannelAttention,
    CrossModalRelation,
    Interaction,
    LocalizationHeads,
    Relation,
    TemporalRelation,
)

D = 8


def attend(layer: nn.MultiheadAttention, rows: Tensor, memory: Tensor) -> Tensor:
    """Multi-head attention head by head."""
    weights, biases = layer.in_proj_weight.chunk(3), layer.in_proj_bias.chunk(3)
    q, k, v = (x @ w.T + b for x, w, b in zip((rows, memory, memory), weights, biases, strict=True))
    width, found = D // layer.num_heads, []
    for head in range(layer.num_heads):
        own = slice(head * width, (head + 1) * width)
        share = (q[..., own] @ k[..., own].mT / math.sqrt(width)).softmax(-1)
        found.append(share @ v[..., own])
    return torch.cat(found, -1) @ layer.out_proj.weight.T + layer.out_proj.bias


def block(layer: Relation, rows: Tensor, memory: Tensor) -> Tensor:
    rows = layer.after_attention(rows + attend(layer.attention, rows, memory))
    first, _, _, last = layer.feed_forward
    return layer.after_feed_forward(rows + last(first(rows).relu()))


def test_a_relation_is_attention_and_a_feed_forward_layer_with_residuals():
    layer = Relation(D, 2, 16).eval()
    rows, memory = torch.randn(2, 3, D), torch.randn(2, 5, D)
    assert torch.allclose(layer(rows, memory), block(layer, rows, memory), atol=1e-5)


def test_temporal_relation_is_self_attention():
    layer = TemporalRelation(5, D, heads=2, hidden=16).eval()
    rows = torch.randn(2, 3, 5)
    expected = layer.enter(rows)
    for one in layer.layers:
        expected = block(one, expected, expected)
    assert torch.allclose(layer(rows), expected, atol=1e-5) and len(layer.layers) == 2


def test_cross_modal_relation_has_keys_of_both_modalities():
    layer = CrossModalRelation(5, D, heads=2, hidden=16).eval()
    rows, other = torch.randn(2, 3, 5), torch.randn(2, 3, D)
    own = layer.enter(rows)
    assert torch.allclose(layer(rows, other), block(layer.layer, own, torch.cat((other, own), 1)), atol=1e-5)


def test_the_query_of_an_interaction_is_the_product_of_both():
    layer = Interaction(D, heads=2, attention_dropout=0.1).eval()
    one, two = torch.randn(2, 3, D), torch.randn(2, 3, D)
    expected = layer.norm(one * two + attend(layer.attention, one * two, torch.cat((two, one), 1)))
    assert torch.allclose(layer(one, two), expected, atol=1e-5)


@pytest.mark.parametrize("regions", [1, 4])
def test_channel_attention_weighs_visual_channels_by_audio(regions: int):
    layer = ChannelAttention(4, D, bottleneck=5)
    audio = torch.randn(2, 3, 4)
    compared, visual = torch.randn(2, 3, regions, D), torch.randn(2, 3, regions, D)
    first, _, second, _ = layer.weigh
    similarity = sum(layer.ask_audio(audio).relu() * layer.ask_visual(compared[:, :, r]).relu() for r in range(regions))
    weight = second(first(similarity / regions).relu()).sigmoid()
    for r in range(regions):
        expected = visual[:, :, r] + weight * visual[:, :, r]
        assert torch.allclose(layer(audio, compared, visual)[:, :, r], expected, atol=1e-6)


def test_the_class_uses_the_maximum_over_time():
    heads = LocalizationHeads(D, 3)
    fused = torch.randn(2, 4, D)
    category, relevance = heads(fused)
    assert torch.allclose(category, heads.category(fused.max(1).values))
    assert torch.allclose(relevance, heads.relevance(fused)[..., 0])


@pytest.mark.parametrize("make", [lambda: Relation(6, 4, 8), lambda: Interaction(6, heads=4, attention_dropout=0.1)])
def test_heads_must_divide_the_width(make):
    with pytest.raises(ValueError, match="dim=6 is not a multiple of heads=4"):
        make()
