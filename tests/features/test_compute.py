"""Devices, precisions, batches, windows, records, and a CUDA-built torchvision beside a torch without CUDA."""

from __future__ import annotations

import sys
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from torch import Tensor

from avsgn_pyg.common.errors import EncoderError
from avsgn_pyg.features import compute
from avsgn_pyg.features.compute import RATE, FrozenEncoder, WithoutText, autocast, choose_device, second_shares, unit


class Sums(FrozenEncoder):
    """Encodes the lengths of texts, and sums of samples up to each second."""

    name, width, revision = "sums", 1, "1"

    def _embed_texts(self, texts: list[str]) -> Tensor:
        assert len(texts) <= self.batch_size and not torch.is_grad_enabled()
        return torch.tensor([[float(len(text))] for text in texts])

    def sums(self, waves: Tensor) -> Tensor:
        assert len(waves) <= self.batch_size
        return waves.unflatten(1, (-1, RATE)).sum(2).cumsum(1)[..., None]


class Wordless(WithoutText):
    """An encoder without language."""

    name = "wordless"


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


def test_rows_are_encoded_in_batches_and_none_give_none():
    encoder = Sums({}, batch_size=2)
    assert encoder.encode_text(["a", "bb", "ccc"]).tolist() == [[1], [2], [3]]
    assert encoder.encode_text([]).shape == (0, 1)
    with pytest.raises(EncoderError, match=r"no text encoder.*bank=learned"):
        Wordless({}).encode_text([])


def test_the_last_window_begins_earlier_so_that_it_is_as_long_as_the_others():
    samples = torch.arange(1.0, 6.0)[None, :, None].expand(3, -1, RATE) / RATE
    encoder = Sums({}, batch_size=2)
    assert encoder.in_windows(samples, encoder.sums, 3)[..., 0].allclose(torch.tensor([1.0, 3, 3, 7, 12]).expand(3, 5))
    assert encoder.in_windows(samples[:0], encoder.sums, 3).shape == (0, 5, 1)
    alone = encoder.each_second(samples, lambda waves: waves.sum(1, keepdim=True))
    assert alone[..., 0].allclose(torch.arange(1.0, 6.0))


def test_rows_are_encoded_in_the_given_precision():
    def product(rows: Tensor) -> Tensor:
        found = rows @ torch.eye(3)
        assert found.dtype == (torch.float32 if encoder.precision == "fp32" else torch.bfloat16)
        return found.float()

    for precision in ("fp32", "bf16"):
        encoder = Sums({}, precision=precision)
        assert encoder.in_batches(torch.ones(2, 3), product).shape == (2, 3)


def test_a_record_names_files_without_their_folders():
    encoder = Sums({"weights": "/far/away.pt", "size": 3})
    encoder.files = ["weights"]
    record = encoder.record()
    assert record["options"] == {"weights": "away.pt", "size": 3} and record["files"] == ["weights"]
    assert record["name"] == "sums" and record["precision"] == "fp32" and list(record["versions"]) == ["torch"]
    with pytest.raises(EncoderError, match="sums is 1 wide, but width=2"):
        encoder.check_width(1, 2)


def test_each_second_takes_its_own_tenth():
    shares = second_shares(1024)
    assert torch.allclose(shares.sum(1), torch.ones(10))
    assert torch.allclose(shares.sum(0), torch.full((1024,), 10 / 1024))
    assert shares[0].nonzero().max() == 102 and shares[1].nonzero().min() == 102
    assert torch.equal(second_shares(10), torch.eye(10))


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
