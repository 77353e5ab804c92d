"""Regional features that stay in their file: a batch reads the rows it needs.

AVE's own visual file holds 8 GB (7 x 7 regions of 512 doubles a second), too much for most memories. What is read of
it at once is one video, what stays is one batch in float32: 64 videos are 64 MB.

Letters: N videos, M rows of the file, T segments, R regions, d their width.
"""

from __future__ import annotations

import dataclasses
import math
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from avsgn_pyg.data import h5
from avsgn_pyg.data.feature_store import legacy_dataset
from avsgn_pyg.data.h5 import DataError

KEY = "avadataset"


@dataclass(frozen=True)
class Maps:
    """The regional features of some rows of a file.

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
        """Those of the videos at `index`, in that order."""
        return dataclasses.replace(self, places=self.places[index.cpu()])

    def read(self, index: Int[Tensor, "B"]) -> Float[Tensor, "B T R d"]:
        """The videos at `index`, in that order, float32, on the CPU.

        The file is opened for this call alone, so that processes may share a :class:`Maps`.

        Raises:
            DataError: the file is gone or damaged, or a value is not finite.
        """
        rows = self.places[index.cpu()].tolist()
        with h5.opened(self.path) as file:
            dataset = legacy_dataset(self.path, file, KEY)
            found = np.empty((len(rows), dataset.shape[1], self.regions, dataset.shape[-1]), np.float32)
            for number, row in sorted(enumerate(rows), key=lambda pair: pair[1]):
                with np.errstate(over="ignore"):
                    found[number] = dataset[row].reshape(found.shape[1:])
                h5.refuse_infinite(self.path, KEY, found[number : number + 1], row)
        return torch.from_numpy(found)


def open_maps(path: Path) -> Maps:
    """Every row of `path`, of which nothing is read yet.

    Raises:
        DataError: no such file, not h5, not features, or one vector a second and no regions.
    """
    with h5.opened(path) as file:
        shape = legacy_dataset(path, file, KEY).shape
    if len(shape) == 3:
        raise DataError(f"{path}: {KEY!r} is {list(shape)}, one vector a second; data.regions=keep needs "
                        "[N, T, 7, 7, d] or [N, T, 49, d], and data.regions=pool takes this file")
    return Maps(path, torch.arange(shape[0]), math.prod(shape[2:-1]))
