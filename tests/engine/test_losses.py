from __future__ import annotations

import pytest
import torch

from avsgn_pyg.engine.losses import LossLog, TrainingError


def scalars(*values: float) -> list[torch.Tensor]:
    return [torch.tensor(value, requires_grad=True) for value in values]


def filled(look_every: int) -> dict[str, float]:
    log = LossLog(1)
    for number, videos in enumerate((8, 8, 8, 3), start=1):
        gate, total = scalars(float(number), 10.0 * number)
        log.add({"gate": gate}, total, videos)
        if number % look_every == 0:
            log.read()
    return log.read()


def test_means_count_videos_not_steps() -> None:
    assert filled(100) == pytest.approx(
        {"gate": (8 + 16 + 24 + 12) / 27, "total": 10 * (8 + 16 + 24 + 12) / 27}
    )


@pytest.mark.parametrize("look_every", [1, 2, 3])
def test_looking_in_between_changes_nothing(look_every: int) -> None:
    assert filled(look_every) == pytest.approx(filled(100))


@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
def test_a_loss_that_is_no_number_is_named_with_its_epoch_and_step(bad: float) -> None:
    log = LossLog(7)
    for value in (1.0, 2.0, bad, 4.0):
        gate, total = scalars(value, value)
        log.add({"gate": gate}, total, 8)
        if value == 1.0:
            log.read()
    with pytest.raises(TrainingError, match=r"epoch 7, step 3: gate=(nan|inf), total=(nan|inf)"):
        log.read()


def test_skipped_steps_do_not_enter_the_gradient_norm() -> None:
    log = LossLog(1)
    assert log.gradient_norm is None
    for norm in (1.0, float("inf"), 3.0):
        log.add_norm(torch.tensor(norm))
    log.read()
    assert log.gradient_norm == 2.0
