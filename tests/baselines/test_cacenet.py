"""CACE-Net: co-guidance and the contrast of event and background, by their formulas."""

from __future__ import annotations

import math

import pytest
import torch

from avsgn_pyg.baselines.cacenet import CACENet, CACENetObjective, CoGuidance, contrast_loss
from avsgn_pyg.baselines.suppression import highest

SMALL = {"dim": 8, "heads": 2, "heads_interaction": 2, "hidden": 8, "hidden_across": 8, "visual_dim": 12}
AUDIO, VISUAL = "audio", "visual"


def attend(layer, rows: list[torch.Tensor], memory: list[torch.Tensor]) -> list[torch.Tensor]:
    """Attention of one head, row by row."""
    keys, values = [layer.key(m) for m in memory], [layer.value(m) for m in memory]
    found = []
    for row in rows:
        shares = [math.exp(float((layer.query(row) @ key).detach())) for key in keys]
        found.append(sum(share / sum(shares) * value for share, value in zip(shares, values, strict=True)))
    return found


@pytest.mark.parametrize("regions", [1, 3])
def test_co_guidance_of_audio_and_visual(regions: int):
    psi = 0.3
    block = CoGuidance(5, 8, beta=0.4, psi=psi, regions=regions > 1).eval()
    audio, visual = torch.randn(2, 4, 5), torch.randn(2, 4, regions, 8)
    guided, chosen = block(audio, visual)
    mixed = block.mix(visual, block.view(visual))
    for video in range(2):
        seconds = list(audio[video])
        guides = attend(block.listen, seconds, seconds)
        audio_rows = [block.audio_norm(a + g) for a, g in zip(seconds, guides, strict=True)]
        views = [sum(block.view_norm(visual[video, t, r] + mixed[video, t, r]) for r in range(regions)) / regions
                 for t in range(4)]
        for t, output in enumerate(attend(block.sound, views, audio_rows)):
            assert torch.allclose(guided[video, t], seconds[t] + psi * output.sigmoid() * seconds[t], atol=1e-5)
    assert torch.equal(chosen, block.sight(audio, visual))


def contrast(rows: torch.Tensor, noisy: torch.Tensor, target: list[list[float]], temperature: float) -> float:
    """The contrast, second by second."""
    losses = []
    for video, events in enumerate(target):
        both = [(t, row / row.norm(), bool(events[t])) for part in (rows, noisy) for t, row in enumerate(part[video])]
        for one, (second, row, event) in enumerate(both):
            others = [(math.exp(float(row @ other) / temperature), (event and its) or second == t)
                      for two, (t, other, its) in enumerate(both) if two != one]
            own = [similarity for similarity, positive in others if positive]
            losses.append(-math.log(sum(own) / len(own) / sum(similarity for similarity, _ in others)))
    return sum(losses) / len(losses)


@pytest.mark.parametrize("target", [
    [[1.0, 1.0, 0.0, 0.0], [0.0, 0.0, 0.0, 1.0]], [[1.0] * 4, [0.0] * 4], [[0.0] * 4, [1.0, 0.0, 1.0, 1.0]]])
def test_the_contrast_of_event_and_background_is_its_formula(target: list[list[float]]):
    rows, noisy = torch.randn(2, 4, 6, dtype=torch.float64), torch.randn(2, 4, 6, dtype=torch.float64)
    for temperature in (0.01, 0.5):
        found = contrast_loss(rows, noisy, torch.tensor(target), temperature)
        assert found.item() == pytest.approx(contrast(rows, noisy, target, temperature), rel=1e-6)


@pytest.mark.parametrize("value", [0.0, 1.0])
def test_the_contrast_has_finite_gradients(value: float):
    rows = torch.full((1, 3, 4), value, requires_grad=True)
    loss = contrast_loss(rows, -rows, torch.tensor([[1.0, 0.0, 1.0]]), 0.01)
    loss.backward()
    assert loss.isfinite() and rows.grad.isfinite().all()


def streams_inside(model: CACENet, audio: torch.Tensor, visual: torch.Tensor):
    """Both streams after suppression, their fusion, and the gates."""
    guided, chosen = model.guide(audio, model.regions(visual[:, :, None]))
    audio, visual = model.over_time(guided, chosen)
    within = {AUDIO: model.within[AUDIO](audio), VISUAL: model.within[VISUAL](visual)}
    gates = {name: torch.sigmoid(model.gates[name](rows)) for name, rows in within.items()}
    audio_rows = model.suppress(model.across[AUDIO](audio, within[VISUAL]), gates[VISUAL])
    visual_rows = model.suppress(model.across[VISUAL](visual, within[AUDIO]), gates[AUDIO])
    both = model.interact[VISUAL](visual_rows, audio_rows)
    return audio_rows, visual_rows, (both + model.interact[AUDIO](audio_rows, both)) / 2, gates


def test_relevance_uses_the_projection_and_the_class_does_not(shape, make_batch):
    gamma, enhance = 0.7, 0.6
    model = CACENet(**shape, supervision="full", gamma=gamma, enhance=enhance, **SMALL).eval()
    audio, visual = torch.randn(4, 6, 10), torch.randn(4, 6, 14)
    output = model(make_batch(audio, visual))
    audio_rows, visual_rows, fused, _ = streams_inside(model, audio, visual)
    level = model.localize
    projected = level.project[0](fused).relu()
    activation = (highest(level.audio(audio_rows)) + highest(level.visual(visual_rows))) / 2
    assert torch.allclose(output.relevance, level.heads.relevance(fused + enhance * projected)[..., 0], atol=1e-5)
    assert torch.allclose(output.category, level.heads.category(fused.amax(1)) + gamma * activation, atol=1e-5)
    assert torch.allclose(output.gate_category, activation, atol=1e-5)
    for view in ("fused", "noisy"):
        assert torch.allclose(output.stages["contrast"][view], projected, atol=1e-5)


def test_the_weak_model_is_that_of_cmbs_with_co_guidance(shape, make_batch):
    model = CACENet(**shape, supervision="weak", recurrent=False, alpha=0.2, **SMALL).eval()
    audio, visual = torch.randn(4, 6, 10), torch.randn(4, 6, 14)
    output = model(make_batch(audio, visual))
    audio_rows, visual_rows, fused, gates = streams_inside(model, audio, visual)
    weight = model.localize.visual(visual_rows).sigmoid() + model.localize.audio(audio_rows).sigmoid()
    assert torch.allclose(output.category, highest(0.3 * weight * model.localize.fused(fused)), atol=1e-5)
    assert torch.allclose(output.relevance, ((gates[AUDIO] + gates[VISUAL]) / 2).logit()[..., 0], atol=1e-4)
    assert not output.stages


def test_a_temperature_must_be_positive():
    with pytest.raises(ValueError, match="temperature=0 divides"):
        CACENetObjective(supervision="full", temperature=0.0)
