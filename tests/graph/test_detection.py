"""Soft-NMS on dense outputs: hand-worked cases, and a plain loop over proposals."""

from __future__ import annotations

import math

import pytest
import torch

from avsgn_pyg.graph.detection import DenseOutput, Detection, decode_dense

LOOSE = {"limit": 100, "threshold": 0.001, "sigma": 0.5}


def output_of(*proposals: tuple[int, float, float, float], classes: int = 2) -> DenseOutput:
    """One video with a point in the middle of each proposal (class, start, end, score); scores of others are 0."""
    scores = torch.full((1, len(proposals), classes), -40.0)
    times = torch.tensor([(start + end) / 2 for _, start, end, _ in proposals])
    for point, (category, _, _, score) in enumerate(proposals):
        scores[0, point, category] = math.log(score / (1 - score))
    half = torch.tensor([(end - start) / 2 for _, start, end, _ in proposals])
    return DenseOutput(scores, half.view(1, -1, 1, 1).expand(1, -1, classes, 2), times)


def random_output(videos: int = 2, points: int = 12, classes: int = 3) -> DenseOutput:
    draw = torch.Generator().manual_seed(0)
    mask = torch.ones(videos, points, dtype=torch.bool)
    mask[0, -4:] = False
    return DenseOutput(torch.randn(videos, points, classes, generator=draw),
                       6 * torch.rand(videos, points, classes, 2, generator=draw), torch.arange(points) + 0.5, mask)


def plain_soft_nms(output: DenseOutput, video: int, limit: int, threshold: float, sigma: float) -> list[Detection]:
    """The definition, one proposal after the other."""
    found = []
    for category in range(output.scores.shape[-1]):
        left = []
        for point, time in enumerate(output.times.tolist()):
            before, after = output.distances[video, point, category].tolist()
            if output.mask[video, point]:
                score = output.scores[video, point, category].sigmoid().item()
                left.append([score, max(time - before, 0), time + after])
        while left:
            left.sort(reverse=True)
            score, start, end = left.pop(0)
            found.append(Detection(category, start, end, score))
            for other in left:
                shared = max(0, min(end, other[2]) - max(start, other[1]))
                other[0] *= math.exp(-((shared / (end - start + other[2] - other[1] - shared)) ** 2) / sigma)
    return sorted((each for each in found if each.score > threshold), key=lambda each: -each.score)[:limit]


@pytest.mark.parametrize(("limit", "threshold", "sigma"), [(100, 0.0, 0.5), (100, 0.3, 0.1), (7, 0.01, 0.9)])
def test_it_is_the_plain_loop(limit: int, threshold: float, sigma: float):
    output = random_output()
    for video, found in enumerate(decode_dense(output, limit=limit, threshold=threshold, sigma=sigma)):
        expected = plain_soft_nms(output, video, limit, threshold, sigma)
        assert [each.category for each in found] == [each.category for each in expected]
        assert torch.allclose(torch.tensor(found), torch.tensor(expected), atol=1e-4) and len(found) > 3


def test_an_overlapping_proposal_of_the_same_class_loses_score_and_of_another_class_does_not():
    """IoU 8 / 12: a score of .8 becomes .8 exp(-(2/3)^2 / .5)."""
    [found] = decode_dense(output_of((0, 0, 10, 0.9), (0, 2, 12, 0.8), (1, 2, 12, 0.7)), **LOOSE)
    assert [each.category for each in found] == [0, 1, 0]
    assert [each.score for each in found] == pytest.approx([0.9, 0.7, 0.8 * math.exp(-((2 / 3) ** 2) / 0.5)], abs=1e-5)
    assert [each[1:3] for each in found] == [(0, 10), (2, 12), (2, 12)]


def test_proposals_that_lose_their_score_or_are_beyond_the_limit_are_left_out():
    proposals = output_of((0, 0, 10, 0.9), (0, 0.1, 10, 0.8), (0, 20, 30, 0.6), (1, 0, 10, 0.5))
    [found] = decode_dense(proposals, limit=2, threshold=0.2, sigma=0.5)
    assert [(each.category, each.start) for each in found] == [(0, 0), (0, 20)]
    assert decode_dense(proposals, limit=2, threshold=0.95, sigma=0.5) == [[]]


def test_events_lie_within_their_video():
    output = output_of((0, -3, 9, 0.9))
    assert decode_dense(output, **LOOSE)[0][0][1:3] == (0, 9)
    assert decode_dense(output, **LOOSE, durations=torch.tensor([8.5]))[0][0][1:3] == (0, 8.5)


@pytest.mark.parametrize("change", [{"limit": 0}, {"threshold": 1.0}, {"threshold": -0.1}, {"sigma": 0.0}])
def test_impossible_settings_are_refused(change: dict[str, float]):
    with pytest.raises(ValueError, match=next(iter(change))):
        decode_dense(output_of((0, 0, 10, 0.9)), **{**LOOSE, **change})
