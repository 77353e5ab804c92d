"""A folder in AVE's form that can be interrupted and completed, and is never mixed with another."""

from __future__ import annotations

import shutil
from pathlib import Path

import av
import pytest

from avsgn_pyg.data import annotations as timed
from avsgn_pyg.data.ave import read_annotations, read_splits
from avsgn_pyg.scenes import CLASSES, ScenesError, make, make_scenes

pytestmark = pytest.mark.slow

SMALL = {"videos": 8, "seconds": 2, "workers": 1, "progress": False}


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Eight clips of two seconds."""
    folder = tmp_path_factory.mktemp("made") / "scenes"
    assert make_scenes(folder, **SMALL).made == 8
    return folder


def contents(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_annotations_and_splits_are_read_back_as_they_were_played(made: Path):
    scripts = make_scenes(made, **SMALL).scripts
    annotations = read_annotations(made / "Annotations.txt", segments=2)
    assert set(annotations.categories) == set(CLASSES)
    assert annotations.video_ids == tuple(script.video_id for script in scripts)
    assert annotations.relevance.bool().tolist() == [list(script.relevance) for script in scripts]
    assert [annotations.categories[index] for index in annotations.category] == [s.category for s in scripts]
    splits = read_splits(made, annotations, source="txt")
    assert sorted([*splits.train.tolist(), *splits.val.tolist(), *splits.test.tolist()]) == list(range(8))
    assert {path.stem for path in (made / "videos").iterdir()} == set(annotations.video_ids)
    with av.open(str(made / "videos" / f"{annotations.video_ids[0]}.mp4")) as container:
        picture, sound = container.streams.video[0], container.streams.audio[0]
        assert (picture.width, picture.height, picture.average_rate, sound.rate) == (256, 192, 12, 48_000)
        assert sum(1 for _ in container.decode(picture)) == 24


def test_another_call_writes_only_what_is_missing_and_the_same(made: Path, tmp_path: Path):
    copy = Path(shutil.copytree(made, tmp_path / "scenes"))
    for path in (*sorted((copy / "videos").iterdir())[2:4], copy / "testSet.txt"):
        path.unlink()
    kept = {path: path.stat().st_mtime_ns for path in (copy / "videos").iterdir()}
    assert make_scenes(copy, **{**SMALL, "workers": 2}).made == 2
    assert contents(copy) == contents(made)
    assert all(path.stat().st_mtime_ns == time for path, time in kept.items())


def test_a_killed_call_leaves_no_annotations_and_is_completed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    killed = True

    def make_clip(clip: tuple[Path, make.Script]) -> None:
        path, script = clip
        if killed and script.video_id == "scene-00003":
            raise KeyboardInterrupt
        path.parent.mkdir(exist_ok=True)
        path.write_text(repr(script))

    monkeypatch.setattr(make, "make_clip", make_clip)
    with pytest.raises(KeyboardInterrupt):
        make_scenes(tmp_path / "scenes", **SMALL)
    assert {path.name for path in (tmp_path / "scenes").iterdir()} == {"videos", "scenes.json"}
    killed = False
    assert make_scenes(tmp_path / "scenes", **SMALL).made == 5
    assert make_scenes(tmp_path / "whole", **SMALL).made == 8
    assert contents(tmp_path / "scenes") == contents(tmp_path / "whole")


def test_clips_with_several_events_are_annotated_in_one_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(make, "make_clip", lambda clip: clip[0].parent.mkdir(exist_ok=True) or clip[0].touch())
    scenes = make_scenes(tmp_path, several=True, videos=20, workers=1, progress=False)
    videos = timed.read_annotations(tmp_path / "annotations.json")
    assert [video.video_id for video in videos] == sorted(path.stem for path in (tmp_path / "videos").iterdir())
    assert [(video.split, video.duration, tuple(map(tuple, video.events))) for video in videos] == [
        (script.split, script.seconds, script.events) for script in scenes.scripts]
    assert timed.labels_of(videos) == CLASSES and "events in " in scenes.summary()
    with pytest.raises(ScenesError, match="several=True there"):
        make_scenes(tmp_path, **SMALL)


@pytest.mark.parametrize(("name", "text", "says"), [
    ("scenes.json", '{"seed": 7}', "seed=7 there, 0 requested"),
    ("scenes.json", "{", r"scenes\.json: not readable as JSON"),
    ("Annotations.txt", "Bell&real&good&0&10\n", r"contains Annotations\.txt but no scenes\.json"),
])
def test_a_folder_of_other_data_is_left_alone(tmp_path: Path, name: str, text: str, says: str):
    (tmp_path / name).write_text(text)
    with pytest.raises(ScenesError, match=says):
        make_scenes(tmp_path, **SMALL)
    assert contents(tmp_path) == {name: text.encode()}
