from __future__ import annotations

import dataclasses
import math

import pytest
import torch
from torch import nn

from avsgn_pyg import metrics
from avsgn_pyg.data.videos import Videos
from avsgn_pyg.engine.evaluator import labels, predict, selection_scores
from avsgn_pyg.graph.views import padded_view
from avsgn_pyg.localization import Localization


def test_evaluating_changes_neither_the_mode_nor_the_random_state(videos: Videos, tiny_model: type) -> None:
    model, state = tiny_model(dropout=0.9).train(), torch.get_rng_state()
    first, second = predict(model, videos), predict(model, videos)
    assert torch.equal(first.category, second.category) and torch.equal(torch.get_rng_state(), state)
    assert model.training and model.dropout.training


def test_predictions_are_float32_whatever_the_model(videos: Videos, tiny_model: type) -> None:
    with torch.autocast("cpu", torch.bfloat16):
        assert predict(tiny_model(), videos).relevance.dtype == torch.float32


class AnyLength(nn.Module):
    """Outputs of the seconds themselves; nan at padding."""

    def forward(self, batch: object) -> Localization:
        rows, mask = padded_view(batch, "audio")
        here = torch.ones(rows.shape[:2], dtype=torch.bool) if mask is None else mask
        relevance, scores = (part.masked_fill(~here[..., None], math.nan) for part in (rows[..., :1], rows[..., :4]))
        category = rows.masked_fill(~here[..., None], -math.inf).amax(1)[:, :3]
        return Localization(category, relevance[..., 0], segment_scores=scores, mask=mask)


@pytest.fixture
def mixed(videos: Videos) -> Videos:
    """Videos of 1 to 4 seconds, padded with nan."""
    whole = dataclasses.replace(videos, lengths=torch.arange(len(videos)) % 4 + 1)
    for name in ("audio", "visual", "relevance"):
        getattr(whole, name)[~whole.mask] = torch.nan
    return whole


@pytest.mark.parametrize("size", [1, 5])
def test_predictions_of_mixed_lengths_are_those_of_the_videos_alone(mixed: Videos, size: int) -> None:
    found = predict(AnyLength(), mixed, batch_size=size)
    assert torch.equal(found.mask, mixed.mask)
    assert not found.relevance[~mixed.mask].any() and not found.segment_scores[~mixed.mask].any()
    assert (labels(found, 0.5)[~mixed.mask] == 3).all()
    for number, seconds in enumerate(mixed.lengths.tolist()):
        alone = AnyLength()(mixed.batch(torch.tensor([number])))
        assert torch.equal(found.category[number], alone.category[0])
        assert torch.equal(found.relevance[number, :seconds], alone.relevance[0])
        assert torch.equal(found.segment_scores[number, :seconds], alone.segment_scores[0])


@pytest.mark.parametrize("lengths", ["equal", "mixed"])
def test_selection_scores_are_those_of_the_report(
    lengths: str, request: pytest.FixtureRequest, tiny_model: type
) -> None:
    split = request.getfixturevalue("videos" if lengths == "equal" else "mixed")
    model = tiny_model() if lengths == "equal" else AnyLength()
    found = predict(model, split)
    report = metrics.evaluate(
        found.category, found.relevance, split.category, split.relevance, categories=("a", "b", "c"), tau=0.5,
        bootstrap=0, segment_scores=found.segment_scores, mask=split.mask)
    scores = selection_scores(found, split, 0.5)
    assert next(iter(scores)) == "segment_accuracy"
    assert scores == {name: getattr(report, name) for name in scores}
