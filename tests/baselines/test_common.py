"""The inputs and outputs that baselines share."""

from __future__ import annotations

import math

import pytest
import torch

from avsgn_pyg.baselines.common import from_segment_scores, streams
from avsgn_pyg.localization import decode, decode_segments


def test_class_and_relevance_are_read_from_segment_scores():
    scores = torch.tensor([[[1.0, 2.0, 0.5], [3.0, -1.0, 4.0]]])
    output = from_segment_scores(scores)
    assert output.category.tolist() == [[3.0, 2.0]]
    assert output.relevance[0, 0].item() == pytest.approx(math.log(math.exp(1) + math.exp(2)) - 0.5, rel=1e-5)
    assert decode_segments(output.segment_scores).tolist() == [[1, 2]]
    assert decode(output.category, output.relevance, 0.5).tolist() == [[0, 2]]


def test_streams_are_the_features_as_they_were_given(make_batch):
    audio, visual = torch.randn(4, 6, 10), torch.randn(4, 6, 14)
    for given, found in zip((audio, visual), streams(make_batch(audio, visual)), strict=True):
        assert torch.equal(given, found)
