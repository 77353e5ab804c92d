"""A folder of synthetic clips: videos, annotations, splits, and a record of their settings.

Clips with one event are in the form of AVE, clips with several have one file of annotations in the form of ActivityNet.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from tqdm import tqdm

from avsgn_pyg.common.files import write_json, write_text
from avsgn_pyg.common.pool import Pool, PoolError, ProcessDiedError, cores
from avsgn_pyg.common.video_writer import write_video
from avsgn_pyg.scenes.pictures import draw_frames
from avsgn_pyg.scenes.script import CLASSES, ScenesError, Script, Settings, write_scripts
from avsgn_pyg.scenes.several import Several, write_several
from avsgn_pyg.scenes.sounds import RATE, mix_sound

VERSION = 1  #: of drawings and sounds; to be raised when the same settings give other clips
HEADER = "Category&VideoID&Quality&StartTime&EndTime"
QUALITY = "good"
RECORD = "scenes.json"
SEVERAL_FILE = "annotations.json"
SPLIT_FILES = {"train": "trainSet.txt", "val": "valSet.txt", "test": "testSet.txt"}


@dataclass(frozen=True)
class Scenes:
    """A complete folder."""

    folder: Path
    scripts: tuple[Script, ...]  #: what happens in its clips
    made: int  #: clips that this call wrote; the others existed

    def summary(self) -> str:
        """Return the clips, the splits, and the share of foreground, which an accuracy must be compared with."""
        seconds = sum(script.seconds for script in self.scripts)
        events = [event for script in self.scripts for event in script.events]
        length = sum(end - start for _, start, end in events)
        splits = ", ".join(f"{sum(s.split == name for s in self.scripts)} {name}" for name in SPLIT_FILES)
        share = (f"{100 * length / seconds:.1f} % of the seconds belong to an event" if len(events) <= len(self.scripts)
                 else f"{len(events)} events in {seconds / 60:.0f} minutes")
        return (f"{self.folder}: {len(self.scripts)} clips ({self.made} made now; {splits}) of {len(CLASSES)} classes; "
                f"{share}")


def make_scenes(
    folder: str | Path, *, several: bool = False, videos: int | None = None, seed: int = 0, seconds: int | None = None,
    workers: int | None = None, progress: bool = True,
) -> Scenes:
    """Write a small AVE of synthetic clips, or complete one; with `several`, longer clips with several events.

    Writes ``videos/<id>.mp4``, ``scenes.json`` (the settings) and ``Annotations.txt``, ``trainSet.txt``,
    ``valSet.txt``, ``testSet.txt``, or with `several` ``annotations.json``. Every file is written completely or not at
    all; a second call with the same settings writes only what is missing. One call at a time may work on a folder.

    Args:
        folder: created if it does not exist.
        several: one to four events a clip, overlapping, with ends between whole seconds.
        videos: N, at least 8; ``None``: 240, with `several` 60.
        seed: of everything that is random.
        seconds: T of every clip, ``None``: 10; with `several` of the longest, ``None``: 120; the shortest has a sixth.
        workers: processes; ``None``: one per core, 1: only this one.
        progress: show a bar on stderr.

    Raises:
        ScenesError: impossible settings, a folder with other scenes or other data, or workers that died.
        OSError: a file cannot be written.
    """
    given = {"videos": videos, "seconds": seconds}
    folder, kind = Path(folder), Several if several else Settings
    settings = kind(seed=seed, **{name: value for name, value in given.items() if value is not None})
    if workers is not None and workers < 1:
        raise ScenesError(f"workers={workers}: at least 1")
    scripts = write_several(settings) if several else write_scripts(settings)
    _check_or_write_record(folder, settings)
    clips = [(folder / "videos" / f"{script.video_id}.mp4", script) for script in scripts]
    missing = [(path, script) for path, script in clips if not path.is_file()]
    with tqdm(total=len(clips), initial=len(clips) - len(missing), desc="scenes", unit="clip",
              disable=not progress, dynamic_ncols=True) as bar:  # fmt: skip
        _write_clips(missing, workers or cores(), bar)
    (_annotate_several if several else _annotate)(folder, scripts)
    return Scenes(folder, scripts, len(missing))


def _annotate(folder: Path, scripts: Sequence[Script]) -> None:
    lines = {script: _line(script) for script in scripts}
    for split, name in SPLIT_FILES.items():
        write_text(folder / name, "".join(line for script, line in lines.items() if script.split == split))
    write_text(folder / "Annotations.txt", "".join([f"{HEADER}\n", *lines.values()]))


def _annotate_several(folder: Path, scripts: Sequence[Script]) -> None:
    database = {
        script.video_id: {
            "subset": script.split, "duration": float(script.seconds),
            "annotations": [{"segment": [start, end], "label": name} for name, start, end in script.events],
        }
        for script in scripts
    }
    write_json(folder / SEVERAL_FILE, {"version": f"scenes {VERSION}", "database": database})


def _line(script: Script) -> str:
    return f"{script.category}&{script.video_id}&{QUALITY}&{script.start}&{script.end}\n"


def make_clip(clip: tuple[Path, Script]) -> None:
    """Write one clip's file."""
    path, script = clip
    write_video(path, draw_frames(script), mix_sound(script), frame_rate=script.frame_rate, sample_rate=RATE)


def _write_clips(clips: Sequence[tuple[Path, Script]], workers: int, bar: tqdm) -> None:
    processes = min(workers, len(clips))
    with Pool(make_clip, processes if processes > 1 else 0) as pool:
        try:
            for _, error in pool.run(clips):
                if error is not None:
                    raise error
                bar.update()
        except (PoolError, ProcessDiedError) as error:
            raise ScenesError(f"{error}; complete clips are kept, so call again, with workers=1") from None


def _check_or_write_record(folder: Path, settings: Settings) -> None:
    """Write the settings into a new folder; reject a folder of other scenes or other data."""
    record = {"made by": "avsgn_pyg.scenes", "version": VERSION, **asdict(settings)}
    path = folder / RECORD
    if path.is_file():
        try:
            found = json.loads(path.read_text(encoding="utf-8"))
        except ValueError as error:
            raise ScenesError(f"{path}: not readable as JSON ({error}); use another folder") from None
        if not isinstance(found, dict):
            raise ScenesError(f"{path}: contains no table of settings; use another folder")
        other = [f"{key}={found.get(key)!r} there, {record.get(key)!r} requested"
                 for key in {**record, **found} if found.get(key) != record.get(key)]
        if other:
            raise ScenesError(f"{folder} contains other scenes ({', '.join(other)}); use another folder")
        return
    names = (SEVERAL_FILE, "Annotations.txt", *SPLIT_FILES.values(), "videos")
    taken = [name for name in names if (folder / name).exists()]
    if taken:
        raise ScenesError(f"{folder} contains {', '.join(taken)} but no {RECORD}: other data; use another folder")
    write_json(path, record)
