"""Helpers of all encoders: device and precision, unit vectors, the record, and a workaround for torchvision."""

from __future__ import annotations

import importlib.metadata
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from importlib.machinery import PathFinder
from pathlib import Path
from typing import Any, Final

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from avsgn_pyg.common.errors import EncoderError
from avsgn_pyg.features.choice import PRECISIONS

_TYPES: Final = dict(zip(PRECISIONS, (None, torch.bfloat16, torch.float16), strict=True))
#: Keeps the declaration of torchvision's operators: torch forgets it when the library object is deleted.
_declared: list[torch.library.Library] = []


def choose_device(device: str, precision: str = "fp32") -> torch.device:
    """Return the device (``auto``: the best available); EncoderError if device or precision is not available."""
    present = {"cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available(), "cpu": True}
    kind = next(name for name in present if present[name]) if device == "auto" else device.partition(":")[0]
    if not present.get(kind, False):
        raise EncoderError(f"device={device}: this torch ({torch.__version__}) finds none; use device=auto or cpu")
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
    """Compute in the given precision; EncoderError if the device's memory is full."""
    dtype = _TYPES[precision]
    with out_of_memory(device), torch.autocast(device.type, dtype or torch.bfloat16, enabled=dtype is not None):
        yield


@contextmanager
def out_of_memory(device: torch.device) -> Iterator[None]:
    """Raise an EncoderError that says what to do if a GPU's memory is full."""
    try:
        yield
    except torch.cuda.OutOfMemoryError as error:
        raise EncoderError(
            f"device={device}: its memory is full ({str(error).partition('. ')[0]}); use a smaller batch size or "
            "precision=bf16, or stop other programs on it"
        ) from None


def unit(vectors: Float[Tensor, "*rows d"]) -> Float[Tensor, "*rows d"]:
    """Return the vectors as float32 of unit length, on the CPU."""
    return F.normalize(vectors.float(), dim=-1).cpu()


def versions(*packages: str) -> dict[str, str]:
    """Return the installed versions of packages."""
    return {name: importlib.metadata.version(name) for name in packages}


def describe(encoder: Any, options: Mapping[str, Any], packages: Sequence[str], files: Sequence[str] = ()) -> dict:
    """Return the record of an encoder, JSON-ready: name, options, width, revision, precision, versions.

    Args:
        files: the options that name files or folders. The record keeps their names without the folders they are in,
            which differ on the next machine, and lists these options under ``files``.
    """
    names = {key: Path(options[key]).name for key in files}
    return {
        "name": encoder.name, "options": {**options, **names}, **({"files": sorted(files)} if files else {}),
        "width": encoder.width, "revision": encoder.revision, "precision": encoder.precision,
        "versions": versions(*packages),
    }


def declare_torchvision_ops() -> bool:
    """Make a CUDA-built torchvision importable together with a CPU-only torch; return whether this call did.

    PyPI's Linux wheels of torchvision 0.28 and later link libtorch_cuda. With a CPU-only torch their C++ operators
    cannot load, yet torchvision registers fake kernels for two of them and fails on import (pytorch/vision#9085), as
    do timm, open_clip, laion_clap and parts of transformers. Declaring the two schemas is enough for its Python part;
    the operators, unused here, raise. Call this before torchvision is imported; it does nothing if torchvision is
    already imported, not installed, or built for this torch.
    """
    if _declared or "torchvision" in sys.modules or torch.version.cuda or torch.version.hip:
        return False
    spec = PathFinder.find_spec("torchvision")
    compiled = None if spec is None or spec.origin is None else next(Path(spec.origin).parent.glob("_C*.so"), None)
    if compiled is None or b"libtorch_cuda.so" not in compiled.read_bytes():
        return False
    _declared.append(torch.library.Library("torchvision", "FRAGMENT"))
    for operator in ("nms", "qnms"):
        _declared[0].define(f"{operator}(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
    return True
