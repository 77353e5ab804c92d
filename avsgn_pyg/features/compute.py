"""What every encoder needs to compute: a device and a precision that are there, unit vectors, versions, an error."""

from __future__ import annotations

import importlib.metadata
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from avsgn_pyg.errors import EncoderError
from avsgn_pyg.features.choice import PRECISIONS

_TYPES: Final = dict(zip(PRECISIONS, (None, torch.bfloat16, torch.float16), strict=True))


def choose_device(device: str, precision: str = "fp32") -> torch.device:
    """The device, ``auto`` being the best there is; EncoderError where device or precision is not to be had."""
    present = {"cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available(), "cpu": True}
    kind = next(name for name in present if present[name]) if device == "auto" else device.partition(":")[0]
    if not present.get(kind, False):
        raise EncoderError(f"device={device}: this torch ({torch.__version__}) sees none; use device=auto or cpu")
    if precision not in PRECISIONS:
        raise EncoderError(f"precision={precision!r} is not one of {', '.join(PRECISIONS)}")
    if precision == "fp16" and kind == "cpu":
        raise EncoderError("precision=fp16 needs a GPU; on the CPU use precision=bf16 or fp32")
    try:
        chosen = torch.device(kind if device == "auto" else device)
    except RuntimeError:
        raise EncoderError(f"device={device}: no such device; write auto, cpu, cuda, cuda:1 or mps") from None
    if kind == "cuda" and (chosen.index or 0) >= torch.cuda.device_count():
        raise EncoderError(f"device={device}: this machine has {torch.cuda.device_count()} GPUs, counted from cuda:0")
    return chosen


@contextmanager
def autocast(device: torch.device, precision: str) -> Iterator[None]:
    """The context in which an encoder computes; EncoderError where the device's memory is too small."""
    dtype = _TYPES[precision]
    enabled = dtype is not None
    with out_of_memory(device), torch.autocast(device.type, dtype=dtype or torch.bfloat16, enabled=enabled):
        yield


@contextmanager
def out_of_memory(device: torch.device) -> Iterator[None]:
    """Say what to do where a GPU's memory is full, as an EncoderError."""
    try:
        yield
    except torch.cuda.OutOfMemoryError as error:
        said = str(error).partition(". ")[0]
        raise EncoderError(
            f"device={device}: its memory is full ({said}); give a smaller batch size, precision=bf16, or "
            "stop what else runs there"
        ) from None


def unit(vectors: Float[Tensor, "*rows d"]) -> Float[Tensor, "*rows d"]:
    """As float32 of unit length, on the CPU."""
    return F.normalize(vectors.float(), dim=-1).cpu()


def versions(*packages: str) -> dict[str, str]:
    """Installed versions, for a record."""
    return {name: importlib.metadata.version(name) for name in packages}
