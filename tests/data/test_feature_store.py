"""The store gives back what went in, and files that cannot be used are named with the place."""

from __future__ import annotations

import dataclasses
import json
import stat
import tracemalloc
from pathlib import Path

import h5py
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from avsgn_pyg.data import feature_store
from avsgn_pyg.data.feature_store import (
    Features,
    LabelText,
    legacy_shape,
    read_legacy_features,
    read_order,
    read_store,
    write_store,
)
from avsgn_pyg.data.h5 import DataError


def features(videos: int = 3, segments: int = 4, **changes: object) -> Features:
    whole = Features(
        audio=torch.randn(videos, segments, 5),
        visual=torch.randn(videos, segments, 6),
        video_ids=tuple(f"-id {number}" for number in range(videos)),
        rows=torch.arange(videos) * 7,
        categories=("Frying (food)", "Male speech, man speaking", "Ärger"),
        label_text=LabelText(torch.randn(3, 5), torch.randn(3, 6)),
        provenance={"encoder": {"audio": "CLAP", "sha256": None}, "prompts": ["The sound of [CLS]"]},
    )
    return dataclasses.replace(whole, **changes)


def legacy(path: Path, values: np.ndarray, key: str = "avadataset", **options: object) -> Path:
    with h5py.File(path, "w") as file:
        file.create_dataset(key, data=values, **options)
    return path


def assert_same(first: Features, second: Features) -> None:
    assert torch.equal(first.audio, second.audio)
    assert torch.equal(first.visual, second.visual)
    assert first.video_ids == second.video_ids
    assert first.categories == second.categories
    assert first.provenance == second.provenance
    assert (first.rows is None) == (second.rows is None)
    assert first.rows is None or torch.equal(first.rows, second.rows)
    assert (first.label_text is None) == (second.label_text is None)
    if first.label_text is not None:
        assert torch.equal(first.label_text.audio, second.label_text.audio)
        assert torch.equal(first.label_text.visual, second.label_text.visual)


# The store.


def test_a_store_gives_back_what_was_written(tmp_path: Path) -> None:
    written = features()
    write_store(tmp_path / "new" / "store.h5", written)
    assert_same(read_store(tmp_path / "new" / "store.h5"), written)


def test_a_store_without_the_optional_parts_reads_as_none(tmp_path: Path) -> None:
    written = features(rows=None, categories=None, label_text=None, provenance={})
    write_store(tmp_path / "store.h5", written)
    assert_same(read_store(tmp_path / "store.h5"), written)


@settings(max_examples=20, deadline=None)
@given(ids=st.lists(st.text(st.characters(exclude_categories=("Cs",), exclude_characters="\0"), min_size=1)))
def test_any_ids_survive_the_store(tmp_path_factory: pytest.TempPathFactory, ids: list[str]) -> None:
    path = tmp_path_factory.getbasetemp() / "ids.h5"
    ids = ids or ["only"]
    written = features(videos=len(ids), video_ids=tuple(ids))
    write_store(path, written)
    assert read_store(path).video_ids == tuple(ids)


def test_a_long_provenance_fits(tmp_path: Path) -> None:
    prompts = {"prompts": ["x" * 100] * 3000}
    write_store(tmp_path / "store.h5", features(provenance=prompts))
    assert read_store(tmp_path / "store.h5").provenance == prompts


def test_half_and_double_floats_are_stored_as_float32(tmp_path: Path) -> None:
    written = features(audio=torch.ones(3, 4, 5).half(), visual=torch.ones(3, 4, 6).double())
    write_store(tmp_path / "store.h5", written)
    read = read_store(tmp_path / "store.h5")
    assert read.audio.dtype == read.visual.dtype == torch.float32


def test_a_failed_write_leaves_the_old_store_and_no_other_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "store.h5"
    old = features()
    write_store(path, old)

    def full_disk(*_: object, **__: object) -> None:
        raise OSError("no space left on device")

    monkeypatch.setattr(h5py.Group, "create_dataset", full_disk)
    with pytest.raises(OSError, match="no space left"):
        write_store(path, features())
    monkeypatch.undo()
    assert [entry.name for entry in tmp_path.iterdir()] == ["store.h5"]
    assert_same(read_store(path), old)


def test_a_store_has_the_permissions_of_any_new_file(tmp_path: Path) -> None:
    write_store(tmp_path / "store.h5", features())
    (tmp_path / "plain").touch()
    modes = [stat.S_IMODE((tmp_path / name).stat().st_mode) for name in ("store.h5", "plain")]
    assert modes[0] == modes[1]


def test_the_layout_is_the_documented_one(tmp_path: Path) -> None:
    write_store(tmp_path / "store.h5", features())
    with h5py.File(tmp_path / "store.h5") as file:
        found = {}
        file.visititems(lambda name, item: found.update({name: getattr(item, "shape", None)}))
        assert found == {
            "audio": (3, 4, 5),
            "visual": (3, 4, 6),
            "ids": (3,),
            "rows": (3,),
            "categories": (3,),
            "label_text": None,
            "label_text/audio": (3, 5),
            "label_text/visual": (3, 6),
        }
        assert file.attrs["version"] == 1
        assert json.loads(file.attrs["provenance"])["encoder"]["audio"] == "CLAP"


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"video_ids": ("a", "b")}, "3 videos have 2 ids"),
        ({"rows": torch.tensor([0, 1, 1])}, "rows must be different"),
        ({"rows": torch.tensor([0, 1, -1])}, "not negative"),
        ({"categories": ("a", "b")}, "label text has 3 rows for the categories"),
        ({"categories": ("a", "b", "a")}, "categories must be different"),
        ({"categories": None}, "label text has 3 rows for the categories None"),
        ({"label_text": LabelText(torch.ones(3, 4), torch.ones(3, 6))}, "audio label text is 4 wide"),
        ({"visual": torch.ones(3, 5, 6)}, r"\[3, 4, 5\] and \[3, 5, 6\]"),
        ({"audio": torch.ones(0, 4, 5), "visual": torch.ones(0, 4, 6)}, "none of them 0"),
    ],
)
@pytest.mark.usefixtures("as_installed")
def test_parts_that_contradict_each_other_are_refused(change: dict, message: str) -> None:
    with pytest.raises(DataError, match=message):
        features(**change)


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda file: file.attrs.pop("format"), r"store\.h5: not a feature store \(it has \['audio'"),
        (lambda file: file.attrs.modify("version", 3), "store version 3; this release reads versions 1 and 2"),
        (lambda file: file.attrs.pop("provenance"), "provenance is missing"),
        (lambda file: file.pop("visual"), "no dataset 'visual'"),
        (lambda file: file.pop("label_text/visual"), "no dataset 'label_text/visual'"),
        (lambda file: file["audio"].write_direct(np.full((3, 4, 5), np.nan, np.float32)), "row 0, segment 0"),
    ],
)
def test_a_damaged_store_is_named_with_the_damage(tmp_path: Path, damage: object, message: str) -> None:
    write_store(tmp_path / "store.h5", features())
    with h5py.File(tmp_path / "store.h5", "r+") as file:
        damage(file)
    with pytest.raises(DataError, match=message):
        read_store(tmp_path / "store.h5")


def test_a_contradiction_inside_a_store_names_the_file(tmp_path: Path) -> None:
    write_store(tmp_path / "store.h5", features())
    with h5py.File(tmp_path / "store.h5", "r+") as file:
        del file["rows"]
        file["rows"] = np.array([1, 1, 2])
    with pytest.raises(DataError, match=r"store\.h5: rows must be different"):
        read_store(tmp_path / "store.h5")


# Videos of mixed lengths.

LENGTHS = torch.tensor([2, 4, 1])


def mixed(**changes: object) -> Features:
    """Features with numbers after the videos' ends that must never be read."""
    whole = features(lengths=LENGTHS, **changes)
    for part in (whole.audio, whole.visual):
        part[torch.arange(4) >= LENGTHS[:, None]] = torch.nan
    return whole


def test_a_store_of_mixed_lengths_gives_back_every_real_second(tmp_path: Path) -> None:
    written = mixed()
    write_store(tmp_path / "store.h5", written)
    read = read_store(tmp_path / "store.h5")
    assert read.lengths.tolist() == [2, 4, 1] and read.span == (1, 4)
    assert torch.equal(read.audio, written.audio.nan_to_num()) and torch.equal(read.visual, written.visual.nan_to_num())
    assert_same(dataclasses.replace(read, audio=written.audio.nan_to_num(), visual=written.visual.nan_to_num()), read)


def test_a_store_of_mixed_lengths_holds_its_seconds_end_to_end_as_version_2(tmp_path: Path) -> None:
    write_store(tmp_path / "store.h5", mixed())
    with h5py.File(tmp_path / "store.h5") as file:
        assert (file["audio"].shape, file["visual"].shape) == ((7, 5), (7, 6))
        assert file["lengths"][()].tolist() == [2, 4, 1] and file.attrs["version"] == 2


def test_videos_that_are_all_as_long_make_a_store_of_today_whatever_the_lengths_say(tmp_path: Path) -> None:
    write_store(tmp_path / "store.h5", features(lengths=torch.full((3,), 4)))
    with h5py.File(tmp_path / "store.h5") as file:
        assert "lengths" not in file and file.attrs["version"] == 1


def test_a_second_that_is_no_number_is_refused_in_a_store_of_mixed_lengths(tmp_path: Path) -> None:
    written = mixed()
    written.visual[1, 2] = torch.inf
    with pytest.raises(DataError, match=r"'visual' holds inf .* at row 4"):
        write_store(tmp_path / "store.h5", written)


@pytest.mark.parametrize(
    ("lengths", "message"),
    [
        ([2, 4, 2], r"store\.h5: videos of 8 seconds together need .* got \[7, 5\]"),
        ([2, 5], r"store\.h5: 2 videos have 3 ids"),
        ([3, 4, 0], r"store\.h5: lengths must be one a video, each a second or more; got \[3\], the least 0"),
    ],
)
@pytest.mark.usefixtures("as_installed")
def test_lengths_that_are_not_of_the_features_name_the_store(tmp_path: Path, lengths: list[int], message: str) -> None:
    write_store(tmp_path / "store.h5", mixed())
    with h5py.File(tmp_path / "store.h5", "r+") as file:
        del file["lengths"]
        file["lengths"] = np.array(lengths)
    with pytest.raises(DataError, match=message):
        read_store(tmp_path / "store.h5")


def test_unusable_features_are_refused_before_the_file_is_touched(tmp_path: Path) -> None:
    bad = torch.ones(3, 4, 5)
    bad[2, 1, 0] = torch.inf
    with pytest.raises(DataError, match=r"'audio' holds inf .* at row 2, segment 1"):
        write_store(tmp_path / "store.h5", features(audio=bad))
    with pytest.raises(DataError, match="provenance must be JSON"):
        write_store(tmp_path / "store.h5", features(provenance={"path": Path("x")}))
    assert not list(tmp_path.iterdir())


# The files of the AVE release.


@pytest.mark.parametrize("dtype", ["float16", "float32", "float64"])
@pytest.mark.parametrize("grid", [(), (7, 7), (49,)])
def test_every_published_form_reads_as_float32(tmp_path: Path, grid: tuple[int, ...], dtype: str) -> None:
    values = np.random.default_rng(0).normal(size=(5, 3, *grid, 8)).astype(dtype)
    path = legacy(tmp_path / "feature.h5", values)
    read = read_legacy_features(path)
    axes = tuple(range(2, 2 + len(grid)))
    expected = values.astype(np.float64).mean(axes) if axes else values.astype(np.float32)
    assert read.dtype == torch.float32
    np.testing.assert_allclose(read.numpy(), expected, rtol=1e-5, atol=1e-6)
    assert legacy_shape(path) == tuple(read.shape)


@pytest.mark.parametrize("videos", [1, 2, 3, 7])
def test_pooling_does_not_depend_on_the_chunk(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, videos: int
) -> None:
    values = np.random.default_rng(0).normal(size=(7, 2, 7, 7, 4))
    path = legacy(tmp_path / "feature.h5", values)
    whole = read_legacy_features(path)
    monkeypatch.setattr(feature_store, "CHUNK_BYTES", videos * values[0].nbytes)
    assert torch.equal(read_legacy_features(path), whole)


def test_pooling_a_large_file_takes_little_memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    values = np.ones((40, 10, 7, 7, 32))
    path = legacy(tmp_path / "feature.h5", values)
    result = 40 * 10 * 32 * 4
    monkeypatch.setattr(feature_store, "CHUNK_BYTES", 2 * values[0].nbytes)
    tracemalloc.start()
    read_legacy_features(path)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < result + 4 * feature_store.CHUNK_BYTES < values.nbytes / 4


def test_half_floats_do_not_overflow_while_they_are_averaged(tmp_path: Path) -> None:
    path = legacy(tmp_path / "feature.h5", np.full((1, 1, 49, 2), 60000, np.float16))
    assert read_legacy_features(path).tolist() == [[[60000.0, 60000.0]]]


def test_the_first_bad_row_and_segment_are_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    values = np.zeros((6, 3, 49, 2))
    values[4, 1, 17, 0] = np.nan
    values[5, 2, 0, 1] = np.inf
    path = legacy(tmp_path / "feature.h5", values)
    monkeypatch.setattr(feature_store, "CHUNK_BYTES", 2 * values[0].nbytes)
    with pytest.raises(DataError, match=r"feature\.h5: 'avadataset' holds nan .* at row 4, segment 1"):
        read_legacy_features(path)


def test_a_number_beyond_float32_is_not_taken_for_infinity(tmp_path: Path) -> None:
    path = legacy(tmp_path / "feature.h5", np.full((1, 1, 2), 1e300))
    with pytest.raises(DataError, match="beyond float32"):
        read_legacy_features(path)


@pytest.mark.parametrize(
    "shape", [(4, 10), (4, 10, 512, 7, 7), (4, 10, 48, 8), (4, 10, 7, 7, 8, 1), (0, 10, 8)]
)
def test_other_shapes_are_refused(tmp_path: Path, shape: tuple[int, ...]) -> None:
    path = legacy(tmp_path / "feature.h5", np.zeros(shape, np.float32))
    for read in (read_legacy_features, legacy_shape):
        with pytest.raises(DataError, match=r"it must be \[N, T, d\], \[N, T, 7, 7, d\] or \[N, T, 49, d\]"):
            read(path)


def test_integers_are_no_features(tmp_path: Path) -> None:
    path = legacy(tmp_path / "feature.h5", np.zeros((4, 10, 8), np.int16))
    with pytest.raises(DataError, match="holds int16; features are float16, float32 or float64"):
        read_legacy_features(path)


def test_a_wrong_key_names_the_keys_there_are(tmp_path: Path) -> None:
    path = legacy(tmp_path / "feature.h5", np.zeros((4, 10, 8)), key="features")
    with pytest.raises(DataError, match=r"no dataset 'avadataset'; there are \['features'\]"):
        read_legacy_features(path)
    assert read_legacy_features(path, key="features").shape == (4, 10, 8)


@pytest.mark.parametrize("read", [read_legacy_features, read_store, read_order, legacy_shape])
def test_missing_foreign_and_cut_files_are_named(tmp_path: Path, read: object) -> None:
    with pytest.raises(DataError, match=r"none\.h5: no such file"):
        read(tmp_path / "none.h5")
    (tmp_path / "text.h5").write_text("not h5")
    with pytest.raises(DataError, match=r"text\.h5: not a readable h5 file, or cut short"):
        read(tmp_path / "text.h5")
    path = legacy(tmp_path / "cut.h5", np.zeros((40, 10, 80)))
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    with pytest.raises(DataError, match=r"cut\.h5: not a readable h5 file, or cut short"):
        read(path)


def test_damage_found_while_reading_is_named_too(tmp_path: Path) -> None:
    path = legacy(tmp_path / "bad.h5", np.random.default_rng(0).normal(size=(4, 10, 80)), compression="gzip")
    with h5py.File(path) as file:
        place = file["avadataset"].id.get_chunk_info(0).byte_offset
    content = bytearray(path.read_bytes())
    content[place : place + 64] = bytes(64)
    path.write_bytes(content)
    with pytest.raises(DataError, match=r"bad\.h5: not a readable h5 file, or cut short"):
        read_legacy_features(path)


def test_texts_that_are_numbers_are_refused(tmp_path: Path) -> None:
    write_store(tmp_path / "store.h5", features())
    with h5py.File(tmp_path / "store.h5", "r+") as file:
        del file["ids"]
        file["ids"] = np.arange(3)
    with pytest.raises(DataError, match="'ids' must be a list of texts; got int64"):
        read_store(tmp_path / "store.h5")
