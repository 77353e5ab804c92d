"""The parsing F-scores against a slow reading of their definition, and against cases worked out by hand."""

from __future__ import annotations

import itertools
import statistics

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from avsgn_pyg.tasks.parsing.metrics import evaluate_parsing, format_scores

N, T, C = 2, 6, 3


def runs_by_hand(seconds):
    """Sets of seconds of the maximal runs."""
    found, at = [], 0
    for there, group in itertools.groupby(seconds):
        length = len(list(group))
        if there:
            found.append(set(range(at, at + length)))
        at += length
    return found


def counts_by_hand(predicted, true, level, iou):
    """TP, FP, FN of one class of one video, each a list of truth values over seconds."""
    if level == "segment":
        pairs = list(zip(predicted, true, strict=True))
        return pairs.count((True, True)), pairs.count((True, False)), pairs.count((False, True))
    found, truth = runs_by_hand(predicted), runs_by_hand(true)

    def meets(one, others):
        return any(len(one & other) >= iou * len(one | other) for other in others)

    hits = sum(meets(event, truth) for event in found)
    return hits, len(found) - hits, sum(not meets(event, found) for event in truth)


def f_by_hand(counts):
    """Mean F over the classes that are there, 1 where none is."""
    found = [2 * tp / (2 * tp + fp + fn) for tp, fp, fn in counts if tp + fp or tp + fn]
    return statistics.fmean(found) if found else 1.0


def scores_by_hand(audible, visible, true_audible, true_visible, level, iou):
    rows = []
    for video in range(len(audible)):
        def each(predicted, true, video=video):
            columns = zip(predicted[video].T.tolist(), true[video].T.tolist(), strict=True)
            return [counts_by_hand(*pair, level, iou) for pair in columns]

        audio, visual = each(audible, true_audible), each(visible, true_visible)
        added = [tuple(map(sum, zip(a, v, strict=True))) for a, v in zip(audio, visual, strict=True)]
        both = each(audible & visible, true_audible & true_visible)
        rows.append([f_by_hand(counts) for counts in (audio, visual, both, added)])
    a, v, av, event = (100 * statistics.fmean(column) for column in zip(*rows, strict=True))
    return [a, v, av, (a + v + av) / 3, event]


BLOCKS = st.lists(st.booleans(), min_size=4 * N * T * C, max_size=4 * N * T * C)


@settings(max_examples=40, deadline=None)
@given(bits=BLOCKS, empty=st.integers(0, 4), iou=st.sampled_from([0.3, 0.5, 0.75, 1.0]))
def test_scores_equal_the_definition_read_slowly(bits, empty, iou):
    blocks = torch.tensor(bits).view(4, N, T, C)
    if empty:
        blocks[empty - 1, 0] = False
    report = evaluate_parsing(*blocks, iou=iou)
    for level in ("segment", "event"):
        assert list(report[level].values()) == pytest.approx(scores_by_hand(*blocks, level, iou))


def block(*events: tuple[int, int, int]) -> torch.Tensor:
    """One video of ten seconds and two classes: class, first second, second after the last."""
    marks = torch.zeros(1, 10, 2, dtype=torch.bool)
    for category, start, end in events:
        marks[0, start:end, category] = True
    return marks


@pytest.mark.parametrize(("end", "score"), [(5, 100), (4, 0)])
def test_an_overlap_of_exactly_one_half_is_a_hit(end, score):
    nothing = block()
    scores = evaluate_parsing(block((0, 0, end)), nothing, block((0, 0, 10)), nothing)
    assert scores["event"]["audio"] == score
    assert "Type@AV" in format_scores(scores)


@pytest.mark.parametrize(("videos", "iou", "words"), [(0, 0.5, "not empty"), (1, 0.0, "iou"), (1, 1.1, "iou")])
def test_what_cannot_be_scored_is_refused(videos, iou, words):
    with pytest.raises(ValueError, match=words):
        evaluate_parsing(*[torch.zeros(videos, 2, 3, dtype=torch.bool)] * 4, iou=iou)
