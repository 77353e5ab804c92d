"""What an extraction has finished, kept beside its output so that a killed one goes on where it stood.

``features.h5.parts/`` holds ``manifest.json`` (what the features depend on), ``part-000001.npz`` ... (some finished
videos each), ``failed.json``, and a lock. Every file appears whole or not at all. Parts of other settings are
refused. Once the store is written the folder goes; a later run then starts from the store itself.

Letters: V videos of a part, T segments, da / dv widths.
"""

from __future__ import annotations

import io
import json
import logging
import os
import shutil
import zipfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from avsgn_pyg.features.extraction.jobs import ExtractionError, Failed, Marks, Video

try:
    import fcntl
except ImportError:  # pragma: no cover - Windows: two runs at once are not noticed there.
    fcntl = None

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Encoded:
    """A finished video.

    Attributes:
        audio: [T, da].
        visual: [T, dv].
        marks: what was padded.
        size: the file's bytes.
    """

    audio: Float[Tensor, "T da"]
    visual: Float[Tensor, "T dv"]
    marks: Marks
    size: int


@dataclass
class Parts:
    """Finished and failed videos of one output, and the folder that keeps them.

    Attributes:
        folder: where they lie.
        finished: by id.
        failed: by id.
        replace: they will take the place of the store that is there, not add to it.
    """

    folder: Path
    finished: dict[str, Encoded] = field(default_factory=dict)
    failed: dict[str, Failed] = field(default_factory=dict)
    replace: bool = False
    _next: int = 1

    def lacks(self, video: Video, retry_failed: bool = False) -> bool:
        """Whether `video` is still to be encoded: new, another file than before, or failed and to be tried again."""
        there = self.finished.get(video.id)
        if there is not None:
            return there.size != video.size
        return retry_failed or video.id not in self.failed

    def add(self, videos: Mapping[str, Encoded]) -> None:
        """Keep finished videos, all in one new file; ExtractionError where it cannot be written."""
        rows = list(videos.values())
        arrays = {
            "ids": np.array(list(videos)),
            "audio": torch.stack([row.audio for row in rows]).numpy(),
            "visual": torch.stack([row.visual for row in rows]).numpy(),
            "marks": np.array([(*row.marks, row.size) for row in rows]),
        }
        buffer = io.BytesIO()
        np.savez(buffer, **arrays)
        write_whole(self.folder / f"part-{self._next:06d}.npz", buffer.getvalue())
        self._next += 1
        self.finished |= videos
        if any(self.failed.pop(key, None) for key in videos):
            self._write_failed()

    def fail(self, failed: Sequence[Failed]) -> None:
        """Keep that videos failed."""
        self.failed |= {each.id: each for each in failed}
        self._write_failed()

    def _write_failed(self) -> None:
        records = [failed.record() for failed in self.failed.values()]
        write_whole(self.folder / "failed.json", json.dumps(records, ensure_ascii=False).encode())

    def remove(self) -> None:
        """The folder goes; the output holds everything."""
        shutil.rmtree(self.folder)


@contextmanager
def opened(out: Path, settings: Mapping[str, Any], *, overwrite: bool = False) -> Iterator[Parts]:
    """The parts of the output `out`, for one process at a time.

    Args:
        out: the store that they will make.
        settings: what the features depend on; JSON-ready.
        overwrite: forget what is there, and the store as well once this is done.

    Raises:
        ExtractionError: another process is at it; the parts are of other settings (names them); the
            folder cannot be written.
    """
    folder = out.with_name(f"{out.name}.parts")
    try:
        folder.mkdir(parents=True, exist_ok=True)
        lock = (folder / "lock").open("wb")
    except OSError as error:
        raise ExtractionError(f"{folder}: cannot be written ({error.strerror})") from None
    with lock:
        _lock(lock, folder)
        if overwrite:
            _empty(folder)
        manifest = _manifest(folder / "manifest.json", dict(settings), overwrite)
        try:
            yield _read(folder, manifest["replace"])
        finally:
            if not any(folder.glob("part-*.npz")) and not any(folder.glob("failed.json")):
                shutil.rmtree(folder, ignore_errors=True)


def refuse_other_settings(
    where: Path,
    there: Mapping[str, Any],
    now: Mapping[str, Any],
    hint: str = "go on with those, give another output, or start again with --overwrite",
) -> None:
    """ExtractionError that names every setting by which what lies at `where` differs, and what to do (`hint`)."""
    differing = [key for key in {**there, **now} if there.get(key) != now.get(key)]
    if differing:
        told = "; ".join(f"{key}: {_short(there.get(key))} there, {_short(now.get(key))} now" for key in differing)
        raise ExtractionError(f"{where}: made with other settings ({told}); {hint}")


def write_whole(path: Path, content: bytes) -> None:
    """Write a file that appears whole or not at all; ExtractionError says what could not be written."""
    scratch = path.with_name(f"{path.name}.partial")
    try:
        with scratch.open("wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        os.replace(scratch, path)
    except OSError as error:
        scratch.unlink(missing_ok=True)
        raise cannot_write(path, error) from None


def cannot_write(path: Path, error: Exception) -> ExtractionError:
    """What to say where the disk is full or refuses."""
    said = getattr(error, "strerror", None) or str(error)
    return ExtractionError(
        f"{path}: cannot be written ({said}). What was finished is kept: make room, and run the same command again"
    )


def _lock(file: BinaryIO, folder: Path) -> None:
    if fcntl is None:
        return
    try:
        # Ends with the process, however it ends: no lock is left behind by a kill.
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        raise ExtractionError(f"{folder}: another process is extracting to it; wait for it, or stop it") from None


def _empty(folder: Path) -> None:
    for path in folder.iterdir():
        if path.name != "lock":
            path.unlink()


def _manifest(path: Path, settings: dict[str, Any], replace: bool) -> dict[str, Any]:
    if not path.is_file():
        manifest = {"settings": settings, "replace": replace}
        write_whole(path, json.dumps(manifest, indent=1, ensure_ascii=False).encode())
        return manifest
    manifest = _parsed(path, lambda found: {key: found[key] for key in ("settings", "replace")})
    refuse_other_settings(path.parent, manifest["settings"], json.loads(json.dumps(settings)))
    return manifest


def _read(folder: Path, replace: bool) -> Parts:
    for scratch in folder.glob("*.partial"):
        scratch.unlink()
    parts = Parts(folder, replace=replace)
    paths = sorted(folder.glob("part-*.npz"))
    for path in paths:
        try:
            parts.finished |= _part(path)
        except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile) as error:
            logger.warning("%s: damaged (%s); its videos are encoded again", path, error)
            path.unlink()
    parts._next = 1 + max((int(path.stem.partition("-")[2]) for path in paths), default=0)
    if (folder / "failed.json").is_file():
        records: Sequence[dict[str, Any]] = _parsed(folder / "failed.json", list)
        found = (Failed(each["id"], tuple(each["rows"]), each["reason"]) for each in records)
        parts.failed = {failed.id: failed for failed in found if failed.id not in parts.finished}
    return parts


def _part(path: Path) -> dict[str, Encoded]:
    with np.load(path, allow_pickle=False) as file:
        audio, visual = (torch.from_numpy(file[kind]) for kind in ("audio", "visual"))
        marks, ids = file["marks"].tolist(), file["ids"].tolist()
    return {
        key: Encoded(audio[at], visual[at], Marks(*given, bool(breaks_off)), size)
        for at, (key, (*given, breaks_off, size)) in enumerate(zip(ids, marks, strict=True))
    }


def _parsed(path: Path, form: Callable[..., Any]) -> Any:
    try:
        return form(json.loads(path.read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError, KeyError) as error:
        raise ExtractionError(f"{path}: damaged ({error}); start again with --overwrite") from None


def _short(value: Any) -> str:
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    return f"{text[:12]}…" if len(text) == 64 else text
