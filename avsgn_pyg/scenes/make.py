"""A folder of synthetic clips in the form of AVE: videos, annotations, splits, and a record of their settings."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from tqdm import tqdm

from avsgn_pyg.common.files import write_json, write_text
from avsgn_pyg.common.film import write_film
from avsgn_pyg.common.pool import Pool, PoolError, ProcessDiedError, cores
from avsgn_pyg.scenes.pictures import FRAME_RATE, draw_frames
from avsgn_pyg.scenes.script import CLASSES, ScenesError, Script, Settings, write_scripts
from avsgn_pyg.scenes.sounds import RATE, mix_sound

VERSION = 1  #: of drawings and sounds; to be raised when the same settings give other clips
HEADER = "Category&VideoID&Quality&StartTime&EndTime"
QUALITY = "good"
RECORD = "scenes.json"
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
        events = sum(script.end - script.start for script in self.scripts)
        splits = ", ".join(f"{sum(s.split == name for s in self.scripts)} {name}" for name in SPLIT_FILES)
        return (
            f"{self.folder}: {len(self.scripts)} clips ({self.made} made now; {splits}) of {len(CLASSES)} classes; "
            f"{100 * events / seconds:.1f} % of the seconds belong to an event"
        )


def make_scenes(
    folder: str | Path, *, videos: int = 240, seed: int = 0, seconds: int = 10, workers: int | None = None,
    progress: bool = True,
) -> Scenes:
    """Write a small AVE of synthetic clips, or complete one.

    Writes ``videos/<id>.mp4``, ``Annotations.txt``, ``trainSet.txt``, ``valSet.txt``, ``testSet.txt`` and
    ``scenes.json`` (the settings). Every file is written completely or not at all; a second call with the same settings
    writes only what is missing. One call at a time may work on a folder.

    Args:
        folder: created if it does not exist.
        videos: N, at least 8.
        seed: of everything that is random.
        seconds: T of every clip.
        workers: processes; ``None``: one per core, 1: only this one.
        progress: show a bar on stderr.

    Raises:
        ScenesError: impossible settings, a folder with other scenes or other data, or workers that died.
        OSError: a file cannot be written.
    """
    folder, settings = Path(folder), Settings(videos, seed, seconds)
    if workers is not None and workers < 1:
        raise ScenesError(f"workers={workers}: at least 1")
    scripts = write_scripts(settings)
    _check_or_write_record(folder, settings)
    clips = [(folder / "videos" / f"{script.video_id}.mp4", script) for script in scripts]
    missing = [(path, script) for path, script in clips if not path.is_file()]
    with tqdm(total=len(clips), initial=len(clips) - len(missing), desc="scenes", unit="clip",
              disable=not progress, dynamic_ncols=True) as bar:  # fmt: skip
        _write_clips(missing, workers or cores(), bar)
    lines = {script: _line(script) for script in scripts}
    for split, name in SPLIT_FILES.items():
        write_text(folder / name, "".join(line for script, line in lines.items() if script.split == split))
    write_text(folder / "Annotations.txt", "".join([f"{HEADER}\n", *lines.values()]))
    return Scenes(folder, scripts, len(missing))


def _line(script: Script) -> str:
    return f"{script.category}&{script.video_id}&{QUALITY}&{script.start}&{script.end}\n"


def make_clip(clip: tuple[Path, Script]) -> None:
    """Write one clip's file."""
    path, script = clip
    write_film(path, draw_frames(script), mix_sound(script), frame_rate=FRAME_RATE, sample_rate=RATE)


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
    taken = [name for name in ("Annotations.txt", *SPLIT_FILES.values(), "videos") if (folder / name).exists()]
    if taken:
        raise ScenesError(f"{folder} contains {', '.join(taken)} but no {RECORD}: other data; use another folder")
    write_json(path, record)
