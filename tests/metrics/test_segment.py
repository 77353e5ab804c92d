"""Segment metrics against plain loops and scikit-learn."""

from __future__ import annotations

import inspect
import itertools
import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import accuracy_score, confusion_matrix, precision_recall_fscore_support, roc_auc_score

from avsgn_pyg import metrics
from avsgn_pyg.graph.localization import decode
from avsgn_pyg.metrics.segment import best_tau, check_outputs, segment_targets

SEEDS = st.integers(0, 10**6)
SIZES = {"videos": st.integers(1, 7), "segments": st.integers(1, 6), "classes": st.integers(1, 5)}


def labels_by_hand(outputs, tau):
    """(predicted, true) labels of every segment, one Python number at a time."""
    predicted, true = [], []
    classes = outputs.category_logits.shape[1]
    for n in range(len(outputs.category)):
        scores = outputs.category_logits[n].tolist()
        best = scores.index(max(scores))
        for t in range(outputs.relevance.shape[1]):
            logit = outputs.relevance_logits[n, t].item()
            predicted.append(best if 1 / (1 + math.exp(-logit)) > tau else classes)
            true.append(outputs.category[n].item() if outputs.relevance[n, t] == 1 else classes)
    return predicted, true


# 0.3 and 0.8 lie between the sigmoids of the coarse logits, where float32 and float64 must agree.
@given(seed=SEEDS, tau=st.sampled_from([0.0, 0.3, 0.5, 0.8]), **SIZES)
def test_counts_equal_plain_loops_and_scikit_learn(make_outputs, seed, tau, videos, segments, classes):
    outputs = make_outputs(seed, videos, segments, classes)
    predicted, true = labels_by_hand(outputs, tau)
    assert metrics.predict(outputs.category_logits, outputs.relevance_logits, tau).flatten().tolist() == predicted
    assert metrics.segment_targets(outputs.category, outputs.relevance, classes).flatten().tolist() == true
    report = metrics.evaluate(*outputs, categories=[f"c{i}" for i in range(classes)], tau=tau, bootstrap=0)
    assert report.segment_accuracy == pytest.approx(100 * accuracy_score(true, predicted))
    expected = confusion_matrix(true, predicted, labels=range(classes + 1))
    assert report.confusion.tolist() == expected.tolist()
    precision, recall, f1, _ = precision_recall_fscore_support(
        true, predicted, labels=[classes], zero_division=math.nan)
    found = (report.background_precision, report.background_recall, report.background_f1)
    assert found == pytest.approx((100 * precision[0], 100 * recall[0], 100 * f1[0]), nan_ok=True)


@given(seed=SEEDS, **SIZES)
def test_relevance_auc_equals_scikit_learn_with_ties(make_outputs, seed, videos, segments, classes):
    outputs = make_outputs(seed, videos, segments, classes)
    score = metrics.relevance_auc(outputs.relevance_logits, outputs.relevance)
    if len(outputs.relevance.unique()) == 1:
        assert math.isnan(score)
    else:
        want = roc_auc_score(outputs.relevance.flatten().numpy(), outputs.relevance_logits.flatten().numpy())
        assert score == pytest.approx(100 * want)


def test_a_segment_on_the_threshold_is_background_and_the_first_of_tied_classes_wins():
    assert metrics.predict(torch.tensor([[0.0, 7.0, 7.0]]), torch.ones(1, 1), 0.5).tolist() == [[1]]
    assert metrics.predict(torch.tensor([[1.0, 0.0]]), torch.zeros(1, 1), 0.5).tolist() == [[2]]
    assert metrics.predict(torch.tensor([[1.0, 0.0]]), torch.full((1, 1), 1e-3), 0.5).tolist() == [[0]]


def test_class_accuracy_leaves_out_videos_without_an_event():
    logits = torch.tensor([[1.0, 0.0], [1.0, 0.0], [0.0, 1.0], [1.0, 0.0]])
    assert metrics.class_accuracy(logits, torch.tensor([0, 1, 1, -1])) == pytest.approx(200 / 3)
    assert math.isnan(metrics.class_accuracy(logits, torch.full((4,), -1)))


def test_the_right_share_of_a_video_leaves_out_its_padding():
    predicted, target = torch.tensor([[0, 2, 1], [2, 2, 0]]), torch.tensor([[0, 1, 1], [2, 2, 2]])
    mask = torch.tensor([[True, True, False], [True, True, True]])
    assert metrics.correct_per_video(predicted, target, mask).tolist() == pytest.approx([1 / 2, 2 / 3])
    assert metrics.correct_per_video(predicted, target).tolist() == pytest.approx([2 / 3, 2 / 3])


@pytest.mark.parametrize(("category", "relevance", "message"), [
    ([0, 2], [[0.0], [1.0]], r"video 1 of 2: category.* got 2"),
    ([0, -2], [[0.0], [0.0]], r"video 1 of 2: category.* got -2"),
    ([0, 0], [[0.5], [1.0]], r"video 0 of 2: relevance must be 0 or 1; got \[0\.5\]"),
    ([0, 0], [[1.0], [math.nan]], r"video 1 of 2: relevance must be 0 or 1; got \[nan\]"),
    ([0, -1], [[1.0], [1.0]], r"video 1 of 2: category -1 .* got \[1\.0\]"),
])
def test_labels_that_cannot_be_name_their_video(category, relevance, message):
    with pytest.raises(ValueError, match=message):
        metrics.segment_targets(torch.tensor(category), torch.tensor(relevance), 2)


@pytest.mark.parametrize(("category", "relevance"), [([2, 1], [2, 4]), ([2], [2]), ([2], [2, 4, 1]), ([2], [3, 4])])
def test_labels_of_other_shapes_are_refused(category, relevance):
    unchecked = inspect.unwrap(metrics.segment_targets)  # under test the shapes in the signature speak first
    with pytest.raises(ValueError, match=r"\[videos, segments\]"):
        unchecked(torch.zeros(category, dtype=torch.long), torch.zeros(relevance), 2)


@pytest.mark.parametrize(("category", "relevance", "scores", "message"), [
    ([1, 3], [2, 4], None, r"category logits must be \[2, classes\], got \[1, 3\]"),
    ([2], [2, 4], None, r"category logits must be .* got \[2\]"),
    ([2, 3], [2, 1], None, r"relevance logits must be \[2, 4\], got \[2, 1\]"),
    ([2, 3], [2, 4], [2, 4, 3], r"segment scores must be \[2, 4, 4\], got \[2, 4, 3\]"),
])
def test_logits_that_do_not_fit_name_both_shapes(category, relevance, scores, message):
    with pytest.raises(ValueError, match=message):
        check_outputs(torch.zeros(category), torch.zeros(relevance), torch.zeros(2, 4, dtype=torch.long),
                      None if scores is None else torch.zeros(scores))


@pytest.mark.parametrize("name", ["category logits", "relevance logits", "segment scores"])
@pytest.mark.parametrize("bad", [math.nan, math.inf])
def test_logits_that_are_no_numbers_name_their_video(name, bad):
    tensors = {"category logits": torch.zeros(2, 3), "relevance logits": torch.zeros(2, 4),
               "segment scores": torch.zeros(2, 4, 4)}
    tensors[name][1].view(-1)[0] = bad
    category, relevance, scores = tensors.values()
    with pytest.raises(ValueError, match=f"{name} of video 1 of 2 contain nan or inf"):
        check_outputs(category, relevance, torch.zeros(2, 4, dtype=torch.long), scores)


@pytest.mark.parametrize("tau", [-0.1, 1.0, math.nan])
def test_a_threshold_that_no_sigmoid_meets_is_refused(tau):
    with pytest.raises(ValueError, match=r"must lie in \[0, 1\)"):
        metrics.predict(torch.zeros(1, 2), torch.zeros(1, 1), tau)


# The best threshold.


BARK = torch.tensor([[1.0, 0.0]])


def best_of_all(outputs, mask, tau):
    """Whether no tau decodes better of 0, 0.5, and each sigmoid value with its two float neighbours, in [0, 1)."""
    target = segment_targets(outputs.category, outputs.relevance.masked_fill(~mask, 0), 3)
    values = outputs.relevance_logits.sigmoid()[mask]
    around = [values, values.nextafter(torch.zeros_like(values)), values.nextafter(torch.ones_like(values))]

    def right(tau):
        return int((decode(outputs.category_logits, outputs.relevance_logits, tau) == target)[mask].sum())

    return right(tau) == max(right(other) for other in (0.0, 0.5, *torch.cat(around).tolist()) if 0 <= other < 1)


@given(
    seed=st.integers(0, 10**6),
    videos=st.integers(1, 6),
    scale=st.sampled_from([1e-7, 0.01, 1.0, 20.0, 100.0]),
    dtype=st.sampled_from([torch.float32, torch.float64]),
    padding=st.sampled_from([None, 0.0, 3.0, float("nan")]),
)
def test_no_other_threshold_decodes_better(make_outputs, pad, seed, videos, scale, dtype, padding):
    plain = make_outputs(seed, videos)
    plain = plain._replace(relevance_logits=(plain.relevance_logits * scale).to(dtype))
    if padding is None:
        tau = best_tau(*plain)
        assert 0 <= tau < 1 and best_of_all(plain, torch.ones_like(plain.relevance, dtype=torch.bool), tau)
    else:
        outputs, mask = pad(plain, padding)
        tau = best_tau(*outputs, mask)
        assert best_of_all(outputs, mask, tau) and tau == best_tau(*pad(plain, -2.0)[0], mask)


def test_neighbouring_floats_are_distinguished():
    steps = torch.tensor(0.7).logit() + 2.0**-22 * torch.arange(60)
    rounded_up = 0
    for pair in itertools.pairwise(steps):
        logits = torch.stack(pair)[None]
        low, high = logits.sigmoid()[0].double()
        if low == high:
            continue
        rounded_up += int(((low + high) / 2).float() == high)
        tau = best_tau(BARK, logits, torch.tensor([0]), torch.tensor([[0.0, 1.0]]))
        assert decode(BARK, logits, tau).tolist() == [[2, 0]]
    # The pairs whose middle is no float of its own are the hard ones; some must have come.
    assert rounded_up > 5


@pytest.mark.parametrize(("logits", "probability", "relevance", "tau"), [
    (BARK, [0.05, 0.75], [0, 1], 0.5),  # 0.5 wins where it is as good as any
    (-BARK, [0.05, 0.75], [1, 1], 0.5),  # the class is wrong and no segment is background: every tau is
    # Of two equally good gaps, the one nearer 0.5: background below 0.2, event, background at 0.6, event at 0.9.
    (BARK, [0.1, 0.2, 0.6, 0.9], [0, 1, 0, 1], 0.75),
    (BARK, [0.1, 0.4, 0.8, 0.9], [0, 1, 0, 1], 0.25),
])
def test_of_equally_good_thresholds_the_one_nearest_one_half_wins(logits, probability, relevance, tau):
    found = best_tau(logits, torch.tensor([probability]).logit(), torch.tensor([0]), torch.tensor([relevance]))
    assert found == pytest.approx(tau)
