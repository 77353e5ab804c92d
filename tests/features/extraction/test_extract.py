"""Everything that works is in the store, everything that does not is told, and nothing finished is done again."""

from __future__ import annotations

import errno
import json
import resource
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import h5py
import numpy as np
import pytest
import torch

from avsgn_pyg.config import DataConfig
from avsgn_pyg.data.ave import read_annotations
from avsgn_pyg.data.dataset import load_dataset
from avsgn_pyg.data.feature_store import Features, read_store
from avsgn_pyg.data.h5 import DataError
from avsgn_pyg.features.extraction import decode, whole
from avsgn_pyg.features.extraction import extract as extraction
from avsgn_pyg.features.extraction.engine import LocalEngine, Outcome
from avsgn_pyg.features.extraction.extract import extract
from avsgn_pyg.features.extraction.jobs import ExtractionError, Plan, Shard, Video, plan_annotated, plan_folder
from avsgn_pyg.features.extraction.report import Report
from avsgn_pyg.features.extraction.shards import merge
from avsgn_pyg.features.signal import SignalAudio, SignalFrames

T = 2
LINES = (
    "Bark&a&good&0&2", "Flute&b&good&0&1", "Bark&a&good&1&2", "Flute&bad&good&0&2", "Bark&gone&good&0&2",
    "Flute&short&good&0&1", "Bark&c&good&0&2",
)


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory, make_clip: Callable[..., Path]) -> Path:
    root = tmp_path_factory.mktemp("ave")
    (root / "videos").mkdir()
    for number, name in enumerate(("a", "b", "c")):
        make_clip(root / "videos" / f"{name}.mp4", seconds=2.0, size=(64, 48), audio_from=0.2 * number)
    make_clip(root / "videos" / "short.mp4", seconds=1.0, size=(64, 48))
    (root / "videos" / "bad.mp4").write_bytes(b"nothing to see")
    (root / "Annotations.txt").write_text("\n".join(LINES))
    return root


@pytest.fixture
def root(made: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(made, tmp_path / "ave"))


def plan(root: Path) -> Plan:
    return plan_annotated(root / "videos", read_annotations(root / "Annotations.txt", T))


def run(root: Path, chosen: Plan | None = None, out: str = "features.h5", width: int = 16, **changes: object) -> Report:
    encoders = SignalFrames(width=width), SignalAudio(width=width)
    settings = {"segments": T, "workers": 0, "progress": False, **changes}
    return extract(chosen or plan(root), root / out, *encoders, **settings)


def same(one: Features, two: Features) -> bool:
    torch.testing.assert_close(one.audio, two.audio, rtol=0, atol=1e-6)
    torch.testing.assert_close(one.visual, two.visual, rtol=0, atol=1e-6)
    equal = one.rows is two.rows is None or torch.equal(one.rows, two.rows)
    return equal and (one.video_ids, one.categories, one.provenance) == (two.video_ids, two.categories, two.provenance)


class Counting:
    """The local engine, which writes down what it was asked to encode and can be cut off."""

    def __init__(self, stop_after: int | None = None, own_length: bool = False) -> None:
        self.asked: list[str] = []
        self.stop_after = stop_after
        frames, sound = SignalFrames(width=16, batch_size=T), SignalAudio(width=16)
        self.engine = LocalEngine(frames, sound, segments=T, frames_per_segment=1, workers=0, own_length=own_length)

    def run(self, videos: Sequence[Video]) -> Iterator[Outcome]:
        self.asked = [video.id for video in videos]
        for number, outcome in enumerate(self.engine.run(videos)):
            if number == self.stop_after:
                raise KeyboardInterrupt
            yield outcome


def test_every_row_with_a_video_is_in_the_store_and_every_other_is_told(root: Path):
    report = run(root)
    store = read_store(root / "features.h5")
    assert store.rows.tolist() == [0, 1, 2, 5, 6] and store.video_ids == ("a", "b", "a", "short", "c")
    assert torch.equal(store.audio[0], store.audio[2]) and not torch.equal(store.audio[0], store.audio[1])
    torch.testing.assert_close(store.visual.norm(dim=-1), torch.ones(5, T))
    assert store.categories == ("Bark", "Flute") and store.label_text.audio.shape == (2, 16)
    assert [(each.id, each.rows) for each in report.failed] == [("bad", (3,)), ("gone", (4,))]
    assert (report.entries, report.videos, report.encoded) == (5, 4, 4)
    assert report.failed[0].reason.startswith("not a media file") and report.failed[1].reason == "no file"
    assert "bad (row 3): not a media file" in report.table() and "failed: 1, without a file: 1" in report.table()
    assert list(report.incomplete) == ["short"] and report.incomplete["short"].unseen == 1
    assert not (root / "features.h5.parts").exists()


def test_the_store_tells_how_it_was_made_and_nothing_of_where(root: Path):
    run(root, frames_per_segment=2)
    record = read_store(root / "features.h5").provenance
    assert record["made by"] == "avsgn_pyg.features"
    assert record["visual"]["name"] == record["audio"]["name"] == "signal"
    assert record["label_text"] == {kind: record[kind]["revision"] for kind in ("visual", "audio")}
    assert record["prompts"]["visual"] == "This photo contains the {}"
    assert {"segments": T, "frames_per_segment": 2, "segment_seconds": 1.0}.items() <= record["extraction"].items()
    assert {"torch", "av", "avsgn_pyg"} <= set(record["versions"])
    assert str(root) not in json.dumps(record)
    assert record["sizes"] == {each.stem: each.stat().st_size for each in (root / "videos").iterdir()
                               if each.stem != "bad"}


def test_any_folder_makes_a_store_without_rows(root: Path):
    run(root, plan_folder(root / "videos"))
    store = read_store(root / "features.h5")
    assert store.rows is None and store.video_ids == ("a", "b", "c", "short") and store.label_text is None
    run(root, plan_folder(root / "videos", ("Bark", "Flute")), out="named.h5")
    assert read_store(root / "named.h5").label_text.visual.shape == (2, 16)


def test_batches_across_videos_change_nothing(root: Path):
    run(root, frames_per_segment=2)
    for size in (1, 3, 64):
        encoders = SignalFrames(width=16, batch_size=size), SignalAudio(width=16, batch_size=size)
        extract(plan(root), root / f"{size}.h5", *encoders, segments=T, frames_per_segment=2, workers=0, progress=False)
        assert same(read_store(root / "features.h5"), read_store(root / f"{size}.h5"))


@pytest.mark.parametrize("after", [1, 2, 3])
def test_a_run_that_was_stopped_goes_on_and_ends_the_same(root: Path, after: int):
    run(root, out="whole.h5")
    with pytest.raises(KeyboardInterrupt):
        run(root, engine=Counting(stop_after=after))
    assert not (root / "features.h5").exists()
    again = Counting()
    run(root, engine=again)
    # The second outcome holds "b", the third "short" and, before it, the file that failed.
    assert again.asked == [["b", "bad", "short", "c"], ["bad", "short", "c"], ["c"]][after - 1]
    assert same(read_store(root / "whole.h5"), read_store(root / "features.h5"))


def test_a_finished_store_is_added_to_and_failures_are_tried_again_only_when_asked(root: Path, make_clip: Callable):
    run(root)
    make_clip(root / "videos" / "gone.mp4", seconds=2.0, size=(64, 48))
    added, nothing, retried = Counting(), Counting(), Counting()
    assert run(root, engine=added).encoded == 1 and added.asked == ["gone"]
    assert run(root, engine=nothing).encoded == 0 and nothing.asked == []
    make_clip(root / "videos" / "bad.mp4", seconds=2.0, size=(64, 48))
    run(root, engine=retried, retry_failed=True)
    assert retried.asked == ["bad"]
    run(root, out="whole.h5")
    assert same(read_store(root / "whole.h5"), read_store(root / "features.h5"))


def test_a_file_that_was_replaced_meanwhile_is_encoded_again(root: Path, make_clip: Callable):
    with pytest.raises(KeyboardInterrupt):
        run(root, engine=Counting(stop_after=2))
    make_clip(root / "videos" / "a.mp4", seconds=1.5, size=(64, 48))
    again = Counting()
    run(root, engine=again)
    assert again.asked == ["a", "bad", "short", "c"]
    make_clip(root / "videos" / "b.mp4", seconds=1.5, size=(64, 48))
    finished = Counting()
    run(root, engine=finished)
    assert finished.asked == ["b"]
    run(root, out="whole.h5")
    assert same(read_store(root / "whole.h5"), read_store(root / "features.h5"))
    (root / "videos" / "b.mp4").write_bytes(b"nothing now")
    report = run(root)
    assert "b" in [each.id for each in report.failed] and "b" not in read_store(root / "features.h5").video_ids


def test_a_store_whose_videos_are_gone_is_not_cut_down(root: Path):
    run(root)
    before = (root / "features.h5").read_bytes()
    (root / "videos" / "b.mp4").unlink()
    with pytest.raises(ExtractionError, match=r"1 of its 4 videos are not here, first b: .*bring them back"):
        run(root)
    assert (root / "features.h5").read_bytes() == before


def test_what_failed_for_a_reason_that_may_pass_is_tried_again_unasked(root: Path, monkeypatch: pytest.MonkeyPatch):
    def read(path: Path, **settings: object):
        if path.name == "b.mp4":
            raise OSError(errno.EIO, "Input/output error", str(path))
        return real(path, **settings)

    real = decode.read_seconds
    with monkeypatch.context() as patch:
        patch.setattr(decode, "read_seconds", read)
        table = run(root).table()
    assert "failed for a reason that may pass: 1; the same command tries them again" in table
    assert "failed for good: 1; try them again with --retry-failed" in table
    again = Counting()
    run(root, engine=again)
    assert again.asked == ["b"]
    run(root, out="whole.h5")
    assert same(read_store(root / "whole.h5"), read_store(root / "features.h5"))


def test_every_version_that_took_part_is_listed(root: Path, monkeypatch: pytest.MonkeyPatch, make_clip: Callable):
    from avsgn_pyg.features.extraction import provenance

    def run_with(number: str, **changes: object) -> dict:
        with monkeypatch.context() as patch:
            patch.setattr(provenance.platform, "python_version", lambda: number)
            run(root, **changes)
        return read_store(root / "features.h5").provenance

    with pytest.raises(KeyboardInterrupt):
        run_with("3.1", engine=Counting(stop_after=2))
    found = run_with("3.2")
    assert found["versions"]["python"] == "3.2" and [each["python"] for each in found["other versions"]] == ["3.1"]
    assert "open_clip_torch" not in found["versions"] and "numpy" in found["versions"]
    assert run_with("3.3") == found  # encoded nothing
    make_clip(root / "videos" / "gone.mp4", seconds=2.0, size=(64, 48))
    found = run_with("3.4")
    assert found["versions"]["python"] == "3.4"
    assert [each["python"] for each in found["other versions"]] == ["3.1", "3.2"]


def test_a_shard_in_which_nothing_works_is_written_down_and_joins(root: Path, make_clip: Callable):
    for name in ("a", "bad", "short"):  # shard 1 of 2 holds a, bad, short; b, gone, c are the other's
        (root / "videos" / f"{name}.mp4").write_bytes(b"nothing")
    rows = read_annotations(root / "Annotations.txt", T)
    chosen = [plan_annotated(root / "videos", rows, Shard(number, 2)) for number in (1, 2)]
    reports = [run(root, each) for each in chosen]
    assert [report.entries for report in reports] == [0, 2]
    assert "nothing of this shard worked" in reports[0].table() and not (root / "features.h5.parts").exists()
    joined = merge(root / "features.h5", [report.path for report in reports])
    assert joined.entries == 2 and joined.empty == (reports[0].path,) and "nothing worked in" in joined.table()
    run(root, out="whole.h5")
    assert same(read_store(root / "whole.h5"), read_store(root / "features.h5"))
    nothing = Counting()
    assert run(root, chosen[0], engine=nothing).entries == 0 and nothing.asked == []
    make_clip(root / "videos" / "a.mp4", seconds=2.0, size=(64, 48))
    assert run(root, chosen[0], retry_failed=True).entries == 2
    with pytest.raises(ExtractionError, match=r"made with other settings \(visual revision"):
        run(root, chosen[0], width=24)


def test_a_run_without_a_main_guard_names_it(root: Path):
    script = root / "mine.py"
    script.write_text(
        "from pathlib import Path; from avsgn_pyg.features.extraction import order\n"
        f"root = Path({str(root)!r})\n"
        "order.carry_out(order.Order(videos=root / 'videos', workers=1, out=root / 'f.h5', visual='signal',\n"
        "    audio='signal', segments=2, progress=False))\n"
    )
    done = subprocess.run([sys.executable, str(script)], capture_output=True, text=True, timeout=120)
    assert done.returncode and 'if __name__ == "__main__":, for each process imports it' in done.stderr.splitlines()[-1]


def test_other_settings_are_refused_by_name_and_nothing_is_lost(root: Path):
    with pytest.raises(KeyboardInterrupt):
        run(root, engine=Counting(stop_after=2))
    for change, said in (({"width": 24}, "visual revision: .* there, .* now; audio revision"),
                         ({"frames_per_segment": 3}, "frames_per_segment: 1 there, 3 now")):
        with pytest.raises(ExtractionError, match=rf"features\.h5\.parts: made with other settings \({said}"):
            run(root, **change)
    again = Counting()
    run(root, engine=again)
    assert again.asked == ["bad", "short", "c"]
    before = (root / "features.h5").read_bytes()
    with pytest.raises(ExtractionError, match=r"features\.h5: made with other settings \(visual revision"):
        run(root, width=24)
    assert (root / "features.h5").read_bytes() == before and not (root / "features.h5.parts").exists()
    assert run(root, width=24, overwrite=True).encoded == 4
    assert read_store(root / "features.h5").audio.shape[-1] == 24


def test_a_replacement_that_was_stopped_does_not_mix_with_the_store_it_replaces(root: Path):
    run(root, width=24)
    with pytest.raises(KeyboardInterrupt):
        run(root, engine=Counting(stop_after=2), overwrite=True)
    assert read_store(root / "features.h5").audio.shape[-1] == 24
    again = Counting()
    run(root, engine=again)
    assert again.asked == ["bad", "short", "c"]
    assert read_store(root / "features.h5").audio.shape[-1] == 16


def test_a_store_of_another_maker_is_not_touched(root: Path):
    (root / "features.h5").write_bytes(b"something dear")
    with pytest.raises(ExtractionError, match=r"not a readable h5 file.*another output"):
        run(root)
    assert (root / "features.h5").read_bytes() == b"something dear"


def test_nothing_that_works_is_an_error_with_the_reasons(root: Path):
    for path in (root / "videos").iterdir():
        path.write_bytes(b"nothing")
    with pytest.raises(ExtractionError, match=r"none of 6 videos could be encoded\n(.*\n)*  bad \(row 3\): not a"):
        run(root)
    assert not (root / "features.h5").exists()


def test_a_file_that_may_not_be_read_is_told_and_the_rest_goes_on(root: Path, monkeypatch: pytest.MonkeyPatch):
    def read(path: Path, **settings: object):
        if path.name == "b.mp4":
            raise PermissionError(13, "Permission denied", str(path))
        return real(path, **settings)

    real = decode.read_seconds
    monkeypatch.setattr(decode, "read_seconds", read)
    report = run(root)
    assert report.videos == 3 and "Permission denied" in next(each.reason for each in report.failed if each.id == "b")


@pytest.mark.parametrize("where", ["parts", "store"])
def test_a_full_disk_is_said_plainly_and_loses_nothing(root: Path, monkeypatch: pytest.MonkeyPatch, where: str):
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        if where == "parts":
            real, calls = whole.os.fsync, iter(range(9))
            patch.setattr(whole.os, "fsync", lambda file: full() if next(calls) > 2 else real(file))
        else:
            patch.setattr(extraction, "write_store", full)
        with pytest.raises(ExtractionError, match=r"cannot be written \(No space left.*run the same command again"):
            run(root, engine=Counting())
    assert not list(root.rglob("*.partial"))
    again = Counting()
    run(root, engine=again)
    assert again.asked == (["b", "bad", "short", "c"] if where == "parts" else [])


def test_a_file_system_that_takes_no_more_keeps_what_it_has(root: Path):
    code = (
        "import resource, sys; from pathlib import Path; from avsgn_pyg.features.extraction import order\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (5_000, resource.RLIM_INFINITY))\n"
        "root = Path(sys.argv[1])\n"
        "order.carry_out(order.Order(videos=root / 'videos', annotations=root / 'Annotations.txt', workers=0,\n"
        "    out=root / 'features.h5', visual='signal', audio='signal', segments=2, batch_size=2, progress=False,\n"
        "    visual_options=['width=16'], audio_options=['width=16']))\n"
    )
    assert resource.getrlimit(resource.RLIMIT_FSIZE)[0] == resource.RLIM_INFINITY
    done = subprocess.run([sys.executable, "-c", code, str(root)], capture_output=True, text=True, timeout=120)
    assert "ExtractionError" in done.stderr and "features.h5: cannot be written" in done.stderr
    assert not (root / "features.h5").exists() and len(list((root / "features.h5.parts").glob("part-*.npz"))) == 4
    again = Counting()
    run(root, engine=again)
    assert again.asked == []


def test_two_runs_at_once_are_not_let_in(root: Path):
    class Nested(Counting):
        def run(self, videos: Sequence[Video]) -> Iterator[Outcome]:
            with pytest.raises(ExtractionError, match="another process is extracting to it"):
                run(root)
            return super().run(videos)

    assert run(root, engine=Nested()).videos == 4


def test_rows_that_failed_are_refused_or_left_out_in_training(root: Path):
    run(root)
    for split, rows in {"train": (0, 1, 3), "val": (2, 5), "test": (4, 6)}.items():
        (root / f"{split}Set.txt").write_text("\n".join(LINES[row] for row in rows))
    config = DataConfig(root=root, splits="txt", features="features.h5")
    with pytest.raises(DataError, match=r"first row 3 \(bad\): not a media file.*data\.missing=drop"):
        load_dataset(config)
    data = load_dataset(config.model_copy(update={"missing": "drop"}))
    assert "failed" in data.provenance["features"] and "sizes" not in data.provenance["features"]
    assert data.train.row.tolist() == [0, 1] and data.test.row.tolist() == [6]
    assert any("test rows without features, left out: 1 of 2: no file (1)" in note for note in data.notes)


@pytest.mark.parametrize("settings", [{"segments": 0}, {"frames_per_segment": 0}, {"workers": -1}])
def test_settings_that_make_no_sense_are_refused(root: Path, settings: dict[str, int]):
    with pytest.raises(ExtractionError, match=r"=(0|-1)"):
        run(root, **settings)
    assert not (root / "features.h5.parts").exists()


# Videos at their own length.


def test_videos_at_their_own_length_are_not_padded_and_not_cut_short(root: Path):
    report = run(root, own_length=True)
    store, padded = read_store(root / "features.h5"), run(root, out="padded.h5")
    assert store.video_ids == ("a", "b", "a", "short", "c") and store.seconds.tolist() == [2, 2, 2, 1, 2]
    assert not report.incomplete and list(padded.incomplete) == ["short"]
    there = read_store(root / "padded.h5")
    for kind in ("audio", "visual"):
        for at, end in enumerate(store.seconds.tolist()):
            torch.testing.assert_close(getattr(store, kind)[at, :end], getattr(there, kind)[at, :end])
    assert store.provenance["extraction"]["own_length"] is True
    assert "own_length" not in there.provenance["extraction"]


@pytest.mark.parametrize("after", [1, 3])
def test_a_stopped_run_at_their_own_length_goes_on_and_ends_the_same(root: Path, after: int):
    run(root, out="whole.h5", own_length=True)
    engines = [Counting(stop_after=after, own_length=True), Counting(own_length=True)]
    with pytest.raises(KeyboardInterrupt):
        run(root, engine=engines[0], own_length=True)
    run(root, engine=engines[1], own_length=True)
    assert same(read_store(root / "whole.h5"), read_store(root / "features.h5"))
    assert read_store(root / "features.h5").lengths.tolist() == [2, 2, 2, 1, 2]


def test_a_store_at_their_own_length_is_added_to_and_not_mixed_with_padded_ones(root: Path, make_clip: Callable):
    run(root, own_length=True)
    make_clip(root / "videos" / "gone.mp4", seconds=1.0, size=(64, 48))
    assert run(root, own_length=True).encoded == 1
    assert read_store(root / "features.h5").lengths.tolist() == [2, 2, 2, 1, 1, 2]
    with pytest.raises(ExtractionError, match="own_length: true there, null now"):
        run(root)


def test_shards_at_their_own_length_make_the_whole(root: Path):
    run(root, out="whole.h5", own_length=True)
    annotations = read_annotations(root / "Annotations.txt", T)
    for number in (1, 2, 3):
        run(root, plan_annotated(root / "videos", annotations, Shard(number, 3)), own_length=True)
    merge(root / "features.h5", [root / f"features.{number}-of-3.h5" for number in (1, 2, 3)])
    whole, joined = read_store(root / "whole.h5"), read_store(root / "features.h5")
    assert torch.equal(whole.seconds, joined.seconds) and whole.rows.tolist() == joined.rows.tolist()
    torch.testing.assert_close(whole.audio, joined.audio, rtol=0, atol=1e-6)


def test_parts_of_a_release_that_knew_one_length_are_gone_on_with(root: Path):
    run(root, out="whole.h5")
    with pytest.raises(KeyboardInterrupt):
        run(root, engine=Counting(stop_after=2))
    for path in (root / "features.h5.parts").glob("part-*.npz"):
        with np.load(path) as file:
            arrays = {key: file[key] for key in file if key != "lengths"}
        np.savez(path, **arrays)
    again = Counting()
    run(root, engine=again)
    assert "a" not in again.asked
    assert same(read_store(root / "whole.h5"), read_store(root / "features.h5"))


def test_annotated_videos_at_their_own_length_load(root: Path):
    for split, rows in (("train", [0, 1, 5]), ("val", [6])):
        with h5py.File(root / f"{split}_order.h5", "w") as file:
            file["order"] = rows
    run(root, own_length=True)
    data = load_dataset(DataConfig(root=root, features="features.h5", missing="drop"))
    assert data.train.seconds.tolist() == [2, 2, 1] and data.val.seconds.tolist() == [2]
