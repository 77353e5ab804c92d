"""CMSA: the switches of Table 2, the two forms of text, and windows."""

from __future__ import annotations

import math

import pytest
import torch

from avsgn_pyg.model.cmsa import CMSA, Streams

B, T, R, D = 2, 5, 9, 8


def given(rows: int = T) -> Streams:
    return Streams(torch.randn(B, T, D), torch.randn(B, T, D), torch.randn(rows, D))


@pytest.mark.parametrize("switch", ["inter_visual", "inter_audio", "inter_text"])
def test_a_switched_off_inter_alignment_is_a_linear_layer_with_relu(switch: str):
    module = CMSA(D, 4, **{switch: False}).eval()
    part = getattr(module, switch)
    x = torch.randn(B, T, D)
    assert torch.equal(part(x, (x, x)), (x @ part.bottleneck.weight.T + part.bottleneck.bias).relu())


@pytest.mark.parametrize(("switch", "stream"), [("intra_clip", "visual"), ("intra_clap", "audio")])
def test_a_switched_off_intra_alignment_passes_its_stream_on(switch: str, stream: str):
    module = CMSA(D, 4, **{switch: False}, inter_audio=False, inter_visual=False, inter_text=False).eval()
    streams = given()
    out = getattr(module(streams), stream)
    plain = getattr(module, f"inter_{stream}")
    torch.testing.assert_close(out, plain.bottleneck(getattr(streams, stream)).relu())


def test_with_text_per_class_the_output_follows_the_order_of_seconds():
    module = CMSA(D, 4, text_queries=False).eval()
    streams, order = given(R), torch.randperm(T)
    moved = Streams(streams.audio[:, order], streams.visual[:, order], streams.text)
    torch.testing.assert_close(module(moved).audio, module(streams).audio[:, order])
    torch.testing.assert_close(module(moved).text, module(streams).text)


def test_text_per_segment_needs_as_many_segments():
    with pytest.raises(ValueError, match="per_class"):
        CMSA(D, 4)(given(T + 1))
    with pytest.raises(ValueError, match="per_class"):
        CMSA(D, 4)(given(), mask=torch.tensor([[True] * T, [True] * (T - 1) + [False]]))


def test_padding_has_no_weight_in_attention():
    module, streams, rows = CMSA(D, 4, text_queries=False).eval(), given(R), 3
    mask = torch.tensor([[True] * T, [True] * rows + [False] * (T - rows)])
    padded = module(streams, mask=mask)
    short = module(Streams(streams.audio[1:, :rows], streams.visual[1:, :rows], streams.text))
    torch.testing.assert_close(padded.audio[1:, :rows], short.audio)
    torch.testing.assert_close(padded.visual[1:, :rows], short.visual)
    torch.testing.assert_close(padded.text[1:], short.text)


def test_a_time_bias_changes_attention_between_audio_and_visual_only():
    module = CMSA(D, 4, heads=2).eval()
    streams = given()
    bias = torch.full((2, T, T), -1e4)
    bias.diagonal(dim1=-2, dim2=-1).zero_()
    one, two = module(streams), module(streams, bias)
    assert not torch.allclose(one.audio, two.audio) and not torch.allclose(one.visual, two.visual)
    assert torch.equal(one.text, two.text)


# --- In a window -----------------------------------------------------------------------------------------


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
