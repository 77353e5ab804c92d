"""Published features become seconds by the stated rule, in every layout, and what is missing is named."""

from __future__ import annotations

from pathlib import Path

import h5py
import numpy as np
import pytest
import torch

from avsgn_pyg.common.errors import DataError
from avsgn_pyg.common.settings import DataConfig
from avsgn_pyg.data.convert import Conversion, convert, pool
from avsgn_pyg.data.dataset import load_dataset
from avsgn_pyg.data.feature_store import read_store, write_store

IDS = ("a_0_10", "b", "-c")


def frames(count: int, width: int, start: float = 0.0) -> np.ndarray:
    """[count, width] float32; frame k is start + k throughout."""
    return (start + np.arange(count, dtype=np.float32))[:, None].repeat(width, 1)


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """4 audio frames in a/, 16 visual ones in v/ and 4 in w/; ``a`` is named without its times, ``x`` is extra."""
    for kind, count, width, start in (("a", 4, 3, 0), ("v", 16, 5, 100), ("w", 4, 2, 200)):
        (tmp_path / kind).mkdir()
        for number, name in enumerate(("a", "b", "-c", "x")):
            np.save(tmp_path / kind / f"{name}.npy", frames(count, width, start + 1000 * number))
    monkeypatch.chdir(tmp_path)
    return tmp_path


# --- The rule ------------------------------------------------------------------------------------


def test_frames_are_averaged_in_equal_runs():
    values = np.random.default_rng(0).normal(size=(80, 6)).astype(np.float32)
    np.testing.assert_allclose(pool(values, 10), values.reshape(10, 8, 6).mean(1), rtol=1e-5, atol=1e-6)


def test_a_frame_on_the_border_of_two_seconds_is_shared_by_them():
    assert pool(frames(3, 1), 2)[:, 0].tolist() == pytest.approx([1 / 3, 5 / 3])


def test_a_frame_stands_for_the_time_around_the_middle_of_its_window():
    # Windows of 1 s every 0.5 s: the frames stand for [0, .75), [.75, 1.25), [1.25, 2).
    assert pool(frames(3, 1), 2, 0.5, 1.0)[:, 0].tolist() == pytest.approx([0.25, 1.75])


def test_the_last_frame_stands_for_what_is_left():
    assert pool(frames(10, 1), 10, 0.96)[9, 0] == pytest.approx(9) and pool(frames(2, 1), 3, 1.0)[2, 0] == 1


def test_frames_after_the_last_second_are_not_used():
    assert pool(frames(8, 1), 2, 0.5)[:, 0].tolist() == [0.5, 2.5]


def test_a_constant_stays_what_it_is():
    ones = np.ones((37, 2), np.float32)
    assert all(np.allclose(pool(ones, *times), 1) for times in ((10,), (12, 0.32, 0.96), (5, 0.3), (36,)))


def test_fewer_frames_than_seconds_are_an_error():
    with pytest.raises(DataError, match="3 frames for 4 seconds"):
        pool(frames(3, 1), 4)


# --- Layouts -------------------------------------------------------------------------------------


def check(found: Conversion, ids: tuple[str, ...] = IDS) -> None:
    """The audio and the first visual kind of `folder`, of all three videos."""
    features = found.features
    assert features.video_ids == ids and not found.failed
    assert features.audio[:, :, 0].tolist() == [[start + second for second in range(4)] for start in (0, 1000, 2000)]
    assert features.visual[:, 1, 0].tolist() == [105.5, 1105.5, 2105.5]


def test_folders_of_files_are_joined_by_id(folder: Path):
    found = convert(["a"], ["v"], IDS, seconds=4)
    check(found)
    assert found.unused == ("x",) and found.features.rows.tolist() == [0, 1, 2]
    assert "not annotated: 1: x" in found.table()


def test_kinds_are_concatenated_in_the_given_order(folder: Path):
    visual = convert(["a"], ["w", "v"], IDS, seconds=4).features.visual
    assert visual.shape == (3, 4, 7) and visual[0, 0].tolist() == [200, 200, *[101.5] * 5]


def test_a_name_may_have_parts_around_the_id(folder: Path):
    for kind in "av":
        for file in list((folder / kind).iterdir()):
            file.rename(folder / f"{file.stem}_{kind}.npy")
    check(convert(["{id}_a.npy"], ["{id}_v.npy"], IDS, seconds=4))


def test_arrays_and_h5_tables_have_a_row_per_video(folder: Path):
    table = np.stack([frames(4, 3, start) for start in (0, 1000, 2000)])
    np.save(folder / "a.npy", table.astype(np.float64))
    rows = np.stack([frames(16, 1, start) for start in (100, 1100, 2100)])
    maps = rows[:, :, None, None].repeat(7, 2).repeat(7, 3)
    with h5py.File(folder / "v.h5", "w") as file:
        file["avadataset"] = np.concatenate([maps - 1, maps + 1], axis=-1)
    found = convert(["a.npy"], ["v.h5"], IDS, seconds=4)
    assert found.features.visual[:, 1].tolist() == [[104.5, 106.5], [1104.5, 1106.5], [2104.5, 2106.5]]
    with pytest.raises(DataError, match=r"a\.npy: 3 rows for 2 ids"):
        convert(["a.npy"], ["v.h5"], IDS[:2], seconds=4)
    with pytest.raises(DataError, match="name the annotations"):
        convert(["a.npy"], ["v.h5"], seconds=4)


@pytest.mark.parametrize(("key", "source"), [
    ("{}", "f.h5"), ("{}/rgb", "f.h5:{{id}}/rgb"), ("rgb/{}", "f.h5:rgb/{{id}}"),
])
def test_h5_files_have_a_key_per_video(key: str, source: str, folder: Path):
    with h5py.File(folder / "f.h5", "w") as file:
        for file_ in (folder / "v").iterdir():
            file[key.format(file_.stem)] = np.load(file_).astype(np.float16)
    check(convert(["a"], [source.format()], IDS, seconds=4))


@pytest.mark.parametrize("source", ["empty", "f.h5:other/{id}", "f.h5:b/{id}", "flat.npy"])
def test_a_source_without_any_features_is_an_error_that_names_it(source: str, folder: Path):
    (folder / "empty").mkdir()
    np.save("flat.npy", frames(4, 3))
    with h5py.File("f.h5", "w") as file:
        file["b"] = frames(4, 3)
    with pytest.raises(DataError, match=rf"{source.partition(':')[0]}: no features there.*\{{id\}}"):
        convert([source], ["v"], ["b", "-c"], seconds=4)


def test_a_video_whose_h5_key_has_no_keys_is_left_out(folder: Path):
    with h5py.File("f.h5", "w") as file:
        file["b/rgb"], file["-c"] = frames(4, 3), frames(4, 3)
    found = convert(["f.h5:{id}/rgb"], ["v"], ["b", "-c"], seconds=4)
    assert found.features.video_ids == ("b",) and "no features in" in found.failed["-c"]


def test_without_annotations_every_video_is_taken(folder: Path):
    found = convert(["a"], ["v"], seconds=4)
    assert found.features.video_ids == ("-c", "a", "b", "x") and found.features.rows is None


def test_an_id_of_two_rows_is_converted_twice(folder: Path):
    assert convert(["a"], ["v"], ("b", "a", "b"), seconds=4).features.audio[:, 0, 0].tolist() == [1000, 0, 1000]


def test_known_steps_give_every_video_its_own_length(folder: Path):
    np.save(folder / "a" / "b.npy", frames(6, 3, 1000))
    np.save(folder / "v" / "b.npy", frames(25, 5, 1100))
    found = convert(["a@1"], ["v@0.25"], IDS)
    assert found.features.seconds.tolist() == [4, 6, 4] and found.features.visual[1, 5, 0] == 1121.5
    write_store("f.h5", found.features)
    assert read_store("f.h5").seconds.tolist() == [4, 6, 4]
    with pytest.raises(DataError, match="an @STEP for each"):
        convert(["a@1"], ["v"], IDS)


# --- What is missing or wrong --------------------------------------------------------------------


def test_missing_videos_are_counted_and_named(folder: Path):
    ids = tuple(f"lost {number}" for number in range(20))
    found = convert(["a"], ["v"], (*ids, *IDS), seconds=4)
    assert found.features.rows.tolist() == [20, 21, 22] and len(found.failed) == 20
    assert found.table().splitlines()[0].startswith("3 of 23 videos")
    assert "20: no features in a: lost 0, lost 1" in found.table() and "and 12 more" in found.table()
    with pytest.raises(DataError, match=r"none of 20 videos has all features"):
        convert(["a"], ["v"], ids, seconds=4)


@pytest.mark.parametrize(("values", "words"), [
    (frames(3, 3), "3 frames for 4 seconds"),
    (frames(4, 2), "wide, before"),
    (frames(4, 3).astype(np.int64), "expected floats"),
    (np.zeros((4, 10, 3)), r"expected floats \[frames, width\]; got float64 \[4, 10, 3\]"),
    (np.zeros((0, 3)), "expected floats"),
    (np.full((4, 3), np.nan), "not finite"),
    (np.array([None]), "not a readable npy file"),
])
def test_a_video_with_wrong_features_is_left_out_with_the_reason(values: np.ndarray, words: str, folder: Path):
    np.save(folder / "a" / "-c.npy", values)
    found = convert(["a"], ["v"], IDS, seconds=4)
    assert found.features.video_ids == IDS[:2] and list(found.failed) == ["-c"]
    with pytest.raises(DataError, match=words):
        raise DataError(found.failed["-c"])


def test_kinds_of_other_lengths_leave_a_video_out(folder: Path):
    np.save(folder / "a" / "b.npy", frames(6, 3))
    own, fixed = convert(["a@1"], ["v@0.25"], IDS), convert(["a@1"], ["v"], IDS, seconds=4)
    assert own.failed == {"b": "kinds of different lengths: 6.0 s, 4.0 s"} and "6.0 s" in fixed.failed["b"]


def test_two_ids_that_differ_by_their_times_cannot_have_the_same_features(folder: Path):
    with pytest.raises(DataError, match="'a_0_10' and 'a_10_20' have the same features"):
        convert(["a"], ["v"], ("a_0_10", "a_10_20"), seconds=4)


def test_a_converted_store_trains_by_its_rows_and_may_lack_some(folder: Path):
    (folder / "Annotations.txt").write_text("Dog&b&good&0&4\nCat&lost&good&0&2\nCat&-c&good&1&3\n")
    (folder / "trainSet.txt").write_text((folder / "Annotations.txt").read_text())
    write_store("f.h5", convert(["a"], ["v"], ("b", "lost", "-c"), seconds=4).features)
    config = DataConfig(root=folder, features="f.h5", splits="txt", missing="drop")
    dataset = load_dataset(config)
    assert dataset.train.video_ids == ("b", "-c")
    assert torch.equal(dataset.train.audio[1], torch.from_numpy(frames(4, 3, 2000)))
    assert any("left out: 1 of 3: no features in a (1)" in note for note in dataset.notes)
    with pytest.raises(DataError, match=r"row 1 .*no features in a"):
        load_dataset(config.model_copy(update={"missing": "refuse"}))
