"""The report: what must hold for any outputs, and the values of the real AVE labels."""

from __future__ import annotations

import dataclasses
import json
import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from avsgn_pyg.data.ave import read_annotations, read_splits
from avsgn_pyg.graph.localization import Event
from avsgn_pyg.metrics import best_tau, count_events, evaluate, segment_targets, video_records

SEEDS = st.integers(0, 10**6)
NAMES = ["Bark", "Banjo", "Clock"]
SETTINGS = {"categories": NAMES, "tau": 0.6}


def perfect(outputs):
    """The logits that equal the labels."""
    right = torch.nn.functional.one_hot(outputs.category.clamp_min(0), outputs.category_logits.shape[1])
    return outputs._replace(category_logits=5.0 * right, relevance_logits=10 * outputs.relevance - 5)


@given(seed=SEEDS)
def test_the_order_of_the_videos_changes_nothing(make_outputs, seed):
    outputs = make_outputs(seed)
    order = torch.randperm(6, generator=torch.Generator().manual_seed(seed))
    shuffled = type(outputs)(*(part[order] for part in outputs))
    one, other = (evaluate(*each, **SETTINGS, bootstrap=20) for each in (outputs, shuffled))
    assert one.as_dict() == other.as_dict()


@given(seed=SEEDS)
def test_perfect_outputs_score_100_wherever_there_is_something_to_score(make_outputs, seed):
    outputs = perfect(make_outputs(seed))
    report = evaluate(*outputs, categories=NAMES, tau=best_tau(*outputs), bootstrap=20)
    assert report.segment_accuracy == 100.0 and report.segment_accuracy_interval == (100.0, 100.0)
    scores = [report.class_accuracy, report.background_precision, report.background_recall, report.background_f1,
              report.relevance_auc, *report.event_f1.values(), *report.per_class_accuracy.values()]
    assert all(score == 100.0 or math.isnan(score) for score in scores)
    assert report.confusion.diagonal().sum() == report.segments == 30


@given(seed=SEEDS)
def test_the_baselines_are_constant_labels(make_outputs, seed):
    outputs = perfect(make_outputs(seed))._replace(relevance_logits=torch.full((6, 5), 9.0))
    report = evaluate(*outputs, **SETTINGS, bootstrap=0)
    assert report.segment_accuracy == report.all_foreground_oracle == report.force_all_foreground
    assert report.all_foreground_oracle == pytest.approx(100 * outputs.relevance.mean().item())
    target = segment_targets(outputs.category, outputs.relevance, 3)
    constant = [100 * (target == c).double().mean().item() for c in range(4)]
    assert report.majority["value"] == pytest.approx(max(constant))
    assert report.majority["label"] == [*NAMES, "background"][constant.index(max(constant))]


def test_segment_scores_replace_the_threshold_but_not_the_video_class(make_outputs):
    outputs = make_outputs(8)
    scores = torch.nn.functional.one_hot(segment_targets(outputs.category, outputs.relevance, 3), 4).float()
    plain, scored = (evaluate(*outputs, **SETTINGS, bootstrap=0, segment_scores=each) for each in (None, scores))
    assert (scored.segment_accuracy, scored.tau, plain.tau) == (100.0, None, 0.6) and plain.segment_accuracy < 100
    for name in ("class_accuracy", "force_all_foreground", "relevance_auc"):
        assert getattr(scored, name) == getattr(plain, name)


def test_the_report_is_json_without_nan(make_outputs):
    outputs = make_outputs(5)._replace(category=torch.full((6,), -1), relevance=torch.zeros(6, 5))
    report = evaluate(*outputs, categories=NAMES, tau=0.3, bootstrap=10)
    assert math.isnan(report.class_accuracy)
    plain = report.as_dict()
    assert json.loads(json.dumps(plain, allow_nan=False)) == plain
    assert set(plain) == {field.name for field in dataclasses.fields(report)}
    assert plain["class_accuracy"] is None and set(plain["event_f1"]) == {"0.5", "0.7", "0.9"}
    assert plain["majority"] == {"label": "background", "value": 100.0}
    assert len(plain["segment_accuracy_interval"]) == 2
    table = {row.name: row.value for row in report.rows()}
    assert table["class accuracy"] == "–" and "[" in table["segment accuracy"]


@pytest.mark.slow
def test_the_all_foreground_baseline_of_ave(ave_root):
    """The right class on every second: most events are found, background is the most frequent label."""
    annotations = read_annotations(ave_root / "Annotations.txt")
    names, splits = annotations.categories, read_splits(ave_root, annotations)
    for rows, oracle in zip(splits, (83.14, 81.79, 82.21), strict=True):
        relevance = annotations.relevance[rows]
        category = torch.where(relevance.any(-1), annotations.category[rows], -1)
        logits = 5.0 * torch.nn.functional.one_hot(category.clamp_min(0), len(names))
        report = evaluate(logits, torch.full(relevance.shape, 5.0), category, relevance, categories=names, tau=0.6)
        assert round(report.all_foreground_oracle, 2) == oracle
        assert report.segment_accuracy == report.force_all_foreground == report.all_foreground_oracle
        assert report.class_accuracy == 100.0 and report.background_recall == 0.0
        assert report.majority["label"] == "background"
    # Of test, the last: the sampling error of 402 videos is about 1.4 points.
    lo, hi = report.segment_accuracy_interval
    assert lo < report.segment_accuracy < hi and (hi - lo) / (2 * 1.96) == pytest.approx(1.4, abs=0.15)
    target = segment_targets(category, relevance, len(names))
    predicted = category.clamp_min(0)[:, None].expand_as(target)
    for threshold, recall in ((0.5, 83.6), (0.7, 73.6), (0.9, 68.2)):
        matched, _, true = count_events(predicted, target, len(names), threshold)
        assert round(100 * matched / true, 1) == recall


# Videos of mixed lengths.


@given(seed=SEEDS, padding=st.sampled_from([1.0, -7.0, math.nan, math.inf]))
def test_padding_changes_no_score(make_outputs, pad, seed, padding):
    (outputs, mask), (zeros, _) = pad(make_outputs(seed), padding), pad(make_outputs(seed), 0.0)
    scores = torch.randn(6, 5, 4, generator=torch.Generator().manual_seed(seed))
    other = scores.masked_fill(~mask[..., None], padding)
    for one, two in ((None, None), (scores, other)):
        expected = evaluate(*zeros, **SETTINGS, bootstrap=20, segment_scores=one, mask=mask)
        found = evaluate(*outputs, **SETTINGS, bootstrap=20, segment_scores=two, mask=mask)
        assert found.as_dict() == expected.as_dict()


@given(seed=SEEDS)
def test_a_split_of_mixed_lengths_counts_what_its_videos_count_alone(make_outputs, pad, seed):
    outputs, mask = pad(make_outputs(seed), math.nan)
    report = evaluate(*outputs, **SETTINGS, bootstrap=0, mask=mask)
    each = [evaluate(outputs.category_logits[[n]], outputs.relevance_logits[n, mask[n]][None], outputs.category[[n]],
                     outputs.relevance[n, mask[n]][None], **SETTINGS, bootstrap=0) for n in range(6)]
    assert report.segments == int(mask.sum())
    assert torch.equal(report.confusion, torch.stack([one.confusion for one in each]).sum(0))
    for name in ("segment_accuracy", "all_foreground_oracle", "force_all_foreground"):
        pooled = sum(getattr(one, name) * one.segments for one in each) / report.segments
        assert getattr(report, name) == pytest.approx(pooled)


def test_the_interval_resamples_videos_with_all_their_seconds():
    logits, category = torch.tensor([[9.0, 0.0]] * 2), torch.zeros(2, dtype=torch.long)
    relevance = torch.tensor([[1.0] * 9, [1.0] + [0.0] * 8])
    mask = torch.arange(9) < torch.tensor([[9], [1]])
    outputs = (logits, torch.tensor([[9.0] * 9, [-9.0] * 9]), category, relevance)
    report = evaluate(*outputs, categories=NAMES[:2], tau=0.5, bootstrap=2000, mask=mask)
    # Of two videos with 9 right seconds of 9 and 0 of 1, resamples score 100, 90 and 0.
    assert report.segment_accuracy == 90 and report.segment_accuracy_interval == (0, 100)


@pytest.mark.parametrize(("change", "message"), [
    ({"mask": torch.arange(6)[:, None].expand(6, 5) != 2}, "a segment in every video"),
    ({"categories": ["a", "b"]}, "class name"), ({"categories": ["a", "b", "a"]}, "class name"),
    ({"categories": ["a", "b", "background"]}, "class name"),
])
def test_an_empty_video_and_wrong_class_names_are_refused(make_outputs, change, message):
    with pytest.raises(ValueError, match=message):
        evaluate(*make_outputs(0), **SETTINGS | change)


# Records.


def test_a_record_has_the_prediction_and_the_truth():
    one, two = video_records(
        torch.tensor([[2.0, 0.0]] * 2), torch.tensor([[9.0, -9.0, 9.0], [9.0, 9.0, math.nan]]),
        torch.tensor([1, -1]), torch.tensor([[1, 0, 0], [0, 0, 1]]),
        categories=["Bark", "Banjo"], tau=0.5, mask=torch.tensor([[True, True, True], [True, True, False]]),
    )
    assert (one.predicted_class, one.true_class, two.true_class) == ("Bark", "Banjo", None)
    assert one.confidence == pytest.approx(1 / (1 + math.exp(-2)))
    assert (one.predicted_labels, one.true_labels) == ((0, 2, 0), (1, 2, 2))
    assert (two.predicted_labels, two.true_labels, two.accuracy) == ((0, 0), (2, 2), 0)
    assert one.accuracy == pytest.approx(100 / 3) and one.predicted_events == (Event(0, 0, 1), Event(0, 2, 3))


@pytest.mark.parametrize("scores", [None, torch.randn(6, 5, 4)])
def test_records_average_to_the_segment_accuracy(make_outputs, scores):
    outputs = make_outputs(11)
    records = video_records(*outputs, **SETTINGS, segment_scores=scores)
    report = evaluate(*outputs, **SETTINGS, bootstrap=0, segment_scores=scores)
    assert sum(record.accuracy for record in records) / 6 == pytest.approx(report.segment_accuracy)
