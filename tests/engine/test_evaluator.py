from __future__ import annotations

import torch
from torch import nn

from avsgn_pyg import metrics
from avsgn_pyg.data.videos import Videos
from avsgn_pyg.engine.evaluator import predict, selection_scores


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
