from __future__ import annotations

import math

import pytest
import torch

from avsgn_pyg.common.errors import TrainingError
from avsgn_pyg.engine.losses import LossLog


def log_of(*steps: tuple[float, float | None], read_after: int = 0, **options: bool) -> LossLog:
    """A log of (loss, gradient norm) pairs."""
    log = LossLog(7, **options)
    for number, (loss, norm) in enumerate(steps, start=1):
        value = torch.tensor(loss, requires_grad=True)
        log.add({"gate": value}, 10 * value, 8, None if norm is None else torch.tensor(norm))
        if number == read_after:
            log.read()
    return log


@pytest.mark.parametrize("read_every", [1, 3, 100])
def test_means_count_videos_not_steps(read_every: int) -> None:
    log = LossLog(1)
    for number, videos in enumerate((8, 8, 8, 3), start=1):
        gate = torch.tensor(float(number))
        log.add({"gate": gate}, 10 * gate, videos)
        if number % read_every == 0:
            log.read()
    assert log.read() == pytest.approx({"gate": 60 / 27, "total": 600 / 27})


@pytest.mark.parametrize("bad", [math.nan, math.inf])
@pytest.mark.parametrize("read_after", [0, 1])
def test_a_loss_that_is_not_finite_is_named_with_its_epoch_and_step(bad: float, read_after: int) -> None:
    with pytest.raises(TrainingError, match=r"a loss .* epoch 7, step 3: gate=(nan|inf), total=(nan|inf)"):
        log_of((1.0, 1.0), (2.0, 1.0), (bad, bad), (4.0, 1.0), read_after=read_after).read()


def test_the_mean_gradient_norm_leaves_out_steps_without_one_and_steps_that_a_scaler_skipped() -> None:
    log = log_of((1.0, None), (1.0, 1.0), (1.0, math.inf), (1.0, 3.0), scaled=True)
    assert log.gradient_norm is None
    log.read()
    assert log.gradient_norm == 2.0
