"""Training-free rules, against values worked out by hand or in loops."""

from __future__ import annotations

import math

import pytest
import torch

from avsgn_pyg.graph.localization import decode, decode_segments
from avsgn_pyg.graph.training_free import (
    Calibration,
    Similarity,
    agreement,
    geometric_mean,
    likelihood_ratio,
    similarity,
    smooth,
)

LABELS, SECONDS = 3, 6


def clip(audio: list[int], visual: list[int]) -> Similarity:
    """Similarities of one clip that are high for the given label of each second."""
    rows = (0.1 + 0.8 * torch.eye(LABELS)[torch.tensor(labels)][None] for labels in (audio, visual))
    return Similarity(*rows)


def test_similarity_is_the_cosine():
    audio, text = torch.tensor([[[3.0, 4.0]]]), torch.tensor([[2.0, 0.0], [0.0, 5.0]])
    found = similarity(audio, 7 * audio, text, -text)
    torch.testing.assert_close(found.audio, torch.tensor([[[0.6, 0.8]]]))
    torch.testing.assert_close(found.visual, torch.tensor([[[-0.6, -0.8]]]))


def test_smoothing_averages_three_seconds_and_repeats_the_ends():
    assert smooth(torch.tensor([[3.0, 0.0, 6.0]]))[0].tolist() == [2.0, 3.0, 4.0]
    assert smooth(torch.tensor([[5.0]]))[0].tolist() == [5.0]


def test_a_calibration_has_the_spread_and_the_mean_probability_of_its_cosines():
    cosines = torch.randn(4, 5, LABELS)
    found = Calibration.of(cosines, spread=0.5)
    rows = cosines.flatten(0, 1)
    assert found.temperature == pytest.approx(0.5 * float(rows.std(correction=0)), rel=1e-6)
    torch.testing.assert_close(found.prior, (rows / found.temperature).softmax(-1).mean(0))
    assert Calibration.of(cosines, prior=False).prior.tolist() == pytest.approx([1 / 3] * 3)


def test_probabilities_are_divided_by_the_prior_and_normalized():
    found = Calibration(2.0, torch.tensor([0.5, 0.25, 0.25]))(torch.tensor([1.0, 0.0, -1.0]))
    ratios = [math.exp(0.5) / 0.5, 1 / 0.25, math.exp(-0.5) / 0.25]
    assert found.tolist() == pytest.approx([ratio / sum(ratios) for ratio in ratios])


def test_an_event_is_where_its_label_is_heard_and_seen():
    found = clip([1, 1, 1, 1, 0, 0], [2, 2, 1, 1, 1, 1])
    output = likelihood_ratio(found, none_below=0.0, smoothing=False, share=0.5)
    assert decode(output.category, output.relevance, 0.5).tolist() == [[3, 3, 1, 1, 3, 3]]
    assert output.gates["audio"][0, :, 0].gt(0.5).tolist() == [True] * 4 + [False] * 2


def test_relevance_is_the_smaller_share_of_the_highest_probability():
    found, share = Similarity(torch.randn(2, SECONDS, LABELS), torch.randn(2, SECONDS, LABELS)), 0.2
    output = likelihood_ratio(found, none_below=0.0, share=share)
    audio, visual = (Calibration.of(rows, prior=False)(rows) for rows in (found.audio, found.visual))
    for video in range(2):
        joint = audio[video].mean(0) * visual[video].mean(0)
        torch.testing.assert_close(output.category[video].softmax(-1), joint / joint.sum())
        relative = [smooth(rows[video, :, joint.argmax()][None])[0] for rows in (audio, visual)]
        expected = torch.minimum(*(values / values.max() for values in relative)) / share
        torch.testing.assert_close(output.relevance[video].exp(), expected)


def test_a_label_that_is_near_everything_wins_only_by_its_excess():
    near_all = torch.tensor([0.5, 0.0, 0.0])
    clips = Similarity(*(torch.rand(20, SECONDS, LABELS) * 0.2 + near_all for _ in range(2)))
    found = Similarity(*(torch.tensor([0.6, 0.4, 0.1]).expand(1, SECONDS, LABELS) for _ in range(2)))
    calibrated = (Calibration.of(clips.audio), Calibration.of(clips.visual))
    assert likelihood_ratio(found).category.argmax().item() == 0
    assert likelihood_ratio(found, *calibrated).category.argmax().item() == 1


def test_a_clip_that_resembles_no_label_more_than_others_has_no_event():
    flat = Similarity(torch.randn(1, SECONDS, 20) * 0.01 + 0.5, torch.randn(1, SECONDS, 20) * 0.01 + 0.5)
    wide = Calibration(0.6, torch.full((20,), 0.05))
    assert not (likelihood_ratio(flat, wide, wide).relevance > 0).any()
    assert (likelihood_ratio(flat, wide, wide, none_below=0.0).relevance > 0).any()
    assert likelihood_ratio(flat, wide, wide).relevance.isfinite().all()


@pytest.mark.parametrize("labels", [2, 3, 8])
def test_a_list_of_few_labels_is_answered(labels: int) -> None:
    near, far = torch.zeros(1, SECONDS, labels), torch.zeros(1, SECONDS, labels)
    near[..., 1], far[:, : SECONDS // 2, 0], far[:, SECONDS // 2 :, 1] = 1.0, 1.0, 1.0
    assert (likelihood_ratio(Similarity(near, near)).relevance > 0).all()
    if labels == 2:  # each label is as near to the picture as the other, which is as by chance
        assert not (likelihood_ratio(Similarity(far, far)).relevance > 0).any()


def test_agreement_labels_a_second_on_which_both_modalities_agree():
    output = agreement(clip([1, 1, 0, 2, 2, 1], [1, 0, 0, 2, 1, 1]))
    assert decode_segments(output.segment_scores).tolist() == [[1, 3, 0, 2, 3, 1]]
    assert output.category.argmax().item() == 1


def test_the_geometric_mean_of_both_softmaxes_decides():
    found = Similarity(torch.randn(1, SECONDS, LABELS) / 10, torch.randn(1, SECONDS, LABELS) / 10)
    output = geometric_mean(found, temperatures=(0.1, 0.2), threshold=0.3)
    both = ((found.audio / 0.1).softmax(-1) * (found.visual / 0.2).softmax(-1)).sqrt()[0]
    padded = [both[0], *both, both[-1]]
    mean = torch.stack([(padded[t] + padded[t + 1] + padded[t + 2]) / 3 for t in range(SECONDS)])
    best = mean.mean(0).argmax()
    assert output.category.argmax() == best
    torch.testing.assert_close(output.relevance[0].exp(), mean[:, best] / 0.3)
