from __future__ import annotations

import pytest
import torch

from avsgn_pyg.engine.losses import LossLog, TrainingError, check_weights


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
    log = LossLog(1, scaled=True)
    assert log.gradient_norm is None
    for norm in (1.0, float("inf"), 3.0):
        log.add_norm(torch.tensor(norm))
    log.read()
    assert log.gradient_norm == 2.0


def noted(*steps: tuple[float, float]) -> LossLog:
    """A log of (loss, gradient norm) pairs."""
    log = LossLog(7)
    for loss, norm in steps:
        gate, total = scalars(loss, loss)
        log.add({"gate": gate}, total, 8)
        log.add_norm(torch.tensor(norm))
    return log


@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
@pytest.mark.parametrize("after", [1.0, float("nan")])
def test_without_a_scaler_a_broken_gradient_norm_stops_at_its_own_step(bad: float, after: float) -> None:
    log = noted((1.0, 1.0), (1.0, bad), (after, after))
    with pytest.raises(TrainingError, match=r"the gradient norm is not finite in epoch 7, step 2: (nan|inf)"):
        log.read()


def test_a_loss_that_breaks_its_own_gradient_is_what_is_told() -> None:
    with pytest.raises(TrainingError, match=r"a loss is not finite in epoch 7, step 2: gate=nan"):
        noted((1.0, 1.0), (float("nan"), float("nan"))).read()


def test_weights_that_are_no_numbers_are_named() -> None:
    layer = torch.nn.Linear(2, 2)
    check_weights(layer, 4)
    layer.bias.data[1] = float("nan")
    with pytest.raises(TrainingError, match=r"after epoch 4, bias is not finite \(1 of 2 tensors\)"):
        check_weights(layer, 4)
