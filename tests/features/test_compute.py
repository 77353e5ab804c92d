"""Devices, precisions and unit vectors."""

from __future__ import annotations

import pytest
import torch

from avsgn_pyg.features.compute import EncoderError, autocast, choose_device, unit, versions


def test_auto_is_a_device_that_is_there():
    device = choose_device("auto")
    assert torch.zeros(1, device=device).device.type == device.type


def test_a_device_is_taken_by_number():
    assert choose_device("cpu:0") == torch.device("cpu:0")


@pytest.mark.parametrize(("device", "precision", "message"), [
    ("tpu", "fp32", "device=tpu.*use device=auto or cpu"),
    ("cpu", "fp64", "precision='fp64' is not one of fp32, bf16, fp16"),
    ("cpu", "fp16", "precision=fp16 needs a GPU"),
    ("cpu:x", "fp32", "device=cpu:x: no such device; write auto, cpu, cuda, cuda:1 or mps"),
])
def test_what_is_not_there_is_refused(device: str, precision: str, message: str):
    with pytest.raises(EncoderError, match=message):
        choose_device(device, precision)


@pytest.mark.skipif(torch.cuda.is_available(), reason="it is there")
def test_a_gpu_that_is_not_there_is_refused():
    with pytest.raises(EncoderError, match=r"device=cuda: this torch .* sees none"):
        choose_device("cuda")


def test_a_gpu_beyond_those_there_is_refused(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    assert choose_device("cuda:1").index == 1
    with pytest.raises(EncoderError, match="device=cuda:9: this machine has 2 GPUs, counted from cuda:0"):
        choose_device("cuda:9")


def test_a_memory_that_is_full_says_what_to_do():
    with pytest.raises(EncoderError, match=r"device=cpu: its memory is full \(CUDA out of memory\); .*batch size"), \
            autocast(torch.device("cpu"), "fp32"):
        raise torch.cuda.OutOfMemoryError("CUDA out of memory. Tried to allocate 2 GiB")


@pytest.mark.parametrize(("precision", "dtype"), [("fp32", torch.float32), ("bf16", torch.bfloat16)])
def test_precision_is_that_of_the_products(precision: str, dtype: torch.dtype):
    with autocast(torch.device("cpu"), precision):
        assert (torch.ones(2, 2) @ torch.ones(2, 2)).dtype == dtype


def test_vectors_leave_as_float32_of_unit_length():
    vectors = unit(torch.tensor([[3.0, 4.0], [0.0, 0.0]], dtype=torch.float64))
    assert vectors.dtype == torch.float32
    assert vectors.tolist() == [[pytest.approx(0.6), pytest.approx(0.8)], [0, 0]]


def test_versions_are_those_installed():
    assert versions("torch") == {"torch": torch.__version__}
