"""CMSA's switches (Table 2), its two text modes, and the band of its attention between seconds."""

from __future__ import annotations

import math

import pytest
import torch

from avsgn_pyg.model.cmsa import CMSA, InterAlignment, NoAlignment, Streams

B, T, R, D = 2, 5, 9, 8


def given(rows: int = T) -> Streams:
    return Streams(torch.randn(B, T, D), torch.randn(B, T, D), torch.randn(rows, D))


@pytest.mark.parametrize("switch", ["inter_visual", "inter_audio", "inter_text"])
def test_a_switched_off_inter_alignment_is_a_linear_layer_with_relu(switch: str):
    module = CMSA(D, 4, **{switch: False}).eval()
    part = getattr(module, switch)
    assert isinstance(part, NoAlignment)
    x = torch.randn(B, T, D)
    assert torch.equal(part(x, (x, x)), (x @ part.bottleneck.weight.T + part.bottleneck.bias).relu())
    others = {"inter_visual", "inter_audio", "inter_text"} - {switch}
    assert all(isinstance(getattr(module, other), InterAlignment) for other in others)


@pytest.mark.parametrize(("switch", "stream"), [("intra_clip", "visual"), ("intra_clap", "audio")])
def test_a_switched_off_intra_alignment_passes_its_stream_on(switch: str, stream: str):
    module = CMSA(D, 4, **{switch: False}, inter_audio=False, inter_visual=False, inter_text=False).eval()
    streams = given()
    out = getattr(module(streams), stream)
    plain = getattr(module, f"inter_{stream}")
    torch.testing.assert_close(out, plain.bottleneck(getattr(streams, stream)).relu())


@pytest.mark.parametrize("residual", ["both", "intra", "inter", "none"])
def test_residual_names_the_stages_that_add_the_value(residual: str):
    module = CMSA(D, 4, residual=residual)
    assert (module.intra_visual.norm is not None) == (residual in ("both", "intra"))
    assert module.inter_audio.residual == (residual in ("both", "inter"))


def test_one_text_row_a_class_works_for_any_number_of_segments_and_follows_their_order():
    module = CMSA(D, 4, text_queries=False).eval()
    streams, order = given(R), torch.randperm(T)
    moved = Streams(streams.audio[:, order], streams.visual[:, order], streams.text)
    torch.testing.assert_close(module(moved).audio, module(streams).audio[:, order])
    torch.testing.assert_close(module(moved).text, module(streams).text)


def test_text_rows_that_are_seconds_must_be_as_many():
    with pytest.raises(ValueError, match="per_class"):
        CMSA(D, 4)(given(T + 1))
    with pytest.raises(ValueError, match="per_class"):
        CMSA(D, 4)(given(), mask=torch.tensor([[True] * T, [True] * (T - 1) + [False]]))


def test_text_is_the_same_for_every_video_when_its_alignment_is_off():
    out = CMSA(D, 4, inter_text=False).eval()(given())
    assert out.text.shape == (B, T, 4) and torch.equal(out.text[0], out.text[1])


def test_padding_is_no_key_of_any_attention():
    module, streams, rows = CMSA(D, 4, text_queries=False).eval(), given(R), 3
    mask = torch.tensor([[True] * T, [True] * rows + [False] * (T - rows)])
    padded = module(streams, mask=mask)
    short = module(Streams(streams.audio[1:, :rows], streams.visual[1:, :rows], streams.text))
    torch.testing.assert_close(padded.audio[1:, :rows], short.audio)
    torch.testing.assert_close(padded.visual[1:, :rows], short.visual)
    torch.testing.assert_close(padded.text[1:], short.text)


def test_time_bias_moves_only_attention_between_audio_and_visual():
    module = CMSA(D, 4, heads=2).eval()
    streams = given()
    bias = torch.full((2, T, T), -1e4)
    bias.diagonal(dim1=-2, dim2=-1).zero_()
    one, two = module(streams), module(streams, bias)
    assert not torch.allclose(one.audio, two.audio) and not torch.allclose(one.visual, two.visual)
    assert torch.equal(one.text, two.text)


# --- In a window -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(("seconds", "window"), [(5, 1), (40, 3), (40, 39), (6, 99)])
def test_a_window_is_full_attention_with_a_band_mask_in_values_and_every_gradient(seconds: int, window: int):
    near, full = (CMSA(D, 4, heads=2, text_queries=False, window=reach).double().eval() for reach in (window, None))
    full.load_state_dict(near.state_dict())
    streams = [torch.randn(*shape).double().requires_grad_() for shape in ((B, seconds, D), (B, seconds, D), (R, D))]
    apart = torch.arange(seconds) - torch.arange(seconds)[:, None]
    band = torch.zeros(2, seconds, seconds).double().masked_fill(apart.abs() > window, -math.inf)
    ours, theirs = (torch.cat([part.flatten() for part in answer])
                    for answer in (near(Streams(*streams)), full(Streams(*streams), band)))
    torch.testing.assert_close(ours, theirs, rtol=1e-9, atol=1e-11)
    probe = torch.randn_like(ours)
    for one, two in zip(torch.autograd.grad(ours, [*streams, *near.parameters()], probe),
                        torch.autograd.grad(theirs, [*streams, *full.parameters()], probe), strict=True):
        torch.testing.assert_close(one, two, rtol=1e-9, atol=1e-11)


def test_offsets_are_laid_out_as_the_scores():
    assert CMSA(D, 4).offsets(4, torch.device("cpu"))[1].tolist() == [-1, 0, 1, 2]
    assert CMSA(D, 4, window=2).offsets(4, torch.device("cpu"))[0, :4].tolist() == [-2, -1, 0, 1]
