"""Choosing among regions: each attention region by region, and every method on vectors and on maps."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from avsgn_pyg.baselines.regions import (
    AudioGuidedAttention,
    GlobalAttention,
    NoMixing,
    OneRegion,
    RegionMixing,
    SpatialAttention,
    region_streams,
)
from avsgn_pyg.config import ConfigError, load_config
from avsgn_pyg.graph.regions import with_regions
from avsgn_pyg.zoo import MODELS, Shape, build_model, build_objective

A, V, R = 5, 8, 4
METHODS = sorted(name for name, row in MODELS.items() if row.regional)
SETTINGS = [(name, supervision) for name in METHODS for supervision in ("full", "weak")]
SHAPE = {"audio_width": 10, "visual_width": 14, "segments": 6, "classes": 3}


def chosen(scores: list[Tensor], rows: list[Tensor]) -> Tensor:
    """Rows weighed by the softmax of their scores."""
    shares = [math.exp(score.item()) for score in scores]
    return sum(share / sum(shares) * row for share, row in zip(shares, rows, strict=True))


def seconds(visual: Tensor):
    """Every second's place and its regions."""
    return [((b, t), list(visual[b, t])) for b in range(visual.shape[0]) for t in range(visual.shape[1])]


def test_avel_s_attention_scores_every_region_with_what_sound_says():
    layer = AudioGuidedAttention(A, V, hidden=6, narrow=3)
    audio, visual = torch.randn(2, 3, A), torch.randn(2, 3, R, V)
    found = layer(audio, visual)
    for place, rows in seconds(visual):
        asked = layer.narrow_audio(layer.ask_audio(audio[place]).relu())
        scores = [layer.score((layer.narrow_visual(layer.ask_visual(row).relu()) + asked).tanh()) for row in rows]
        assert torch.allclose(found[place], chosen(scores, rows), atol=1e-5)


def test_cmran_s_spatial_attention_scores_what_sound_and_region_share():
    layer = SpatialAttention(A, V, hidden=6)
    audio, visual = torch.randn(2, 3, A), torch.randn(2, 3, R, V)
    found = layer(audio, visual)
    for place, rows in seconds(visual):
        asked = layer.ask_audio(audio[place]).relu()
        scores = [layer.score(layer.ask_visual(row).relu() * asked).tanh() for row in rows]
        assert torch.allclose(found[place], chosen(scores, rows), atol=1e-5)


def test_the_view_of_the_whole_compares_regions_with_their_mean():
    layer, visual = GlobalAttention(V, hidden=6), torch.randn(2, 3, R, V)
    found = layer(visual)
    for place, rows in seconds(visual):
        mean = layer.ask_mean(sum(rows) / R).relu()
        scores = [layer.score(layer.ask_region(row).relu() * mean).tanh() for row in rows]
        assert torch.allclose(found[place], chosen(scores, rows), atol=1e-5)


def test_regions_ask_each_other_for_their_values():
    layer = RegionMixing(V)
    visual, values = torch.randn(2, 3, R, V), torch.randn(2, 3, R, V)
    found = layer(visual, values)
    for place, rows in seconds(visual):
        for r, row in enumerate(rows):
            scores = [layer.query(row) @ layer.key(other) for other in rows]
            assert torch.allclose(found[place][r], chosen(scores, list(values[place])), atol=1e-5)


def test_over_one_region_every_choice_is_that_region():
    audio, visual, values = torch.randn(2, 3, A), torch.randn(2, 3, 1, V), torch.randn(2, 3, 1, V)
    for layer in (AudioGuidedAttention(A, V), SpatialAttention(A, V), OneRegion()):
        assert torch.equal(layer(audio, visual), visual[:, :, 0])
    assert torch.equal(GlobalAttention(V)(visual), visual[:, :, 0])
    for layer in (RegionMixing(V), NoMixing()):
        assert torch.equal(layer(visual, values), values)


def test_streams_are_the_batch_s_regions_or_its_vectors(make_batch):
    visual, regions = torch.randn(4, 6, 14), torch.randn(4, 6, R, 14)
    batch = make_batch(visual=visual)
    assert torch.equal(region_streams(batch)[1], visual[:, :, None])
    assert torch.equal(region_streams(with_regions(batch, regions))[1], regions)


def of_a_method(name: str, supervision: str, regions: int, *options: str):
    config = load_config(None, [f"model.name={name}", f"objective.supervision={supervision}", *options])
    model = build_model(config.model, Shape(**SHAPE, regions=regions), None, supervision)
    return model.eval(), build_objective(config.objective, name)


@pytest.mark.parametrize(("name", "supervision"), SETTINGS)
def test_a_method_for_maps_is_on_vectors_the_method_for_vectors(name: str, supervision: str, make_batch):
    """The same weights give the same values, and the choice adds weights without renaming any."""
    (vectors, _), (maps, _) = (of_a_method(name, supervision, regions) for regions in (1, 49))
    missing, unexpected = maps.load_state_dict(vectors.state_dict(), strict=False)
    assert missing and not unexpected
    visual = torch.randn(4, 6, 14)
    answers = [vectors(make_batch(torch.ones(4, 6, 10), visual)), maps(make_batch(torch.ones(4, 6, 10), visual)),
               maps(with_regions(make_batch(torch.ones(4, 6, 10), visual), visual[:, :, None]))]
    for answer in answers[1:]:
        assert torch.equal(answer.category, answers[0].category)
        assert torch.equal(answer.relevance, answers[0].relevance)


@pytest.mark.parametrize(("name", "supervision"), SETTINGS)
def test_on_maps_a_method_chooses_trains_every_weight_and_does_not_care_for_the_order(
        name: str, supervision: str, make_batch, category: Tensor, relevance: Tensor):
    model, objective = of_a_method(name, supervision, R)
    audio, regions = torch.randn(4, 6, 10), torch.randn(4, 6, R, 14)
    answer = model(with_regions(make_batch(audio, regions.mean(2)), regions))
    losses = objective(answer, category, relevance)
    objective.total(losses).backward()
    assert not [key for key, weight in model.named_parameters() if weight.grad is None]
    turned = model(with_regions(make_batch(audio, regions.mean(2)), regions[:, :, [2, 0, 3, 1]]))
    assert torch.allclose(turned.relevance, answer.relevance, atol=1e-5)
    pooled = model(make_batch(audio, regions.mean(2)))
    assert not torch.allclose(pooled.relevance, answer.relevance, atol=1e-4)


@pytest.mark.parametrize("name", METHODS)
def test_maps_are_refused_by_a_method_that_was_built_for_vectors(name: str, make_batch):
    model, _ = of_a_method(name, "full", 1)
    with pytest.raises(ValueError, match=r"data\.regions=pool.*4 regions"):
        model(with_regions(make_batch(), torch.randn(4, 6, R, 14)))


@pytest.mark.parametrize("name", sorted(set(MODELS) - set(METHODS)))
def test_models_of_vectors_refuse_to_be_built_for_maps(name: str):
    with pytest.raises(ConfigError, match=f"model.name={name} .*data.regions=pool"):
        of_a_method(name, "full", 49)


@pytest.mark.parametrize(("name", "millions"), [("cmbs", 9.20), ("cacenet", 9.28)])
def test_at_published_widths_there_are_as_many_weights_as_the_published_code_trains(name: str, millions: float):
    """Counted on the published classes: 9.20 and, without the 66 thousand of the contrast's layer, 9.22 millions."""
    shape = Shape(audio_width=128, visual_width=512, segments=10, classes=28, regions=49)
    model = build_model(load_config(None, [f"model.name={name}"]).model, shape)
    assert round(sum(weight.numel() for weight in model.parameters()) / 1e6, 2) == millions
