from __future__ import annotations

import torch

from avsgn_pyg import metrics
from avsgn_pyg.data.videos import Videos
from avsgn_pyg.engine.evaluator import predict, selection_scores


def test_evaluating_changes_neither_the_mode_nor_the_random_state(videos: Videos, tiny_model: type) -> None:
    model, state = tiny_model(dropout=0.9).train(), torch.get_rng_state()
    first, second = predict(model, videos), predict(model, videos)
    assert torch.equal(first.category, second.category) and torch.equal(torch.get_rng_state(), state)
    assert model.training and model.dropout.training


def test_predictions_are_float32_whatever_the_model(videos: Videos, tiny_model: type) -> None:
    with torch.autocast("cpu", torch.bfloat16):
        assert predict(tiny_model(), videos).relevance.dtype == torch.float32


def test_selection_scores_are_those_of_the_report(videos: Videos, tiny_model: type) -> None:
    found = predict(tiny_model(), videos)
    report = metrics.evaluate(found.category, found.relevance, videos.category, videos.relevance,
                              categories=("a", "b", "c"), tau=0.5, bootstrap=0)
    scores = selection_scores(found, videos, 0.5)
    assert next(iter(scores)) == "segment_accuracy"
    assert scores == {name: getattr(report, name) for name in scores}
