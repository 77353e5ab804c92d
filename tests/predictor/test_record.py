"""The record of an output folder: whose files are whose, and what is written again."""

from __future__ import annotations

import csv
import os
from pathlib import Path

import pytest

from avsgn_pyg.common.errors import DataError
from avsgn_pyg.predictor.record import RECORD, OutputFolder, file_stems, open_output, state

SETTINGS = {"tau": 0.5, "formats": ("json",)}


@pytest.fixture
def clip(tmp_path: Path) -> Path:
    path = tmp_path / "clips" / "a.mp4"
    path.parent.mkdir()
    path.write_bytes(b"clip")
    return path


@pytest.fixture(autouse=True)
def out(tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()


def write(clip: Path, out: Path, settings: dict = SETTINGS, *, overwrite: bool = False, content: str = "one") -> bool:
    """Write ``a.json`` as a prediction does, unless it is done."""
    folder, found = OutputFolder(out, overwrite), state(clip, settings)
    if folder.is_done(clip, found, ["a.json"]):
        return False
    with folder.place("a.json") as partial:
        partial.write_text(content)
    folder.finish(clip, found, "a", ["a.json"], duration="3.00", events=["bell 1-2 s"], notes=())
    folder.write_summary()
    return True


def test_a_clip_is_done_when_nothing_has_changed(clip: Path, tmp_path: Path) -> None:
    assert write(clip, tmp_path / "out") and not write(clip, tmp_path / "out")
    assert not write(clip, tmp_path / "out", overwrite=True)
    (tmp_path / "out" / "a.json").unlink()
    assert write(clip, tmp_path / "out")


@pytest.mark.parametrize(("change", "says"), [
    ("tau", "tau .0.5 then, 0.6 now"), ("clip", "the clip"), ("time", "clip"),
])
def test_a_change_needs_overwrite(clip: Path, tmp_path: Path, change: str, says: str) -> None:
    out, settings = tmp_path / "out", {**SETTINGS, "tau": 0.6} if change == "tau" else SETTINGS
    write(clip, out)
    if change == "clip":
        clip.write_bytes(b"longer")
    if change == "time":
        os.utime(clip, (1, 1))
    for _ in range(2):  # the refusal itself changes nothing
        with pytest.raises(DataError, match=f"a.mp4: .*{says}.*overwrite=True"):
            write(clip, out, settings, content="two")
        OutputFolder(out).fail(clip, "refused")
    assert (out / "a.json").read_text() == "one"
    assert write(clip, out, settings, overwrite=True, content="two") and (out / "a.json").read_text() == "two"


@pytest.mark.parametrize("name", ["a.json", "summary.csv"])
def test_a_file_of_somebody_else_is_kept(clip: Path, tmp_path: Path, name: str) -> None:
    out = tmp_path / "out"
    (out / name).write_text("by hand")
    with pytest.raises(DataError, match=f"{name}: was not written by a prediction"):
        write(clip, out)
    assert (out / name).read_text() == "by hand"
    assert write(clip, out, overwrite=True) is (name == "a.json")
    assert (out / "a.json").read_text() == "one"


def test_an_edited_file_is_kept(clip: Path, tmp_path: Path) -> None:
    write(clip, tmp_path / "out")
    (tmp_path / "out" / "a.json").write_text("corrected")
    with pytest.raises(DataError, match=r"a\.json: was changed after it was written"):
        write(clip, tmp_path / "out")
    assert (tmp_path / "out" / "a.json").read_text() == "corrected"


def test_links_are_neither_followed_nor_replaced(clip: Path, tmp_path: Path) -> None:
    out, victim = tmp_path / "out", tmp_path / "victim"
    write(clip, out)
    victim.write_text("one")  # with the content that was recorded
    (out / "a.json").unlink()
    (out / "a.json").symlink_to(victim)
    with pytest.raises(DataError, match=r"a\.json"):
        write(clip, out)
    (out / RECORD).unlink()
    (out / RECORD).symlink_to(victim)
    with pytest.raises(DataError, match="link"), open_output(out):
        pass
    assert victim.read_text() == "one"


def test_files_of_an_interrupted_prediction_are_ours(clip: Path, tmp_path: Path) -> None:
    with OutputFolder(tmp_path / "out").place("a.json") as partial:
        partial.write_text("one")
    with (tmp_path / "out" / RECORD).open("a") as record:
        record.write('\n{"file": "b.json", "sha')
    assert write(clip, tmp_path / "out", content="two") and not write(clip, tmp_path / "out")


def test_a_folder_is_open_to_one_process_at_a_time(tmp_path: Path) -> None:
    with open_output(tmp_path), pytest.raises(DataError, match=f"{tmp_path}: another process"), open_output(tmp_path):
        pass
    with open_output(tmp_path) as folder:
        assert folder.folder == tmp_path


def test_another_file_of_that_name_is_no_record(tmp_path: Path) -> None:
    (tmp_path / RECORD).write_text('{"a": 1}\n')
    with pytest.raises(DataError, match="not a record"), open_output(tmp_path, overwrite=True):
        pass
    assert (tmp_path / RECORD).read_text() == '{"a": 1}\n'


def test_a_record_from_elsewhere_cannot_lead_out_of_the_folder(clip: Path, tmp_path: Path) -> None:
    write(clip, tmp_path / "out")
    path = tmp_path / "out" / RECORD
    for inside, outside in (('"stem": "a"', '"stem": "../a"'), ('{"a.json": ', '{"a.event-1/../../a.json": ')):
        path.write_text(path.read_text().replace(inside, outside))
        folder = OutputFolder(tmp_path / "out")
        assert folder.stems([clip]) == {clip: "a"} and not folder.files(clip)
        path.write_text(path.read_text().replace(outside, inside))


def test_stems_are_unique_and_portable_and_stay_as_they_were(clip: Path, tmp_path: Path) -> None:
    other, upper, third = tmp_path / "more" / "a.mp4", tmp_path / "A.mp4", tmp_path / "more" / "a.mkv"
    found = file_stems([clip, other, upper, third])
    assert found[clip] == "a" and found[other] == "more__a" and len({stem.casefold() for stem in found.values()}) == 4
    labels = clip.with_name("a.labels.mp4")
    assert file_stems([clip, labels])[labels] == "clips__a.labels" and file_stems([labels])[labels] == "a.labels"
    write(clip, tmp_path / "out")
    stems = OutputFolder(tmp_path / "out").stems([other, clip])
    assert stems == {other: "more__a", clip: "a"}
    for name in ("CON.mp4", "a:b?.mp4", "ends. .mp4", "x" * 250 + ".mp4", "\udcff.mp4"):
        stem = file_stems([Path(name)])[Path(name)]
        assert len(stem.encode()) <= 200 and not set(stem) & set(':?"<>|*') and stem.upper() != "CON"


def test_cuts_of_events_that_are_gone_are_removed_and_edited_ones_are_kept(clip: Path, tmp_path: Path) -> None:
    folder, names = OutputFolder(tmp_path / "out"), ["a.json", "a.event-1.mp4", "a.event-2.mp4", "a.event-3.mp4"]
    for name in names:
        with folder.place(name) as partial:
            partial.write_text(name)
    folder.finish(clip, state(clip, SETTINGS), "a", names)
    (tmp_path / "out" / names[3]).write_text("edited")
    folder.finish(clip, state(clip, SETTINGS), "a", names[1:2])
    assert {path.name for path in (tmp_path / "out").glob("a.*")} == {names[0], names[1], names[3]}


def test_the_summary_lists_every_clip_of_the_folder_with_its_failure(clip: Path, tmp_path: Path) -> None:
    write(clip, tmp_path / "out")
    folder = OutputFolder(tmp_path / "out")
    folder.fail(tmp_path / "=b.mp4", "damaged")
    rows = list(csv.DictReader(folder.write_summary().open()))
    assert {Path(row["file"]).name: (row["events"], row["failure"]) for row in rows} == {
        "a.mp4": ("bell 1-2 s", ""), "=b.mp4": ("", "damaged")}
