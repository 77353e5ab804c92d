"""Devices, precisions, unit vectors, and a CUDA-built torchvision beside a torch without CUDA."""

from __future__ import annotations

import sys
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch

from avsgn_pyg.common.errors import EncoderError
from avsgn_pyg.features import compute
from avsgn_pyg.features.compute import autocast, choose_device, unit


def test_auto_is_a_device_that_is_available():
    device = choose_device("auto")
    assert torch.zeros(1, device=device).device.type == device.type
    assert choose_device("cpu:0") == torch.device("cpu:0")


@pytest.mark.parametrize(("device", "precision", "message"), [
    ("tpu", "fp32", "device=tpu.*use device=auto or cpu"),
    ("cpu", "fp64", "'fp64' is not one of fp32, bf16, fp16"),
    ("cpu", "fp16", "fp16 needs a GPU"),
])
def test_a_device_or_precision_that_is_not_available_is_an_error(device: str, precision: str, message: str):
    with pytest.raises(EncoderError, match=message):
        choose_device(device, precision)


def test_gpus_are_counted(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    assert choose_device("cuda:1").index == 1
    with pytest.raises(EncoderError, match="device=cuda:9: this machine has 2 GPUs"):
        choose_device("cuda:9")


def test_full_memory_is_an_encoder_error():
    with pytest.raises(EncoderError, match=r"device=cpu: its memory is full .*batch size"), \
            autocast(torch.device("cpu"), "fp32"):
        raise torch.cuda.OutOfMemoryError("CUDA out of memory. Tried to allocate 2 GiB")


def test_vectors_become_float32_of_unit_length():
    vectors = unit(torch.tensor([[3.0, 4.0], [0.0, 0.0]], dtype=torch.float64))
    assert vectors.dtype == torch.float32
    assert vectors.tolist() == [[pytest.approx(0.6), pytest.approx(0.8)], [0, 0]]


@pytest.mark.parametrize(("case", "declared"), [
    ("CUDA beside the CPU", True), ("CUDA beside CUDA", False), ("for the CPU", False), ("no compiled part", False),
    ("not installed", False), ("imported already", False),
])
def test_operators_are_declared_where_torchvision_lacks_them(
    case: str, declared: bool, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
):
    monkeypatch.setattr(compute, "_declared", [])
    monkeypatch.setattr(torch.version, "cuda", "13.0" if case == "CUDA beside CUDA" else None)
    monkeypatch.setattr(torch.version, "hip", None)
    # Torch allows each declaration once.
    monkeypatch.setattr(torch.library, "Library", lambda *_: SimpleNamespace(define=lambda schema: None))
    monkeypatch.delitem(sys.modules, "torchvision", raising=False)
    if case == "imported already":
        monkeypatch.setitem(sys.modules, "torchvision", compute)
    (tmp_path / "torchvision").mkdir()
    (tmp_path / "torchvision" / "__init__.py").touch()
    if case != "no compiled part":
        linked = b"libtorch_cpu.so" if case == "for the CPU" else b"libtorch_cuda.so"
        (tmp_path / "torchvision" / "_C.so").write_bytes(linked)
    monkeypatch.setattr(sys, "path", [] if case == "not installed" else [str(tmp_path)])
    assert compute.declare_torchvision_ops() is declared
