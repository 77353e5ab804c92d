"""Reading processes answer what the caller's own process would, and survive each other's deaths."""

from __future__ import annotations

import errno
import importlib
import os
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from avsgn_pyg.features.extraction import decode
from avsgn_pyg.features.extraction import workers as module
from avsgn_pyg.features.extraction.decode import Decoded, Reader
from avsgn_pyg.features.extraction.jobs import ExtractionError, Failed, Marks, Video
from avsgn_pyg.features.extraction.workers import Workers, default_workers
from avsgn_pyg.features.media import MediaError
from avsgn_pyg.features.signal import Shrink

# A module that other processes find too, along the search path that they inherit.
DEADLY = """
import os, signal, time
from avsgn_pyg.features.extraction.jobs import Failed

def read(video):
    if video.id == "deadly":
        os.kill(os.getpid(), signal.SIGSEGV)
    if video.id == "long":
        time.sleep(60)
    return Failed(video.id, (), f"read by {os.getpid()}")
"""


@pytest.fixture
def deadly(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[Video], Failed]:
    """Reads nothing: an id says what happens."""
    (tmp_path / "deadly_reader.py").write_text(DEADLY)
    monkeypatch.syspath_prepend(tmp_path)
    return importlib.import_module("deadly_reader").read


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory, make_clip: Callable[..., Path]) -> Path:
    folder = tmp_path_factory.mktemp("clips")
    for number in range(4):
        make_clip(folder / f"{number}.mp4", seconds=2.0, size=(64, 48), audio_to=2.0 - number / 2)
    (folder / "bad.mp4").write_bytes(b"nothing")
    return folder


def videos(folder: Path) -> list[Video]:
    return [Video.at(path.stem, path) for path in sorted(folder.iterdir())]


def test_processes_answer_as_the_caller_would(folder: Path):
    reader = Reader(segments=2, frames_per_segment=2, preparation=Shrink(8))
    here = {result.video.id: result for result in map(reader, videos(folder)) if isinstance(result, Decoded)}
    with Workers(reader, 2, ahead=1) as pool:
        for _ in range(2):
            results = list(pool.read(videos(folder)))
            assert len(results) == 5 and sum(isinstance(result, Failed) for result in results) == 1
            for result in results:
                if isinstance(result, Decoded):
                    same = here[result.video.id]
                    assert torch.equal(result.frames, same.frames) and torch.equal(result.samples, same.samples)
                    assert result.marks == same.marks
    assert here["3"].marks == Marks(unheard=1, unseen=0, breaks_off=False)


def test_a_decoder_that_crashes_costs_its_own_video_alone(deadly: Callable):
    todo = [Video(key, Path(key)) for key in ("a", "deadly", "b", "deadly", "c")]
    with Workers(deadly, 1) as pool:
        results = list(pool.read(todo))
    assert [result.id for result in results] == ["a", "deadly", "b", "deadly", "c"]
    assert [result.reason for result in results if result.id == "deadly"] == ["its reading process died (SIGSEGV)"] * 2
    assert len({result.reason for result in results if result.id != "deadly"}) == 3
    assert [result.passing for result in results] == [False, True, False, True, False]


@pytest.mark.parametrize(("error", "passing"), [
    (OSError(errno.EIO, "Input/output error"), True), (MemoryError(), True), (ValueError("odd"), False),
    (PermissionError(errno.EACCES, "Permission denied"), False), (OSError(errno.ESTALE, "Stale"), True),
])
def test_a_failure_of_the_machine_is_told_from_one_of_the_file(
    folder: Path, monkeypatch: pytest.MonkeyPatch, error: Exception, passing: bool
):
    def read(path: Path, **_: object) -> None:
        try:
            raise error
        except Exception as cause:
            raise MediaError(f"{path}: cannot be read") from cause

    monkeypatch.setattr(decode, "read_seconds", read)
    assert Reader(1, 1, Shrink(8))(Video("0", folder / "0.mp4")).passing is passing
    assert Reader(1, 1, Shrink(8))(Video("0", folder / "gone.mp4")).passing is True


def test_giving_up_ends_the_processes_at_once(deadly: Callable):
    with Workers(deadly, 1) as pool:
        results = pool.read([Video(key, Path(key)) for key in ("a", "long")])
        process = int(next(results).reason.split()[-1])
        begun = time.monotonic()
        results.close()
    assert time.monotonic() - begun < 10
    with pytest.raises(ProcessLookupError):
        os.kill(process, 0)


def test_results_that_nobody_takes_hold_the_processes_back(tmp_path: Path, deadly: Callable):
    with Workers(deadly, 1, ahead=2) as pool:
        results = pool.read([Video(str(number), tmp_path) for number in range(50)])
        next(results)
        time.sleep(0.5)
        (thread,) = [each for each in threading.enumerate() if each.name.endswith("(_feed)")]
        assert thread.is_alive()
        assert len(list(results)) == 49
        assert not thread.is_alive()


def test_a_process_that_cannot_start_is_an_error_and_no_bad_video(deadly: Callable, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(module, "_serve", importlib.import_module("deadly_reader").read)
    guard = r'if __name__ == "__main__":.*--workers 0'
    with pytest.raises(ExtractionError, match=rf"could not start \(exit status 1\); .*{guard}"):
        list(Workers(deadly, 1).read([Video("a", Path("a"))]))


def test_the_number_of_processes_is_checked_and_has_a_sensible_default(deadly: Callable):
    assert 1 <= default_workers() <= 16
    with pytest.raises(ExtractionError, match="workers=-1"):
        Workers(deadly, -1)
