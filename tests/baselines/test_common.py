"""The inputs and outputs that baselines share."""

from __future__ import annotations

import math

import pytest
import torch

from avsgn_pyg.baselines.common import from_segment_scores
from avsgn_pyg.graph.localization import decode, decode_segments


def test_segment_scores_give_category_and_relevance():
    scores = torch.tensor([[[1.0, 2.0, 0.5], [3.0, -1.0, 4.0]]])
    output = from_segment_scores(scores)
    assert output.category.tolist() == [[3.0, 2.0]]
    assert output.relevance[0, 0].item() == pytest.approx(math.log(math.exp(1) + math.exp(2)) - 0.5, rel=1e-5)
    assert decode_segments(output.segment_scores).tolist() == [[1, 2]]
    assert decode(output.category, output.relevance, 0.5).tolist() == [[0, 2]]
