"""The project's only door to h5py: typed reading with errors that name the file, and atomic writing."""

from __future__ import annotations

import glob
import io
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import h5py
import numpy as np

from avsgn_pyg.data.files import check_file
from avsgn_pyg.errors import DataError


@contextmanager
def opened(path: Path) -> Iterator[h5py.File]:
    """An h5 file for reading; what h5py says of a missing, foreign or damaged file becomes a DataError."""
    check_file(path)
    try:
        with h5py.File(path, "r") as file:
            yield file
    except (OSError, RuntimeError) as error:
        raise DataError(f"{path}: not a readable h5 file, or cut short ({error})") from error


def write(
    path: Path, datasets: Mapping[str, np.ndarray | list[str]], attributes: Mapping[str, str | int]
) -> None:
    """Write an h5 file; a reader sees the whole new file or what was there before, never a part.

    The file is made in memory first: h5py closes a file on a full disk without an error, and leaves a damaged one.

    Raises:
        OSError: the disk is full, or refuses.
    """
    content = io.BytesIO()
    with h5py.File(content, "w") as file:
        file.attrs.update(attributes)
        for key, values in datasets.items():
            dtype = h5py.string_dtype() if isinstance(values, list) else values.dtype
            file.create_dataset(key, data=values, dtype=dtype)
    path.parent.mkdir(parents=True, exist_ok=True)
    _sweep(path)
    scratch = path.with_name(f"{path.name}.{os.getpid()}.partial")
    try:
        with scratch.open("wb") as file:
            file.write(content.getbuffer())
            file.flush()
            os.fsync(file.fileno())
        os.replace(scratch, path)
    finally:
        scratch.unlink(missing_ok=True)


def _sweep(path: Path) -> None:
    """Remove what processes left that were killed while they wrote `path`."""
    for scratch in path.parent.glob(f"{glob.escape(path.name)}.*.partial"):
        pid = scratch.name[len(path.name) + 1 : -len(".partial")]
        # On Windows, asking after a process ends it.
        if pid.isdecimal() and os.name != "nt":
            try:
                os.kill(int(pid), 0)
            except ProcessLookupError:
                scratch.unlink(missing_ok=True)
            except OSError:
                continue


def dataset(path: Path, file: h5py.File, key: str) -> h5py.Dataset:
    """The dataset called `key`, or a DataError that names those there are."""
    found = file.get(key)
    if not isinstance(found, h5py.Dataset):
        raise DataError(f"{path}: no dataset {key!r}; there are {sorted(file)}")
    return found


def floats(path: Path, file: h5py.File, key: str) -> np.ndarray:
    """A dataset of any float type, whole, as finite float32."""
    found = dataset(path, file, key)
    if found.dtype.kind != "f":
        raise DataError(f"{path}: {key!r} holds {found.dtype}, not floats")
    values = found.astype(np.float32)[()]
    refuse_infinite(path, key, values)
    return values


def integers(path: Path, file: h5py.File, key: str) -> np.ndarray:
    """A list of integers, whole, as int64; empty is an error."""
    found = dataset(path, file, key)
    if found.dtype.kind not in "iu" or found.ndim != 1 or not len(found):
        came = f"{found.dtype} {list(found.shape)}"
        raise DataError(f"{path}: {key!r} must be a list of integers [K], not empty; got {came}")
    return found[()].astype(np.int64)


def texts(path: Path, file: h5py.File, key: str) -> tuple[str, ...]:
    """A list of texts, whole."""
    found = dataset(path, file, key)
    if h5py.check_string_dtype(found.dtype) is None or found.ndim != 1:
        raise DataError(f"{path}: {key!r} must be a list of texts; got {found.dtype} {list(found.shape)}")
    return tuple(found.asstr()[()])


def refuse_infinite(path: Path, name: str, values: np.ndarray, first: int = 0) -> None:
    """Name the first place that is NaN or infinite; `first` is the row that `values` starts at."""
    finite = np.isfinite(values)
    if finite.all():
        return
    place = tuple(np.argwhere(~finite)[0].tolist())
    where = f"row {place[0] + first}" + (f", segment {place[1]}" if len(place) > 2 else "")
    raise DataError(f"{path}: {name!r} holds {values[place]} (not finite, or beyond float32) at {where}")
