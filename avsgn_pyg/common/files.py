"""Files and folders written completely or not at all, and locks between processes; needs neither torch nor PyG.

Nothing here follows a symbolic link that somebody else put in place of a file: temporary files have random names and
are created exclusively; files with fixed names are opened with ``O_NOFOLLOW``.
"""

from __future__ import annotations

import errno
import hashlib
import json
import os
import re
import secrets
import shutil
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from functools import cache
from pathlib import Path
from typing import Any, Final

from avsgn_pyg.common.lease import check_folder, create, is_running, lease, machine, open_own, warn

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None
    import msvcrt

_POLL: Final = 0.1
#: Errors of file systems without locks, such as NFS without lockd and Lustre without flock.
_NO_LOCKS: Final = (errno.ENOLCK, errno.ENOSYS, errno.ENOTSUP, errno.EOPNOTSUPP)


@contextmanager
def atomic(path: Path, *, folder: bool = False) -> Iterator[Path]:
    """Yield an empty file, or folder, with a hidden, random name next to `path`; it is renamed to `path` at the end.

    A reader sees the old file or the new one, never a partial one, even after a kill. An existing file is replaced, and
    so is a symbolic link, whose target stays as it is; an existing folder is an error. After an error nothing is left
    behind. Leftovers of killed processes of this machine are removed when a process first writes to the folder.

    Raises:
        FileExistsError: `path` is a folder.
        OSError: the disk is full or the path is not writable.
    """
    if path.is_dir():
        raise FileExistsError(f"{path}: exists already, and a folder is never replaced")
    path.parent.mkdir(parents=True, exist_ok=True)
    _remove_leftovers(path.parent.resolve())
    partial = path.with_name(f".{path.name[:40]}.{machine()}-{os.getpid()}-{secrets.token_hex(8)}.partial")
    partial.mkdir() if folder else create(partial)
    try:
        yield partial
        _flush(partial)
        partial.replace(path)
    except BaseException:
        _remove(partial)
        raise
    with suppress(OSError):  # some file systems refuse this for folders
        _sync(path.parent)


def write_text(path: Path, text: str) -> None:
    """Write a UTF-8 file as :func:`atomic` does; lone surrogates (of names that are not UTF-8) are escaped."""
    write_bytes(path, text.encode(errors="backslashreplace"))


def write_bytes(path: Path, content: bytes) -> None:
    """Write a file as :func:`atomic` does."""
    with atomic(path) as partial:
        partial.write_bytes(content)


def write_json(path: Path, value: Any) -> None:
    """Write `value` as indented JSON, as :func:`atomic` does."""
    write_text(path, json.dumps(value, indent=2, ensure_ascii=False) + "\n")


def sha256(path: Path) -> str:
    """Return the SHA-256 of a file's content, in hex."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(2**20):
            digest.update(block)
    return digest.hexdigest()


@contextmanager
def lock(path: Path, *, wait: bool = False) -> Iterator[bool]:
    """Hold the lock file `path`; the lock ends with the process, also after a kill.

    On a file system without locks this logs a warning, once, and uses :func:`avsgn_pyg.common.lease.lease` with
    ``<path>.lease`` instead.

    Args:
        wait: until the process that holds it releases it; otherwise yield at once.

    Yields:
        Whether the lock is held; always true with `wait`.

    Raises:
        DataError: the lock file or its folder is a symbolic link, or belongs to another user.
        OSError: the folder is not writable.
    """
    while True:
        with ExitStack() as stack:
            if (held := _acquire(path, stack)) or not wait:
                yield held
                return
        time.sleep(_POLL)


def _acquire(path: Path, stack: ExitStack) -> bool:
    """Return whether the lock is held, from now until `stack` closes."""
    check_folder(path.parent)
    handle = open_own(path)
    stack.callback(os.close, handle)
    try:
        _lock_file(handle)
    except BlockingIOError:
        return False
    except OSError as error:
        if error.errno not in _NO_LOCKS:
            raise
        warn(f"{path.parent}: this file system has no locks ({error.strerror}); write to it from one process only")
        return stack.enter_context(lease(path.with_name(f"{path.name}.lease")))
    with suppress(FileNotFoundError):
        if os.path.samestat(os.fstat(handle), os.stat(path)):
            return True
    return _acquire(path, stack)  # the last holder removed the file


def _lock_file(handle: int) -> None:
    """Lock an open file; BlockingIOError, which is EWOULDBLOCK, if another process holds it."""
    if fcntl is not None:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        return
    try:
        msvcrt.locking(handle, msvcrt.LK_NBLCK, 1)
    except PermissionError as error:
        raise BlockingIOError(*error.args) from None


@cache
def _remove_leftovers(folder: Path) -> None:
    """Remove partial files of dead processes; once in each process, since a folder may have many files."""
    for entry in os.scandir(folder):
        found = re.fullmatch(rf"\..*\.{machine()}-(\d{{1,9}})-[0-9a-f]{{16}}\.partial", entry.name)
        if found and not is_running(int(found[1])):
            with suppress(OSError):  # another process removes it, too
                _remove(Path(entry.path))


def _remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def _flush(path: Path) -> None:
    for entry in (*sorted(path.rglob("*")), path) if path.is_dir() else (path,):
        _sync(entry)


def _sync(path: Path) -> None:
    if path.is_dir() and os.name == "nt":  # Windows opens no folders
        return
    handle = os.open(path, os.O_RDONLY if path.is_dir() else os.O_RDWR)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
