"""The clips of the page: files of one session each, found by a secret token, and removed with their session."""

from __future__ import annotations

import secrets
import shutil
import tempfile
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from avsgn_pyg.common.errors import DataError
from avsgn_pyg.common.text import file_name, printable

#: Maximum number of clips per session and of files not yet claimed by a session; seconds until the latter are removed.
PER_SESSION, UNCLAIMED, CLAIM_SECONDS = 8, 16, 600
#: Maximum length of the name of a file.
LONGEST: Final = 120


@dataclass(eq=False)
class Clip:
    """An uploaded file, or an example, which belongs to no session and stays.

    Attributes:
        token: its name in addresses; cannot be guessed.
        name: of the file on the machine that sent it.
        owner: the first session that requested the clip; ``None`` before.
        encoded: model and labels -> the features of its windows. results: id -> prediction, model.
    """

    token: str
    name: str
    path: Path
    owner: str | None = None
    example: bool = False
    created: float = field(default_factory=time.monotonic)
    encoded: dict[Any, Any] = field(default_factory=dict)
    results: dict[str, Any] = field(default_factory=dict)
    preview: Any = None


class Uploads:
    """All clips of a running page, in a folder of their own; :meth:`close` removes it.

    Args:
        examples: files that every session may use; they are not copied.
        most_bytes: maximum size of a file.
    """

    def __init__(self, examples: Iterable[Path] = (), *, most_bytes: int = 500_000_000) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="avsgn-page-"))
        self.most_bytes = most_bytes
        self._clips: dict[str, Clip] = {}
        self.examples = [self.add_example(path) for path in examples]

    def add_example(self, path: Path) -> Clip:
        """Return a file of this machine as a clip that every session may use."""
        known = next((clip for clip in self._clips.values() if clip.example and clip.path == path), None)
        return known or self._add(Clip(secrets.token_urlsafe(16), path.name, path, example=True))

    @contextmanager
    def receive(self, name: str) -> Iterator[Path]:
        """Yield the path to write an uploaded file to, in a folder with its token; removed after an error."""
        for clip in list(self._clips.values()):
            if clip.owner is None and not clip.example and time.monotonic() - clip.created > CLAIM_SECONDS:
                self._remove(clip)
        known = (self._clips.get(folder.name) for folder in self.folder.iterdir())  # None: still being uploaded
        if sum(clip is None or clip.owner is None for clip in known) >= UNCLAIMED:
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
        """Return the clip of a token, which from now on belongs to the session; DataError if it was removed."""
        clip = self.find(token)
        if clip.example:
            return clip
        if clip.owner not in (None, session):
            raise DataError("This clip belongs to another session of the page; upload it again.")
        clip.owner = session
        own = [other for other in self._clips.values() if other.owner == session and not other.example]
        for other in own[:-PER_SESSION]:
            self._remove(other)
        return clip

    def get(self, token: Any) -> Clip | None:
        """Return the clip of a token, or ``None``."""
        return self._clips.get(token) if isinstance(token, str) else None

    def find(self, token: Any) -> Clip:
        """Return the clip of a token; DataError if there is none."""
        clip = self.get(token)
        if clip is None:
            raise DataError("This clip is no longer available: it is removed when its page is closed. Upload it again.")
        return clip

    def remove_session(self, session: str | None) -> None:
        """Remove the clips of a session."""
        for clip in list(self._clips.values()):
            if clip.owner == session and not clip.example:
                self._remove(clip)

    def close(self) -> None:
        """Remove all uploaded files."""
        shutil.rmtree(self.folder, ignore_errors=True)

    def _add(self, clip: Clip) -> Clip:
        self._clips[clip.token] = clip
        return clip

    def _remove(self, clip: Clip) -> None:
        self._clips.pop(clip.token, None)
        shutil.rmtree(clip.path.parent, ignore_errors=True)
