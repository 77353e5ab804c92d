"""A data set is checked whole before it is returned, and its notes say what was found in its files."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import h5py
import numpy as np
import pytest
import torch

from avsgn_pyg.common.errors import DataError
from avsgn_pyg.common.settings import DataConfig
from avsgn_pyg.data import dataset
from avsgn_pyg.data.dataset import load_dataset
from avsgn_pyg.data.feature_store import Features, LabelText, write_store
from avsgn_pyg.graph.schema import NO_EVENT

SEGMENTS = 6
LINES = ("Bark&a&good&0&6", "Flute&b&good&1&3", "Bark&c&good&0&0", "Flute&d&good&2&6", "Bark&a&good&3&4",
         "Flute&e&good&0&6")
IDS = tuple(line.split("&")[1] for line in LINES)
ORDERS = {"train": [3, 0, 2, 1], "val": [5], "test": [4]}
LENGTHS = torch.tensor([6, 3, 2, 6, 4, 6])


def h5(path: Path, key: str, values: object) -> None:
    with h5py.File(path, "w") as file:
        file[key] = np.asarray(values)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """An AVE-shaped folder: annotations, orders, features of widths 4 and 5, label text."""
    (tmp_path / "Annotations.txt").write_text("\n".join(LINES))
    for split, rows in ORDERS.items():
        h5(tmp_path / f"{split}_order.h5", "order", rows)
    number = np.arange(6.0)[:, None, None]
    h5(tmp_path / "audio_feature.h5", "avadataset", np.broadcast_to(number, (6, SEGMENTS, 4)))
    grid = np.broadcast_to(-number[..., None], (6, SEGMENTS, 49, 5))
    h5(tmp_path / "visual_feature.h5", "avadataset", grid)
    np.save(tmp_path / "audio.npy", np.ones((2, 4)))
    np.save(tmp_path / "visual.npy", np.ones((2, 5)))
    return tmp_path


def config(root: Path, **changes: object) -> DataConfig:
    return DataConfig(root=root, **{"audio_labels": "audio.npy", "visual_labels": "visual.npy", **changes})


FULL = Features(
    audio=torch.arange(6.0)[:, None, None].expand(6, SEGMENTS, 4).clone(),
    visual=-torch.arange(6.0)[:, None, None].expand(6, SEGMENTS, 5).clone(),
    video_ids=IDS,
    categories=("Bark", "Flute"),
    label_text=LabelText(torch.zeros(2, 4), torch.zeros(2, 5)),
    provenance={"encoder": "made"},
)


def store(root: Path, kept: list[int] | None = None, settings: dict | None = None, **changes: object) -> DataConfig:
    """The folder's features as a store, of the `kept` rows alone if given, with `changes`."""
    if kept is not None:
        part = {"audio": FULL.audio[kept], "visual": FULL.visual[kept], "rows": torch.tensor(kept)}
        changes = part | {"video_ids": tuple(IDS[row] for row in kept)} | changes
    write_store(root / "store.h5", dataclasses.replace(FULL, **changes))
    return DataConfig(root=root, features="store.h5", **settings or {})


def test_every_part_of_a_video_comes_from_its_row(root: Path) -> None:
    data = load_dataset(config(root, name="small"))
    assert data.name == "small" and not data.synthetic
    for split, rows in ORDERS.items():
        videos = data.split(split)
        assert videos.row.tolist() == rows
        assert videos.video_ids == tuple(IDS[row] for row in rows)
        assert videos.audio[:, 0, 0].tolist() == rows
        assert videos.visual[:, 0, 0].tolist() == [-row for row in rows]
        assert videos.audio.dtype == videos.visual.dtype == torch.float32
        assert videos.text_nodes == SEGMENTS
    assert data.train.relevance[0].tolist() == [0, 0, 1, 1, 1, 1]
    assert data.train.category.tolist() == [1, 0, NO_EVENT, 1]
    assert data.categories == ("Bark", "Flute")


def test_the_notes_say_what_was_found(root: Path) -> None:
    (root / "val_order.h5").unlink()
    h5(root / "train_order.h5", "order", [3, 0, 2, 5])
    notes = " | ".join(load_dataset(config(root)).notes)
    assert "video ids in more than one row: 1" in notes
    assert "(1 with test); train rows kept (data.drop_leaking=true drops them): 1" in notes
    assert "without any event second, all background and without a class to learn: 2" in notes
    assert "annotated rows in no split: 1" in notes


def test_dropping_leaks_removes_the_train_rows_with_a_note(root: Path) -> None:
    data = load_dataset(config(root, drop_leaking=True))
    assert data.train.row.tolist() == [3, 2, 1]
    assert data.test.row.tolist() == ORDERS["test"]
    assert any("train rows dropped: 1" in note for note in data.notes)
    h5(root / "train_order.h5", "order", [0])
    h5(root / "val_order.h5", "order", [1, 2, 3, 5])
    with pytest.raises(DataError, match="train split is empty"):
        load_dataset(config(root, drop_leaking=True))


def test_maps_follow_the_rows_of_their_split(root: Path) -> None:
    draw = np.random.default_rng(0).normal(size=(6, SEGMENTS, 7, 7, 5))
    h5(root / "visual_feature.h5", "avadataset", draw)
    assert load_dataset(config(root)).train.maps is None
    kept = load_dataset(config(root, regions="keep"))
    for split, rows in ORDERS.items():
        videos = kept.split(split)
        batch = videos.batch(torch.arange(len(videos)))
        expected = torch.from_numpy(draw[rows].astype("float32")).reshape(-1, 49, 5)
        assert torch.equal(batch["visual"].regions, expected)
        assert torch.allclose(batch["visual"].x, expected.mean(1), atol=1e-6)


def test_features_at_another_time_scale_are_refused(root: Path) -> None:
    for name in ("audio_feature.h5", "visual_feature.h5"):
        h5(root / name, "avadataset", np.zeros((6, 20, 6)))
    with pytest.raises(DataError, match=r"20 segments in a video, but the last event .* second 6"):
        load_dataset(config(root, audio_labels=None, visual_labels=None))
    with pytest.raises(DataError, match=r"store\.h5: 20 segments"):
        load_dataset(store(root, audio=torch.zeros(6, 20, 4), visual=torch.zeros(6, 20, 5)))


@pytest.mark.parametrize(("spoil", "message"), [
    (lambda root: (root / "Annotations.txt").write_text("\n".join([*LINES[:5], "x"])), "line 6: 1 field"),
    (lambda root: h5(root / "val_order.h5", "order", [6]), r"val_order\.h5, entry 0: row 6"),
    (lambda root: np.save(root / "audio.npy", np.ones((3, 4))), r"audio\.npy has 3 rows, .* 2 classes"),
    (lambda root: np.save(root / "visual.npy", np.ones((2, 4))), "visual label text is 4 wide"),
    (lambda root: h5(root / "train_order.h5", "order", [0, 1]), r"2 of the 6 rows .* first row 2 \(c\)"),
    (lambda root: (root / "valSet.txt").write_text(LINES[0]), r"val_order\.h5, entry 0: 'Flute&e&good&0&6'"),
    (lambda root: h5(root / "audio_feature.h5", "avadataset", np.zeros((5, SEGMENTS, 4))),
     r"audio_feature\.h5 has 5 videos .*visual_feature\.h5 6 of 6"),
    (lambda root: [(root / f"{old}.h5").rename(root / f"{new}.h5") for old, new in (
        ("audio_feature", "x"), ("visual_feature", "audio_feature"), ("x", "visual_feature"))],
     r"audio_feature\.h5: .*\[6, 6, 49, 5\].*swapped"),
    (lambda root: [h5(root / f"{name}_feature.h5", "avadataset", np.zeros((5, SEGMENTS, 4)))
                   for name in ("audio", "visual")], r"5 videos, but .*Annotations\.txt has 6 rows"),
    *((lambda root, name=name: (root / name).unlink(), name)
      for name in ("audio_feature.h5", "visual_feature.h5", "Annotations.txt", "train_order.h5", "audio.npy",
                   "visual.npy")),
])
def test_mistakes_are_found_before_the_long_read(
    root: Path, monkeypatch: pytest.MonkeyPatch, spoil: object, message: str
) -> None:
    spoil(root)
    monkeypatch.setattr(dataset, "read_legacy_features", lambda _: pytest.fail("the long read came first"))
    with pytest.raises(DataError, match=message):
        load_dataset(config(root))


@pytest.mark.parametrize(("settings", "message"), [
    ({"root": None, "audio_labels": None}, r"data\.root is not set"), ({"kind": "llp"}, "load_llp"),
    ({"audio_labels": None}, "give both"),
])
def test_a_missing_setting_is_named(root: Path, settings: dict, message: str) -> None:
    with pytest.raises(DataError, match=message):
        load_dataset(config(root).model_copy(update=settings))


# With a feature store.


def test_a_store_gives_the_same_videos_as_the_legacy_files(root: Path) -> None:
    legacy, stored = load_dataset(config(root)), load_dataset(store(root))
    for split in ORDERS:
        for name in ("audio", "visual", "category"):
            assert torch.equal(getattr(legacy.split(split), name), getattr(stored.split(split), name))
    assert stored.label_text.audio.eq(0).all()
    assert stored.provenance["features"] == {"encoder": "made"}
    assert stored.provenance["files"]["annotations"] == legacy.provenance["files"]["annotations"]
    assert stored.provenance["files"]["features"]["file"] == "store.h5"
    labels = {"audio_labels": "audio.npy", "visual_labels": "visual.npy"}
    assert load_dataset(store(root, settings=labels)).label_text.audio.eq(1).all()


def test_a_store_may_hold_the_rows_of_the_splits_in_any_order(root: Path) -> None:
    (root / "test_order.h5").unlink()
    data = load_dataset(store(root, [5, 0, 3, 2, 1]))
    assert data.train.audio[:, 0, 0].tolist() == ORDERS["train"]
    assert data.val.audio[:, 0, 0].tolist() == ORDERS["val"]


def failing(*rows: int, **record: object) -> dict:
    """A store's record of an extraction that failed on `rows`."""
    failed = [{"id": IDS[row], "rows": [row], "reason": "no file" if row == 1 else "cut short"} for row in rows]
    return {"made by": "avsgn_pyg.features", "failed": failed, "label_text": {}, **record}


@pytest.mark.parametrize(("rows", "provenance", "missing", "message"), [
    ([3, 0, 5, 4, 1], failing(2), "refuse", r"1 of 4 train .* row 2 \(c\): cut short; .* with data\.missing=drop"),
    ([3, 0, 5, 4], failing(2), "drop", r"2 of 4 train rows .*first row 1 \(b\); extract them"),
    ([3, 0, 5, 4], {"failed": ["of another program"]}, "drop", r"first row 1 \(b\)"),
    ([0, 1, 2, 3, 4], failing(5), "drop", "the val split is empty: all its rows are without features"),
])
def test_rows_without_features_are_refused_unless_extraction_failed_on_them(
    root: Path, rows: list[int], provenance: dict, missing: str, message: str
) -> None:
    with pytest.raises(DataError, match=message):
        load_dataset(store(root, rows, {"missing": missing}, provenance=provenance))


def test_rows_that_extraction_failed_on_can_be_left_out_with_a_note(root: Path) -> None:
    data = load_dataset(store(root, [3, 5, 4, 0], {"missing": "drop"}, provenance=failing(2, 1)))
    assert data.train.row.tolist() == [3, 0]
    assert data.train.audio[:, 0, 0].tolist() == [3, 0]
    assert "train rows without features, left out: 2 of 4: cut short (1), no file (1)" in data.notes


def test_label_text_of_another_encoder_than_the_features_is_refused(root: Path) -> None:
    record = failing(audio={"revision": "1" * 64}, visual={"revision": "2" * 64})
    same = {"audio": "1" * 64, "visual": "2" * 64}
    assert load_dataset(store(root, provenance={**record, "label_text": same})).label_text is not None
    mixed = store(root, provenance={**record, "label_text": {**same, "visual": "3" * 64}})
    with pytest.raises(DataError, match=r"store\.h5: its visual label text is of encoder 3{12}, .* features of 2{12}"):
        load_dataset(mixed)
    named = mixed.model_copy(update={"audio_labels": "audio.npy", "visual_labels": "visual.npy"})
    assert load_dataset(named).label_text.visual.eq(1).all()


@pytest.mark.parametrize(("rows", "changes", "message"), [
    (None, {"video_ids": ("a", "b", "c", "x", "a", "e")},
     r"entry 3: row 3 is video 'x' here and 'd' in .*Annotations\.txt"),
    (None, {"rows": torch.tensor([0, 1, 2, 3, 4, 9])}, "row 9, but .* has 6 rows"),
    ([0, 1], {"rows": None}, r"2 videos, .* has 6 rows; .*'rows'"),
    (None, {"categories": ("Flute", "Dog")}, r"Annotations\.txt, line 1: unknown class 'Bark'"),
    (None, {"lengths": torch.tensor([6, 3, 2, 5, 4, 6])},
     r"store\.h5: .*row 3 \(d\) ends at 6, its clip has 5 s.*data\.padded_events"),
])
def test_a_store_of_other_videos_is_refused(root: Path, rows: list[int] | None, changes: dict, message: str) -> None:
    with pytest.raises(DataError, match=message):
        load_dataset(store(root, rows, **changes))


def test_classes_are_numbered_as_in_the_store(root: Path) -> None:
    assert load_dataset(store(root, categories=("Flute", "Bark"))).val.category.tolist() == [0]


# Videos of mixed lengths.


@pytest.mark.parametrize("form", ["order", "txt"])
def test_a_store_of_mixed_lengths_gives_every_video_its_own_seconds(root: Path, form: str) -> None:
    for split, rows in ORDERS.items():
        (root / f"{split}Set.txt").write_text("\n".join(LINES[row] for row in rows))
    data = load_dataset(store(root, [5, 4, 3, 2, 1, 0], {"splits": form}, lengths=LENGTHS.flip(0)))
    assert data.span == (2, 6)
    assert data.train.seconds.tolist() == [LENGTHS[row] for row in ORDERS["train"]]
    assert data.test.lengths.tolist() == [4] and data.val.lengths is None
    batch = data.train.batch(torch.arange(4))
    assert batch["audio"].ptr.tolist() == [0, 6, 12, 14, 17]
    assert batch["audio"].x[:, 0].tolist() == [3] * 6 + [0] * 6 + [2] * 2 + [1] * 3
    assert "videos of mixed lengths: 2 to 6 seconds" in data.notes


@pytest.mark.parametrize("times", [1, 2])
def test_events_that_all_end_early_make_a_note_where_lengths_are_mixed(root: Path, times: int) -> None:
    longer = {"audio": FULL.audio.repeat(1, times, 1), "visual": FULL.visual.repeat(1, times, 1)}
    notes = load_dataset(store(root, **longer, lengths=times * LENGTHS)).notes
    assert any("are the segments seconds?" in note for note in notes) is (times == 2)


@pytest.mark.slow
def test_ave_composite_loads_with_its_label_text(ave_composite_root: Path) -> None:
    labels = {"audio_labels": "text_audio.npy", "visual_labels": "text_visual.npy"}
    data = load_dataset(DataConfig(root=ave_composite_root, **labels))
    assert data.train.audio.shape == (3339, 10, 512)
    assert data.val.visual.shape == (402, 10, 512)
    assert data.label_text.audio.shape == data.label_text.visual.shape == (28, 512)
    assert (data.train.category == NO_EVENT).sum() == 1
    assert any("10 with val" in note for note in data.notes)
    assert {role: record["file"] for role, record in data.provenance["files"].items()} == {
        "annotations": "Annotations.txt", "train split": "train_order.h5", "val split": "val_order.h5",
        "audio features": "audio_feature.h5", "visual features": "visual_feature.h5",
        "audio label text": "text_audio.npy", "visual label text": "text_visual.npy",
    }
