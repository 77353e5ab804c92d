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
from torch.nn.utils.rnn import pad_sequence

from avsgn_pyg.features.extraction.jobs import ExtractionError, Failed, Marks, Video
from avsgn_pyg.features.extraction.whole import write_json, write_whole

try:
    import fcntl
except ImportError:  # pragma: no cover - Windows: two runs at once are not noticed there.
    fcntl = None

MANIFEST = "manifest.json"

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
        versions: of this run's packages.
        earlier: versions of the runs that these parts are of.
    """

    folder: Path
    finished: dict[str, Encoded] = field(default_factory=dict)
    failed: dict[str, Failed] = field(default_factory=dict)
    replace: bool = False
    versions: dict[str, str] = field(default_factory=dict)
    earlier: list[dict[str, str]] = field(default_factory=list)
    _next: int = 1
    _done: bool = False

    def lacks(self, video: Video, retry_failed: bool = False) -> bool:
        """Whether `video` is still to be encoded: new, another file than before, or failed and to be tried again."""
        there = self.finished.get(video.id)
        if there is not None:
            # A file that cannot be looked at now is not known to be another.
            return video.size not in (there.size, -1)
        return retry_failed or video.id not in self.failed

    def add(self, videos: Mapping[str, Encoded]) -> None:
        """Keep finished videos, all in one new file; ExtractionError where it cannot be written."""
        if self.versions not in self.earlier:
            self.earlier.append(self.versions)
            path = self.folder / MANIFEST
            write_json(path, {**json.loads(path.read_text(encoding="utf-8")), "versions": self.earlier})
        rows = list(videos.values())
        arrays = {
            "ids": np.array(list(videos)),
            "audio": pad_sequence([row.audio for row in rows], batch_first=True).numpy(),
            "visual": pad_sequence([row.visual for row in rows], batch_first=True).numpy(),
            "lengths": np.array([len(row.audio) for row in rows]),
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
        write_json(self.folder / "failed.json", [failed.record() for failed in self.failed.values()])

    def remove(self) -> None:
        """The folder may go once these are closed; the output holds everything."""
        self._done = True


@contextmanager
def opened(
    out: Path, settings: Mapping[str, Any], *, overwrite: bool = False, versions: Mapping[str, str] | None = None
) -> Iterator[Parts]:
    """The parts of the output `out`, for one process at a time.

    Args:
        out: the store that they will make.
        settings: what the features depend on; JSON-ready.
        overwrite: forget what is there, and the store as well once this is done; an equal replacement that was
            stopped is gone on with.
        versions: of this run's packages; kept where it finishes something.

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
        if overwrite and not _replaces_by(folder / MANIFEST, settings):
            _empty(folder)
        manifest = _manifest(folder / MANIFEST, dict(settings), overwrite)
        parts = Parts(folder, replace=manifest["replace"], versions=dict(versions or {}), earlier=manifest["versions"])
        try:
            _read(parts)
            yield parts
        finally:
            if parts._done or not (any(folder.glob("part-*.npz")) or (folder / "failed.json").is_file()):
                if fcntl is None:
                    # Windows removes no file that is open; elsewhere the lock holds until the folder is gone.
                    lock.close()
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


def _replaces_by(path: Path, settings: Mapping[str, Any]) -> bool:
    """Whether the manifest is of a replacement by these very settings, which was stopped."""
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
        return bool(found["replace"]) and found["settings"] == json.loads(json.dumps(settings))
    except (OSError, ValueError, TypeError, KeyError):
        return False


def _manifest(path: Path, settings: dict[str, Any], replace: bool) -> dict[str, Any]:
    if not path.is_file():
        manifest = {"settings": settings, "replace": replace, "versions": []}
        write_json(path, manifest)
        return manifest
    manifest = _parsed(path, lambda found: {key: found[key] for key in ("settings", "replace", "versions")})
    refuse_other_settings(path.parent, manifest["settings"], json.loads(json.dumps(settings)))
    return manifest


def _read(parts: Parts) -> None:
    for scratch in parts.folder.glob("*.partial"):
        scratch.unlink()
    paths = sorted(parts.folder.glob("part-*.npz"))
    for path in paths:
        try:
            parts.finished |= _part(path)
        except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile) as error:
            logger.warning("%s: damaged (%s); its videos are encoded again", path, error)
            path.unlink()
    parts._next = 1 + max((int(path.stem.partition("-")[2]) for path in paths), default=0)
    path = parts.folder / "failed.json"
    if path.is_file():
        found = _parsed(path, lambda records: [Failed.of(record) for record in records])
        parts.failed = {each.id: each for each in found if each.id not in parts.finished and not each.passing}


def _part(path: Path) -> dict[str, Encoded]:
    with np.load(path, allow_pickle=False) as file:
        audio, visual = (torch.from_numpy(file[kind]) for kind in ("audio", "visual"))
        marks, ids = file["marks"].tolist(), file["ids"].tolist()
        # Parts of earlier releases hold one length.
        ends = file["lengths"].tolist() if "lengths" in file else [audio.shape[1]] * len(ids)
    return {
        key: Encoded(audio[at, : ends[at]], visual[at, : ends[at]], Marks(*given, bool(breaks_off)), size)
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
