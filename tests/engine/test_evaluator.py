from __future__ import annotations

import torch

from avsgn_pyg.data.videos import Videos
from avsgn_pyg.engine.evaluator import predict


def test_evaluating_changes_neither_the_mode_nor_the_random_state(videos: Videos, tiny_model: type) -> None:
    model, state = tiny_model(dropout=0.9).train(), torch.get_rng_state()
    first, second = predict(model, videos), predict(model, videos)
    assert torch.equal(first.category, second.category) and torch.equal(torch.get_rng_state(), state)
    assert model.training and model.dropout.training


def test_predictions_are_float32_whatever_the_model(videos: Videos, tiny_model: type) -> None:
    with torch.autocast("cpu", torch.bfloat16):
        assert predict(tiny_model(), videos).relevance.dtype == torch.float32
