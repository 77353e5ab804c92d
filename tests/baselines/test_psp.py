"""PSP: propagated streams scored per second, and the weights of weak supervision."""

from __future__ import annotations

import pytest
import torch

from avsgn_pyg.baselines.psp import PSP, PSPObjective

SMALL = {"hidden": 4, "between": 6, "width": 5, "narrow": 4}


@pytest.mark.parametrize("supervision", ["full", "weak"])
def test_scores_use_the_mean_of_both_propagated_streams(supervision: str, shape, make_batch):
    model = PSP(**shape, supervision=supervision, **SMALL).eval()
    output = model(make_batch())
    stage = output.stages["propagated"]
    scores = model.scores((stage["audio"] + stage["visual"]) / 2)
    if supervision == "weak":
        scores = scores * torch.sigmoid(torch.relu(scores @ model.weigh.weigh.weight[0]))[..., None]
    assert torch.allclose(output.segment_scores, scores, atol=1e-6)


def test_losses_of_full_and_weak_supervision(shape, make_batch, category, relevance):
    full, weak = (PSPObjective(supervision=name) for name in ("full", "weak"))
    output = PSP(**shape, supervision="full", **SMALL)(make_batch())
    losses = full(output, category, relevance)
    assert full.total(losses).item() == pytest.approx(losses["segment"].item() + 100 * losses["pair"].item(), rel=1e-5)
    assert weak.names == ("mil",)
    mean = output.segment_scores.mean(1)[[0, 2, 3]].log_softmax(-1)
    assert weak(output, category)["mil"].item() == pytest.approx(-(mean[0, 0] + mean[1, 2] + mean[2, 0]).item() / 3)
