"""A folder of made clips in AVE's form: videos, annotations, splits, and what they were made from."""

from __future__ import annotations

import json
import multiprocessing
import os
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

from tqdm import tqdm

from avsgn_pyg.scenes.film import write_film
from avsgn_pyg.scenes.pictures import FRAME_RATE, draw_frames
from avsgn_pyg.scenes.script import CLASSES, ScenesError, Script, Settings, write_scripts
from avsgn_pyg.scenes.sounds import mix_sound
from avsgn_pyg.scenes.voices import RATE

VERSION = 1  #: of the drawing and the sounds; another one makes other clips from the same settings
HEADER = "Category&VideoID&Quality&StartTime&EndTime"
QUALITY = "good"
RECORD = "scenes.json"
SPLIT_FILES = {"train": "trainSet.txt", "val": "valSet.txt", "test": "testSet.txt"}


@dataclass(frozen=True)
class Scenes:
    """A made folder.

    Attributes:
        folder: where it lies.
        scripts: what happens in its clips.
        made: clips that this call made; the others were there.
    """

    folder: Path
    scripts: tuple[Script, ...]
    made: int

    def summary(self) -> str:
        """Clips, splits, and the shares that accuracy must be read against."""
        seconds = sum(script.seconds for script in self.scripts)
        events = sum(script.end - script.start for script in self.scripts)
        splits = ", ".join(f"{sum(s.split == name for s in self.scripts)} {name}" for name in SPLIT_FILES)
        return (
            f"{self.folder}: {len(self.scripts)} clips ({self.made} made now; {splits}) of {len(CLASSES)} classes; "
            f"{100 * events / seconds:.1f} % of the seconds belong to an event"
        )


def make_scenes(
    folder: str | Path,
    *,
    videos: int = 240,
    seed: int = 0,
    seconds: int = 10,
    workers: int | None = None,
    progress: bool = True,
) -> Scenes:
    """Make a small AVE of drawn, sounding clips, or finish one.

    Writes ``videos/<id>.mp4``, ``Annotations.txt``, ``trainSet.txt``, ``valSet.txt``, ``testSet.txt`` and
    ``scenes.json`` (the settings). Every file is written whole or not at all; a second call with the same
    settings makes what is missing and nothing else. One call at a time may work on a folder.

    Args:
        folder: where; made if it is not there.
        videos: N, at least 8.
        seed: draws everything.
        seconds: T of every clip.
        workers: processes; ``None``: one a core, 1: none but this one.
        progress: show a bar on stderr.

    Raises:
        ScenesError: settings that cannot be, a folder that holds other scenes or other data, or workers
            that died.
        OSError: a file cannot be written.
    """
    folder, settings = Path(folder), Settings(videos, seed, seconds)
    if workers is not None and workers < 1:
        raise ScenesError(f"workers={workers}: at least 1")
    scripts = write_scripts(settings)
    _claim(folder, settings)
    (folder / "videos").mkdir(exist_ok=True)
    missing = [script for script in scripts if not _clip(folder, script).is_file()]
    with tqdm(total=len(scripts), initial=len(scripts) - len(missing), desc="scenes", unit="clip",
              disable=not progress, dynamic_ncols=True) as bar:  # fmt: skip
        for _ in _made(folder, missing, workers or _cores()):
            bar.update()
    _annotate(folder, scripts)
    for scratch in (folder / "videos").glob("*.partial"):
        scratch.unlink(missing_ok=True)
    return Scenes(folder, scripts, len(missing))


def make_clip(path: Path, script: Script) -> None:
    """Make one clip's file."""
    write_film(path, draw_frames(script), mix_sound(script), frame_rate=FRAME_RATE, sample_rate=RATE)


def _clip(folder: Path, script: Script) -> Path:
    return folder / "videos" / f"{script.video_id}.mp4"


def _cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _made(folder: Path, scripts: Sequence[Script], workers: int) -> Iterator[None]:
    """Make these clips; yields after each."""
    if min(workers, len(scripts)) <= 1:
        for script in scripts:
            yield make_clip(_clip(folder, script), script)
        return
    # Not forked: the caller may have threads, of torch or a progress bar.
    context = multiprocessing.get_context("spawn")
    with _pool(ProcessPoolExecutor(min(workers, len(scripts)), mp_context=context)) as pool:
        for clip in as_completed([pool.submit(make_clip, _clip(folder, script), script) for script in scripts]):
            yield clip.result()


@contextmanager
def _pool(pool: ProcessPoolExecutor) -> Iterator[ProcessPoolExecutor]:
    """The pool; on an error or Ctrl-C, clips that are not begun are dropped."""
    try:
        yield pool
    except BrokenProcessPool:
        raise ScenesError(
            "a worker process died, of memory or a signal; clips that are done are kept, so call again, with workers=1"
        ) from None
    finally:
        pool.shutdown(cancel_futures=True)


def _claim(folder: Path, settings: Settings) -> None:
    """Write the record into the folder, or see that it is the same one."""
    record = {"made by": "avsgn_pyg.scenes", "version": VERSION, **asdict(settings)}
    path = folder / RECORD
    if path.is_file():
        try:
            there = json.loads(path.read_text(encoding="utf-8"))
        except ValueError as error:
            raise ScenesError(f"{path}: not readable as JSON ({error}); make the scenes in another folder") from None
        if there != record:
            raise ScenesError(f"{folder} holds other scenes ({_differences(there, record)}); choose another folder")
        return
    taken = [name for name in ("Annotations.txt", *SPLIT_FILES.values(), "videos") if (folder / name).exists()]
    if taken:
        raise ScenesError(f"{folder} holds {', '.join(taken)} but no {RECORD}: other data; choose another folder")
    folder.mkdir(parents=True, exist_ok=True)
    _write(path, json.dumps(record, indent=2) + "\n")


def _differences(there: object, record: dict[str, object]) -> str:
    if not isinstance(there, dict):
        return "its record is no table"
    return ", ".join(
        f"{key}={there.get(key)!r} there, {record.get(key)!r} asked for"
        for key in {**record, **there}
        if there.get(key) != record.get(key)
    )


def _annotate(folder: Path, scripts: Sequence[Script]) -> None:
    """Write the annotation and split files."""
    lines = {script: _line(script) for script in scripts}
    _write(folder / "Annotations.txt", "\n".join([HEADER, *lines.values()]) + "\n")
    for split, name in SPLIT_FILES.items():
        _write(folder / name, "".join(f"{line}\n" for script, line in lines.items() if script.split == split))


def _line(script: Script) -> str:
    return f"{script.category}&{script.video_id}&{QUALITY}&{script.start}&{script.end}"


def _write(path: Path, text: str) -> None:
    scratch = path.with_name(f"{path.name}.{os.getpid()}.partial")
    try:
        scratch.write_text(text, encoding="utf-8")
        os.replace(scratch, path)
    finally:
        scratch.unlink(missing_ok=True)
