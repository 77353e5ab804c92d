"""The one importer of h5py: typed reading with errors that name the file, and atomic writing."""

from __future__ import annotations

import io
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import h5py
import numpy as np

from avsgn_pyg.common.errors import DataError
from avsgn_pyg.common.files import atomic
from avsgn_pyg.data.files import check_file


@contextmanager
def opened(path: Path) -> Iterator[h5py.File]:
    """Open an h5 file for reading; errors of h5py about a missing, foreign or damaged file become a DataError."""
    check_file(path)
    try:
        with h5py.File(path, "r") as file:
            yield file
    except (OSError, RuntimeError) as error:
        raise DataError(f"{path}: not a readable h5 file, or cut short ({error})") from error


def write(path: Path, datasets: Mapping[str, np.ndarray | list[str]], attributes: Mapping[str, str | int]) -> None:
    """Write an h5 file as :func:`avsgn_pyg.common.files.atomic` does.

    It is built in memory first, because h5py closes a file on a full disk without an error and leaves a damaged one.

    Raises:
        OSError: the disk is full or the path is not writable.
    """
    content = io.BytesIO()
    with h5py.File(content, "w") as file:
        file.attrs.update(attributes)
        for key, values in datasets.items():
            dtype = h5py.string_dtype() if isinstance(values, list) else values.dtype
            file.create_dataset(key, data=values, dtype=dtype)
    with atomic(path) as partial:
        partial.write_bytes(content.getbuffer())


def dataset(path: Path, file: h5py.File, key: str) -> h5py.Dataset:
    """Return the dataset called `key`; DataError with the existing keys if there is none."""
    found = file.get(key)
    if not isinstance(found, h5py.Dataset):
        raise DataError(f"{path}: no dataset {key!r}; there are {sorted(file)}")
    return found


def floats(path: Path, file: h5py.File, key: str) -> np.ndarray:
    """Read a dataset of any float type as finite float32."""
    found = dataset(path, file, key)
    if found.dtype.kind != "f":
        raise DataError(f"{path}: {key!r} must be floats, got {found.dtype}")
    values = found.astype(np.float32)[()]
    check_finite(path, key, values)
    return values


def integers(path: Path, file: h5py.File, key: str) -> np.ndarray:
    """Read a list of integers [K] as int64; an empty one is a DataError."""
    found = dataset(path, file, key)
    if found.dtype.kind not in "iu" or found.ndim != 1 or not len(found):
        raise DataError(f"{path}: {key!r} must be a list of integers [K], not empty; got {found.dtype} "
                        f"{list(found.shape)}")
    return found[()].astype(np.int64)


def texts(path: Path, file: h5py.File, key: str) -> tuple[str, ...]:
    """Read a list of texts."""
    found = dataset(path, file, key)
    if h5py.check_string_dtype(found.dtype) is None or found.ndim != 1:
        raise DataError(f"{path}: {key!r} must be a list of texts; got {found.dtype} {list(found.shape)}")
    return tuple(found.asstr()[()])


def check_finite(path: Path, name: str, values: np.ndarray, first: int = 0) -> None:
    """Raise a DataError that names the first NaN or infinity; `first` is the row that `values` starts at."""
    finite = np.isfinite(values)
    if finite.all():
        return
    place = tuple(np.argwhere(~finite)[0].tolist())
    where = f"row {place[0] + first}" + (f", segment {place[1]}" if len(place) > 2 else "")
    raise DataError(f"{path}: {name!r} contains {values[place]} (not finite, or beyond float32) at {where}")
