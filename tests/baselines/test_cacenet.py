"""CACE-Net: co-guidance and the contrast of event and background, by their formulas."""

from __future__ import annotations

import math

import pytest
import torch

from avsgn_pyg.baselines.cacenet import CACENet, CACENetObjective, CoGuidance, Noise, contrast_loss
from avsgn_pyg.baselines.suppression import highest

SMALL = {"dim": 8, "heads": 2, "heads_interaction": 2, "hidden": 8, "hidden_across": 8, "visual_dim": 12}
AUDIO, VISUAL = "audio", "visual"


def ask(layer, rows: list[torch.Tensor], memory: list[torch.Tensor]) -> list[torch.Tensor]:
    """Attention of one head, row by row."""
    keys, values = [layer.key(m) for m in memory], [layer.value(m) for m in memory]
    found = []
    for row in rows:
        shares = [math.exp(float((layer.query(row) @ key).detach())) for key in keys]
        found.append(sum(share / sum(shares) * value for share, value in zip(shares, values, strict=True)))
    return found


@pytest.mark.parametrize("regions", [1, 3])
def test_sight_guides_sound_and_sound_guides_sight(regions: int):
    psi = 0.3
    block = CoGuidance(5, 8, beta=0.4, psi=psi, regions=regions > 1).eval()
    audio, visual = torch.randn(2, 4, 5), torch.randn(2, 4, regions, 8)
    guided, chosen = block(audio, visual)
    mixed = block.mix(visual, block.view(visual))
    for video in range(2):
        seconds = list(audio[video])
        heard = [block.audio_norm(a + g) for a, g in zip(seconds, ask(block.listen, seconds, seconds), strict=True)]
        views = [sum(block.view_norm(visual[video, t, r] + mixed[video, t, r]) for r in range(regions)) / regions
                 for t in range(4)]
        for t, answer in enumerate(ask(block.sound, views, heard)):
            assert torch.allclose(guided[video, t], seconds[t] + psi * answer.sigmoid() * seconds[t], atol=1e-5)
    assert torch.equal(chosen, block.sight(audio, visual))


def test_without_psi_sound_stays_as_it_is():
    block = CoGuidance(5, 8, beta=0.4, psi=0.0, regions=False)
    audio = torch.randn(2, 4, 5)
    assert torch.equal(block(audio, torch.randn(2, 4, 1, 8))[0], audio)


def contrast(rows: torch.Tensor, noisy: torch.Tensor, target: list[list[float]], temperature: float) -> float:
    """The contrast, second by second."""
    losses = []
    for video, events in enumerate(target):
        both = [(t, row / row.norm(), bool(events[t])) for part in (rows, noisy) for t, row in enumerate(part[video])]
        for one, (second, row, event) in enumerate(both):
            others = [(math.exp(float(row @ other) / temperature), (event and its) or second == t)
                      for two, (t, other, its) in enumerate(both) if two != one]
            own = [alike for alike, positive in others if positive]
            losses.append(-math.log(sum(own) / len(own) / sum(alike for alike, _ in others)))
    return sum(losses) / len(losses)


@pytest.mark.parametrize("target", [
    [[1.0, 1.0, 0.0, 0.0], [0.0, 0.0, 0.0, 1.0]], [[1.0] * 4, [0.0] * 4], [[0.0] * 4, [1.0, 0.0, 1.0, 1.0]]])
def test_the_contrast_tells_event_from_background_within_a_video(target: list[list[float]]):
    rows, noisy = torch.randn(2, 4, 6, dtype=torch.float64), torch.randn(2, 4, 6, dtype=torch.float64)
    for temperature in (0.01, 0.5):
        found = contrast_loss(rows, noisy, torch.tensor(target), temperature)
        assert found.item() == pytest.approx(contrast(rows, noisy, target, temperature), rel=1e-6)


def test_the_contrast_is_finite_in_single_precision_where_exponentials_are_not():
    assert math.isinf(torch.tensor(1 / 0.01).exp())
    rows = torch.ones(1, 3, 4, requires_grad=True)
    loss = contrast_loss(rows, -torch.ones(1, 3, 4), torch.tensor([[1.0, 0.0, 1.0]]), 0.01)
    loss.backward()
    assert loss.isfinite() and rows.grad.isfinite().all()


def test_seconds_that_project_to_nothing_have_a_finite_gradient():
    rows = torch.zeros(1, 3, 4, requires_grad=True)
    contrast_loss(rows, rows, torch.tensor([[1.0, 0.0, 1.0]]), 0.01).backward()
    assert rows.grad.isfinite().all()


def test_noise_is_of_training_alone():
    layer, rows = Noise(0.5), torch.zeros(200, 50)
    assert layer(rows).std().item() == pytest.approx(0.5, rel=0.05)
    assert torch.equal(layer.eval()(rows), rows)


def streams_inside(model: CACENet, audio: torch.Tensor, visual: torch.Tensor):
    """Both streams after suppression, their fusion, and the gates."""
    guided, chosen = model.guide(audio, model.regions(visual[:, :, None]))
    audio, visual = model.over_time(guided, chosen)
    within = {AUDIO: model.within[AUDIO](audio), VISUAL: model.within[VISUAL](visual)}
    gates = {name: torch.sigmoid(model.gates[name](rows)) for name, rows in within.items()}
    heard = model.suppress(model.across[AUDIO](audio, within[VISUAL]), gates[VISUAL])
    seen = model.suppress(model.across[VISUAL](visual, within[AUDIO]), gates[AUDIO])
    both = model.interact[VISUAL](seen, heard)
    return heard, seen, (both + model.interact[AUDIO](heard, both)) / 2, gates


def test_relevance_is_read_with_the_projection_and_the_class_without(shape, make_batch):
    gamma, enhance = 0.7, 0.6
    model = CACENet(**shape, supervision="full", gamma=gamma, enhance=enhance, **SMALL).eval()
    audio, visual = torch.randn(4, 6, 10), torch.randn(4, 6, 14)
    answer = model(make_batch(audio, visual))
    heard, seen, fused, _ = streams_inside(model, audio, visual)
    level = model.localize
    projected = level.project[0](fused).relu()
    activation = (highest(level.audio(heard)) + highest(level.visual(seen))) / 2
    assert torch.allclose(answer.relevance, level.heads.relevance(fused + enhance * projected)[..., 0], atol=1e-5)
    assert torch.allclose(answer.category, level.heads.category(fused.amax(1)) + gamma * activation, atol=1e-5)
    assert torch.allclose(answer.gate_category, activation, atol=1e-5)
    for view in ("fused", "noisy"):
        assert torch.allclose(answer.stages["contrast"][view], projected, atol=1e-5)


def test_the_weak_row_is_cmbs_s_with_co_guidance(shape, make_batch):
    model = CACENet(**shape, supervision="weak", recurrent=False, alpha=0.2, **SMALL).eval()
    audio, visual = torch.randn(4, 6, 10), torch.randn(4, 6, 14)
    answer = model(make_batch(audio, visual))
    heard, seen, fused, gates = streams_inside(model, audio, visual)
    weight = model.localize.visual(seen).sigmoid() + model.localize.audio(heard).sigmoid()
    assert torch.allclose(answer.category, highest(0.3 * weight * model.localize.fused(fused)), atol=1e-5)
    assert torch.allclose(answer.relevance, ((gates[AUDIO] + gates[VISUAL]) / 2).logit()[..., 0], atol=1e-4)
    assert not answer.stages


def test_the_contrast_joins_the_sum_after_its_share_of_training(shape, make_batch, category, relevance):
    objective = CACENetObjective(supervision="full", contrast_weight=2.0, contrast_from=0.25)
    losses = objective(CACENet(**shape, supervision="full", **SMALL)(make_batch()), category, relevance)
    assert tuple(losses) == ("relevance", "category", "gate", "activation", "contrast")
    four = sum(loss.item() for name, loss in losses.items() if name != "contrast")
    whole = pytest.approx(four + 2 * losses["contrast"].item(), rel=1e-5)
    assert objective.total(losses).item() == whole
    objective.begin(0.24)
    assert objective.total(losses).item() == pytest.approx(four, rel=1e-5)
    objective.begin(0.25)
    assert objective.total(losses).item() == whole


def test_a_temperature_of_zero_is_refused():
    with pytest.raises(ValueError, match="temperature=0 divides"):
        CACENetObjective(supervision="full", temperature=0.0)
