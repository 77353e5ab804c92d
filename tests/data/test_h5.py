"""Hostile, unfinished and damaged h5 files are refused by name before they cost anything."""

from __future__ import annotations

import resource
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import h5py
import numpy as np
import pytest

from avsgn_pyg.common.errors import DataError
from avsgn_pyg.data import h5
from avsgn_pyg.data.legacy import read_legacy_features

KEY = "avadataset"


def made(path: Path, make: Callable[[h5py.File], object]) -> Path:
    with h5py.File(path, "w") as file:
        make(file)
    return path


def links_to(other: Path) -> dict[str, Callable[[h5py.File], object]]:
    def layout() -> h5py.VirtualLayout:
        found = h5py.VirtualLayout((2, 3, 4), "f4")
        found[:] = h5py.VirtualSource(other, KEY, (2, 3, 4))
        return found

    return {
        "'avadataset' is a link": lambda file: file.update({KEY: h5py.ExternalLink(other, KEY)}),
        "'group' is a link": lambda file: file.update({"group": h5py.ExternalLink(other, "/"),
                                                       KEY: h5py.SoftLink(f"/group/{KEY}")}),
        "'avadataset' are in other files": lambda file: file.create_dataset(
            KEY, (2, 3, 4), "f4", external=[(other, 0, 96)]),
        "values of 'avadataset' are in other": lambda file: file.create_virtual_dataset(KEY, layout()),
    }


@pytest.mark.parametrize("says", list(links_to(Path())))
def test_a_file_that_leads_to_another_is_refused(tmp_path: Path, says: str) -> None:
    other = made(tmp_path / "other.h5", lambda file: file.update({KEY: np.ones((2, 3, 4), "f4")}))
    path = made(tmp_path / "a.h5", links_to(other)[says])
    with pytest.raises(DataError, match=rf"a\.h5: .*{says}"):
        read_legacy_features(path)


def test_links_inside_a_file_are_followed(tmp_path: Path) -> None:
    values = np.ones((2, 3, 4), "f4")
    path = made(tmp_path / "a.h5", lambda file: file.update({"x": values, KEY: h5py.SoftLink("/x")}))
    assert read_legacy_features(path).tolist() == values.tolist()


@pytest.mark.parametrize("options", [
    {}, {"chunks": (1000, 10, 16)}, {"chunks": (1000, 10, 16), "fletcher32": True},
    {"chunks": (1000, 10, 16), "compression": "gzip"},
])
def test_a_declared_size_that_the_file_does_not_hold_is_refused_before_memory_is_taken(
    tmp_path: Path, options: dict
) -> None:
    def declare(file: h5py.File) -> None:
        found = file.create_dataset(KEY, (10**10, 10, 16), "f4", **options)
        if options:
            found[:1000] = 1.0

    path, before = made(tmp_path / "a.h5", declare), resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with pytest.raises(DataError, match="'avadataset' declares 6,400,000,000,000 bytes"):
        read_legacy_features(path)
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 2**16  # KiB


@pytest.mark.parametrize("options", [{}, {"fletcher32": True, "shuffle": True}])
def test_a_dataset_that_was_not_written_to_its_end_is_refused(tmp_path: Path, options: dict) -> None:
    def stop(file: h5py.File) -> None:
        file.create_dataset(KEY, (60, 10, 16), "f4", chunks=(10, 10, 16), **options)[:50] = 1.0

    with pytest.raises(DataError, match="'avadataset' declares 38,400 bytes"):
        read_legacy_features(made(tmp_path / "a.h5", stop))


def test_what_compresses_well_is_read(tmp_path: Path) -> None:
    values = np.zeros((2000, 10, 64), "f4")
    path = made(tmp_path / "a.h5", lambda file: file.create_dataset(KEY, data=values, compression="gzip", shuffle=True))
    assert path.stat().st_size < values.nbytes / 100 and not read_legacy_features(path).any()


@pytest.mark.parametrize("key", ["values", "numbers", "names"])
def test_every_dataset_has_a_checksum_and_a_flipped_byte_is_reported_with_its_name(tmp_path: Path, key: str) -> None:
    path, values = tmp_path / "a.h5", {"values": np.ones((300, 2000), "f4"), "numbers": np.arange(5),
                                       "names": ["a", "", "ü", "not UTF-8 \udce9"]}

    def read() -> object:
        with h5.opened(path) as file:
            return h5.floats(path, file, "values"), h5.integers(path, file, "numbers"), h5.texts(path, file, "names")

    h5.write(path, values, {"version": 1})
    assert read()[2] == tuple(values["names"])
    with h5py.File(path) as file:
        places = [file[key].id.get_chunk_info(chunk).byte_offset for chunk in range(file[key].id.get_num_chunks())]
    assert len(places) == (2 if key == "values" else 1)
    content = bytearray(path.read_bytes())
    content[places[-1] + 1] ^= 1
    path.write_bytes(content)
    with pytest.raises(DataError, match=rf"a\.h5: .*'{key}' is damaged"):
        read()


@pytest.mark.slow
@pytest.mark.parametrize("without_locks", ["ENOLCK", "ENOSYS"], indirect=True)
def test_nothing_is_locked_and_a_lock_that_the_user_demands_is_not_called_damage(
    tmp_path: Path, without_locks: dict[str, str]
) -> None:
    path = made(tmp_path / "a.h5", lambda file: file.update({KEY: np.ones((2, 3, 4))}))
    code = "import sys; from avsgn_pyg.data.legacy import read_legacy_features as read; read(sys.argv[1])"
    for demanded, says in (({}, ""), ({"HDF5_USE_FILE_LOCKING": "TRUE"}, "a.h5: cannot be locked")):
        done = subprocess.run([sys.executable, "-c", code, path], env={**without_locks, **demanded}, text=True,
                              stderr=subprocess.PIPE)
        assert says in done.stderr and (done.returncode == 0) == (not says)
