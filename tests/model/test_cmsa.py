"""CMSA: order of seconds, and windows; tests/model/test_section3.py has the equations."""

from __future__ import annotations

import math

import pytest
import torch

from avsgn_pyg.model.cmsa import CMSA, Streams

B, T, R, D = 2, 5, 9, 8


def test_with_text_per_class_the_output_follows_the_order_of_seconds():
    module = CMSA(D, 4, text_queries=False).eval()
    streams, order = Streams(torch.randn(B, T, D), torch.randn(B, T, D), torch.randn(R, D)), torch.randperm(T)
    moved = Streams(streams.audio[:, order], streams.visual[:, order], streams.text)
    torch.testing.assert_close(module(moved).audio, module(streams).audio[:, order])
    torch.testing.assert_close(module(moved).text, module(streams).text)


@pytest.mark.parametrize(("seconds", "window"), [(5, 1), (40, 3), (6, 99)])
def test_a_window_equals_a_band_mask_in_values_and_every_gradient(seconds: int, window: int):
    near, full = (CMSA(D, 4, heads=2, text_queries=False, window=reach).double().eval() for reach in (window, None))
    full.load_state_dict(near.state_dict())
    streams = [torch.randn(*shape).double().requires_grad_() for shape in ((B, seconds, D), (B, seconds, D), (R, D))]
    apart = torch.arange(seconds) - torch.arange(seconds)[:, None]
    band = torch.zeros(2, seconds, seconds).double().masked_fill(apart.abs() > window, -math.inf)
    ours, theirs = (torch.cat([part.flatten() for part in output])
                    for output in (near(Streams(*streams)), full(Streams(*streams), band)))
    torch.testing.assert_close(ours, theirs, rtol=1e-9, atol=1e-11)
    probe = torch.randn_like(ours)
    for one, two in zip(torch.autograd.grad(ours, [*streams, *near.parameters()], probe),
                        torch.autograd.grad(theirs, [*streams, *full.parameters()], probe), strict=True):
        torch.testing.assert_close(one, two, rtol=1e-9, atol=1e-11)
