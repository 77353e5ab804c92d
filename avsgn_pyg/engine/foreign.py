"""Models in the formats of other libraries: recognized by their files, so that an error can name the format."""

from __future__ import annotations

import json
import zipfile
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Final

#: First bytes of a file -> its format.
_MAGIC: Final = {b"\x89HDF": "an HDF5 file: a feature store, or a model of Keras", b"GGUF": "a model of llama.cpp",
                 b"\x80": "a pickle, which could run code and is not read"}
#: A file in a folder -> the library that wrote the folder.
_FOLDERS: Final = {"model_index.json": "diffusers", "saved_model.pb": "TensorFlow", "adapter_config.json": "peft",
                   "pytorch_model.bin": "transformers", "model.safetensors.index.json": "transformers"}


def describe(path: Path) -> str | None:
    """Return what a file or a folder seems to be if another library wrote it, or ``None``."""
    with suppress(OSError, ValueError):
        return next(_of_folder(path) if path.is_dir() else _of_file(path), None)
    return None


def _of_file(path: Path) -> Iterator[str]:
    if path.suffix == ".safetensors":
        yield "weights alone, without the settings and classes of their model; give the folder with all its files"
    if path.suffix == ".onnx":
        yield "a model in ONNX, which is not read"
    if zipfile.is_zipfile(path):
        names = zipfile.ZipFile(path).namelist()
        if any(name.endswith("/constants.pkl") or "/code/" in name for name in names):
            yield "a model in TorchScript, which is not read"
        if any(name.endswith("data.pkl") for name in names):
            yield "saved by torch.save, whose pickle could run code and is not read"
    with path.open("rb") as file:
        start = file.read(4)
    yield from (name for magic, name in _MAGIC.items() if start.startswith(magic))


def _of_folder(path: Path) -> Iterator[str]:
    yield from (f"a model of {library}, which is not read" for name, library in _FOLDERS.items()
                if (path / name).is_file())
    config = path / "config.json"
    if config.is_file():
        values = json.loads(config.read_text(encoding="utf-8"))
        if values.get("architectures") or values.get("transformers_version"):
            yield f"a model of transformers ({values.get('model_type', 'of unknown type')}), which is not read"
    yield from (f"{found.name} in it is {found_as}" for found in sorted(path.glob("*.*"))
                if found.is_file() and (found_as := describe(found)))
