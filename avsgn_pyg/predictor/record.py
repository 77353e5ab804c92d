"""The record of an output folder: which of its files predictions wrote, of which clips, and with which settings.

``predictions.jsonl`` has a line for every file, added before the file appears under its name, and one for every
finished clip. A file is *recorded* if a line has its name and its present hash; other files are replaced only with
``overwrite``. An interrupted prediction resumes with the clips that have no line. ``summary.csv`` is a table of all,
``index.html`` a page about them.
"""

from __future__ import annotations

import csv
import io
import json
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any, Final

from avsgn_pyg.common.errors import DataError
from avsgn_pyg.common.files import atomic, lock, sha256
from avsgn_pyg.common.lease import open_own
from avsgn_pyg.common.text import csv_cell, file_name
from avsgn_pyg.predictor.index import index_page

RECORD: Final = "predictions.jsonl"
SUMMARY: Final = "summary.csv"
INDEX: Final = "index.html"
#: First line of a record.
HEADER: Final = {"record": "predictions of avsgn_pyg", "format": 1}
#: Between the stem of a clip and the number of an event, in the names of its cuts.
CUT: Final = ".event-"
COLUMNS: Final = ("file", "duration", "events", "notes", "failure", "written")


class OutputFolder:
    """The folder of the files of many clips, and its record; :func:`open_output` opens it."""

    def __init__(self, folder: Path, overwrite: bool = False) -> None:
        self.folder, self.overwrite = folder, overwrite
        self._hashes: dict[str, set[str]] = {}
        self._clips: dict[str, dict[str, Any]] = {}
        self._failures: dict[str, str] = {}
        self._read()

    def stems(self, clips: Sequence[Path]) -> dict[Path, str]:
        """Return :func:`file_stems`; a clip keeps the names that it has in the record."""
        recorded = {clip: entry["stem"] for clip, entry in self._clips.items() if os.path.lexists(clip)}
        return file_stems(clips, recorded)

    def is_done(self, clip: Path, state: Mapping[str, Any], names: Sequence[str]) -> bool:
        """Return whether the clip and all of its files are as the record says.

        Args:
            state: of :func:`state`.
            names: the files that would be written.

        Raises:
            DataError: they are not, and files would be lost; not with `overwrite`.
        """
        entry = self._clips.get(os.path.abspath(clip))
        changed = _changed(entry, state) if entry else []
        if entry and not changed and all(self._hash(name) == digest for name, digest in entry["files"].items()):
            return True
        if changed and not self.overwrite:
            raise DataError(f"{clip}: was predicted into {self.folder} before, and {'; '.join(changed)} changed since; "
                            "use overwrite=True to replace its files, or another folder to keep them")
        for name in (*(entry["files"] if entry else ()), *names):
            self._check(name)
        return False

    def files(self, clip: Path) -> tuple[Path, ...]:
        """Return the files that the record names for a clip."""
        return tuple(self.folder / name for name in self._clips.get(os.path.abspath(clip), {}).get("files", ()))

    @contextmanager
    def place(self, name: str) -> Iterator[Path]:
        """Yield a path to write a file to, which appears under its name when it is complete and recorded.

        DataError for an existing file that is not recorded; OSError if it cannot be written.
        """
        self._check(name)
        with atomic(self.folder / name) as partial:
            yield partial
            self._add({"file": name, "sha256": sha256(partial)})

    def finish(self, clip: Path, state: Mapping[str, Any], stem: str, files: Sequence[str], **summary: Any) -> None:
        """Add the line of a clip whose `files` are written; `summary`: duration, events, found and notes.

        Cuts of earlier events that the clip no longer has are removed unless they were edited.
        """
        hashes = {name: self._hash(name) for name in files}
        for name, digest in self._clips.get(os.path.abspath(clip), {"files": {}})["files"].items():
            if name not in hashes and name.startswith(f"{stem}{CUT}") and self._hash(name) == digest:
                (self.folder / name).unlink()
        self._add({"clip": os.path.abspath(clip), **state, "stem": stem, "files": hashes, **summary})

    def fail(self, clip: Path, reason: str) -> None:
        """Add the line of a clip that failed; an earlier prediction of it stays recorded."""
        self._add({"failed": os.path.abspath(clip), "reason": reason})

    def write_summary(self) -> Path:
        """Write ``summary.csv`` and ``index.html`` about all clips; DataError if other files have these names."""
        rows = []
        for clip in sorted({*self._clips, *self._failures}):
            entry = self._clips.get(clip, {})
            rows.append((clip, entry.get("duration", ""), *("; ".join(entry.get(key, ())) for key in
                         ("events", "notes")), self._failures.get(clip, ""), " ".join(entry.get("files", ()))))
        text = io.StringIO()
        csv.writer(text, lineterminator="\n").writerows([COLUMNS, *(map(csv_cell, row) for row in rows)])
        with self.place(SUMMARY) as partial:
            partial.write_text(text.getvalue(), encoding="utf-8")
        with self.place(INDEX) as partial:
            partial.write_text(index_page(self.folder, self._clips, self._failures), encoding="utf-8")
        return self.folder / SUMMARY

    def _hash(self, name: str) -> str | None:
        path = self.folder / name
        return sha256(path) if path.is_file() and not path.is_symlink() else None

    def _check(self, name: str) -> None:
        """Raise DataError for an existing file that is not recorded."""
        free = not os.path.lexists(self.folder / name) or self._hash(name) in self._hashes.get(name, ())
        if not free and not self.overwrite:
            how = "was changed after it was written" if name in self._hashes else "was not written by a prediction"
            raise DataError(f"{self.folder / name}: {how}; move it, or use overwrite=True to replace it")

    def _read(self) -> None:
        path = self.folder / RECORD
        with open(open_own(path, os.O_RDONLY | os.O_CREAT), "rb") as file:
            lines = file.read().split(b"\n")
        for number, line in enumerate(lines):
            with suppress(ValueError, KeyError, TypeError, AttributeError):  # a line that a kill cut short
                self._note(json.loads(line)) if number else None
        if lines == [b""]:
            self._append(HEADER)
        elif lines[0] != json.dumps(HEADER).encode():
            raise DataError(f"{path}: not a record of predictions of this version; choose another folder")

    def _note(self, line: Mapping[str, Any]) -> None:
        """Take a line of the record into account."""
        if "file" in line:
            self._hashes.setdefault(line["file"], set()).add(line["sha256"])
        elif "failed" in line:
            self._failures[line["failed"]] = line["reason"]
        elif all(name == os.path.basename(name) for name in (line["stem"], *line["files"])):  # not in another folder
            self._clips[line["clip"]] = {**line}
            self._failures.pop(line["clip"], None)

    def _add(self, line: Mapping[str, Any]) -> None:
        self._append(line)
        self._note(line)

    def _append(self, line: Mapping[str, Any]) -> None:
        """Add a line to the record; the line break comes first, so that it ends a line that was interrupted."""
        with open(open_own(self.folder / RECORD, os.O_WRONLY | os.O_CREAT | os.O_APPEND), "ab") as file:
            file.write((b"\n" if file.tell() else b"") + json.dumps(line).encode())
            file.flush()
            os.fsync(file.fileno())


@contextmanager
def open_output(folder: Path, overwrite: bool = False) -> Iterator[OutputFolder]:
    """Open the folder of the files of many clips, for one process at a time.

    Args:
        folder: created if it does not exist.
        overwrite: replace files that are not recorded, and the files of clips that have changed.

    Raises:
        DataError: the folder cannot be written, another process predicts into it, or its ``predictions.jsonl`` is not
            a record.
    """
    with ExitStack() as stack:
        try:
            folder.mkdir(parents=True, exist_ok=True)
            held = stack.enter_context(lock(folder / ".locks" / "predictions"))
            found = OutputFolder(folder, overwrite) if held else None
        except OSError as error:
            raise DataError(f"{error.filename or folder}: cannot be written ({error.strerror})") from None
        if found is None:
            raise DataError(f"{folder}: another process is predicting into it; wait for it, or choose another folder")
        yield found


def recorded_files(folder: Path) -> set[str]:
    """Return the names of the files in a folder that predictions wrote, as its record says; none without a record."""
    path, found = folder / RECORD, set()
    for line in path.read_bytes().splitlines() if path.is_file() else ():
        with suppress(ValueError, KeyError, TypeError):
            found.add(json.loads(line)["file"])
    return found


def file_stems(clips: Sequence[Path], recorded: Mapping[str, str] | None = None) -> dict[Path, str]:
    """Return the stem of each clip's output files: its own stem, preceded by folders if two would be the same.

    Stems differ not only in upper and lower case, and contain nothing that Windows or macOS forbid.

    Args:
        recorded: names that are in use, by the clip's absolute path.
    """
    recorded, found = recorded or {}, {}
    taken = set(map(_key, recorded.values()))
    for clip in clips:
        free = (name for name in _names(clip) if _key(name) not in taken)
        found[clip] = recorded.get(os.path.abspath(clip)) or next(free)
        taken.add(_key(found[clip]))
    return found


def _key(stem: str) -> str:
    """Return what differs between stems: the table of ``a.labels`` would be the labels of ``a``."""
    return stem.casefold().removesuffix(".labels")


def _names(clip: Path) -> Iterator[str]:
    """Yield stems for a clip's files, with more and more of its folders, then with its suffix."""
    folders = [part for part in clip.absolute().parts[:-1] if part != clip.anchor]
    for last in (clip.stem, clip.name):
        for depth in range(len(folders) + 1):
            yield file_name("__".join((*folders[len(folders) - depth :], last)))


def state(clip: Path, settings: Mapping[str, Any]) -> dict[str, Any]:
    """Return size and time of a clip, and the settings as JSON has them; OSError if there is no such file."""
    found = clip.stat()
    return {"size": found.st_size, "modified": found.st_mtime_ns, "settings": json.loads(json.dumps(settings))}


def _changed(entry: Mapping[str, Any], state: Mapping[str, Any]) -> list[str]:
    """Return what differs from the record, in words."""
    changed = ["the clip"] if any(entry[key] != state[key] for key in ("size", "modified")) else []
    old, new = entry["settings"], state["settings"]
    return changed + [f"{key} ({_short(old.get(key))} then, {_short(new.get(key))} now)"
                      for key in dict.fromkeys((*old, *new)) if old.get(key) != new.get(key)]


def _short(value: Any) -> str:
    text = value[:12] if isinstance(value, str) and len(value) == 64 else json.dumps(value, ensure_ascii=False)
    return text if len(text) <= 60 else f"{text[:57]}..."
