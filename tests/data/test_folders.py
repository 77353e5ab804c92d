"""Facts about the real OV-AVE and AVE-PM files, the mistakes that a copy can have, and a data set read from both."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from avsgn_pyg.common.errors import DataError
from avsgn_pyg.common.settings import DataConfig
from avsgn_pyg.data.annotations import AnnotatedVideo, TimedEvent, labels_of, read_annotations, write_annotations
from avsgn_pyg.data.ave import Annotations, Splits
from avsgn_pyg.data.dataset import load_dataset
from avsgn_pyg.data.feature_store import Features, write_store
from avsgn_pyg.data.folders import read_avepm, read_folder, read_ovave
from avsgn_pyg.graph.schema import NO_EVENT

META = "split,cls_name,cls_type,vid_name\n"
ROWS = ("train,dog,close,a", "train,cat,close,b", "val,dog,close,c", "test,bell,open,d", "test,bell,open,e")
LABELS = {"a": [0, 1, 0, 1], "b": [1, 1, 1, 1], "c": [0, 0, 0, 0], "d": [0, 0, 1, 0], "e": [0, 0, 0, 0]}
PM_ROWS = {"train": "7,0.42,2.5,1;8,0.0,4.0,0", "val": "1,1.6,3.4,1", "test": "2,1.3,1.6,2"}


@pytest.fixture(scope="module")
def real(request: pytest.FixtureRequest) -> tuple[Annotations, Splits]:
    return read_ovave(request.getfixturevalue("real_data")("ov-ave"))


@pytest.fixture
def ovave(tmp_path: Path) -> Callable[..., Path]:
    """A folder of five videos of four seconds, with changed rows and labels."""
    def write(rows: tuple[str, ...] = ROWS, header: str = META, **labels: object) -> Path:
        names = {row.split(",")[-1]: row.split(",")[1] for row in (*rows, *ROWS)}
        entries = {key: {"category": names[key], "label": str(value)} for key, value in (LABELS | labels).items()}
        (tmp_path / "ovave_dataset_meta.csv").write_text(header + "\n".join(rows))
        (tmp_path / "released_ovavel_dataset_anno.json").write_text(json.dumps(entries))
        return tmp_path
    return write


@pytest.fixture
def avepm(tmp_path: Path) -> Callable[..., Path]:
    """A folder of AVE-PM files, with changed rows."""
    def write(**rows: str) -> Path:
        for split, text in (PM_ROWS | rows).items():
            (tmp_path / f"{split}.csv").write_text("sample_id,onset,offset,label\n" + text.replace(";", "\n"))
        return tmp_path
    return write


def features(ids: tuple[str, ...], seconds: int = 4) -> Features:
    return Features(torch.arange(len(ids)).float()[:, None, None].expand(-1, seconds, 3).clone(),
                    torch.zeros(len(ids), seconds, 2), ids)


# --- OV-AVE --------------------------------------------------------------------------------------


@pytest.mark.slow
def test_the_published_ovave_files_are_read_whole(real: tuple[Annotations, Splits]):
    found, splits = real
    assert (len(found), len(found.categories)) == (24800, 67)
    assert [len(rows) for rows in splits] == [13182, 5798, 5820]
    assert len(found.category[splits.train].unique()) == 67 - 21
    assert f"{100 * found.relevance.mean():.1f}" == "61.9"


@pytest.mark.slow
def test_the_seconds_of_published_events_with_gaps_are_kept(real: tuple[Annotations, Splits]):
    relevance = real[0].relevance
    assert relevance[1].tolist() == [0, 0, 0, 0, 1, 1, 0, 1, 1, 1]
    runs = (relevance.diff(dim=1, prepend=torch.zeros(len(relevance), 1)) == 1).sum(1)
    assert runs.bincount().tolist() == [6019, 15614, 2474, 599, 85, 9]


@pytest.mark.parametrize(("changes", "words"), [
    ({"rows": (*ROWS, "train,dog,close,a")}, "line 7.*'a' is already in"),
    ({"rows": (*ROWS, "train,dog,close,x")}, "'x' should have the category 'dog'"),
    ({"rows": ("train,cat,close,a", *ROWS[1:])}, "'a' should have the category 'cat'"),
    ({"rows": ("train,dog,open,a", *ROWS[1:])}, "close or open in all rows"),
    ({"rows": ("dev,dog,close,a", *ROWS[1:])}, "'dev'"),
    ({"rows": ROWS[2:]}, "no train rows"),
    ({"rows": ()}, r"meta\.csv: no rows"),
    ({"header": "split,cls_name,vid_name\n"}, "no column cls_type"),
    ({"b": [1, 1]}, "'b' needs a label of 4 zeros and ones"),
    ({"b": [1, 2, 0, 1]}, "'b' needs a label"),
    ({"b": "none"}, "'b' needs a label"),
    ({"b": [[1], 1, 0, 1]}, "'b' needs a label"),
])
def test_a_wrong_ovave_file_is_an_error_that_names_the_place(changes: dict, words: str, ovave: Callable[..., Path]):
    with pytest.raises(DataError, match=words):
        read_ovave(ovave(**changes))


def test_ovave_is_a_data_set_of_seen_and_unseen_classes(ovave: Callable[..., Path]):
    root = ovave()
    write_store(root / "f.h5", features(tuple("edcba")))
    dataset = load_dataset(DataConfig(kind="ov-ave", name="OV-AVE", root=root, features="f.h5"))
    assert dataset.categories == ("bell", "cat", "dog") and dataset.train.video_ids == ("a", "b")
    assert dataset.train.audio[:, 0, 0].tolist() == [4, 3]
    assert dataset.train.relevance.tolist() == [[0, 1, 0, 1], [1, 1, 1, 1]]
    assert dataset.val.category.tolist() == [NO_EVENT] and dataset.test.category.tolist() == [0, NO_EVENT]
    assert "classes without a train video: bell" in dataset.notes


def test_a_held_out_class_takes_its_ovave_videos_without_an_event_with_it(ovave: Callable[..., Path]):
    root = ovave((*ROWS, "test,cat,close,f"), c=[0, 0, 0, 1], f=[1, 0, 0, 1])
    write_store(root / "f.h5", features(tuple("abcdef")))
    dataset = load_dataset(DataConfig(kind="ov-ave", name="OV-AVE", root=root, features="f.h5", held_out=("bell",)))
    assert dataset.test.video_ids == ("f",) and dataset.categories == ("cat", "dog")


def test_features_of_other_segments_than_ovave_labels_are_an_error(ovave: Callable[..., Path]):
    root = ovave()
    write_store(root / "f.h5", features(tuple("abcde"), seconds=8))
    with pytest.raises(DataError, match=r"8 segments .* 4 seconds .* must be seconds"):
        load_dataset(DataConfig(kind="ov-ave", name="OV-AVE", root=root, features="f.h5"))


# --- AVE-PM --------------------------------------------------------------------------------------


@pytest.mark.slow
def test_the_published_avepm_files_are_read_whole(real_data: Callable[[str], Path]):
    found, splits = read_avepm(real_data("ave-pm"))
    assert [len(rows) for rows in splits] == [17698, 2606, 5031] and len(found.categories) == 86
    row = found.video_ids.index("3")
    assert found.times[row].tolist() == pytest.approx([1.98, 8.98])
    assert (found.start[row], found.end[row]) == (2, 9) and found.category[row] == 22
    assert bool((found.start < found.end).all())
    lengths = found.times[:, 1] - found.times[:, 0]
    assert found.relevance.sum(1).sub(lengths).abs().max() < 1 + 1e-5


def test_a_second_of_avepm_belongs_to_an_event_that_covers_half_of_it(avepm: Callable[..., Path]):
    found, _ = read_avepm(avepm(), segments=4)
    assert found.relevance.tolist() == [[1, 1, 1, 0], [1, 1, 1, 1], [0, 0, 1, 0], [0, 1, 0, 0]]


def test_an_avepm_data_set_has_the_names_of_its_mapping(avepm: Callable[..., Path]):
    root = avepm()
    assert read_avepm(root, 4)[0].categories == ("class 0", "class 1", "class 2")
    (root / "class_name_mapping.csv").write_text("class_id,class_name\n1,singing\n0,meowing\n2,playing ukulele \n")
    write_store(root / "f.h5", features(("1", "2", "7", "8")))
    dataset = load_dataset(DataConfig(kind="ave-pm", name="AVE-PM", root=root, features="f.h5"))
    assert dataset.categories == ("meowing", "singing", "playing ukulele")
    assert dataset.train.video_ids == ("7", "8") and dataset.train.audio[:, 0, 0].tolist() == [2, 3]
    (root / "class_name_mapping.csv").write_text("class_id,class_name\n0,meowing\n2,singing\n")
    with pytest.raises(DataError, match="each class_id from 0 to 2"):
        read_avepm(root, 4)


@pytest.mark.parametrize(("rows", "words"), [
    ({"train": "7,2.5,2.5,1"}, r"train\.csv, line 2.*0 <= onset < offset <= 4"),
    ({"val": "1,1,4.5,1"}, r"val\.csv, line 2.*<= 4"),
    ({"val": "1,x,4,1"}, "from x to 4"),
    ({"val": "1,1,4,dog"}, "'dog' is not the number of a class"),
    ({"test": "7,1,4,0"}, r"test\.csv, line 2.*'7' is already in .*train\.csv, line 2"),
    ({"val": "1,1"}, "expected 4 fields"),
    ({"val": "1,1,2,1,5"}, "expected 4 fields"),
    ({"train": "", "val": "", "test": ""}, "no rows"),
])
def test_a_wrong_avepm_file_is_an_error_that_names_the_place(rows: dict, words: str, avepm: Callable[..., Path]):
    with pytest.raises(DataError, match=words):
        read_avepm(avepm(**rows), segments=4)


# --- Both ----------------------------------------------------------------------------------------


def test_a_missing_file_is_named_before_the_store_is_read(avepm: Callable[..., Path]):
    root = avepm()
    (root / "val.csv").unlink()
    (root / "f.h5").write_bytes(b"no store")
    with pytest.raises(DataError, match=r"val\.csv: no such file; data\.kind=ave-pm needs it"):
        load_dataset(DataConfig(kind="ave-pm", name="AVE-PM", root=root, features="f.h5"))


def test_videos_that_a_store_lacks_are_an_error_or_left_out(ovave: Callable[..., Path]):
    root = ovave()
    write_store(root / "f.h5", features(("c", "d", "a")))
    config = DataConfig(kind="ov-ave", name="OV-AVE", root=root, features="f.h5")
    with pytest.raises(DataError, match=r"1 of 2 train rows .* \(b\): not in the store; .*data.missing=drop"):
        load_dataset(config)
    dataset = load_dataset(config.model_copy(update={"missing": "drop"}))
    assert dataset.train.video_ids == ("a",) and dataset.test.video_ids == ("d",)
    assert any("train rows without features, left out: 1 of 2: not in the store" in note for note in dataset.notes)


@pytest.mark.parametrize("ids", [("a", "a", "b", "c", "d"), ("v", "w", "x", "y", "z")])
def test_a_store_with_repeated_or_foreign_ids_is_an_error(ids: tuple[str, ...], ovave: Callable[..., Path]):
    root = ovave()
    write_store(root / "f.h5", features(ids))
    with pytest.raises(DataError, match="ids must be unique and occur in"):
        load_dataset(DataConfig(kind="ov-ave", name="OV-AVE", root=root, features="f.h5"))


# --- Timed events --------------------------------------------------------------------------------


def test_rows_of_one_id_are_one_video_in_the_split_that_is_held_out(tmp_path: Path):
    rows = ["Bark&a&good&2&5", "Bell&b&good&0&10", "Bell&a&good&4&10", "Bell&c&good&0&0"]
    (tmp_path / "Annotations.txt").write_text("\n".join(rows))
    (tmp_path / "trainSet.txt").write_text("\n".join([rows[0], rows[1], rows[3]]))
    (tmp_path / "valSet.txt").write_text(rows[2])
    assert read_folder(tmp_path) == [
        AnnotatedVideo("a", 10.0, "val", (TimedEvent("Bark", 2.0, 5.0), TimedEvent("Bell", 4.0, 10.0))),
        AnnotatedVideo("b", 10.0, "train", (TimedEvent("Bell", 0.0, 10.0),)), AnnotatedVideo("c", 10.0, "train", ()),
    ]


def test_runs_of_ovave_are_events(tmp_path: Path):
    (tmp_path / "ovave_dataset_meta.csv").write_text("split,cls_name,cls_type,vid_name\ntrain,dog,close,a\n")
    (tmp_path / "released_ovavel_dataset_anno.json").write_text('{"a": {"category": "dog", "label": "[1, 1, 0, 1]"}}')
    [video] = read_folder(tmp_path)
    assert (video.split, video.events) == ("train", (TimedEvent("dog", 0.0, 2.0), TimedEvent("dog", 3.0, 4.0)))


def test_a_folder_of_something_else_is_refused(tmp_path: Path):
    with pytest.raises(DataError, match="expected the annotation files of AVE"):
        read_folder(tmp_path)


@pytest.mark.slow
def test_the_published_files_of_ave_are_read_and_written(tmp_path: Path, ave_root: Path):
    found = read_folder(ave_root)
    assert Counter(video.split for video in found) == {"train": 3294, "val": 401, "test": 402}
    assert sum(len(video.events) > 1 for video in found) == 45 and len(labels_of(found)) == 28
    write_annotations(tmp_path / "a.json", found)
    assert read_annotations(tmp_path / "a.json") == found


@pytest.mark.slow
@pytest.mark.parametrize(("name", "videos", "several"), [("ov-ave", 24_800, 3_167), ("ave-pm", 25_335, 0)])
def test_the_published_files_of_the_others_are_read(
    real_data: Callable[[str], Path], name: str, videos: int, several: int
):
    found = read_folder(real_data(name))
    assert len(found) == videos and sum(len(video.events) > 1 for video in found) == several
