"""PSP: propagated streams scored second by second, and the weak weighting."""

from __future__ import annotations

import pytest
import torch

from avsgn_pyg.baselines.psp import PSP, PSPObjective, Weighting

SMALL = {"hidden": 4, "between": 6, "width": 5, "narrow": 4}


@pytest.mark.parametrize("supervision", ["full", "weak"])
def test_scores_are_read_from_the_mean_of_both_propagated_streams(supervision: str, shape, make_batch):
    model = PSP(**shape, supervision=supervision, **SMALL).eval()
    answer = model(make_batch())
    stage = answer.stages["propagated"]
    scores = model.scores((stage["audio"] + stage["visual"]) / 2)
    if supervision == "weak":
        scores = scores * torch.sigmoid(torch.relu(scores @ model.weigh.weigh.weight[0]))[..., None]
    assert torch.allclose(answer.segment_scores, scores, atol=1e-6)


def test_the_weighting_at_most_halves_a_second():
    scores = torch.randn(3, 5, 4)
    share = Weighting(4)(scores) / scores
    assert (share >= 0.5 - 1e-6).all() and (share < 1).all()


def test_similarity_is_a_loss_of_full_supervision_alone(shape, make_batch, category, relevance):
    full, weak = (PSPObjective(supervision=name) for name in ("full", "weak"))
    answer = PSP(**shape, supervision="full", **SMALL)(make_batch())
    losses = full(answer, category, relevance)
    assert full.total(losses).item() == pytest.approx(losses["segment"].item() + 100 * losses["pair"].item(), rel=1e-5)
    assert weak.names == ("mil",)
    mean = answer.segment_scores.mean(1)[[0, 2, 3]].log_softmax(-1)
    assert weak(answer, category)["mil"].item() == pytest.approx(-(mean[0, 0] + mean[1, 2] + mean[2, 0]).item() / 3)
