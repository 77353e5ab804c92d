"""Finished videos on disk, so that an extraction resumes after any kill.

``features.h5.parts/`` contains ``manifest.json`` (what the features depend on), ``part-000001.pt`` ... (results of some
videos each; a later one supersedes earlier ones) and a lock. Once the store is written the folder is removed.
"""

from __future__ import annotations

import io
import json
import logging
import os
import shutil
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from avsgn_pyg.common.errors import ExtractionError
from avsgn_pyg.common.files import lock, write_bytes, write_json
from avsgn_pyg.features.extraction.contents import Contents, Encoded, refuse_other_settings
from avsgn_pyg.features.extraction.videos import Failure, Flags, Video

FORMAT = 2

logger = logging.getLogger(__name__)


@dataclass(kw_only=True)
class Progress(Contents):
    """Finished and failed videos of one output, and the folder that keeps them.

    Attributes:
        folder: where they are kept.
        replace: they will replace the store, not extend it.
        versions: of this run's packages.
        parts: number of the last part.
        done: the store is written, so the folder can be removed.
    """

    folder: Path
    replace: bool
    versions: Mapping[str, str]
    parts: int = 0
    done: bool = False

    def lacks(self, video: Video, retry_failed: bool = False) -> bool:
        """Return whether `video` is to be encoded: it is new, its file was replaced, or it failed and is retried."""
        known, failure = self.finished.get(video.id), self.failed.get(video.id)
        if known is not None:
            return video.start != known.flags.start or video.size not in (known.size, -1)
        return retry_failed or failure is None or failure.size not in (video.size, -1)

    def add(self, results: Mapping[str, Encoded | Failure]) -> None:
        """Keep results, in one new file; ExtractionError if it cannot be written."""
        part = {
            "finished": {key: (result.audio, result.visual, list(result.flags), result.size)
                         for key, result in results.items() if isinstance(result, Encoded)},
            "failed": [result.record() for result in results.values() if isinstance(result, Failure)],
            "versions": dict(self.versions),
        }
        buffer = io.BytesIO()
        torch.save(part, buffer)
        with explain_disk_errors(self.folder):
            write_bytes(self.folder / f"part-{self.parts + 1:06d}.pt", buffer.getvalue())
        self.parts += 1
        self._include(part)

    def read(self) -> None:
        """Read what earlier runs kept; damaged files are removed, and their videos encoded again."""
        for path in sorted(self.folder.glob("part-*.pt")):
            self.parts = int(path.stem.partition("-")[2])
            try:
                self._include(torch.load(path, weights_only=True))
            except Exception as error:
                logger.warning("%s: damaged (%s); its videos are encoded again", path, error)
                path.unlink()
        self.failed = {key: failure for key, failure in self.failed.items() if not failure.retryable}

    def _include(self, part: Mapping[str, Any]) -> None:
        for key, (audio, visual, flags, size) in part["finished"].items():
            self.finished[key] = Encoded(audio, visual, Flags(*flags), size)
            self.failed.pop(key, None)
        for failure in map(Failure.from_record, part["failed"]):
            self.finished.pop(failure.id, None)
            self.failed[failure.id] = failure
        if part["finished"] and part["versions"] not in self.runs:
            self.runs.append(part["versions"])


@contextmanager
def open_progress(
    out: Path, settings: Mapping[str, Any], *, overwrite: bool = False, versions: Mapping[str, str] | None = None
) -> Iterator[Progress]:
    """Open the progress of the output `out`, for one process at a time.

    Args:
        out: the store to be written.
        settings: what the features depend on; JSON-ready.
        overwrite: discard what exists, unless it is a stopped replacement with equal settings, which is resumed.
        versions: of this run's packages.

    Raises:
        ExtractionError: another process uses it; it has other settings (names them); it is damaged or of another
            release; the folder cannot be written.
        DataError: the folder or its lock is a symbolic link, or belongs to another user.
    """
    folder = out.with_name(f"{out.name}.parts")
    with ExitStack() as stack:
        with explain_disk_errors(folder):
            if not stack.enter_context(lock(folder / "lock")):
                raise ExtractionError(f"{folder}: another process is extracting to it; wait for it, or stop it")
            replace = _agree(folder, dict(settings), overwrite)
            progress = Progress(folder=folder, replace=replace, versions=versions or {})
            progress.read()
        try:
            yield progress
        finally:
            removed = progress.done or not progress.parts
            if removed:
                shutil.rmtree(folder, ignore_errors=True)
    if removed and os.name == "nt":  # a lock can be removed only after its release
        shutil.rmtree(folder, ignore_errors=True)


def _agree(folder: Path, settings: dict[str, Any], replace: bool) -> bool:
    """Return whether the progress in `folder`, which is now one of these settings, replaces the store."""
    path, new = folder / "manifest.json", {"format": FORMAT, "settings": settings, "replace": replace}
    old = _read_manifest(path)
    if replace and old != new:
        for entry in folder.iterdir():
            if entry.stem != "lock":
                entry.unlink()
        old = None
    if old is None:
        write_json(path, new)
        return replace
    if old.get("format") != FORMAT:
        raise ExtractionError(f"{folder}: damaged, or written by another version; remove it, or "
                              "start again with --overwrite")
    refuse_other_settings(folder, old["settings"], settings)
    return old["replace"]


def _read_manifest(path: Path) -> dict[str, Any] | None:
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return None
    except ValueError:
        return {}


@contextmanager
def explain_disk_errors(path: Path) -> Iterator[None]:
    """Turn an OSError into an ExtractionError that says how to resume."""
    try:
        yield
    except OSError as error:
        raise ExtractionError(
            f"{path}: cannot be written ({error.strerror or error}). Finished videos are kept: make room, and run the "
            "same command again"
        ) from None
