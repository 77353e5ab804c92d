from __future__ import annotations

import dataclasses
import math

import pytest
import torch
from torch import nn

from avsgn_pyg import metrics
from avsgn_pyg.data.videos import Videos
from avsgn_pyg.engine.evaluator import predict, selection_scores
from avsgn_pyg.graph.views import padded_view
from avsgn_pyg.localization import Localization


def test_answers_come_in_the_order_of_the_videos_whatever_the_batch(videos: Videos, tiny_model: type) -> None:
    model = tiny_model().eval()
    whole = model(videos.batch(torch.arange(len(videos))))
    for size in (1, 7, 100):
        found = predict(model, videos, batch_size=size)
        torch.testing.assert_close(found.category, whole.category)
        torch.testing.assert_close(found.relevance, whole.relevance)
        assert found.segment_scores is None


def test_dropout_is_off_and_the_mode_is_put_back(videos: Videos, tiny_model: type) -> None:
    model = tiny_model(dropout=0.9).train()
    first, second = predict(model, videos), predict(model, videos)
    assert torch.equal(first.category, second.category)
    assert model.training
    assert model.dropout.training


def test_the_mode_is_put_back_when_the_model_fails(videos: Videos) -> None:
    class Broken(nn.Module):
        def forward(self, batch: object) -> None:
            raise RuntimeError("no")

    model = Broken()
    try:
        predict(model, videos)
    except RuntimeError:
        assert model.training
    else:
        raise AssertionError("the model's error was lost")


def test_evaluating_draws_no_random_number(videos: Videos, tiny_model: type) -> None:
    model = tiny_model(dropout=0.5)
    state = torch.get_rng_state()
    predict(model, videos)
    assert torch.equal(torch.get_rng_state(), state)


def test_answers_are_float32_whatever_the_model(videos: Videos, tiny_model: type) -> None:
    with torch.autocast("cpu", torch.bfloat16):
        assert predict(tiny_model(), videos).relevance.dtype == torch.float32


def test_selection_reads_the_metrics_of_the_report(videos: Videos, tiny_model: type) -> None:
    found = predict(tiny_model(), videos)
    report = metrics.evaluate(
        found.category,
        found.relevance,
        videos.category,
        videos.relevance,
        categories=("a", "b", "c"),
        tau=0.5,
        bootstrap=0,
    )
    scores = selection_scores(found, videos, 0.5)
    assert next(iter(scores)) == "segment_accuracy"
    assert scores == {name: getattr(report, name) for name in scores}


# Videos of mixed lengths.


class AnyLength(nn.Module):
    """Answers by real seconds; what it says of filling is nan."""

    def forward(self, batch: object) -> Localization:
        rows, real = padded_view(batch, "audio")
        mask = torch.ones(rows.shape[:2], dtype=torch.bool) if real is None else real
        relevance, scores = (part.masked_fill(~mask[..., None], math.nan) for part in (rows[..., :1], rows[..., :4]))
        category = rows.masked_fill(~mask[..., None], -math.inf).amax(1)[:, :3]
        return Localization(category, relevance[..., 0], segment_scores=scores, mask=real)


@pytest.fixture
def mixed(videos: Videos) -> Videos:
    whole = dataclasses.replace(videos, lengths=torch.arange(len(videos)) % 4 + 1)
    for name in ("audio", "visual", "relevance"):
        getattr(whole, name)[~whole.mask] = torch.nan
    return whole


@pytest.mark.parametrize("size", [1, 5, 24])
def test_answers_of_mixed_lengths_are_those_of_the_videos_alone(mixed: Videos, size: int) -> None:
    found = predict(AnyLength(), mixed, batch_size=size)
    assert found.relevance.shape == (24, 4) and found.segment_scores.shape == (24, 4, 4)
    assert torch.equal(found.mask, mixed.mask)
    assert not found.relevance[~mixed.mask].any() and not found.segment_scores[~mixed.mask].any()
    for number, seconds in enumerate(mixed.lengths.tolist()):
        alone = AnyLength()(mixed.batch(torch.tensor([number])))
        assert torch.equal(found.category[number], alone.category[0])
        assert torch.equal(found.relevance[number, :seconds], alone.relevance[0])
        assert torch.equal(found.segment_scores[number, :seconds], alone.segment_scores[0])


def test_seconds_after_a_video_s_end_are_labelled_background(mixed: Videos) -> None:
    found = predict(AnyLength(), mixed)
    assert (found.labels(0.5)[~mixed.mask] == 3).all()


def test_selection_counts_real_seconds(mixed: Videos) -> None:
    found = predict(AnyLength(), mixed)
    scores = selection_scores(found, mixed, 0.5)
    report = metrics.evaluate(
        found.category, found.relevance, mixed.category, mixed.relevance, categories=("a", "b", "c"), tau=0.5,
        bootstrap=0, segment_scores=found.segment_scores, mask=mixed.mask)
    assert scores == {name: getattr(report, name) for name in scores}
    assert report.segments == int(mixed.lengths.sum()) == 60
