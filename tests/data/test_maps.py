"""Regional features stay in their file: what a batch reads of it, and how little that needs."""

from __future__ import annotations

from pathlib import Path

import h5py
import numpy as np
import pytest
import torch

from avsgn_pyg.data.feature_store import read_legacy_features
from avsgn_pyg.data.h5 import DataError
from avsgn_pyg.data.maps import open_maps

N, T, D = 6, 3, 4


def write(path: Path, shape: tuple[int, ...] = (7, 7), dtype: str = "float64") -> np.ndarray:
    values = np.random.default_rng(0).normal(size=(N, T, *shape, D)).astype(dtype)
    with h5py.File(path, "w") as file:
        file["avadataset"] = values
    return values


@pytest.mark.parametrize("shape", [(7, 7), (49,)])
@pytest.mark.parametrize("dtype", ["float16", "float32", "float64"])
def test_a_batch_s_rows_come_in_its_order_and_single_precision(tmp_path: Path, shape: tuple[int, ...], dtype: str):
    values = write(tmp_path / "v.h5", shape, dtype).astype("float32").reshape(N, T, 49, D)
    maps = open_maps(tmp_path / "v.h5")
    assert (len(maps), maps.regions) == (N, 49)
    found = maps.read(torch.tensor([4, 0, 4]))
    assert found.dtype == torch.float32 and torch.equal(found, torch.from_numpy(values[[4, 0, 4]]))
    part = maps.take(torch.tensor([5, 2, 3]))
    assert len(part) == 3 and torch.equal(part.read(torch.tensor([2, 0])), torch.from_numpy(values[[3, 5]]))


def test_their_mean_is_what_pooling_reads(tmp_path: Path):
    write(tmp_path / "v.h5")
    pooled = read_legacy_features(tmp_path / "v.h5")
    assert torch.allclose(open_maps(tmp_path / "v.h5").read(torch.arange(N)).mean(2), pooled, atol=1e-6)


def test_the_file_is_read_a_video_at_a_time_and_no_other(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    write(tmp_path / "v.h5")
    maps, asked, plain = open_maps(tmp_path / "v.h5"), [], h5py.Dataset.__getitem__
    monkeypatch.setattr(h5py.Dataset, "__getitem__", lambda self, key: asked.append(key) or plain(self, key))
    maps.read(torch.tensor([4, 1]))
    assert asked == [1, 4]


def test_vectors_have_no_regions_to_keep(tmp_path: Path):
    write(tmp_path / "v.h5", ())
    with pytest.raises(DataError, match=r"\[6, 3, 4\], one vector a second; data\.regions=keep needs \[N, T, 7"):
        open_maps(tmp_path / "v.h5")


def test_a_value_that_is_not_finite_is_named_with_its_row(tmp_path: Path):
    write(tmp_path / "v.h5")
    with h5py.File(tmp_path / "v.h5", "a") as file:
        file["avadataset"][3, 1, 0, 0, 0] = 1e300  # a double that no float holds
    maps = open_maps(tmp_path / "v.h5")
    maps.read(torch.tensor([2]))
    with pytest.raises(DataError, match=r"not finite, or beyond float32.* at row 3, segment 1"):
        maps.read(torch.tensor([2, 3]))


def test_a_file_that_is_gone_is_named(tmp_path: Path):
    write(tmp_path / "v.h5")
    maps = open_maps(tmp_path / "v.h5")
    (tmp_path / "v.h5").unlink()
    with pytest.raises(DataError, match=r"v\.h5: no such file"):
        maps.read(torch.tensor([0]))
