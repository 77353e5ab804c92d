"""Files of the AVE release and its followers: features, regional features and split orders as h5, label text as npy.

Shapes: N videos, M rows of a file, T segments, R regions, d feature width, C event classes, K rows of a split.
"""

from __future__ import annotations

import dataclasses
import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from avsgn_pyg.common.errors import DataError
from avsgn_pyg.data import h5
from avsgn_pyg.data.feature_store import Features
from avsgn_pyg.data.files import check_file

KEY: Final = "avadataset"
#: Number of axes -> regions of one segment: one vector, or VGG's 7 x 7 grid, flat or not.
GRIDS: Final = {3: (), 4: (49,), 5: (7, 7)}
#: Largest number of bytes that are read at once; the published visual file has 8 GB.
CHUNK_BYTES = 64 * 2**20


def legacy_shape(path: str | Path, *, regions: bool = True) -> tuple[int, int, int]:
    """Return (N, T, d) of a feature file after pooling, without reading the features.

    Raises:
        DataError: it cannot be used, or it has region maps and `regions` is false, as for audio.
    """
    with h5.opened(Path(path)) as file:
        shape = _dataset(Path(path), file).shape
    if len(shape) > 3 and not regions:
        raise DataError(f"{path}: {KEY!r} is {list(shape)}, the shape of region maps; expected audio [N, T, d]. Are "
                        "the audio and the visual file swapped?")
    return shape[0], shape[1], shape[-1]


def open_legacy(audio: Path, visual: Path, video_ids: tuple[str, ...], annotations: Path) -> Features:
    """Return the two files as features whose values are not read yet: tensors of their shapes on the device ``meta``.

    Raises:
        DataError: the files have different videos, or not one for each of `video_ids`, the rows of `annotations`.
    """
    (videos, segments, _), (others, seconds, _) = shapes = legacy_shape(audio, regions=False), legacy_shape(visual)
    if (videos, segments) != (others, seconds):
        raise DataError(f"{audio} has {videos} videos of {segments} segments, {visual} {others} of {seconds}; they "
                        "must be the same videos")
    if videos != len(video_ids):
        raise DataError(f"{audio} and {visual}: {videos} videos, but {annotations} has {len(video_ids)} rows; row k "
                        "must be video k")
    return Features(*(torch.empty(shape, device="meta") for shape in shapes), video_ids,
                    provenance={"audio": audio.name, "visual": visual.name})


def read_legacy_features(path: str | Path) -> Float[Tensor, "N T d"]:
    """Read a feature file as float32; regions are averaged.

    Args:
        path: an h5 file with one dataset [N, T, d], [N, T, 7, 7, d] or [N, T, 49, d] of any float type. Regions are
            averaged a few videos at a time, so memory hardly exceeds the result.

    Raises:
        DataError: no such file, not h5 or cut short, no such key (with the existing ones), another shape, not a float
            type, or a NaN or infinity (with its first video and segment).
    """
    path = Path(path)
    with h5.opened(path) as file:
        dataset = _dataset(path, file)
        grid = tuple(range(2, dataset.ndim - 1))
        result = np.empty((*dataset.shape[:2], dataset.shape[-1]), np.float32)
        videos = max(1, CHUNK_BYTES // max(1, dataset.nbytes // len(dataset)))
        for start in range(0, len(dataset), videos):
            chunk = h5.read(path, KEY, dataset, slice(start, start + videos))
            # Sums of 49 half floats overflow; a float64 beyond float32 shows as infinity below.
            wide = np.promote_types(chunk.dtype, np.float32)
            with np.errstate(over="ignore", invalid="ignore"):
                result[start : start + videos] = chunk.mean(axis=grid, dtype=wide) if grid else chunk
            h5.check_finite(path, KEY, result[start : start + videos], start)
    return torch.from_numpy(result)


def _dataset(path: Path, file: Any) -> Any:
    dataset = h5.dataset(path, file, KEY)
    if dataset.dtype.kind != "f":
        raise DataError(f"{path}: {KEY!r} must be float16, float32 or float64, got {dataset.dtype}")
    if dataset.ndim not in GRIDS or dataset.shape[2:-1] != GRIDS[dataset.ndim] or 0 in dataset.shape:
        raise DataError(f"{path}: {KEY!r} must be [N, T, d], [N, T, 7, 7, d] or [N, T, 49, d], got "
                        f"{list(dataset.shape)}")
    return dataset


@dataclass(frozen=True)
class Maps:
    """Regional features that stay in their file; a batch reads the rows that it needs.

    AVE's own visual file has 8 GB (7 x 7 regions of 512 doubles per second), too much for the memory of most machines.

    Attributes:
        path: an h5 file with one dataset [M, T, 7, 7, d] or [M, T, 49, d].
        places: [N] row of each video in the file.
        regions: R.
    """

    path: Path
    places: Int[Tensor, "N"]
    regions: int

    def __len__(self) -> int:
        return len(self.places)

    def take(self, index: Int[Tensor, "B"]) -> Maps:
        """Return the maps of the videos at `index`, in that order."""
        return dataclasses.replace(self, places=self.places[index.cpu()])

    def read(self, index: Int[Tensor, "B"]) -> Float[Tensor, "B T R d"]:
        """Read the videos at `index`, in that order, one at a time, as float32 on the CPU.

        The file is opened for this call alone, so that processes may share a :class:`Maps`.

        Raises:
            DataError: the file is missing or damaged, or a value is not finite.
        """
        rows = self.places[index.cpu()].tolist()
        with h5.opened(self.path) as file:
            dataset = _dataset(self.path, file)
            found = np.empty((len(rows), dataset.shape[1], self.regions, dataset.shape[-1]), np.float32)
            for number, row in sorted(enumerate(rows), key=lambda pair: pair[1]):
                with np.errstate(over="ignore"):
                    found[number] = h5.read(self.path, KEY, dataset, row).reshape(found.shape[1:])
                h5.check_finite(self.path, KEY, found[number : number + 1], row)
        return torch.from_numpy(found)


def open_maps(path: Path) -> Maps:
    """Return the maps of every row of `path`, without reading them.

    Raises:
        DataError: no such file, not h5, not features, or one vector per second without regions.
    """
    with h5.opened(path) as file:
        shape = _dataset(path, file).shape
    if len(shape) == 3:
        raise DataError(f"{path}: {KEY!r} is {list(shape)}, one vector per second; data.regions=keep needs "
                        "[N, T, 7, 7, d] or [N, T, 49, d], and data.regions=pool takes this file")
    return Maps(path, torch.arange(shape[0]), math.prod(shape[2:-1]))


def read_order(path: str | Path) -> Int[Tensor, "K"]:
    """Read the rows of one split from a ``*_order.h5`` (key ``order``), in the file's order.

    Raises:
        DataError: no such file, not h5, no key ``order``, not a list of integers, or empty.
    """
    with h5.opened(Path(path)) as file:
        return torch.from_numpy(h5.integers(Path(path), file, "order"))


def read_label_text(path: str | Path) -> Float[Tensor, "C d"]:
    """Read one encoder's label text from an ``.npy`` file as float32.

    Raises:
        DataError: no such file, not npy, not a finite float table [C, d].
    """
    path = Path(path)
    table = load_npy(path)
    if table.ndim != 2 or table.dtype.kind != "f" or 0 in table.shape:
        raise DataError(f"{path}: label text must be a float table [C, d]; got {table.dtype} {list(table.shape)}")
    h5.check_finite(path, "label text", table)
    return torch.from_numpy(table.astype(np.float32))


def load_npy(path: Path) -> np.ndarray:
    """Open an ``.npy`` file, whose values are read when they are used.

    Raises:
        DataError: no such file, cut short, not npy, or with Python objects.
    """
    check_file(path)
    try:
        table = np.load(path, mmap_mode="r", allow_pickle=False)  # which checks the declared size
    except (OSError, ValueError, EOFError) as error:
        raise DataError(f"{path}: not a readable npy file ({error})") from None
    if not isinstance(table, np.ndarray):
        raise DataError(f"{path}: an npz archive; expected one array, an npy file")
    return table
