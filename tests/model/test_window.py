"""Attention in a window equals attention with a band mask; padding has no weight."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F

from avsgn_pyg.layers.time import RelativeTime
from avsgn_pyg.model.attention import CrossAttention
from avsgn_pyg.model.window import LEAST, block_offsets, windowed_attention

B, H, E = 2, 3, 4


@pytest.fixture(autouse=True)
def _float64():
    torch.set_default_dtype(torch.float64)
    yield
    torch.set_default_dtype(torch.float32)


@pytest.mark.parametrize("padded", [False, True])
@pytest.mark.parametrize("timed", [False, True])
@pytest.mark.parametrize(("seconds", "reach"), [(5, 2), (LEAST, 3), (LEAST + 1, 3), (100, 1), (100, 40), (7, 10**6)])
def test_a_window_equals_a_mask_in_values_and_every_gradient(seconds: int, reach: int, timed: bool, padded: bool):
    query, key, value = (torch.randn(B, H, seconds, E, requires_grad=True) for _ in range(3))
    time = RelativeTime(H, slope=0.3)
    present = torch.ones(B, seconds, dtype=torch.bool)
    present[1, 3:] = not padded
    offset = torch.arange(seconds) - torch.arange(seconds)[:, None]
    near = offset.abs() <= reach
    mask = (near & present[:, None, None]) | (offset == 0)
    scores = time(offset) if timed else torch.zeros(H, seconds, seconds)
    expected = F.scaled_dot_product_attention(query, key, value, attn_mask=scores.where(mask, -torch.inf))
    found = windowed_attention(query, key, value, reach, mask=present if padded else None,
                               bias=time(block_offsets(reach, seconds)) if timed else None)
    kept = present[:, None, :, None]
    torch.testing.assert_close(found * kept, expected * kept)
    probe, inputs = torch.randn_like(found) * kept, [query, key, value, *([time.score] if timed else [])]
    for ours, theirs in zip(torch.autograd.grad((found * probe).sum(), inputs),
                            torch.autograd.grad((expected * probe).sum(), inputs), strict=True):
        torch.testing.assert_close(ours, theirs)
    assert found.isfinite().all()


def test_dropout_is_off_in_evaluation():
    attention = CrossAttention(8, 2, 0.5, window=2)
    query, source = torch.randn(B, 40, 8), torch.randn(B, 40, 8)
    assert not torch.equal(attention(query, source), attention(query, source))
    attention.eval()
    assert torch.equal(attention(query, source), attention(query, source))
