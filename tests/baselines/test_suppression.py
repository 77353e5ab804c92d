"""Blocks of CMBS and CACE-Net equal their formulas."""

from __future__ import annotations

import math

import pytest
import torch

from avsgn_pyg.baselines.suppression import GuidedAttention, gate_loss

AUDIO, VISUAL = "audio", "visual"


def sigmoid(x: float) -> float:
    return 1 / (1 + math.exp(-x))


def test_guided_attention_on_regions():
    layer = GuidedAttention(4, 8, beta=0.4, regions=True).eval()
    audio, visual = torch.randn(2, 3, 4), torch.randn(2, 3, 5, 8)
    aware = layer.norm(visual + layer.mix(visual, layer.value(visual)))
    chosen = layer.choose(audio, layer.channels(audio, aware, visual))
    expected = chosen + 0.4 * layer.whole(aware).sigmoid() * chosen
    assert torch.allclose(layer(audio, visual), expected, atol=1e-6)


@pytest.mark.parametrize(("double", "p"), [(False, 0.3 * 0.6), (True, sigmoid(0.3 * 0.6))])
def test_the_gate_loss_with_and_without_a_second_sigmoid(double: bool, p: float):
    gates = {AUDIO: torch.tensor([[[0.3], [0.3]]]), VISUAL: torch.tensor([[[0.6], [0.6]]])}
    expected = -(math.log(p) + math.log(1 - p)) / 2
    assert gate_loss(gates, torch.tensor([[1.0, 0.0]]), double).item() == pytest.approx(expected, rel=1e-4)


def test_saturated_gates_have_a_finite_loss_and_gradient():
    raw = torch.tensor([[[-200.0], [200.0]]], requires_grad=True)
    gates = {AUDIO: raw.sigmoid(), VISUAL: raw.sigmoid()}
    loss = gate_loss(gates, torch.tensor([[1.0, 0.0]]), False)
    loss.backward()
    assert loss.isfinite() and raw.grad.isfinite().all()
