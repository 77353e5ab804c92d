from __future__ import annotations

import pytest
import torch

from avsgn_pyg.config import ConfigError, TrainConfig
from avsgn_pyg.data.videos import Videos
from avsgn_pyg.engine.devices import check_device, make_accelerator, place, random_state, set_random_state


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a CUDA device")
def test_cuda_without_a_gpu_is_refused_with_what_would_work() -> None:
    with pytest.raises(
        ConfigError, match=r"train\.device=cuda: .* sees no cuda device; use train\.device=auto or cpu"
    ):
        make_accelerator(TrainConfig(device="cuda"))


def test_fp16_on_the_cpu_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"train\.precision=fp16 needs a GPU"):
        check_device("cpu", "fp16")


def test_a_second_run_of_one_process_may_choose_another_precision() -> None:
    assert make_accelerator(TrainConfig(device="cpu")).mixed_precision == "no"
    second = make_accelerator(TrainConfig(device="cpu", precision="bf16", accumulate=3))
    assert second.mixed_precision == "bf16"
    assert second.gradient_accumulation_steps == 3
    assert make_accelerator(TrainConfig(device="cpu")).gradient_accumulation_steps == 1


def test_a_restored_random_state_draws_the_same_numbers() -> None:
    device = torch.device("cpu")
    state = random_state(device)
    first = torch.rand(4)
    set_random_state(state, device)
    assert torch.equal(torch.rand(4), first)


def test_videos_that_are_there_already_are_not_copied(videos: Videos) -> None:
    assert place(videos, torch.device("cpu")) is videos


@pytest.mark.gpu
def test_videos_move_to_the_gpu_once(videos: Videos) -> None:
    placed = place(videos, torch.device("cuda"))
    assert placed.audio.is_cuda
    assert place(placed, torch.device("cuda")) is placed
