"""CMRAN: which stream asks which, and its losses."""

from __future__ import annotations

import pytest
import torch

from avsgn_pyg.baselines.cmran import CMRAN, CMRANObjective

SMALL = {"dim": 8, "heads": 2, "heads_interaction": 2, "hidden": 8, "visual_dim": 12}


def test_the_streams_meet_as_in_the_paper(shape, make_batch):
    model = CMRAN(**shape, supervision="full", **SMALL).eval()
    audio, visual = torch.randn(4, 6, 10), torch.randn(4, 6, 14)
    answer = model(make_batch(audio, visual))
    region = model.regions[0](visual).relu()[:, :, None]
    sight = model.guide(audio, region, region)[:, :, 0]
    heard = model.across["audio"](audio, model.within["visual"](sight))  # sound asks sight
    seen = model.across["visual"](sight, model.within["audio"](audio))
    category, relevance = model.heads(model.interact(seen, heard))
    assert torch.allclose(answer.category, category, atol=1e-6)
    assert torch.allclose(answer.relevance, relevance, atol=1e-6)


def test_losses_by_supervision(shape, make_batch, category, relevance):
    answer = CMRAN(**shape, supervision="weak", **SMALL)(make_batch())
    full, weak = (CMRANObjective(supervision=name) for name in ("full", "weak"))
    assert (full.names, weak.names) == (("relevance", "category"), ("mil",))
    assert weak(answer, category)["mil"] == weak(answer, category, relevance)["mil"]


def test_a_width_that_the_heads_cannot_share_is_refused(shape):
    with pytest.raises(ValueError, match="dim=6 is not a multiple of heads=4"):
        CMRAN(**shape, supervision="full", dim=6)
