"""The only importer of h5py: typed reading with errors that name the file, and atomic writing.

Reading takes no lock, follows no link to another file, and allocates no memory for values that are not in the file.
"""

from __future__ import annotations

import io
import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import h5py
import numpy as np

from avsgn_pyg.common.errors import DataError
from avsgn_pyg.common.files import atomic
from avsgn_pyg.data.files import check_file

#: Bytes of a chunk, which has one checksum, and the highest compression ratio of deflate.
CHUNK: Final = 2**21
DENSEST: Final = 1032
_SIZE_KEEPING: Final = {h5py.h5z.FILTER_SHUFFLE, h5py.h5z.FILTER_FLETCHER32}


@contextmanager
def opened(path: Path) -> Iterator[h5py.File]:
    """Open an h5 file for reading; errors of h5py about a missing, foreign or damaged file become a DataError."""
    check_file(path)
    try:
        with h5py.File(path, "r", locking=False) as file:
            if (link := file.id.links.visit(_leads_away, info=True)) is not None:
                raise DataError(f"{path}: {link!r} is a link to another file, which is not followed; copy the data "
                                "into one file")
            yield file
    except (OSError, RuntimeError) as error:
        if "lock file" in str(error):
            raise DataError(f"{path}: cannot be locked ({error}); unset HDF5_USE_FILE_LOCKING") from None
        raise DataError(f"{path}: not a readable h5 file, or cut short ({error})") from error


def write(path: Path, datasets: Mapping[str, np.ndarray | list[str]], attributes: Mapping[str, str | int]) -> None:
    """Write an h5 file as :func:`avsgn_pyg.common.files.atomic` does.

    It is built in memory first, because h5py closes a file on a full disk without an error and leaves a damaged one.
    Datasets have checksums (fletcher32).

    Raises:
        OSError: the disk is full or the path is not writable.
    """
    content = io.BytesIO()
    with h5py.File(content, "w", libver=("v110", "v110")) as file:  # whose headers have checksums, too
        file.attrs.update(attributes)
        for key, values in datasets.items():
            if isinstance(values, list):  # of equal length, since checksums do not cover others
                encoded = [text.encode(errors="surrogateescape") for text in values]
                kind = h5py.string_dtype(length=max(1, *map(len, encoded)) if encoded else 1)
                values = np.array(encoded, kind)
            rows = min(len(values), max(1, CHUNK // max(1, values[:1].nbytes)))
            checked = {"chunks": (rows, *values.shape[1:]), "fletcher32": True} if values.size else {}
            file.create_dataset(key, data=values, **checked)
    with atomic(path) as partial:
        partial.write_bytes(content.getbuffer())


def dataset(path: Path, file: h5py.File, key: str) -> h5py.Dataset:
    """Return the dataset called `key`; DataError with the existing keys if there is none."""
    found = file.get(key)
    if not isinstance(found, h5py.Dataset) or found.shape is None:
        raise DataError(f"{path}: no dataset {key!r}; there are {sorted(file)}")
    if found.is_virtual or found.external:
        raise DataError(f"{path}: the values of {key!r} are in other files, which are not read; copy all into one file")
    declared, stored = found.size * found.dtype.itemsize, found.id.get_storage_size()
    filters = found.id.get_create_plist()
    packed = {filters.get_filter(at)[0] for at in range(filters.get_nfilters())} - _SIZE_KEEPING
    if declared > stored * (DENSEST if packed else 1):
        raise DataError(f"{path}: {key!r} declares {declared:,} bytes, but the file contains {stored:,}; it is "
                        "incomplete, so write it again")
    return found


def is_table(file: h5py.File, key: str) -> bool:
    """Return whether `key` is a dataset of all videos, [N, T, d] or with regions."""
    return isinstance(file.get(key), h5py.Dataset) and file[key].ndim >= 3


def text_attribute(file: h5py.File, name: str) -> str:
    """Return an attribute as text; an empty one if there is none."""
    return str(file.attrs.get(name, ""))


def read_provenance(path: Path, file: h5py.File) -> dict[str, Any]:
    """Return the attribute ``provenance``; DataError if it is not a JSON object."""
    try:
        return dict(json.loads(text_attribute(file, "provenance")))
    except (TypeError, ValueError) as error:
        raise DataError(f"{path}: its provenance is missing or not a JSON object ({error})") from None


def read(path: Path, key: str, found: Any, rows: Any = ()) -> np.ndarray:
    """Return values of the dataset called `key`; a DataError names it if its checksum is wrong."""
    try:
        return found[rows]
    except OSError as error:
        raise DataError(f"{path}: not a readable h5 file, or cut short: {key!r} is damaged ({error})") from error


def floats(path: Path, file: h5py.File, key: str) -> np.ndarray:
    """Read a dataset of any float type as finite float32."""
    found = dataset(path, file, key)
    if found.dtype.kind != "f":
        raise DataError(f"{path}: {key!r} must be floats, got {found.dtype}")
    values = read(path, key, found.astype(np.float32))
    check_finite(path, key, values)
    return values


def integers(path: Path, file: h5py.File, key: str) -> np.ndarray:
    """Read a list of integers [K] as int64; an empty one is a DataError."""
    found = dataset(path, file, key)
    if found.dtype.kind not in "iu" or found.ndim != 1 or not len(found):
        raise DataError(f"{path}: {key!r} must be a list of integers [K], not empty; got {found.dtype} "
                        f"{list(found.shape)}")
    return read(path, key, found).astype(np.int64)


def texts(path: Path, file: h5py.File, key: str) -> tuple[str, ...]:
    """Read a list of texts."""
    found = dataset(path, file, key)
    if h5py.check_string_dtype(found.dtype) is None or found.ndim != 1:
        raise DataError(f"{path}: {key!r} must be a list of texts; got {found.dtype} {list(found.shape)}")
    return tuple(read(path, key, found.asstr(errors="surrogateescape")))


def check_finite(path: Path, name: str, values: np.ndarray, first: int = 0) -> None:
    """Raise a DataError that names the first NaN or infinity; `first` is the row that `values` starts at."""
    finite = np.isfinite(values)
    if finite.all():
        return
    place = tuple(np.argwhere(~finite)[0].tolist())
    where = f"row {place[0] + first}" + (f", segment {place[1]}" if len(place) > 2 else "")
    raise DataError(f"{path}: {name!r} contains {values[place]} (not finite, or beyond float32) at {where}")


def _leads_away(name: bytes, link: Any) -> str | None:
    return None if link.type in (h5py.h5l.TYPE_HARD, h5py.h5l.TYPE_SOFT) else name.decode(errors="replace")
