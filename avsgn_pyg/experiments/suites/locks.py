"""Locks between processes, of one machine or of several that share a folder: a file each, below ``.locks``."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None

#: In a suite's folder.
LOCKS = ".locks"


@contextmanager
def held(out: Path, name: str, *, wait: bool) -> Iterator[bool]:
    """Hold the lock `name` of a suite's folder within; it ends with the process, however that ends.

    Args:
        wait: until whoever holds it lets go; else the answer is ``False`` at once, and it is not held.

    Yields:
        Whether it is held. Windows has no such locks: always ``True`` there.
    """
    path = out / LOCKS / name
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("ab") as file:
        yield _take(file, wait)


def _take(file: IO[bytes], wait: bool) -> bool:
    if fcntl is None:
        return True
    try:
        fcntl.flock(file, fcntl.LOCK_EX if wait else fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
