"""Events, their overlap and their matching, against enumeration."""

from __future__ import annotations

import itertools
import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from avsgn_pyg.metrics import count_events, event_f1

LABELS = st.lists(st.integers(0, 2), min_size=8, max_size=8)


def runs_by_hand(labels, background):
    """(class, set of seconds) of every run."""
    found, seconds = [], enumerate(labels)
    for label, group in itertools.groupby(seconds, key=lambda pair: pair[1]):
        if label != background:
            found.append((label, {second for second, _ in group}))
    return found


def overlap_by_hand(one, other):
    return len(one[1] & other[1]) / len(one[1] | other[1]) if one[0] == other[0] else 0.0


def hits_by_hand(predicted, true, threshold):
    """The most pairs that any assignment reaches, by trying all of them."""
    short, long = sorted((predicted, true), key=len)
    return max(sum(overlap_by_hand(a, b) >= threshold for a, b in zip(short, order, strict=True))
               for order in itertools.permutations(long, len(short)))


@settings(max_examples=80, deadline=None)
@given(pairs=st.lists(st.tuples(LABELS, LABELS), min_size=1, max_size=3),
       threshold=st.sampled_from([0.2, 0.25, 1 / 3, 0.5, 0.7, 0.9, 1.0]))
def test_matching_equals_the_best_of_all_assignments(pairs, threshold):
    predicted, true = (torch.tensor(side) for side in zip(*pairs, strict=True))
    by_hand = [(runs_by_hand(p, 2), runs_by_hand(t, 2)) for p, t in pairs]
    want = sum(hits_by_hand(p, t, threshold) for p, t in by_hand)
    count = count_events(predicted, true, 2, threshold)
    assert count == (want, sum(len(p) for p, _ in by_hand), sum(len(t) for _, t in by_hand))
    total = count[1] + count[2]
    want_f1 = pytest.approx(200 * want / total if total else math.nan, nan_ok=True)
    assert event_f1(predicted, true, 2, (threshold,))[threshold] == want_f1


def test_a_prediction_across_two_events_finds_one_and_leaves_the_other():
    # The first prediction fits both events, the second only the later one.
    predicted, true = torch.tensor([[0, 0, 0, 0, 1, 0]]), torch.tensor([[0, 1, 0, 0, 0, 0]])
    assert count_events(predicted, true, 1, 0.15) == (2, 2, 2)
    assert count_events(torch.tensor([[0, 0, 0, 0]]), torch.tensor([[0, 1, 0, 0]]), 1, 0.15) == (1, 1, 2)


@pytest.mark.parametrize(("cut", "threshold"), [(5, 0.5), (3, 0.7), (1, 0.9)])
def test_an_overlap_of_exactly_the_threshold_counts(cut, threshold):
    predicted = torch.tensor([[1] * cut + [0] * (10 - cut)])
    assert count_events(predicted, torch.zeros(1, 10, dtype=torch.long), 1, threshold)[0] == 1


@pytest.mark.parametrize("threshold", [0.0, 1.1, math.nan])
def test_a_threshold_that_is_no_overlap_is_refused(threshold):
    with pytest.raises(ValueError, match=r"must lie in \(0, 1\]"):
        count_events(torch.zeros(1, 1, dtype=torch.long), torch.zeros(1, 1, dtype=torch.long), 1, threshold)
