"""Weights on disk: where they lie, reading them without running code of theirs, and their fingerprint."""

from __future__ import annotations

import hashlib
import json
import pickle
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import huggingface_hub.constants
import huggingface_hub.errors
import numpy as np
import safetensors
import safetensors.torch
import torch
from torch import Tensor

from avsgn_pyg.features.compute import EncoderError

#: Numbers that training scripts leave beside the weights (an epoch, a best score); making them runs no code.
_NUMBERS = [
    np.dtype, *(type(np.dtype(kind)) for kind in "fdeilqIQ?"),
    *((np.float64(0).__reduce__()[0], f"numpy.{core}.multiarray.scalar") for core in ("core", "_core")),
]

#: What readers raise over a file that is not theirs, or is cut short.
_READING = (OSError, RuntimeError, EOFError, ValueError, KeyError)


def gist(error: Exception) -> str:
    """An error's kind and the beginning of what it says, on one line."""
    return f"{type(error).__name__}: {' '.join(str(error).split())[:120]}"


@contextmanager
def plain_numbers() -> Iterator[None]:
    """Let ``torch.load(weights_only=True)`` read numpy scalars too."""
    with torch.serialization.safe_globals(_NUMBERS):
        yield


@contextmanager
def no_hub(allowed: bool = False) -> Iterator[None]:
    """Keep libraries that would ask huggingface.co by themselves to what is in its cache, unless `allowed`."""
    before = huggingface_hub.constants.HF_HUB_OFFLINE
    huggingface_hub.constants.HF_HUB_OFFLINE = before or not allowed
    try:
        yield
    finally:
        huggingface_hub.constants.HF_HUB_OFFLINE = before


def hub_file(repository: str, names: Sequence[str], *, download: bool = False) -> Path | None:
    """The first of `names` of a huggingface.co repository that is in the local cache, or can be fetched.

    Args:
        download: ask the hub for what the cache does not have.
    """
    for fetch in (False, True) if download else (False,):
        for name in names:
            try:
                return Path(huggingface_hub.hf_hub_download(repository, name, local_files_only=not fetch))
            except (OSError, huggingface_hub.errors.HfHubHTTPError, huggingface_hub.errors.LocalEntryNotFoundError):
                continue
    return None


def looks_like_a_file(weights: str) -> bool:
    """Whether `weights` means a path and not a name that somebody published weights under."""
    return Path(weights).suffix in (".pt", ".pth", ".bin", ".safetensors", ".ckpt") or "/" in weights or "\\" in weights


def read_state(path: Path) -> dict[str, Tensor]:
    """The tensors of a checkpoint: safetensors, a plain ``state_dict``, or one inside a training checkpoint.

    Keys lose the ``module.`` that data-parallel training puts before them.

    Raises:
        EncoderError: no such file; damaged; no tensors in it; or only readable by running code of it.
    """
    if not path.is_file():
        raise EncoderError(f"{path}: no such checkpoint")
    try:
        if path.suffix == ".safetensors":
            found = safetensors.torch.load_file(path)
        else:
            with plain_numbers():
                found = torch.load(path, map_location="cpu", weights_only=True)
    except (pickle.UnpicklingError, safetensors.SafetensorError, *_READING) as error:
        what = "damaged, or no checkpoint"
        if "GLOBAL" in str(error) or "Unsupported class" in str(error):
            what = "would run code of its own when opened, so it is not; save its state_dict"
        raise EncoderError(f"{path}: {what} ({gist(error)})") from None
    for key in ("state_dict", "model"):
        if isinstance(found, Mapping) and isinstance(found.get(key), Mapping):
            found = found[key]
    tensors = isinstance(found, Mapping) and {k: v for k, v in found.items() if isinstance(v, Tensor)}
    if not tensors:
        raise EncoderError(f"{path}: holds no tensors by name; a state_dict was expected")
    return {name.removeprefix("module."): tensor for name, tensor in tensors.items()}


def load_whole(
    module: torch.nn.Module, state: Mapping[str, Tensor], path: Path, hint: str, *, without: Sequence[str] = ()
) -> dict[str, Tensor]:
    """Load a checkpoint that must fit the module key by key, and answer the module's tensors.

    Args:
        without: keys that may be missing on either side, and count for nothing.

    Raises:
        EncoderError: says where it does not fit, with `hint`.
    """
    own, state = ({key: found[key] for key in found if key not in without} for found in (module.state_dict(), state))
    missing, unknown = sorted(own.keys() - state.keys()), sorted(state.keys() - own.keys())
    other = [name for name in own if name in state and own[name].shape != state[name].shape]
    for names, what in ((other, "of another shape"), (missing, "missing"), (unknown, "unknown")):
        if names:
            raise EncoderError(f"{path}: {len(names)} tensors {what} ({names[0]} first); {hint}")
    module.load_state_dict(state, strict=False)
    return own


def fingerprint(state: Mapping[str, Tensor], settings: Mapping[str, Any]) -> str:
    """sha256 over tensors and settings; the container, the order and the device of the tensors make no difference."""
    digest = hashlib.sha256(json.dumps(settings, sort_keys=True, default=list).encode())
    for name in sorted(state):
        tensor = state[name].detach().cpu().contiguous()
        digest.update(f"{name} {tensor.dtype} {list(tensor.shape)}".encode())
        digest.update(tensor.reshape(-1).view(torch.uint8).numpy())
    return digest.hexdigest()
