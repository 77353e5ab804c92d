"""Lets a CUDA-built torchvision import beside a CPU-built torch; called before anything that imports it.

PyPI's Linux wheels of torchvision 0.28 and later link libtorch_cuda. Beside a CPU-only torch their C++ operators
cannot load, yet torchvision registers fake kernels for two of them unasked and fails on import
(pytorch/vision#9085), and takes timm, open_clip, laion_clap and parts of transformers with it. Declaring the two
schemas is all that its Python part needs: transforms work, and the operators themselves, unused here, raise.
"""

from __future__ import annotations

import sys
from importlib.machinery import PathFinder
from pathlib import Path
from typing import Final

import torch

OPERATORS: Final = ("nms", "qnms")

#: Holds the declaration: torch forgets it when the library object goes.
_declared: list[torch.library.Library] = []


def declare_torchvision_ops() -> bool:
    """Declare what torchvision misses, once; says whether this call did.

    Nothing happens where torchvision is loaded already, not installed, or built for this torch.
    """
    if _declared or "torchvision" in sys.modules or torch.version.cuda or torch.version.hip:
        return False
    spec = PathFinder.find_spec("torchvision")
    if spec is None or spec.origin is None or not wants_cuda(Path(spec.origin).parent):
        return False
    library = torch.library.Library("torchvision", "FRAGMENT")
    for operator in OPERATORS:
        library.define(f"{operator}(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
    _declared.append(library)
    return True


def wants_cuda(package: Path) -> bool:
    """Whether the compiled part of the torchvision in the folder `package` links CUDA's half of torch."""
    library = next(package.glob("_C*.so"), None)
    return library is not None and b"libtorch_cuda.so" in library.read_bytes()
