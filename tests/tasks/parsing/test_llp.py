"""Facts about the real LLP files, and the mistakes that a copy of them can have."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from avsgn_pyg.common.errors import DataError
from avsgn_pyg.tasks.parsing.checks import EVAL_FILES, WEAK_FILES
from avsgn_pyg.tasks.parsing.llp import CATEGORIES, FULL_FILE, LLP, read_llp, read_split, split_name

SIZES = {"train": 10000, "val": 649, "test": 1200}


@pytest.fixture(scope="module")
def real(llp_root: Path) -> LLP:
    return read_llp(llp_root)


@pytest.fixture
def folder(write: Callable[..., Path], tmp_path: Path) -> Callable[..., Path]:
    """A folder of three videos, one a split, with changed files."""
    rows = {
        "train": "a_b_c-d_0_10 Speech,Dog", "val": "-x_20_30 Dog", "test": "y_1.5_11.5 Cat,Speech",
        "audio": "-x_20_30 0 10 Dog;y_1.5_11.5 2 4 Cat;y_1.5_11.5 3 5 Cat", "visual": "y_1.5_11.5 9 10 Speech",
        "full": "a_b_c-d_0_10 Dog,Speech;-x_20_30 Dog;y_1.5_11.5 Cat,Speech"}
    return lambda **changes: write(tmp_path, **rows | changes)


@pytest.mark.slow
def test_the_published_files_are_read_whole(real: LLP):
    assert {split: len(weak.video_ids) for split, weak in real.splits.items()} == SIZES
    shapes = {name: tuple(split.audible.shape) for name, split in real.splits.items() if name != "train"}
    assert shapes == {"val": (649, 10, 25), "test": (1200, 10, 25)} and real.splits["train"].audible is None
    weak, test = real.splits["train"], real.splits["test"]
    row = weak.labels[weak.video_ids.index("7nSYwyaP4QE_50_60")]
    assert {CATEGORIES[c] for c in row.nonzero().flatten().tolist()} == {"Singing", "Banjo"}
    place = test.video_ids.index("KSRjje7GH44_60_70")
    speech, blender = CATEGORIES.index("Speech"), CATEGORIES.index("Blender")
    assert test.audible[place, :, speech].tolist() == [True] * 8 + [False] * 2
    assert test.audible[place, :, blender].tolist() == [False] * 8 + [True] * 2
    assert test.visible[place, :, blender].all() and not test.visible[place, :, speech].any()
    row = test.labels[test.video_ids.index("LcFWKgFphXI_20_30")]  # the label is there twice
    assert row.sum() == 1 and row[CATEGORIES.index("Clapping")] == 1
    notes = "\n".join(real.notes)
    for words in ("AVVP_eval_audio.csv: 5 empty events", "val: 31 of 649", "test: 53 of 1200",
                  "8 videos are in no split"):
        assert words in notes


@pytest.mark.slow
def test_ids_with_underscores_dashes_and_fractions_are_taken_apart(real: LLP):
    names = [name for weak in real.splits.values() for name in weak.video_ids]
    parts = [split_name(name) for name in names]
    assert sum("_" in video for video, _, _ in parts) == 1470
    assert sum(video.startswith("-") for video, _, _ in parts) == 151
    assert {round(end - start, 3) for _, start, end in parts} == {10.0}
    assert split_name("AP0061o0Nvk_101.8_111.8") == ("AP0061o0Nvk", 101.8, 111.8)
    assert len({video for video, _, _ in parts}) == len(names) == 11849


def test_lines_of_one_class_may_overlap(folder):
    llp = read_llp(folder())
    marks = llp.splits["test"].audible[0, :, CATEGORIES.index("Cat")]
    assert marks.nonzero().flatten().tolist() == [2, 3, 4]


def test_windows_line_ends_and_a_mark_at_the_start_change_nothing(folder):
    path = folder() / WEAK_FILES["test"]
    before = read_split(path)
    path.write_bytes(b"\xef\xbb\xbf" + path.read_bytes().replace(b"\n", b"\r\n"))
    assert torch.equal(read_split(path).labels, before.labels)


def test_train_alone_is_enough_and_needed(folder):
    path = folder()
    for name in (*EVAL_FILES.values(), WEAK_FILES["val"], WEAK_FILES["test"], FULL_FILE):
        (path / name).unlink()
    assert set(read_llp(path).splits) == {"train"}
    (path / WEAK_FILES["train"]).unlink()
    with pytest.raises(DataError, match=r"AVVP_train\.csv: no such file"):
        read_llp(path)


@pytest.mark.parametrize(("changes", "words"), [
    ({"train": "a_0_10 Spech"}, "line 2: unknown class 'Spech'; did you mean 'Speech'"),
    ({"train": "a_0_10 "}, "line 2: expected 2 fields"),
    ({"train": "a_0 Dog"}, "line 2: 'a_0' is not <video>_<start>_<end>"),
    ({"train": "a_10_10 Dog"}, "is not <video>"),
    ({"train": "a_0_10 Dog Cat"}, "line 2: expected 2 fields"),
    ({"train": "a_0_10 Dog;a_0_10 Cat"}, "line 3: 'a_0_10' is already in .*, line 2"),
    ({"train": "-x_20_30 Dog"}, "is in the train split too"),
    ({"train_file": "filename labels"}, "no column event_labels"),
    ({"train_file": "filename event_labels"}, "no videos in it"),
    ({"full": "a_b_c-d_0_10 Dog"}, "'a_b_c-d_0_10' is not in .* other events"),
    ({"audio": "-x_20_30 0 11 Dog"}, "'11' is not a whole second from 0 to 10"),
    ({"audio": "-x_20_30 0.5 1 Dog"}, "'0.5' is not a whole second"),
    ({"audio": "y_1.5_11.5 0 10 Cat"}, "1 of 2 videos are in neither file, first '-x_20_30'"),
])
def test_a_mistake_is_named_with_its_place(folder, changes: dict, words: str):
    with pytest.raises(DataError, match=words):
        read_llp(folder(**changes))
