"""Files with fixed names, opened without following links, and leases: locks for file systems that have none."""

from __future__ import annotations

import json
import logging
import os
import platform
import secrets
import stat
import tempfile
import threading
import time
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from functools import cache
from pathlib import Path
from typing import Final

from avsgn_pyg.common.errors import DataError

#: Seconds between two refreshes of a lease; without a refresh, after which any process may take it over; and from
#: taking it over until it is held: of several processes that take it over at once, the last one holds it.
REFRESH, STALE, SETTLE = 30.0, 3600.0, 1.0
_NO_FOLLOW: Final = getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0)
#: Leases of this process.
_HELD: Final[set[Path]] = set()

logger = logging.getLogger(__name__)


def create(path: Path, content: bytes = b"") -> None:
    """Create a file; FileExistsError if there is anything at `path`, a symbolic link too."""
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | _NO_FOLLOW, 0o666), "wb") as file:
        file.write(content)


def open_own(path: Path, flags: int = os.O_RDWR | os.O_CREAT) -> int:
    """Open a file with a fixed name and return its handle; DataError for a link, a device, or another user's file."""
    with suppress(FileNotFoundError):
        _check_own(path, os.lstat(path), stat.S_ISREG)
    handle = os.open(path, flags | _NO_FOLLOW, 0o666)
    try:
        _check_own(path, os.fstat(handle), stat.S_ISREG)
    except DataError:
        os.close(handle)
        raise
    return handle


def touch(path: Path) -> None:
    """Create a file with a fixed name, or set its time, as :func:`open_own` opens it."""
    handle = open_own(path)
    try:
        os.utime(handle if os.utime in os.supports_fd else path)
    finally:
        os.close(handle)


def check_folder(path: Path) -> None:
    """Create a folder with a fixed name if there is none; DataError as for :func:`open_own`."""
    with suppress(FileExistsError):
        path.mkdir(parents=True, exist_ok=True)
    _check_own(path, os.lstat(path), stat.S_ISDIR)


@contextmanager
def repeat(action: Callable[[], object], seconds: float) -> Iterator[None]:
    """Call `action` every so many seconds in a thread."""
    ended = threading.Event()

    def loop() -> None:
        while not ended.wait(seconds):
            action()

    thread = threading.Thread(target=loop, daemon=True)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()


@contextmanager
def lease(path: Path) -> Iterator[bool]:
    """Hold the lease `path` if no other process holds it; yield whether it is held.

    Its holder refreshes it every 30 seconds. Another process takes it over at once if it runs on the same machine and
    the holder has ended, otherwise an hour after the last refresh.
    """
    owner = {"host": platform.node(), "machine": machine(), "pid": os.getpid()}
    record = json.dumps({**owner, "since": time.strftime("%Y-%m-%d %H:%M:%S"), "token": secrets.token_hex(8)})
    if not _take(path, record):
        yield False
        return

    def refresh() -> None:
        with suppress(OSError, DataError):  # the next one may succeed
            touch(path) if _read(path)[0] == record else warn(f"{path}: lost to another process; stop one of the two")

    _HELD.add(path)
    try:
        with repeat(refresh, REFRESH):
            yield True
    finally:
        _HELD.discard(path)
        with suppress(FileNotFoundError):
            if _read(path)[0] == record:
                path.unlink()


@cache
def warn(message: str) -> None:
    """Log a warning, once."""
    logger.warning("%s", message)


@cache
def machine() -> str:
    """Return eight letters that identify the machine, or container, in which process numbers are comparable."""
    space = "/proc/self/ns/pid"
    return f"{zlib.crc32(f'{platform.node()} {os.readlink(space) if os.path.exists(space) else str()}'.encode()):08x}"


def is_running(process: int) -> bool:
    """Return whether a process of this machine runs."""
    if os.name == "nt":  # os.kill would end it there
        return True
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except OSError:
        return True
    return True


def _take(path: Path, record: str) -> bool:
    try:
        create(path, record.encode())
        return True
    except FileExistsError:
        pass
    try:
        found, refreshed = _read(path)
    except FileNotFoundError:  # released just now
        return False
    try:
        owner = json.loads(found)
        holder, pid, here = f"process {owner['pid']} on {owner['host']}", owner["pid"], owner["machine"] == machine()
    except (ValueError, KeyError, TypeError):  # being written
        holder, pid, here = "an unknown process", 0, False
    ended = here and (path not in _HELD if pid == os.getpid() else not is_running(pid))
    if not ended and _new_file(path.parent).st_mtime - refreshed < STALE:
        warn(f"{path}: {holder} holds this lease until it ends (on the same machine), or until {STALE / 3600:g} h "
             "after its last refresh; if it was killed, remove this file")
        return False
    warn(f"{path}: taken over from {holder}, which has ended or has not refreshed it for {STALE / 3600:g} h")
    fresh = path.with_name(f".{path.name}.{secrets.token_hex(8)}")
    create(fresh, record.encode())
    fresh.replace(path)
    time.sleep(SETTLE)
    return _read(path)[0] == record


def _read(path: Path) -> tuple[str, float]:
    """Return content and time of the last refresh."""
    with open(open_own(path, os.O_RDONLY), encoding="utf-8", errors="replace") as file:
        return file.read(), os.fstat(file.fileno()).st_mtime


def _check_own(path: Path, found: os.stat_result, kind: Callable[[int], bool]) -> None:
    if stat.S_ISLNK(found.st_mode):
        problem = "is a symbolic link, which may point to another user's files"
    elif not kind(found.st_mode):
        problem = f"is not a {'folder' if kind is stat.S_ISDIR else 'regular file'}"
    elif os.name == "posix" and found.st_uid != os.geteuid() and found.st_uid != _new_file(path.parent).st_uid:
        problem = f"belongs to another user (uid {found.st_uid})"
    else:
        return
    raise DataError(f"{path}: {problem}; remove it, or choose another output")


def _new_file(folder: Path) -> os.stat_result:
    """Return the status of a new file: the clock and the owners of a file server may differ from this machine's."""
    with tempfile.TemporaryFile(dir=folder) as file:
        return os.fstat(file.fileno())
