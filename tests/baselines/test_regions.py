"""Attention over regions, and every model for regions on vectors and on maps."""

from __future__ import annotations

import itertools
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
from avsgn_pyg.common.config import ConfigError, load_config
from avsgn_pyg.engine.zoo import MODELS, Shape, build_model, build_objective
from avsgn_pyg.graph.views import with_regions

A, V, R = 5, 8, 4
METHODS = sorted(name for name, row in MODELS.items() if row.regional)
SETTINGS = [(name, supervision) for name in METHODS for supervision in ("full", "weak")]
SHAPE = {"audio_width": 10, "visual_width": 14, "segments": 6, "classes": 3}


def weighted(scores: list[Tensor], rows: list[Tensor]) -> Tensor:
    """Sum of rows, weighted by the softmax of their scores."""
    shares = [math.exp(score.item()) for score in scores]
    return sum(share / sum(shares) * row for share, row in zip(shares, rows, strict=True))


def test_region_attention_is_the_formula_of_each_layer():
    """Every layer scores the regions of a second and returns their weighted sum."""
    audio, visual, values = torch.randn(2, 3, A), torch.randn(2, 3, R, V), torch.randn(2, 3, R, V)
    avel, cmran = AudioGuidedAttention(A, V, hidden=6, narrow=3), SpatialAttention(A, V, hidden=6)
    whole, mixing = GlobalAttention(V, hidden=6), RegionMixing(V)
    found = {layer: layer(audio, visual) for layer in (avel, cmran)} | {
        whole: whole(visual), mixing: mixing(visual, values)}
    for place in itertools.product(range(2), range(3)):
        rows, sound = list(visual[place]), audio[place]
        query = avel.narrow_audio(avel.ask_audio(sound).relu())
        scores = [avel.score((avel.narrow_visual(avel.ask_visual(row).relu()) + query).tanh()) for row in rows]
        assert torch.allclose(found[avel][place], weighted(scores, rows), atol=1e-5)
        scores = [cmran.score(cmran.ask_visual(row).relu() * cmran.ask_audio(sound).relu()).tanh() for row in rows]
        assert torch.allclose(found[cmran][place], weighted(scores, rows), atol=1e-5)
        mean = whole.ask_mean(sum(rows) / R).relu()
        scores = [whole.score(whole.ask_region(row).relu() * mean).tanh() for row in rows]
        assert torch.allclose(found[whole][place], weighted(scores, rows), atol=1e-5)
        for r, row in enumerate(rows):
            scores = [mixing.query(row) @ mixing.key(other) for other in rows]
            assert torch.allclose(found[mixing][place][r], weighted(scores, list(values[place])), atol=1e-5)


def test_attention_over_one_region_returns_that_region():
    audio, visual, values = torch.randn(2, 3, A), torch.randn(2, 3, 1, V), torch.randn(2, 3, 1, V)
    for layer in (AudioGuidedAttention(A, V), SpatialAttention(A, V), OneRegion()):
        assert torch.equal(layer(audio, visual), visual[:, :, 0])
    assert torch.equal(GlobalAttention(V)(visual), visual[:, :, 0])
    for layer in (RegionMixing(V), NoMixing()):
        assert torch.equal(layer(visual, values), values)


def test_region_streams_are_regions_or_vectors_of_the_batch(make_batch):
    visual, regions = torch.randn(4, 6, 14), torch.randn(4, 6, R, 14)
    batch = make_batch(visual=visual)
    assert torch.equal(region_streams(batch)[1], visual[:, :, None])
    assert torch.equal(region_streams(with_regions(batch, regions))[1], regions)


def of_a_method(name: str, supervision: str, regions: int, *options: str):
    config = load_config(None, [f"model.name={name}", f"objective.supervision={supervision}", *options])
    model = build_model(config.model, Shape(**SHAPE, regions=regions), None, supervision)
    return model.eval(), build_objective(config.objective, name)


@pytest.mark.slow
@pytest.mark.parametrize(("name", "supervision"), SETTINGS)
def test_on_vectors_a_model_for_maps_equals_the_model_for_vectors(name: str, supervision: str, make_batch):
    """The same weights give the same values, and the choice adds weights without renaming any."""
    (vectors, _), (maps, _) = (of_a_method(name, supervision, regions) for regions in (1, 49))
    missing, unexpected = maps.load_state_dict(vectors.state_dict(), strict=False)
    assert missing and not unexpected
    visual = torch.randn(4, 6, 14)
    outputs = [vectors(make_batch(torch.ones(4, 6, 10), visual)), maps(make_batch(torch.ones(4, 6, 10), visual)),
               maps(with_regions(make_batch(torch.ones(4, 6, 10), visual), visual[:, :, None]))]
    for output in outputs[1:]:
        assert torch.equal(output.category, outputs[0].category)
        assert torch.equal(output.relevance, outputs[0].relevance)


@pytest.mark.parametrize(("name", "supervision"), SETTINGS)
def test_on_maps_every_weight_is_trained_and_the_order_of_regions_has_no_effect(
        name: str, supervision: str, make_batch, category: Tensor, relevance: Tensor):
    model, objective = of_a_method(name, supervision, R)
    audio, regions = torch.randn(4, 6, 10), torch.randn(4, 6, R, 14)
    output = model(with_regions(make_batch(audio, regions.mean(2)), regions))
    losses = objective(output, category, relevance)
    objective.total(losses).backward()
    assert not [key for key, weight in model.named_parameters() if weight.grad is None]
    permuted = model(with_regions(make_batch(audio, regions.mean(2)), regions[:, :, [2, 0, 3, 1]]))
    assert torch.allclose(permuted.relevance, output.relevance, atol=1e-5)
    pooled = model(make_batch(audio, regions.mean(2)))
    assert not torch.allclose(pooled.relevance, output.relevance, atol=1e-4)


@pytest.mark.parametrize("name", METHODS)
def test_maps_are_an_error_for_a_model_built_for_vectors(name: str, make_batch):
    model, _ = of_a_method(name, "full", 1)
    with pytest.raises(ValueError, match=r"data\.regions=pool.*4 regions"):
        model(with_regions(make_batch(), torch.randn(4, 6, R, 14)))


@pytest.mark.parametrize("name", sorted(set(MODELS) - set(METHODS)))
def test_models_of_vectors_cannot_be_built_for_maps(name: str):
    with pytest.raises(ConfigError, match=f"model.name={name} .*data.regions=pool"):
        of_a_method(name, "full", 49)


@pytest.mark.parametrize(("name", "millions"), [("cmbs", 9.20), ("cacenet", 9.28)])
def test_the_number_of_weights_is_that_of_the_published_code(name: str, millions: float):
    """Counted on the published classes: 9.20 and, without the 66 thousand of the contrast's layer, 9.22 millions."""
    shape = Shape(audio_width=128, visual_width=512, segments=10, classes=28, regions=49)
    model = build_model(load_config(None, [f"model.name={name}"]).model, shape)
    assert round(sum(weight.numel() for weight in model.parameters()) / 1e6, 2) == millions
