"""CMBS: background suppression at the time and event level, by its formulas."""

from __future__ import annotations

import pytest
import torch

from avsgn_pyg.baselines.cmbs import CMBS, CMBSObjective
from avsgn_pyg.baselines.suppression import highest
from avsgn_pyg.localization import decode

SMALL = {"dim": 8, "heads": 2, "heads_interaction": 2, "hidden": 8, "hidden_across": 8, "visual_dim": 12}
AUDIO, VISUAL = "audio", "visual"


def inside(model: CMBS, audio: torch.Tensor, visual: torch.Tensor):
    """Queried streams and gates before any suppression."""
    audio, visual = model.over_time(audio, model.guide(audio, model.regions(visual[:, :, None])))
    within = {AUDIO: model.within[AUDIO](audio), VISUAL: model.within[VISUAL](visual)}
    gates = {name: torch.sigmoid(model.gates[name](rows)) for name, rows in within.items()}
    return (model.across[AUDIO](audio, within[VISUAL]), model.across[VISUAL](visual, within[AUDIO])), gates


@pytest.mark.parametrize(("supervision", "recurrent"), [("full", True), ("full", False), ("weak", False)])
def test_each_stream_is_held_down_by_the_other_s_gate(supervision: str, recurrent: bool, shape, make_batch):
    alpha, gamma = 0.3, 0.7
    model = CMBS(**shape, supervision=supervision, alpha=alpha, gamma=gamma, recurrent=recurrent, **SMALL).eval()
    audio, visual = torch.randn(4, 6, 10), torch.randn(4, 6, 14)
    answer = model(make_batch(audio, visual))
    (heard, seen), gates = inside(model, audio, visual)
    base = 1.0 if supervision == "full" else 1 - alpha
    heard, seen = base * heard + alpha * gates[VISUAL] * heard, base * seen + alpha * gates[AUDIO] * seen
    both = model.interact[VISUAL](seen, heard)
    fused = (both + model.interact[AUDIO](heard, both)) / 2
    of_audio, of_visual = model.localize.audio(heard), model.localize.visual(seen)
    if supervision == "full":
        activation = (highest(of_audio) + highest(of_visual)) / 2
        category, relevance = model.localize.heads(fused)
        category = category + gamma * activation
        assert torch.allclose(answer.gate_category, activation, atol=1e-6)
    else:
        weighted = gamma * (of_audio.sigmoid() + of_visual.sigmoid()) * model.localize.fused(fused)
        category, mean = highest(weighted), (gates[AUDIO] + gates[VISUAL])[..., 0] / 2
        relevance = torch.log(mean / (1 - mean))
    assert torch.allclose(answer.category, category, atol=1e-5)
    assert torch.allclose(answer.relevance, relevance, atol=1e-5)


def test_a_second_sigmoid_on_a_gate_never_calls_a_second_background():
    """Why the published weak decoding finds no background, and how ``tau=0`` reproduces it."""
    gates = torch.rand(1, 50)
    assert (gates.sigmoid() > 0.5).all() and not (gates > 0.5).all()
    category = torch.tensor([[0.0, 1.0]])
    assert (decode(category, gates.logit(), 0.0) == 1).all()


def test_losses_by_supervision(shape, make_batch, category, relevance):
    full, weak = (CMBSObjective(supervision=name) for name in ("full", "weak"))
    answer = CMBS(**shape, supervision="full", **SMALL)(make_batch())
    losses = full(answer, category, relevance)
    assert tuple(losses) == full.names == ("relevance", "category", "gate", "activation")
    assert full.total(losses).item() == pytest.approx(sum(loss.item() for loss in losses.values()), rel=1e-5)
    answer = CMBS(**shape, supervision="weak", **SMALL)(make_batch())
    assert weak(answer, category)["mil"] == weak(answer, category, relevance)["mil"] and weak.names == ("mil",)
