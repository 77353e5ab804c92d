"""CMRAN's attention on regions; tests/baselines/test_cmbs.py writes all blocks out on vectors."""

from __future__ import annotations

import pytest
import torch

from avsgn_pyg.baselines.relation import ChannelAttention, Interaction, Relation

D = 8


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


@pytest.mark.parametrize("make", [lambda: Relation(6, 4, 8), lambda: Interaction(6, heads=4, attention_dropout=0.1)])
def test_heads_must_divide_the_width(make):
    with pytest.raises(ValueError, match="dim=6 is not a multiple of heads=4"):
        make()
