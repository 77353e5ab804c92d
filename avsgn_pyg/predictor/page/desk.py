"""The clips of the page: files of one session each, found by a secret token, and removed with their session."""

from __future__ import annotations

import secrets
import shutil
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from threading import Lock
from typing import Any, Final

from avsgn_pyg.common.errors import DataError
from avsgn_pyg.common.text import file_name, printable

#: Most clips of one session, most files that no session has claimed yet, and seconds until such a file is removed.
PER_SESSION, UNCLAIMED, PATIENCE = 8, 16, 600
#: Longest name of a file that is shown.
LONGEST: Final = 120


@dataclass(eq=False)
class Clip:
    """A file that was sent, or one of the made clips, which belong to nobody and stay.

    Attributes:
        token: its name in addresses; cannot be guessed.
        name: what its sender called it.
        owner: the session, once it asked for the clip.
        encoded: model and labels -> the features of its windows. answers: id -> prediction, model.
    """

    token: str
    name: str
    path: Path
    owner: str | None = None
    made: bool = False
    born: float = field(default_factory=time.monotonic)
    encoded: dict[Any, Any] = field(default_factory=dict)
    answers: dict[str, Any] = field(default_factory=dict)
    strip: Any = None


class Desk:
    """All clips of a running page, in a folder of their own; :meth:`close` removes it.

    Args:
        made: files that everyone may look at; they are not copied.
        most_bytes: of a file.
    """

    def __init__(self, made: Iterator[Path] | list[Path] = (), *, most_bytes: int = 500_000_000) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="avsgn-page-"))
        self.most_bytes, self._lock = most_bytes, Lock()
        self._clips: dict[str, Clip] = {}
        self.made = [self.offer(path) for path in made]  #: the clips that everyone is offered

    def offer(self, path: Path) -> Clip:
        """Return a file of this machine as a clip that everyone may look at."""
        known = next((clip for clip in self._clips.values() if clip.made and clip.path == path), None)
        return known or self._add(Clip(secrets.token_urlsafe(16), path.name, path, made=True))

    @contextmanager
    def receive(self, name: str) -> Iterator[Path]:
        """Yield the path to write a sent file to, whose last part is its token; it is removed after an error."""
        self._sweep()
        known = (self._clips.get(folder.name) for folder in self.folder.iterdir())  # None: still being sent
        waiting = sum(1 for clip in known if clip is None or clip.owner is None)
        if waiting >= UNCLAIMED:
            raise DataError("Too many files are waiting to be analysed; try again in a few minutes.")
        name = printable(name.replace("\\", "/").rpartition("/")[2])[-LONGEST:] or "clip"
        folder = self.folder / secrets.token_urlsafe(16)
        folder.mkdir()
        path = folder / f"clip{Path(file_name(name)).suffix.lower()[:8]}"
        try:
            yield path
        except BaseException:
            shutil.rmtree(folder, ignore_errors=True)
            raise
        self._add(Clip(folder.name, name, path))

    def claim(self, token: Any, session: str | None) -> Clip:
        """Return the clip of a token, which from now on belongs to the session; DataError for one that is gone."""
        clip = self.find(token)
        if clip.made:
            return clip
        if clip.owner not in (None, session):
            raise DataError("This clip belongs to another visit of the page; send it again.")
        clip.owner = session
        mine = [other for other in self._clips.values() if other.owner == session and not other.made]
        for other in mine[:-PER_SESSION]:
            self._remove(other)
        return clip

    def get(self, token: Any) -> Clip | None:
        """Return the clip of a token, or ``None``."""
        return self._clips.get(token) if isinstance(token, str) else None

    def find(self, token: Any) -> Clip:
        """Return the clip of a token; DataError if there is none."""
        clip = self.get(token)
        if clip is None:
            raise DataError("This clip is no longer here: it is removed when its page is closed. Send it again.")
        return clip

    def leave(self, session: str | None) -> None:
        """Remove the clips of a session."""
        for clip in list(self._clips.values()):
            if clip.owner == session and not clip.made:
                self._remove(clip)

    def close(self) -> None:
        """Remove all files that were sent."""
        shutil.rmtree(self.folder, ignore_errors=True)

    def _add(self, clip: Clip) -> Clip:
        with self._lock:
            self._clips[clip.token] = clip
        return clip

    def _remove(self, clip: Clip) -> None:
        with self._lock:
            self._clips.pop(clip.token, None)
        shutil.rmtree(clip.path.parent, ignore_errors=True)

    def _sweep(self) -> None:
        now = time.monotonic()
        for clip in list(self._clips.values()):
            if clip.owner is None and not clip.made and now - clip.born > PATIENCE:
                self._remove(clip)
