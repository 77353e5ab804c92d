"""Runs of seconds as events, against cases worked out by hand, and independence of the seconds."""

from __future__ import annotations

import pytest
import torch

from avsgn_pyg.baselines.per_second import THRESHOLDS, PerSecond, PerSecondObjective, runs
from avsgn_pyg.graph.build import build_batch
from avsgn_pyg.graph.detection import DenseOutput, decode_dense

Found = list[tuple[float, float, float]]


def found(probability: list[float], threshold: float, gap: int, mask: list[bool] | None = None) -> Found:
    """Start and end in steps and score of the runs above one threshold."""
    rows = torch.tensor(probability).view(1, -1, 1)
    scores, distances = runs(rows, None if mask is None else torch.tensor([mask]), gap)
    part = slice(THRESHOLDS.index(threshold) * len(probability), (THRESHOLDS.index(threshold) + 1) * len(probability))
    middle = torch.arange(len(probability)) + 0.5
    start, end = middle - distances[0, part, 0, 0], middle + distances[0, part, 0, 1]
    columns = zip(start.tolist(), end.tolist(), scores[0, part, 0].sigmoid().tolist(), strict=True)
    return [each for each in columns if each[2] > 0]


@pytest.mark.parametrize(("threshold", "gap", "expected"), [
    (0.5, 0, [(1, 3, 0.8), (4, 5, 0.7), (7, 8, 1)]),
    (0.5, 1, [(1, 5, 0.625), (7, 8, 1)]),  # one second between them; two between the others
    (0.5, 2, [(1, 8, 0.5)]),
    (0.8, 2, [(1, 2, 0.9), (7, 8, 1)]),  # five seconds between them
], ids=str)
def test_runs_above_a_threshold_are_joined_over_short_gaps(threshold: float, gap: int, expected: Found):
    for one, other in zip(found([0, 0.9, 0.7, 0.2, 0.7, 0, 0, 1], threshold, gap), expected, strict=True):
        assert one == pytest.approx(other, abs=1e-4)


def test_padding_is_in_no_run():
    [run] = found([0.9, 0.9, 0.9, 0.9], 0.5, 1, mask=[True, True, False, False])
    assert run == pytest.approx((0, 2, 0.9), abs=1e-4)


def make_model(**options: float) -> PerSecond:
    torch.manual_seed(0)
    return PerSecond(audio_width=10, visual_width=14, classes=3, rate=2, **options).eval()


def output_of(model: PerSecond, audio: torch.Tensor, visual: torch.Tensor, lengths: list[int]) -> DenseOutput:
    return model(build_batch(audio, visual, text_nodes=1, lengths=torch.tensor(lengths)))


def test_a_second_s_score_does_not_depend_on_others_and_events_lie_in_their_video():
    audio, visual = torch.randn(9, 10), torch.randn(9, 14)
    model = make_model()
    torch.nn.init.constant_(model.layers[-1].bias, 0.5)
    before = output_of(model, audio, visual, [3, 6])
    assert torch.equal(before.mask[:, :6].sum(1), torch.tensor([3, 6]))
    events = decode_dense(before, limit=50, threshold=0.01, sigma=0.5)
    assert 1 < max(event.end for event in events[1]) <= 3 and max(event.end for event in events[0]) <= 1.5
    audio[4] = 0
    changed = (output_of(model, audio, visual, [3, 6]).stages["seconds"]["scores"] !=
               before.stages["seconds"]["scores"]).any(-1)
    assert changed.nonzero().tolist() == [[1, 1]]


def test_the_loss_is_the_cross_entropy_of_real_seconds():
    output = output_of(make_model(), torch.randn(9, 10), torch.randn(9, 14), [3, 6])
    events = torch.tensor([[[0, 0.3, 1.4]], [[2, 0, 3]]])  # middles of steps: .25, .75, 1.25, ...
    scores = output.stages["seconds"]["scores"]
    target = torch.zeros(2, 6, 3)
    target[0, 1:3, 0] = target[1, :, 2] = 1
    each = torch.nn.functional.binary_cross_entropy_with_logits(scores, target, reduction="none")
    objective = PerSecondObjective()
    loss = objective.total(objective(output, events))
    torch.testing.assert_close(loss, (each[0, :3].sum() + each[1].sum()) / 27)
