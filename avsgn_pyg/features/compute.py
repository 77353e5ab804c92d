"""What encoders share: device, precision, batches, windows, unit vectors, the record, a fix for torchvision."""

from __future__ import annotations

import importlib.metadata
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
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
#: Samples per second of the sound that encoders take, and seconds that HTS-AT encodes in one pass.
RATE: Final = 48_000
WINDOW: Final = 10
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


def second_shares(rows: int) -> Float[Tensor, "10 rows"]:
    """Return how much of each of ten seconds each of `rows` equal steps covers; a second's shares sum to 1.

    HTS-AT outputs 1,024 rows for ten seconds (32 steps, each repeated), so seconds end within rows.
    """
    edges = torch.linspace(0, WINDOW, rows + 1, dtype=torch.float64)
    second = torch.arange(WINDOW, dtype=torch.float64)[:, None]
    return (torch.minimum(edges[1:], second + 1) - torch.maximum(edges[:-1], second)).clamp_min(0).float()


class FrozenEncoder:
    """Base of encoders: device, precision, batches, and the record.

    Args:
        options: arguments of the class, which the record contains.
        device, precision, batch_size: see :class:`avsgn_pyg.features.encoder.Encoder`.

    Attributes:
        files: the options that name files or folders.
        packages: packages that affect the features; the record has their versions.
    """

    name: str
    width: int
    revision: str
    files: Sequence[str] = ()
    packages: Sequence[str] = ("torch",)

    def __init__(
        self, options: Mapping[str, Any], device: str | torch.device = "cpu", precision: str = "fp32",
        batch_size: int = 64,
    ) -> None:
        self.options, self.batch_size = options, batch_size
        self.device, self.precision = choose_device(str(device), precision), precision

    def record(self) -> dict[str, Any]:
        """Return the record, JSON-ready: name, options, width, revision, precision, versions.

        Of :attr:`files` it has only the names without their folders, which differ between machines.
        """
        names = {key: Path(self.options[key]).name for key in self.files}
        return {
            "name": self.name, "options": {**self.options, **names},
            **({"files": sorted(self.files)} if self.files else {}),
            "width": self.width, "revision": self.revision, "precision": self.precision,
            "versions": {name: importlib.metadata.version(name) for name in self.packages},
        }

    def encode_text(self, texts: Sequence[str]) -> Float[Tensor, "P d"]:
        """Return one unit vector per text, which is cut at the model's limit."""
        return self.in_batches(texts, self._embed_texts)

    def _embed_texts(self, texts: Sequence[str]) -> Float[Tensor, "P d"]:
        raise NotImplementedError

    def check_width(self, width: int, asked: int | None) -> None:
        """Set the model's width; EncoderError if another was requested."""
        if asked not in (None, width):
            raise EncoderError(f"{self.name} is {width} wide, but width={asked} was given; leave width out, or "
                               "choose another model")
        self.width = width

    def in_batches(
        self, rows: Tensor | Sequence[str], embed: Callable[..., Float[Tensor, "N *steps d"]], size: int | None = None
    ) -> Float[Tensor, "rows *steps d"]:
        """Encode at most `size` rows at once, by default `batch_size`; no rows give [0, width]."""
        size = size or self.batch_size
        with torch.inference_mode(), autocast(self.device, self.precision):
            found = [embed(rows[start:start + size]) for start in range(0, len(rows), size)]
        return torch.cat(found) if found else torch.zeros(0, self.width)

    def each_second(
        self, samples: Float[Tensor, "V S 48000"], embed: Callable[[Tensor], Float[Tensor, "N d"]]
    ) -> Float[Tensor, "V S d"]:
        """Encode each second alone, in batches."""
        return self.in_batches(samples.flatten(0, 1), embed).unflatten(0, samples.shape[:2])

    def in_windows(
        self, samples: Float[Tensor, "V S 48000"], embed: Callable[[Tensor], Float[Tensor, "N seconds d"]],
        window: int = WINDOW,
    ) -> Float[Tensor, "V S d"]:
        """Encode `window` seconds at once, by a function of waves [N, length].

        The last window of a longer video begins earlier, so that it also has that many seconds without padding.
        """
        seconds = samples.shape[1]
        found = torch.zeros(*samples.shape[:2], self.width)
        for start in range(0, seconds, window) if len(samples) else ():
            start = max(0, min(start, seconds - window))
            waves = samples[:, start:start + window].flatten(1)
            found[:, start:start + window] = self.in_batches(waves, lambda batch: embed(batch)[:, :seconds])
        return found


class WithoutText(FrozenEncoder):
    """Base of encoders without a text encoder; a store of their features has no label text."""

    has_text = False

    def encode_text(self, texts: Sequence[str]) -> Float[Tensor, "P d"]:
        """Raise an EncoderError."""
        raise EncoderError(f"encoder {self.name!r} has no text encoder, which class names need; train with "
                           "model.text.bank=learned, or use an encoder that has one")


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
