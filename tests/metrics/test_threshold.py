"""The best threshold against trying every one."""

from __future__ import annotations

import itertools

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from avsgn_pyg.graph.localization import decode
from avsgn_pyg.metrics import best_tau, segment_targets

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
