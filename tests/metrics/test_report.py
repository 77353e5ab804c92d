"""The report: what must hold for any answers, and the lines of the real AVE labels."""

from __future__ import annotations

import dataclasses
import json
import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from avsgn_pyg.data.ave import read_annotations, read_splits
from avsgn_pyg.localization import Event
from avsgn_pyg.metrics import best_tau, count_events, evaluate, segment_targets, video_records

SEEDS = st.integers(0, 10**6)
NAMES = ["Bark", "Banjo", "Clock"]


def perfect(answers):
    """The logits that say just what the labels say."""
    right = torch.nn.functional.one_hot(answers.category.clamp_min(0), answers.category_logits.shape[1])
    return answers._replace(category_logits=5.0 * right, relevance_logits=10 * answers.relevance - 5)


@given(seed=SEEDS, tau=st.sampled_from([0.1, 0.5, 0.6]))
def test_the_order_of_the_videos_changes_nothing(make_answers, seed, tau):
    answers = make_answers(seed)
    order = torch.randperm(6, generator=torch.Generator().manual_seed(seed))
    shuffled = type(answers)(*(part[order] for part in answers))
    once = evaluate(*answers, categories=NAMES, tau=tau, bootstrap=20)
    again = evaluate(*shuffled, categories=NAMES, tau=tau, bootstrap=20)
    assert once.as_dict() == again.as_dict()
    assert [row.value for row in once.rows()] == [row.value for row in again.rows()]


@given(seed=SEEDS)
def test_a_perfect_answer_scores_100_wherever_there_is_something_to_score(make_answers, seed):
    answers = perfect(make_answers(seed))
    report = evaluate(*answers, categories=NAMES, tau=0.5, bootstrap=20)
    assert report.segment_accuracy == 100.0 and report.segment_accuracy_interval == (100.0, 100.0)
    scores = [report.class_accuracy, report.background_precision, report.background_recall]
    scores += [report.background_f1, report.relevance_auc]
    scores += [*report.event_f1.values(), *report.per_class_accuracy.values()]
    assert all(score == 100.0 or math.isnan(score) for score in scores)
    assert report.confusion.diagonal().sum() == report.segments == 30
    assert evaluate(*answers, categories=NAMES, tau=best_tau(*answers), bootstrap=0).segment_accuracy == 100.0


@given(seed=SEEDS)
def test_the_right_class_on_every_second_scores_the_oracle_line(make_answers, seed):
    answers = perfect(make_answers(seed))._replace(relevance_logits=torch.full((6, 5), 9.0))
    report = evaluate(*answers, categories=NAMES, tau=0.6, bootstrap=0)
    share = 100 * answers.relevance.mean().item()
    assert report.segment_accuracy == report.all_foreground_oracle == report.force_all_foreground
    assert report.all_foreground_oracle == pytest.approx(share)
    assert report.background_recall == 0 or report.all_foreground_oracle == 100
    assert math.isnan(report.background_precision)


@given(seed=SEEDS)
def test_the_majority_is_the_best_constant_label(make_answers, seed):
    answers = make_answers(seed)
    label, value = evaluate(*answers, categories=NAMES, tau=0.5, bootstrap=0).majority.values()
    target = segment_targets(answers.category, answers.relevance, 3)
    constant = [100 * (target == c).double().mean().item() for c in range(4)]
    assert value == pytest.approx(max(constant))
    assert label == [*NAMES, "background"][constant.index(max(constant))]


def test_segment_scores_replace_the_threshold_but_not_the_video_class(make_answers):
    answers = make_answers(8)
    target = segment_targets(answers.category, answers.relevance, 3)
    scores = torch.nn.functional.one_hot(target, 4).float()
    plain = evaluate(*answers, categories=NAMES, tau=0.5, bootstrap=0)
    scored = evaluate(*answers, categories=NAMES, tau=0.5, bootstrap=0, segment_scores=scores)
    assert scored.segment_accuracy == 100.0 and scored.tau is None and plain.tau == 0.5
    assert plain.segment_accuracy < 100
    for name in ("class_accuracy", "force_all_foreground", "relevance_auc"):
        assert getattr(scored, name) == getattr(plain, name)


def test_the_report_is_json_without_nan(make_answers):
    answers = make_answers(5)
    answers = answers._replace(category=torch.full((6,), -1), relevance=torch.zeros(6, 5))
    report = evaluate(*answers, categories=NAMES, tau=0.3, bootstrap=10)
    assert math.isnan(report.class_accuracy)
    plain = report.as_dict()
    assert json.loads(json.dumps(plain, allow_nan=False)) == plain
    assert set(plain) == {field.name for field in dataclasses.fields(report)}
    assert plain["class_accuracy"] is None and set(plain["event_f1"]) == {"0.5", "0.7", "0.9"}
    assert plain["majority"] == {"label": "background", "value": 100.0}
    assert len(plain["segment_accuracy_interval"]) == 2
    table = {row.name: row.value for row in report.rows()}
    assert table["class accuracy"] == "–" and "[" in table["segment accuracy"]


@pytest.mark.parametrize(("split", "videos", "oracle"), [
    ("test", 402, 82.21), ("val", 402, 81.79), ("train", 3339, 83.14),
])
def test_the_all_foreground_baseline_of_ave(ave_root, split, videos, oracle):
    """The right class on every second: most events are found, background is the most frequent label."""
    annotations = read_annotations(ave_root / "Annotations.txt")
    rows = getattr(read_splits(ave_root, annotations), split)
    names, relevance = annotations.categories, annotations.relevance[rows]
    category = torch.where(relevance.any(-1), annotations.category[rows], -1)
    logits = 5.0 * torch.nn.functional.one_hot(category.clamp_min(0), len(names))
    report = evaluate(logits, torch.full((videos, 10), 5.0), category, relevance, categories=names, tau=0.6)
    assert (report.videos, report.segments) == (videos, 10 * videos)
    assert round(report.all_foreground_oracle, 2) == oracle
    assert report.segment_accuracy == report.force_all_foreground == report.all_foreground_oracle
    assert report.class_accuracy == 100.0 and report.background_recall == 0.0
    assert report.majority["label"] == "background"
    lo, hi = report.segment_accuracy_interval
    assert lo < report.segment_accuracy < hi
    if split == "test":  # the sampling error of 402 videos is about 1.4 points
        assert (hi - lo) / (2 * 1.96) == pytest.approx(1.4, abs=0.15)
        target = segment_targets(category, relevance, len(names))
        answer = category.clamp_min(0)[:, None].expand_as(target)
        for threshold, recall in ((0.5, 83.6), (0.7, 73.6), (0.9, 68.2)):
            matched, _, true = count_events(answer, target, len(names), threshold)
            assert round(100 * matched / true, 1) == recall


# Videos of mixed lengths.


def alone(answers, mask, number):
    """One video without its padding, as a split of its own."""
    here, inside = slice(number, number + 1), mask[number]
    return answers._replace(
        category_logits=answers.category_logits[here], relevance_logits=answers.relevance_logits[here, inside],
        category=answers.category[here], relevance=answers.relevance[here, inside])


@given(seed=SEEDS, padding=st.sampled_from([0.0, 1.0, -7.0, math.nan, math.inf]))
def test_padding_changes_no_score(make_answers, mix, seed, padding):
    settings = {"categories": NAMES, "tau": 0.6, "bootstrap": 20}
    answers, mask = mix(make_answers(seed), padding)
    zeros, _ = mix(make_answers(seed), 0.0)
    scores = torch.randn(6, 5, 4, generator=torch.Generator().manual_seed(seed))
    other = scores.masked_fill(~mask[..., None], padding)
    for one, two in ((None, None), (scores, other)):
        expected = evaluate(*zeros, **settings, segment_scores=one, mask=mask)
        assert evaluate(*answers, **settings, segment_scores=two, mask=mask).as_dict() == expected.as_dict()


@given(seed=SEEDS)
def test_a_split_of_mixed_lengths_counts_what_its_videos_count_alone(make_answers, mix, seed):
    answers, mask = mix(make_answers(seed), math.nan)
    settings = {"categories": NAMES, "tau": 0.6, "bootstrap": 0}
    report = evaluate(*answers, **settings, mask=mask)
    each = [evaluate(*alone(answers, mask, number), **settings) for number in range(6)]
    assert report.segments == sum(one.segments for one in each) == int(mask.sum())
    assert torch.equal(report.confusion, torch.stack([one.confusion for one in each]).sum(0))
    for name in ("segment_accuracy", "all_foreground_oracle", "force_all_foreground"):
        pooled = sum(getattr(one, name) * one.segments for one in each) / report.segments
        assert getattr(report, name) == pytest.approx(pooled)
    real = evaluate(*alone(answers, mask, 0)._replace(
        relevance_logits=answers.relevance_logits[mask][None], category=answers.category.amax()[None],
        relevance=answers.relevance[mask][None]), **settings)
    assert (report.relevance_auc == real.relevance_auc) or math.isnan(real.relevance_auc)


def test_the_interval_resamples_videos_with_all_their_seconds():
    logits, category = torch.tensor([[9.0, 0.0]] * 2), torch.zeros(2, dtype=torch.long)
    relevance = torch.tensor([[1.0] * 9, [1.0] + [0.0] * 8])
    mask = torch.arange(9) < torch.tensor([[9], [1]])
    answers = (logits, torch.tensor([[9.0] * 9, [-9.0] * 9]), category, relevance)
    report = evaluate(*answers, categories=NAMES[:2], tau=0.5, bootstrap=2000, mask=mask)
    # Of two videos with 9 right seconds of 9 and 0 of 1, resamples score 100, 90 and 0.
    assert report.segment_accuracy == 90 and report.segment_accuracy_interval == (0, 100)


def test_a_mask_of_another_shape_or_of_an_empty_video_is_refused(make_answers):
    answers, mask = make_answers(0), torch.ones(6, 5, dtype=torch.bool)
    mask[2] = False
    with pytest.raises(ValueError, match="a segment in every video"):
        evaluate(*answers, categories=NAMES, tau=0.5, mask=mask)


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


@pytest.mark.parametrize("scored", [False, True])
def test_records_average_to_the_segment_accuracy(make_answers, scored):
    answers = make_answers(11, videos=9)
    scores = torch.randn(9, 5, 4, generator=torch.Generator().manual_seed(1)) if scored else None
    records = video_records(*answers, categories=NAMES, tau=0.3, segment_scores=scores)
    report = evaluate(*answers, categories=NAMES, tau=0.3, bootstrap=0, segment_scores=scores)
    assert sum(record.accuracy for record in records) / 9 == pytest.approx(report.segment_accuracy)


@pytest.mark.parametrize("names", [["a", "b"], ["a", "b", "a"], ["a", "b", "background"]])
def test_class_names_must_be_as_many_as_logits_and_differ(make_answers, names):
    with pytest.raises(ValueError, match="class name"):
        evaluate(*make_answers(1), categories=names, tau=0.5)
