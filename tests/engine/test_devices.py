from __future__ import annotations

import pytest
import torch

from avsgn_pyg.common.config import ConfigError
from avsgn_pyg.common.settings import TrainConfig
from avsgn_pyg.data.videos import Videos
from avsgn_pyg.engine.devices import check_device, make_accelerator, place


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a CUDA device")
@pytest.mark.parametrize("device", ["cuda", "mps"])
def test_a_device_that_is_not_available_is_refused(device: str) -> None:
    with pytest.raises(ConfigError, match=rf"train\.device={device}"):
        make_accelerator(TrainConfig(device=device))


def test_fp16_on_the_cpu_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"train\.precision=fp16"):
        check_device("cpu", "fp16")


def test_a_second_run_of_one_process_may_choose_another_precision() -> None:
    assert make_accelerator(TrainConfig(device="cpu")).mixed_precision == "no"
    second = make_accelerator(TrainConfig(device="cpu", precision="bf16", accumulate=3))
    assert (second.mixed_precision, second.gradient_accumulation_steps) == ("bf16", 3)
    assert make_accelerator(TrainConfig(device="cpu")).gradient_accumulation_steps == 1


def test_one_process_where_the_launcher_was_asked_for_more_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """These two are what `accelerate launch --num_processes 2` sets without several GPUs."""
    monkeypatch.delenv("WORLD_SIZE", raising=False)
    monkeypatch.setenv("ACCELERATE_USE_CPU", "False")
    monkeypatch.setenv("MASTER_ADDR", "127.0.0.1")
    with pytest.raises(ConfigError, match="torchrun"):
        make_accelerator(TrainConfig(device="cpu"))


@pytest.mark.gpu
def test_videos_move_to_the_gpu_once(videos: Videos) -> None:
    placed = place(videos, torch.device("cuda"))
    assert placed.audio.is_cuda and place(placed, torch.device("cuda")) is placed
