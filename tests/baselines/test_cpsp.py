"""CPSP: three contrasts, the segment level against a loop over its formula."""

from __future__ import annotations

import math

import pytest
import torch

from avsgn_pyg.baselines.cpsp import CPSP, CPSPObjective, segment_contrast_loss

SMALL = {"hidden": 4, "between": 6, "width": 5}


def contrast(fused: torch.Tensor, target: torch.Tensor, t: float) -> float:
    """The segment level, second by second."""
    rows = fused / fused.norm(dim=-1, keepdim=True)
    videos = []
    for video, event in zip(rows, target.bool().tolist(), strict=True):
        like = (video @ video.T / t).exp().tolist()
        each = []
        for second in (s for s, is_event in enumerate(event) if is_event):
            positives = sum(like[second][s] for s, is_event in enumerate(event) if is_event)
            negatives = [like[second][s] for s, is_event in enumerate(event) if not is_event]
            negative = sum(negatives) / len(negatives) if negatives else 0.0
            each.append(-math.log(positives / (positives + negative)))
        if each:
            videos.append(sum(each) / len(each))
    return sum(videos) / max(1, len(videos))


def test_event_seconds_are_drawn_together_and_held_off_the_background(relevance):
    fused = torch.randn(4, 6, 5)
    found = segment_contrast_loss(fused, relevance, 0.6)
    assert found.item() == pytest.approx(contrast(fused, relevance, 0.6), rel=1e-5)


@pytest.mark.parametrize("temperature", [0.011, 0.005, 0.001])
def test_a_low_temperature_has_the_formula_s_value_and_finite_gradients(relevance, temperature: float):
    fused = torch.randn(4, 6, 5, requires_grad=True)
    found = segment_contrast_loss(fused, relevance, temperature)
    found.backward()
    wanted = contrast(fused.detach().double(), relevance, max(temperature, 0.002))
    assert fused.grad.isfinite().all() and found.isfinite()
    if temperature > 0.002:  # below that the loop's own exponentials end
        assert found.item() == pytest.approx(wanted, rel=1e-4)


def test_gradients_are_those_of_the_plain_formula(relevance):
    fused = torch.randn(4, 6, 5, dtype=torch.float64, requires_grad=True)
    rows = torch.nn.functional.normalize(fused, dim=-1)
    like, event = (rows @ rows.mT / 0.6).exp(), relevance.double()
    negatives = (like * (1 - event)[:, None]).sum(-1) / (1 - event).sum(-1, keepdim=True).clamp(min=1)
    each = torch.log1p(negatives / (like * event[:, None]).sum(-1).clamp(min=1e-12)) * event
    plain = (each.sum(-1) / event.sum(-1).clamp(min=1)).sum() / (event.sum(-1) > 0).sum()
    wanted = torch.autograd.grad(plain, fused)[0]
    found = torch.autograd.grad(segment_contrast_loss(fused, relevance, 0.6), fused)[0]
    torch.testing.assert_close(found, wanted)
    assert not found[1].any() and not found[3].any()  # no event; no background


@pytest.mark.parametrize("temperature", [0.0, -0.1, float("nan")])
def test_a_temperature_of_zero_or_less_is_refused(temperature: float):
    with pytest.raises(ValueError, match="must be more than 0, such as"):
        CPSPObjective(supervision="full", temperature=temperature)


@pytest.mark.parametrize("row", [torch.zeros(1, 6), torch.ones(1, 6)])
def test_a_video_of_one_kind_has_nothing_to_contrast(row: torch.Tensor):
    assert segment_contrast_loss(torch.randn(1, 6, 5), row, 0.6) == 0


def test_the_segment_level_moves_features_and_its_sum_over_the_other_axis_would_not(relevance):
    fused = torch.randn(4, 6, 5, requires_grad=True)
    segment_contrast_loss(fused, relevance, 0.6).backward()
    assert fused.grad.abs().sum() > 0
    # As published: pairs (event, event) and (event, background), both summed over their *first* second.
    rows = torch.nn.functional.normalize(fused.detach(), dim=-1).requires_grad_()
    like = (rows @ rows.mT / 0.6).exp()
    positives = (like * relevance[:, :, None] * relevance[:, None]).sum(1)
    negatives = (like * relevance[:, :, None] * (1 - relevance[:, None])).sum(1)
    negatives = negatives / ((1 - relevance).sum(-1, keepdim=True) + 1e-12)
    published = -torch.log(positives / (positives + negatives + 1e-12) + 1e-12).sum(-1)
    published.sum().backward()
    assert rows.grad.abs().max() < 1e-6


def test_heads_read_seconds_and_their_mean(shape, make_batch):
    model = CPSP(**shape, supervision="full", **SMALL).eval()
    answer = model(make_batch())
    fused = answer.stages["propagated"]["fused"]
    assert torch.allclose(answer.category, model.category(fused.mean(1)), atol=1e-6)
    assert torch.allclose(answer.relevance, model.relevance(fused)[..., 0], atol=1e-6)


def test_losses_by_supervision(shape, make_batch, category, relevance):
    answer = CPSP(**shape, supervision="full", **SMALL)(make_batch())
    full, weak = (CPSPObjective(supervision=name) for name in ("full", "weak"))
    assert full.names == ("relevance", "category", "pair", "contrast", "video") and weak.names == ("mil", "video")
    losses = full(answer, category, relevance)
    weights = {"relevance": 1, "category": 1, "pair": 100, "contrast": 0.01, "video": 1}
    assert full.total(losses).item() == pytest.approx(sum(weights[n] * x.item() for n, x in losses.items()), rel=1e-5)
    wide = CPSPObjective(supervision="full", margin=0.6)
    assert weak(answer, category)["video"] == wide(answer, category, relevance)["video"] > losses["video"]
