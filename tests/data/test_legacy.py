"""Every published form of features reads the same, and files that cannot be used are named with the place."""

from __future__ import annotations

import tracemalloc
from pathlib import Path

import h5py
import numpy as np
import pytest
import torch

from avsgn_pyg.common.errors import DataError
from avsgn_pyg.data import legacy
from avsgn_pyg.data.feature_store import read_store
from avsgn_pyg.data.legacy import legacy_shape, open_maps, read_label_text, read_legacy_features, read_order

FORMS = [((), "float32"), ((7, 7), "float16"), ((7, 7), "float64"), ((49,), "float32")]


def write(path: Path, values: np.ndarray, key: str = "avadataset", **options: object) -> Path:
    with h5py.File(path, "w") as file:
        file.create_dataset(key, data=values, **options)
    return path


def draw(*shape: int, dtype: str = "float64") -> np.ndarray:
    return np.random.default_rng(0).normal(size=shape).astype(dtype)


@pytest.mark.parametrize("videos", [1, 3, 5])
@pytest.mark.parametrize(("grid", "dtype"), FORMS)
def test_every_published_form_reads_as_float32(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, grid: tuple[int, ...], dtype: str, videos: int
) -> None:
    values = draw(5, 3, *grid, 8, dtype=dtype)
    path = write(tmp_path / "feature.h5", values)
    monkeypatch.setattr(legacy, "CHUNK_BYTES", videos * values[0].nbytes)
    read = read_legacy_features(path)
    axes = tuple(range(2, 2 + len(grid)))
    expected = values.astype(np.float64).mean(axes) if axes else values.astype(np.float32)
    assert read.dtype == torch.float32 and legacy_shape(path) == tuple(read.shape)
    np.testing.assert_allclose(read.numpy(), expected, rtol=1e-5, atol=1e-6)


def test_pooling_a_large_file_takes_little_memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    values = np.ones((40, 10, 7, 7, 32))
    path = write(tmp_path / "feature.h5", values)
    monkeypatch.setattr(legacy, "CHUNK_BYTES", 2 * values[0].nbytes)
    tracemalloc.start()
    read_legacy_features(path)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 40 * 10 * 32 * 4 + 4 * legacy.CHUNK_BYTES < values.nbytes / 4


def test_half_floats_do_not_overflow_while_they_are_averaged(tmp_path: Path) -> None:
    path = write(tmp_path / "feature.h5", np.full((1, 1, 49, 2), 60000, np.float16))
    assert read_legacy_features(path).tolist() == [[[60000.0, 60000.0]]]


@pytest.mark.parametrize(("bad", "message"), [
    (np.nan, "contains nan .* at row 4, segment 1"), (1e300, "beyond float32.* at row 4, segment 1"),
])
def test_the_first_bad_row_and_segment_are_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, bad: float, message: str
) -> None:
    values = np.zeros((6, 3, 49, 2))
    values[4, 1, :, 0] = bad
    values[5, 2, 0, 1] = np.inf
    path = write(tmp_path / "feature.h5", values)
    monkeypatch.setattr(legacy, "CHUNK_BYTES", 2 * values[0].nbytes)
    open_maps(path).read(torch.tensor([2]))
    for read in (read_legacy_features, lambda path: open_maps(path).read(torch.tensor([2, 4]))):
        with pytest.raises(DataError, match=rf"feature\.h5: .*{message}"):
            read(path)


@pytest.mark.parametrize("values", [
    np.zeros((4, 10), np.float32), np.zeros((4, 10, 8, 7, 7), np.float32), np.zeros((4, 10, 48, 8), np.float32),
    np.zeros((0, 10, 8), np.float32), np.zeros((4, 10, 8), np.int16),
])
def test_other_shapes_and_types_are_refused(tmp_path: Path, values: np.ndarray) -> None:
    path = write(tmp_path / "feature.h5", values)
    for read in (read_legacy_features, legacy_shape, open_maps):
        with pytest.raises(DataError, match=r"'avadataset' must be .*got (int16|\[)"):
            read(path)


def test_a_wrong_key_names_the_existing_keys(tmp_path: Path) -> None:
    path = write(tmp_path / "feature.h5", np.zeros((4, 10, 8)), key="features")
    for read, key in ((read_legacy_features, "avadataset"), (read_order, "order")):
        with pytest.raises(DataError, match=rf"'{key}'.*'features'"):
            read(path)


@pytest.mark.parametrize("read", [read_legacy_features, read_store, read_order, legacy_shape, open_maps])
def test_missing_foreign_and_cut_files_are_named(tmp_path: Path, read: object) -> None:
    with pytest.raises(DataError, match=r"none\.h5: no such file"):
        read(tmp_path / "none.h5")
    (tmp_path / "text.h5").write_text("not h5")
    path = write(tmp_path / "cut.h5", np.zeros((40, 10, 80)))
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    for name in ("text.h5", "cut.h5"):
        with pytest.raises(DataError, match=rf"{name}: not a readable h5 file, or cut short"):
            read(tmp_path / name)


def test_label_text_that_declares_more_than_its_file_holds_is_refused(tmp_path: Path) -> None:
    with (tmp_path / "text.npy").open("wb") as file:
        np.lib.format.write_array_header_1_0(file, {"descr": "<f4", "fortran_order": False, "shape": (10**10, 128)})
    with pytest.raises(DataError, match=r"text\.npy: not a readable npy file"):
        read_label_text(tmp_path / "text.npy")


@pytest.mark.parametrize(("grid", "dtype"), FORMS[1:])
def test_maps_are_read_in_the_order_asked_for_as_float32(tmp_path: Path, grid: tuple[int, ...], dtype: str) -> None:
    values = draw(6, 3, *grid, 4, dtype=dtype)
    maps, expected = open_maps(write(tmp_path / "v.h5", values)), values.astype("float32").reshape(6, 3, 49, 4)
    assert (len(maps), maps.regions) == (6, 49)
    assert maps.read(torch.tensor([4, 0, 4])).tolist() == expected[[4, 0, 4]].tolist()
    part = maps.take(torch.tensor([5, 2, 3]))
    assert len(part) == 3 and part.read(torch.tensor([2, 0])).tolist() == expected[[3, 5]].tolist()


def test_vectors_have_no_regions(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"data\.regions=keep needs"):
        open_maps(write(tmp_path / "v.h5", draw(6, 3, 4)))


@pytest.mark.parametrize(("table", "message"), [
    (np.ones((28, 4), np.float16), None),
    (np.ones(4, np.float32), r"got float32 \[4\]"),
    (np.ones((2, 3), np.int64), "got int64"),
    (np.array([[0.0, np.nan]]), "contains nan .* at row 0"),
    (np.array([{"pickled": 1}]), "not a readable npy file"),
    ({"a": np.ones((2, 2))}, "npz archive"),
    (None, "no such file"),
])
def test_label_text_is_a_finite_float_table(tmp_path: Path, table: object, message: str | None) -> None:
    path = tmp_path / "text.npy"
    with (path.open("wb") if table is not None else (tmp_path / "other").open("wb")) as file:
        np.savez(file, **table) if isinstance(table, dict) else np.save(file, table)
    if message is None:
        assert read_label_text(path).dtype == torch.float32 and read_label_text(path).shape == (28, 4)
        return
    with pytest.raises(DataError, match=rf"text\.npy.*{message}"):
        read_label_text(path)
