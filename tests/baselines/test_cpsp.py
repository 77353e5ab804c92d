"""CPSP: the contrast of segments, and the losses."""

from __future__ import annotations

import pytest
import torch

from avsgn_pyg.baselines.cpsp import CPSP, CPSPObjective, segment_contrast_loss

SMALL = {"hidden": 4, "between": 6, "width": 5}


def contrast(fused: torch.Tensor, target: torch.Tensor, temperature: float) -> torch.Tensor:
    """The segment level as its formula, without safeguards."""
    rows = torch.nn.functional.normalize(fused, dim=-1)
    like, event = (rows @ rows.mT / temperature).exp(), target.to(fused)
    negatives = (like * (1 - event)[:, None]).sum(-1) / (1 - event).sum(-1, keepdim=True).clamp(min=1)
    each = torch.log1p(negatives / (like * event[:, None]).sum(-1).clamp(min=1e-12)) * event
    return (each.sum(-1) / event.sum(-1).clamp(min=1)).sum() / (event.sum(-1) > 0).sum()


@pytest.mark.parametrize("temperature", [0.6, 0.011, 0.005])
def test_the_segment_contrast_is_its_formula_in_value_and_gradient(relevance, temperature: float):
    fused = torch.randn(4, 6, 5, dtype=torch.float64, requires_grad=True)
    found, wanted = segment_contrast_loss(fused, relevance, temperature), contrast(fused, relevance, temperature)
    torch.testing.assert_close(found, wanted, rtol=1e-5, atol=0)
    one, two = (torch.autograd.grad(loss, fused)[0] for loss in (found, wanted))
    torch.testing.assert_close(one, two, rtol=1e-4, atol=1e-7)
    assert not one[1].any() and not one[3].any()  # no event; no background


def test_the_segment_contrast_is_finite_at_any_temperature(relevance):
    fused = torch.randn(4, 6, 5, requires_grad=True)
    found = segment_contrast_loss(fused, relevance, 0.001)
    found.backward()
    assert found.isfinite() and fused.grad.isfinite().all()


@pytest.mark.parametrize("temperature", [0.0, float("nan")])
def test_a_temperature_must_be_positive(temperature: float):
    with pytest.raises(ValueError, match="must be more than 0, such as"):
        CPSPObjective(supervision="full", temperature=temperature)


def test_losses_by_supervision(shape, make_batch, category, relevance):
    output = CPSP(**shape, supervision="full", **SMALL)(make_batch())
    full, weak = (CPSPObjective(supervision=name) for name in ("full", "weak"))
    assert full.names == ("relevance", "category", "pair", "contrast", "video") and weak.names == ("mil", "video")
    losses = full(output, category, relevance)
    weights = {"relevance": 1, "category": 1, "pair": 100, "contrast": 0.01, "video": 1}
    assert full.total(losses).item() == pytest.approx(sum(weights[n] * x.item() for n, x in losses.items()), rel=1e-5)
    wide = CPSPObjective(supervision="full", margin=0.6)
    assert weak(output, category)["video"] == wide(output, category, relevance)["video"] > losses["video"]
