"""Everything that works is in the store, everything that does not is reported, and nothing finished is repeated."""

from __future__ import annotations

import errno
import json
import platform
import shutil
from collections.abc import Callable, Iterator, Sequence
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.nn.functional as F

from avsgn_pyg.common import files
from avsgn_pyg.common.errors import DataError, ExtractionError, NothingExtractedError
from avsgn_pyg.common.settings import DataConfig
from avsgn_pyg.data.dataset import load_dataset
from avsgn_pyg.data.feature_store import Features, read_store
from avsgn_pyg.features.choice import EncoderChoice
from avsgn_pyg.features.extraction import contents, read, report
from avsgn_pyg.features.extraction.config import ExtractionConfig
from avsgn_pyg.features.extraction.contents import read_contents
from avsgn_pyg.features.extraction.engine import Results
from avsgn_pyg.features.extraction.extract import run_extraction
from avsgn_pyg.features.extraction.merge import merge
from avsgn_pyg.features.extraction.report import Report
from avsgn_pyg.features.extraction.videos import Video
from avsgn_pyg.features.limits import Limits
from avsgn_pyg.features.signal import SignalAudio, SignalFrames

T = 2


def config(root: Path, out: str = "features.h5", width: int = 16, **changes: Any) -> ExtractionConfig:
    """Settings for one video a batch, in this process."""
    encoder = EncoderChoice("signal", {"width": width})
    return ExtractionConfig(**{
        "videos": root / "videos", "annotations": root / "Annotations.txt", "out": root / out, "segments": T,
        "visual": encoder, "audio": encoder, "batch_size": T, "workers": 0, "progress": False, **changes,
    })


def run(root: Path, out: str = "features.h5", **changes: Any) -> Report:
    return run_extraction(config(root, out, **changes))


def encoded(root: Path, stop_after: int | None = None, **changes: Any) -> list[str]:
    """Run, and return the ids of what is encoded; stopped like a Ctrl-C after so many videos."""
    ids: list[str] = []
    settings = config(root, **changes)
    local = settings.make_engine(*settings.encoders())

    def engine(videos: Sequence[Video]) -> Iterator[Results]:
        ids.extend(video.id for video in videos)
        for number, results in enumerate(local.run(videos)):
            if number == stop_after:
                raise KeyboardInterrupt
            yield results

    with pytest.raises(KeyboardInterrupt) if stop_after else nullcontext():
        run_extraction(settings, engine=engine)
    return ids


def same(one: Path, two: Path) -> bool:
    first, second = read_store(one), read_store(two)
    keys = ("audio", "visual", "rows", "seconds")
    equal = all(torch.equal(getattr(first, key), getattr(second, key)) for key in keys)
    return equal and (first.video_ids, first.provenance) == (second.video_ids, second.provenance)


def test_two_features_a_second_are_of_its_halves_and_the_store_says_so(root: Path):
    run(root, rate=2, annotations=None)
    run(root, "whole.h5", frames_per_segment=2, annotations=None)
    halves, whole = read_store(root / "features.h5"), read_store(root / "whole.h5")
    assert (halves.rate, whole.rate) == (2, 1) and halves.audio.shape[1] == 2 * T
    pairs = halves.visual.unflatten(1, (T, 2)).mean(2)
    torch.testing.assert_close(F.normalize(pairs, dim=-1), whole.visual)
    with pytest.raises(DataError, match="2 features a second"):
        read_store(root / "features.h5", of_seconds=True)


def test_every_row_with_a_video_is_in_the_store_and_every_other_is_reported(root: Path):
    report = run(root)
    store = read_store(root / "features.h5")
    assert store.rows.tolist() == [0, 1, 2, 5, 6] and store.video_ids == ("a", "b", "a", "short", "c")
    assert torch.equal(store.audio[0], store.audio[2]) and not torch.equal(store.audio[0], store.audio[1])
    torch.testing.assert_close(store.visual.norm(dim=-1), torch.ones(5, T))
    assert store.categories == ("Bark", "Flute") and store.label_text.audio.shape == (2, 16)
    assert [(each.id, each.rows) for each in report.failures] == [("bad", (3,)), ("gone", (4,))]
    assert (report.entries, report.encoded, report.passed) == (5, 4, False)
    assert "bad (row 3): not a media file" in report.table() and "failed: 1, without a file: 1" in report.table()
    incomplete = [(each["id"], each["unseen"]) for each in store.provenance["incomplete"]]
    assert incomplete == [("short", 1)] and not (root / "features.h5.parts").exists()


def test_the_store_records_how_it_was_made_and_no_path(root: Path):
    run(root, frames_per_segment=2)
    record = read_store(root / "features.h5").provenance
    assert record["made by"] == "avsgn_pyg.features"
    assert record["label_text"] == {kind: record[kind]["revision"] for kind in ("visual", "audio")}
    assert record["prompts"]["visual"] == "This photo contains the {}"
    assert {"segments": T, "frames_per_segment": 2, "segment_seconds": 1.0}.items() <= record["extraction"].items()
    assert {"torch", "av", "avsgn_pyg", "numpy"} <= set(record["versions"])
    assert str(root) not in json.dumps(record)
    assert record["sizes"]["a"] == (root / "videos" / "a.mp4").stat().st_size and "bad" not in record["sizes"]


def test_any_folder_makes_a_store_without_rows(root: Path):
    (root / "classes.txt").write_text("Bark\nFlute\n")
    run(root, annotations=None)
    run(root, "named.h5", annotations=None, labels=root / "classes.txt")
    store = read_store(root / "features.h5")
    assert store.rows is None and store.video_ids == ("a", "b", "c", "short") and store.label_text is None
    assert read_store(root / "named.h5").label_text.visual.shape == (2, 16)


def test_encoders_without_language_make_a_store_without_label_text(root: Path):
    class Wordless(SignalAudio):
        name, has_text = "wordless", False

    report = run_extraction(config(root), encoders=(SignalFrames(width=16), Wordless(width=16)))
    assert "no label text: wordless" in report.table() and "model.text.bank=learned" in report.table()
    store = read_store(root / "features.h5")
    assert store.label_text is None and store.categories == ("Bark", "Flute")


@pytest.mark.slow
@pytest.mark.parametrize("own_length", [False, True])
def test_batches_across_videos_change_nothing(root: Path, own_length: bool):
    for size in (1, 64):
        run(root, f"{size}.h5", batch_size=size, own_length=own_length)
    one, many = read_store(root / "1.h5"), read_store(root / "64.h5")
    torch.testing.assert_close(one.audio, many.audio, rtol=0, atol=1e-6)
    torch.testing.assert_close(one.visual, many.visual, rtol=0, atol=1e-6)


@pytest.mark.parametrize(("after", "rest", "own_length"), [
    (1, ["b", "bad", "short", "c"], False), (2, ["bad", "short", "c"], True),
])
def test_a_stopped_run_resumes_and_ends_bit_identical(root: Path, after: int, rest: list[str], own_length: bool):
    run(root, "whole.h5", own_length=own_length)
    encoded(root, after, own_length=own_length)
    assert not (root / "features.h5").exists()
    assert encoded(root, own_length=own_length) == rest
    assert same(root / "whole.h5", root / "features.h5")


def test_a_finished_store_is_extended_and_failures_are_retried_only_on_request(root: Path):
    run(root)
    shutil.copy(root / "videos" / "a.mp4", root / "videos" / "gone.mp4")
    assert encoded(root) == ["gone"]
    assert encoded(root) == []
    shutil.copy(root / "videos" / "b.mp4", root / "videos" / "bad.mp4")
    assert encoded(root, retry_failed=True) == ["bad"]
    run(root, "whole.h5")
    assert same(root / "whole.h5", root / "features.h5")


def test_a_failed_file_is_tried_again_when_it_has_another_size(root: Path):
    (root / "videos" / "c.mp4").write_bytes(b"cut short")
    assert "permanent failures: 2" in run(root).table() and encoded(root) == []
    shutil.copy(root / "videos" / "a.mp4", root / "videos" / "c.mp4")
    assert encoded(root) == ["c"]


def test_longer_files_and_segments_within_files_are_reported_and_recorded(root: Path):
    (root / "ids.csv").write_text("id,start\na,0\nb,1\nc_1_2,0\nshort,1\n")
    report = run(root, annotations=None, ids=root / "ids.csv", segments=1)
    assert "longer than 1 seconds, of which the first 1 were taken: 1, first a" in report.table()
    assert "clips that begin after the start of their file: 2, first b" in report.table()
    assert "  short: ends before second 1" in report.table() and not report.passed
    store = read_store(root / "features.h5")
    flags = {key: video.flags for key, video in read_contents(report.path)[1].finished.items()}
    assert (flags["a"].longer, flags["b"].start, flags["c_1_2"].start) == (True, 1, 1)
    whole = read_store(run(root, "whole.h5", annotations=None).path)
    torch.testing.assert_close(store.visual[1, 0], whole.visual[1, 1])
    torch.testing.assert_close(store.audio[1, 0], whole.audio[1, 1], rtol=0, atol=1e-3)
    (root / "ids.csv").write_text("id,start\na,1\nb,1\nc_1_2,0\n")
    assert encoded(root, annotations=None, ids=root / "ids.csv", segments=1) == ["a"]


def test_what_the_reader_notes_about_an_unusual_file_is_recorded(root: Path, monkeypatch: pytest.MonkeyPatch):
    real = read.probe
    monkeypatch.setattr(read, "probe", lambda *given, **more: replace(real(*given, **more), notes=("its clock jumps",)))
    assert "files with notes in the provenance: 1, first short" in run(root).table()
    finished = read_contents(root / "features.h5")[1].finished
    assert {key: list(video.flags.notes) for key, video in finished.items() if any(video.flags)} == {
        "short": ["its clock jumps"]}
    assert encoded(root) == []


def test_a_file_that_exceeds_a_limit_fails_alone(root: Path, make_clip: Callable[..., Path]):
    make_clip(root / "videos" / "gone.mp4", seconds=2.0, size=(128, 96))
    report = run(root, limits=Limits(pixels=64 * 48))
    assert [each.id for each in report.failures] == ["bad", "gone"] and report.encoded == 4
    with pytest.raises(NothingExtractedError, match="deadline"):
        run(root, "late.h5", limits=Limits(deadline=1e-9))


def test_a_replaced_file_is_encoded_again_and_its_old_features_go(root: Path):
    encoded(root, 2)
    shutil.copy(root / "videos" / "c.mp4", root / "videos" / "a.mp4")
    assert encoded(root) == ["a", "bad", "short", "c"]
    shutil.copy(root / "videos" / "short.mp4", root / "videos" / "b.mp4")
    assert encoded(root) == ["b"]
    run(root, "whole.h5")
    assert same(root / "whole.h5", root / "features.h5")
    (root / "videos" / "b.mp4").write_bytes(b"nothing now")
    assert "b" in [each.id for each in run(root).failures]
    assert "b" not in read_store(root / "features.h5").video_ids


@pytest.mark.parametrize(("spoil", "word"), [
    (lambda root: (root / "videos" / "b.mp4").unlink(), r"1 of its 4 videos .* b: .*--overwrite"),
    (lambda root: (root / "features.h5").write_bytes(b"something dear"), "another output"),
])
def test_a_store_whose_videos_are_gone_and_a_file_that_is_no_store_are_kept(root: Path, spoil: Callable, word: str):
    run(root)
    spoil(root)
    before = (root / "features.h5").read_bytes()
    with pytest.raises(ExtractionError, match=word):
        run(root)
    assert (root / "features.h5").read_bytes() == before


def test_temporary_failures_are_retried(root: Path, monkeypatch: pytest.MonkeyPatch):
    def read_seconds(path: Path, **settings: object):
        if path.name == "b.mp4":
            raise OSError(errno.EIO, "refused", str(path))
        return real(path, **settings)

    real = read.read_seconds
    with monkeypatch.context() as patch:
        patch.setattr(read, "read_seconds", read_seconds)
        report = run(root)
    assert "temporary failures: 1" in report.table() and "refused" in str(report.failures[0])
    assert encoded(root) == ["b"]


def test_the_versions_of_all_runs_that_encoded_are_recorded(root: Path, monkeypatch: pytest.MonkeyPatch):
    def versions(number: str, stop_after: int | None = None) -> list[str]:
        with monkeypatch.context() as patch:
            patch.setattr(platform, "python_version", lambda: number)
            encoded(root, stop_after)
        return [] if stop_after else [run["python"] for run in read_contents(root / "features.h5")[1].runs]

    versions("3.1", 2)
    assert versions("3.2") == ["3.1", "3.2"]
    assert versions("3.3") == ["3.1", "3.2"]  # encoded nothing
    shutil.copy(root / "videos" / "a.mp4", root / "videos" / "gone.mp4")
    assert versions("3.4") == ["3.1", "3.2", "3.4"]


@pytest.mark.parametrize("own_length", [False, True])
def test_shards_join_to_the_whole_also_if_nothing_works_in_one(root: Path, own_length: bool):
    for name in ("a", "bad", "short"):  # the videos of shard 1 of 2
        (root / "videos" / f"{name}.mp4").write_bytes(b"nothing")
    reports = [run(root, shard=f"{number}/2", own_length=own_length) for number in (1, 2)]
    assert [report.entries for report in reports] == [0, 2] and "no video of this shard" in reports[0].table()
    joined = merge(root / "features.h5", [report.path for report in reports])
    assert joined.entries == 2 and f"no video succeeded in {reports[0].path}" in joined.table()
    run(root, "whole.h5", own_length=own_length)
    assert same(root / "whole.h5", root / "features.h5")
    assert encoded(root, shard="1/2", own_length=own_length) == []
    with pytest.raises(ExtractionError, match="visual revision"):
        run(root, width=24, shard="1/2", own_length=own_length)


@pytest.mark.slow
@pytest.mark.parametrize(("change", "word"), [
    ({"width": 24}, "visual revision: .* audio revision"), ({"frames_per_segment": 3}, "frames_per_segment: 1 .*3"),
    ({"own_length": True}, "own_length"),
])
def test_other_settings_are_refused_by_name_and_nothing_is_lost(root: Path, change: dict[str, Any], word: str):
    encoded(root, 2)
    with pytest.raises(ExtractionError, match=rf"features\.h5\.parts: .*{word}"):
        run(root, **change)
    assert encoded(root) == ["bad", "short", "c"]
    before = (root / "features.h5").read_bytes()
    with pytest.raises(ExtractionError, match=rf"features\.h5: .*{word}"):
        run(root, **change)
    assert (root / "features.h5").read_bytes() == before and not (root / "features.h5.parts").exists()
    assert run(root, **change, overwrite=True).encoded == 4


def test_a_stopped_replacement_does_not_mix_with_the_store_it_replaces(root: Path):
    run(root, width=24)
    encoded(root, 2, overwrite=True)
    assert read_store(root / "features.h5").audio.shape[-1] == 24
    assert encoded(root) == ["bad", "short", "c"]
    assert read_store(root / "features.h5").audio.shape[-1] == 16


def test_ids_without_a_file_are_listed_up_to_a_number_and_failures_all(root: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(report, "SHOWN", 1)
    (root / "ids.txt").write_text("a\nbad\nx\ny\nz\n")
    lines = run(root, annotations=None, ids=root / "ids.txt").lines
    assert [line.split(":")[0] for line in lines[-3:]] == ["  bad", "  x", "  and 2 more without a file"]


def test_an_extraction_in_which_nothing_works_is_an_error_with_the_reasons(root: Path):
    for path in (root / "videos").iterdir():
        path.write_bytes(b"nothing")
    with pytest.raises(ExtractionError, match=r"none of 6 videos could be encoded\n(.*\n)*  bad \(row 3\): not a"):
        run(root)
    assert not (root / "features.h5").exists()


@pytest.mark.parametrize(("where", "rest"), [("parts", ["b", "bad", "short", "c"]), ("store", [])])
def test_a_full_disk_is_reported_and_loses_nothing(
    root: Path, monkeypatch: pytest.MonkeyPatch, where: str, rest: list[str]
):
    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch:
        if where == "parts":  # file and folder are flushed for the manifest, then for the first part
            real, calls = files.os.fsync, iter(range(9))
            patch.setattr(files.os, "fsync", lambda file: full() if next(calls) > 3 else real(file))
        else:
            patch.setattr(contents, "write_store", full)
        with pytest.raises(ExtractionError, match=r"No space left.*same command"):
            run(root)
    assert not list(root.rglob("*.partial"))
    assert encoded(root) == rest


def test_a_second_run_to_the_same_store_is_refused(root: Path, monkeypatch: pytest.MonkeyPatch):
    def nested(path: Path, features: Features) -> None:
        with pytest.raises(ExtractionError, match="another process"):
            run(root)
        real(path, features)

    real = contents.write_store
    monkeypatch.setattr(contents, "write_store", nested)
    assert run(root).encoded == 4


def test_training_refuses_rows_that_failed_or_leaves_them_out(root: Path):
    run(root, own_length=True)
    lines = (root / "Annotations.txt").read_text().split("\n")
    for split, rows in {"train": (0, 1, 3), "val": (2, 5), "test": (4, 6)}.items():
        (root / f"{split}Set.txt").write_text("\n".join(lines[row] for row in rows))
    data = DataConfig(root=root, splits="txt", features="features.h5")
    with pytest.raises(DataError, match=r"row 3 \(bad\): not a media file.*data\.missing=drop"):
        load_dataset(data)
    loaded = load_dataset(data.model_copy(update={"missing": "drop"}))
    assert "failed" in loaded.provenance["features"] and "sizes" not in loaded.provenance["features"]
    assert loaded.train.row.tolist() == [0, 1] and loaded.test.row.tolist() == [6]
    assert loaded.val.seconds.tolist() == [2, 1]
    assert any("left out: 1 of 2: no file (1)" in note for note in loaded.notes)


def test_videos_at_their_own_length_are_not_padded(root: Path):
    run(root, own_length=True)
    run(root, "padded.h5")
    store, padded = read_store(root / "features.h5"), read_store(root / "padded.h5")
    assert store.seconds.tolist() == [2, 2, 2, 1, 2] and not store.provenance["incomplete"]
    assert store.provenance["extraction"]["own_length"] is True
    for at, end in enumerate(store.seconds.tolist()):
        torch.testing.assert_close(store.audio[at, :end], padded.audio[at, :end])
        torch.testing.assert_close(store.visual[at, :end], padded.visual[at, :end])


@pytest.mark.parametrize("settings", [{"segments": 0}, {"frames_per_segment": 0}, {"workers": -1}])
def test_numbers_out_of_range_are_refused(root: Path, settings: dict[str, int]):
    with pytest.raises(ExtractionError, match=r"=(0|-1)"):
        run(root, **settings)
    assert not (root / "features.h5.parts").exists()
