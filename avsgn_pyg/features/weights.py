"""Weights on disk: find a checkpoint, read it without running code from it, and compute its fingerprint."""

from __future__ import annotations

import hashlib
import json
import pickle
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import huggingface_hub.constants
import numpy as np
import safetensors
import safetensors.torch
import torch
from huggingface_hub.errors import HfHubHTTPError, LocalEntryNotFoundError
from torch import Tensor

from avsgn_pyg.common.errors import EncoderError

#: Numbers that training scripts save next to the weights (an epoch, a best score); building them runs no code.
_NUMBERS = [
    np.dtype, *(type(np.dtype(kind)) for kind in "fdeilqIQ?"),
    *((np.float64(0).__reduce__()[0], f"numpy.{core}.multiarray.scalar") for core in ("core", "_core")),
]


def summarize(error: Exception) -> str:
    """Return an error's type and the beginning of its message, on one line."""
    text = " ".join(str(error).split())
    return f"{type(error).__name__}: {text if len(text) <= 120 else text[:117] + '...'}"


@contextmanager
def plain_numbers() -> Iterator[None]:
    """Let ``torch.load(weights_only=True)`` read numpy scalars too."""
    with torch.serialization.safe_globals(_NUMBERS):
        yield


@contextmanager
def no_hub(allowed: bool = False) -> Iterator[None]:
    """Restrict libraries that fetch from huggingface.co to its local cache, unless `allowed`."""
    before = huggingface_hub.constants.HF_HUB_OFFLINE
    huggingface_hub.constants.HF_HUB_OFFLINE = before or not allowed
    try:
        yield
    finally:
        huggingface_hub.constants.HF_HUB_OFFLINE = before


def hub_weights(what: str, repository: str, names: Sequence[str], download: bool, options: str = "") -> Path:
    """Return the first of `names` in a huggingface.co repository that is in the local cache, or can be downloaded.

    Raises:
        EncoderError: `what` is not here; says what to download, and the `options` that then load it.
    """
    for fetch in (False, True) if download else (False,):
        for name in names:
            with suppress(OSError, HfHubHTTPError, LocalEntryNotFoundError):
                return Path(huggingface_hub.hf_hub_download(repository, name, local_files_only=not fetch))
    raise EncoderError(f"{what} are not on this machine; fetch them with download=true, or save https://huggingface.co/"
                       f"{repository}/resolve/main/{names[0]} and give weights=FILE{options}")


def is_path(weights: str) -> bool:
    """Return whether `weights` is a path rather than the name of published weights."""
    return Path(weights).suffix in (".pt", ".pth", ".bin", ".safetensors", ".ckpt") or "/" in weights or "\\" in weights


def read_state(path: Path) -> dict[str, Tensor]:
    """Read the tensors of a checkpoint: safetensors, a plain ``state_dict``, or one inside a training checkpoint.

    The ``module.`` that data-parallel training puts before each key is removed.

    Raises:
        EncoderError: no such file; damaged; no tensors in it; or only readable by running code from it.
    """
    if not path.is_file():
        raise EncoderError(f"{path}: no such checkpoint")
    try:
        if path.suffix == ".safetensors":
            found = safetensors.torch.load_file(path)
        else:
            with plain_numbers():
                found = torch.load(path, map_location="cpu", weights_only=True)
    except (pickle.UnpicklingError, safetensors.SafetensorError, OSError, RuntimeError, EOFError, ValueError,
            KeyError) as error:
        reason = "damaged, or no checkpoint"
        if "GLOBAL" in str(error) or "Unsupported class" in str(error):
            reason = "would run its own code when opened, so it was not opened; save its state_dict"
        raise EncoderError(f"{path}: {reason} ({summarize(error)})") from None
    for key in ("state_dict", "model"):
        if isinstance(found, Mapping) and isinstance(found.get(key), Mapping):
            found = found[key]
    tensors = isinstance(found, Mapping) and {k: v for k, v in found.items() if isinstance(v, Tensor)}
    if not tensors:
        raise EncoderError(f"{path}: expected a state_dict, found no tensors by name")
    return {name.removeprefix("module."): tensor for name, tensor in tensors.items()}


def load_whole(
    module: torch.nn.Module, state: Mapping[str, Tensor], path: Path, hint: str, *, without: Sequence[str] = ()
) -> dict[str, Tensor]:
    """Load a checkpoint that must fit the module key by key, and return the module's tensors.

    Args:
        without: keys that are ignored on both sides.

    Raises:
        EncoderError: where it does not fit, followed by `hint`.
    """
    own, state = ({key: found[key] for key in found if key not in without} for found in (module.state_dict(), state))
    missing, unknown = sorted(own.keys() - state.keys()), sorted(state.keys() - own.keys())
    other = [name for name in own if name in state and own[name].shape != state[name].shape]
    for names, problem in ((other, "of another shape"), (missing, "missing"), (unknown, "unknown")):
        if names:
            raise EncoderError(f"{path}: {len(names)} tensors {problem} ({names[0]} first); {hint}")
    module.load_state_dict(state, strict=False)
    return own


def fingerprint(state: Mapping[str, Tensor], settings: Mapping[str, Any]) -> str:
    """Return a sha256 of tensors and settings, whatever the file format, order and device of the tensors."""
    digest = hashlib.sha256(json.dumps(settings, sort_keys=True, default=list).encode())
    for name in sorted(state):
        tensor = state[name].detach().cpu().contiguous()
        digest.update(f"{name} {tensor.dtype} {list(tensor.shape)}".encode())
        digest.update(tensor.reshape(-1).view(torch.uint8).numpy())
    return digest.hexdigest()
