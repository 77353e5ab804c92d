"""Regional features of a batch."""

from __future__ import annotations

import pytest
import torch

from avsgn_pyg.graph.build import build_batch
from avsgn_pyg.graph.regions import has_regions, region_rows, with_regions

B, T, R, D = 3, 4, 5, 6


def batch():
    return build_batch(torch.randn(B, T, D), torch.randn(B, T, D), text_nodes=T, category=torch.arange(B),
                       relevance=torch.ones(B, T), row=torch.arange(B))


def test_vectors_are_one_region():
    plain = batch()
    assert not has_regions(plain) and torch.equal(region_rows(plain), plain["visual"].x[:, None])


def test_regions_are_added_to_the_vectors_and_separated_by_video():
    plain, regions = batch(), torch.randn(B, T, R, D)
    vectors = plain["visual"].x.clone()
    full = with_regions(plain, regions)
    assert has_regions(full) and not has_regions(batch()) and torch.equal(full["visual"].x, vectors)
    assert torch.equal(region_rows(full), regions.flatten(0, 1))
    for number, video in enumerate(full.to_data_list()):
        assert torch.equal(video["visual"].regions, regions[number])
        assert torch.equal(video["visual"].x, vectors.view(B, T, D)[number])


def test_another_number_of_videos_is_an_error():
    with pytest.raises(ValueError, match=r"2 videos.*12"):
        with_regions(batch(), torch.randn(2, T, R, D))
