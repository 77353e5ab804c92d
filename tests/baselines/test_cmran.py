"""CMRAN: which stream is the query of which."""

from __future__ import annotations

import torch

from avsgn_pyg.baselines.cmran import CMRAN

SMALL = {"dim": 8, "heads": 2, "heads_interaction": 2, "hidden": 8, "visual_dim": 12}


def test_streams_interact_as_in_the_paper(shape, make_batch):
    model = CMRAN(**shape, supervision="full", **SMALL).eval()
    audio, visual = torch.randn(4, 6, 10), torch.randn(4, 6, 14)
    output = model(make_batch(audio, visual))
    region = model.regions[0](visual).relu()[:, :, None]
    visual_in = model.guide(audio, region, region)[:, :, 0]
    audio_rows = model.across["audio"](audio, model.within["visual"](visual_in))  # queries of audio
    visual_rows = model.across["visual"](visual_in, model.within["audio"](audio))
    category, relevance = model.heads(model.interact(visual_rows, audio_rows))
    assert torch.allclose(output.category, category, atol=1e-6)
    assert torch.allclose(output.relevance, relevance, atol=1e-6)
