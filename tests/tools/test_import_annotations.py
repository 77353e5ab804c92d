"""Predictions that were written, and may have been edited, become annotations."""

from __future__ import annotations

from pathlib import Path
from types import ModuleType

import pytest
import torch

from avsgn_pyg.data.annotations import AnnotatedVideo, TimedEvent, read_annotations, write_annotations
from avsgn_pyg.predictor.formats import FORMATS, render
from avsgn_pyg.predictor.prediction import Prediction

NAMES = ("Bark", "Male speech, man speaking")


def predicted(name: str, *labels: int) -> Prediction:
    count = len(labels)
    return Prediction(f"{name}.mp4", None, NAMES, float(count), torch.full((count,), 0.75),
                      torch.tensor([[0.5, 0.5]] * count), {}, torch.tensor(labels), 0.5, torch.ones(count),
                      torch.ones(count))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """The classes, and predictions of four clips of 4 s, one of them with two events."""
    (tmp_path / "classes.txt").write_text("\n".join(NAMES))
    for name, labels in {"-a": (2, 0, 0, 2), "b": (1, 1, 1, 1), "c": (0, 0, 2, 2), "d": (0, 2, 1, 1)}.items():
        for form in ("eaf", "audacity"):
            path = tmp_path / form / f"{name}{FORMATS[form].suffix}"
            path.parent.mkdir(exist_ok=True)
            path.write_text(render(predicted(name, *labels), [form])[0])
    return tmp_path


@pytest.mark.parametrize("form", ["eaf", "audacity"])
def test_predictions_become_the_rows_that_they_mean(
    tool: ModuleType, folder: Path, form: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(folder / form)
    files = sorted(path.name for path in Path().iterdir())
    assert tool.main([*files, "--labels", str(folder / "classes.txt")]) == 1
    said = capsys.readouterr()
    assert said.out == ("Bark&-a&good&1&3\nMale speech, man speaking&b&good&0&4\nBark&c&good&0&2\n")
    assert said.err.startswith("failed: d.") and "2 events (Bark 0-1 s, Male speech, man speaking 2-4 s)" in said.err


def test_a_file_of_rows_is_replaced_only_if_asked(tool: ModuleType, folder: Path, capsys) -> None:
    files = [str(path) for path in sorted((folder / "eaf").iterdir()) if path.name != "d.eaf"]
    given = [*files, "--labels", str(folder / "classes.txt"), "--segments", "4", "--out", str(folder / "rows.txt")]
    assert tool.main(given) == 0 and "3 rows" in capsys.readouterr().out
    assert tool.main(given) == 2 and "--overwrite" in capsys.readouterr().err
    assert (folder / "rows.txt").read_text().splitlines()[2] == "Bark&c&good&0&2"


def test_classes_come_from_annotations_too(tool: ModuleType, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (folder / "Annotations.txt").write_text("Bark&x&good&0&10")
    files = [str(folder / "eaf" / name) for name in ("b.eaf", "c.eaf")]
    assert tool.main([*files, "--annotations", str(folder / "Annotations.txt"), "--quality", "mine"]) == 1
    said = capsys.readouterr()
    assert said.out == "Bark&c&mine&0&2\n" and "unknown class 'Male speech, man speaking'" in said.err


def test_corrected_events_replace_those_of_their_videos_in_a_json_file(
    tool: ModuleType, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    bark = TimedEvent("Bark", 0.0, 1.0)
    speech = TimedEvent("Male speech, man speaking", 2.0, 4.0)
    old, other = AnnotatedVideo("d", 3.5, "val", (speech,)), AnnotatedVideo("x", 9.0, "train", (bark,))
    write_annotations(folder / "old.json", [old, other])
    out = folder / "new.json"
    assert tool.main([str(folder / "eaf" / "d.eaf"), "--annotations", str(folder / "old.json"), "--out", str(out)]) == 0
    assert "2 events in 1 videos" in capsys.readouterr().out
    assert read_annotations(out) == [old._replace(events=(bark, speech._replace(end=3.5))), other]


def test_a_published_folder_becomes_a_json_file(tool: ModuleType, tmp_path: Path) -> None:
    for split in ("train", "val", "test"):
        (tmp_path / f"{split}.csv").write_text(f"sample_id,onset,offset,label\n{split}7,0.5,3.25,0\n")
    assert tool.main([str(tmp_path), "--out", str(tmp_path / "a.json")]) == 0
    event = TimedEvent("class 0", 0.5, 3.25)
    assert read_annotations(tmp_path / "a.json") == [
        AnnotatedVideo(f"{split}7", 10.0, split, (event,)) for split in ("train", "val", "test")]


def test_files_beside_a_folder_are_not_left_out_silently(tool: ModuleType, tmp_path: Path, capsys) -> None:
    assert tool.main([str(tmp_path), "a.eaf", "--out", str(tmp_path / "a.json")]) == 2
    assert "one folder" in capsys.readouterr().err


def test_rows_need_the_names_of_the_classes(tool: ModuleType, capsys: pytest.CaptureFixture[str]) -> None:
    assert tool.main(["a.eaf"]) == 2 and "need --labels or --annotations" in capsys.readouterr().err
