"""LLP's annotations meet a feature store by id; what does not fit is refused by name."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch_geometric.data import Batch

from avsgn_pyg.common.errors import DataError
from avsgn_pyg.common.settings import DataConfig
from avsgn_pyg.data.feature_store import Features, read_store, write_store
from avsgn_pyg.tasks.parsing.checks import EVAL_FILES
from avsgn_pyg.tasks.parsing.llp import CATEGORIES, read_llp
from avsgn_pyg.tasks.parsing.synthetic import make_features
from avsgn_pyg.tasks.parsing.videos import ParsingVideos, load_llp

ROWS = {
    "train": "a_b_0_10 Speech,Dog;c_0_10 Cat;d_5_15 Dog", "val": "-x_20_30 Dog;v_0_10 Cat", "test": "y_1.5_11.5 Cat",
    "audio": "-x_20_30 0 10 Dog;v_0_10 2 4 Cat;y_1.5_11.5 3 5 Cat", "visual": "y_1.5_11.5 9 10 Cat",
}


@pytest.fixture
def root(write: Callable[..., Path], tmp_path: Path) -> Path:
    """Six videos with a store of synthetic features."""
    write(tmp_path, **ROWS)
    write_store(tmp_path / "made.h5", make_features(read_llp(tmp_path), width=16))
    return tmp_path


@pytest.fixture
def load(root: Path) -> Callable[..., Any]:
    def call(change: Callable[[Features], Features] | None = None, **settings: Any) -> Any:
        if change is not None:
            write_store(root / "made.h5", change(read_store(root / "made.h5")))
        return load_llp(DataConfig(kind="llp", root=root, features="made.h5", name="LLP", **settings))

    return call


def kept(store: Features, rows: list[int]) -> Features:
    ids = tuple(store.video_ids[row] for row in rows)
    return dataclasses.replace(store, audio=store.audio[rows], visual=store.visual[rows], video_ids=ids)


def test_features_are_found_by_id_whatever_their_order(load):
    before, after = load(), load(lambda store: kept(store, [5, 3, 1, 0, 2, 4]))
    for split in ("train", "val", "test"):
        assert torch.equal(before.split(split).audio, after.split(split).audio)
        assert before.split(split).video_ids == after.split(split).video_ids


def test_train_has_labels_and_the_other_splits_have_times(load):
    dataset = load()
    part = dataset.val.take(torch.tensor([1]))
    assert isinstance(part, ParsingVideos) and part.audible[0].any() and not part.visible.any()
    assert dataset.categories == CATEGORIES and dataset.synthetic and dataset.label_text is not None
    assert dataset.train.video_ids == ("a_b_0_10", "c_0_10", "d_5_15")
    assert dataset.train.audible is None and dataset.train.labels.sum(-1).tolist() == [2, 1, 1]
    assert dataset.test.audible.nonzero().tolist() == [[0, 3, 4], [0, 4, 4]]
    assert dataset.test.visible.nonzero().tolist() == [[0, 9, 4]]


def test_a_batch_has_labels_and_separates_into_its_videos(load):
    videos = load().train
    batch = videos.batch(torch.tensor([2, 0]))
    assert torch.equal(batch["labels"], videos.labels[[2, 0]])
    assert [int(video["labels"].sum()) for video in batch.to_data_list()] == [1, 2]
    plain = Batch.from_data_list([videos[2], videos[0]])
    assert torch.equal(plain["labels"], batch["labels"])
    assert torch.equal(plain["audio"].x, batch["audio"].x)


def test_classes_follow_the_stores_label_text_and_blanks_are_underscores(load):
    turned = load(lambda store: dataclasses.replace(
        store, categories=tuple(name.replace("_", " ") for name in reversed(CATEGORIES))))
    assert turned.categories == CATEGORIES[::-1]
    assert turned.train.labels[1].nonzero().flatten().tolist() == [24 - CATEGORIES.index("Cat")]


def test_missing_videos_are_left_out_with_a_note(load):
    dataset = load(lambda store: kept(store, [0, 2, 3, 4, 5]), missing="drop")
    assert dataset.train.video_ids == ("a_b_0_10", "d_5_15")
    assert dataset.train.labels.sum(-1).tolist() == [2, 1]
    assert "train: 1 videos without features are left out" in dataset.notes


@pytest.mark.parametrize(("change", "words"), [
    (lambda s: dataclasses.replace(s, categories=("x", *s.categories[1:])), "not LLP's 25; 'Speech' is in one"),
    (lambda s: dataclasses.replace(s, video_ids=("c_0_10", *s.video_ids[1:])), "1 ids occur twice"),
    (lambda s: dataclasses.replace(s, audio=s.audio[:, :8], visual=s.visual[:, :8]),
     r"made\.h5: 8 segments in a video, but .*AVVP_eval_audio\.csv, line 2: '10' is not a whole second .* 8; seg"),
    (lambda s: dataclasses.replace(s, audio=s.audio.repeat(1, 2, 1), visual=s.visual.repeat(1, 2, 1)),
     "20 segments in a video, but the last event ends at second 10"),
    (lambda s: kept(s, [0, 2, 3, 4, 5]), r"1 of the 3 videos of .*_train.* no features, first 'c_0_10'; data\.missing"),
    (lambda s: dataclasses.replace(s, lengths=torch.tensor([10, 10, 9, 10, 10, 10])),
     r"made\.h5: videos of 9 to 10 seconds; parsing .* takes videos of one length"),
])
def test_a_store_that_does_not_fit_is_refused(load, change, words: str):
    with pytest.raises(DataError, match=words):
        load(change)


def test_a_split_whose_events_have_no_second_is_legal_and_noted(root: Path, load):
    file = root / EVAL_FILES["audio"]
    file.write_text(file.read_text().replace("\t0\t10\t", "\t4\t4\t").replace("\t2\t4\t", "\t4\t2\t"))
    dataset = load()
    assert "val: the eval files mark no second in it" in dataset.notes and not dataset.val.audible.any()
    assert not any(note.startswith("test: the eval") for note in dataset.notes)
