"""Files and folders written completely or not at all, and locks between processes; needs neither torch nor PyG."""

from __future__ import annotations

import json
import os
import platform
import re
import secrets
import shutil
import zlib
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import cache
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout


@contextmanager
def atomic(path: Path) -> Iterator[Path]:
    """Yield a hidden path next to `path` to write a file or a folder to; it is renamed to `path` at the end.

    A reader sees the old file or the new one, never a partial one, even after a kill. An existing file is replaced; an
    existing folder is an error. After an error nothing is left behind. Leftovers of killed processes of this machine
    are removed when a process first writes to the folder.

    Raises:
        FileExistsError: `path` is a folder.
        OSError: the disk is full or the path is not writable.
    """
    if path.is_dir():
        raise FileExistsError(f"{path}: exists already, and a folder is never replaced")
    path.parent.mkdir(parents=True, exist_ok=True)
    _remove_leftovers(path.parent.resolve())
    partial = path.with_name(f".{path.name}.{_machine()}-{os.getpid()}-{secrets.token_hex(3)}.partial")
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
    """Write a UTF-8 file as :func:`atomic` does."""
    write_bytes(path, text.encode())


def write_bytes(path: Path, content: bytes) -> None:
    """Write a file as :func:`atomic` does."""
    with atomic(path) as partial:
        partial.write_bytes(content)


def write_json(path: Path, value: Any) -> None:
    """Write `value` as indented JSON, as :func:`atomic` does."""
    write_text(path, json.dumps(value, indent=2, ensure_ascii=False) + "\n")


@contextmanager
def lock(path: Path, *, wait: bool = False) -> Iterator[bool]:
    """Hold the lock file `path`, which ends with the process, however that ends.

    Args:
        wait: until the process that holds it releases it; otherwise yield at once.

    Yields:
        Whether the lock is held; always true with `wait`.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    holder = FileLock(path)
    try:
        holder.acquire(timeout=-1 if wait else 0)
    except Timeout:
        yield False
        return
    try:
        yield True
    finally:
        holder.release()


@cache
def _machine() -> str:
    """Eight letters for the machine, and the container, whose process numbers are comparable."""
    space = "/proc/self/ns/pid"
    return f"{zlib.crc32(f'{platform.node()} {os.readlink(space) if os.path.exists(space) else str()}'.encode()):08x}"


@cache
def _remove_leftovers(folder: Path) -> None:
    """Remove partial files of dead processes; once in each process, since a folder may have many files."""
    for entry in os.scandir(folder):
        found = re.fullmatch(rf"\..*\.{_machine()}-(\d{{1,9}})-[0-9a-f]{{6}}\.partial", entry.name)
        if found and not _is_running(int(found[1])):
            with suppress(OSError):  # another process removes it, too
                _remove(Path(entry.path))


def _is_running(process: int) -> bool:
    if os.name == "nt":  # os.kill would end it there
        return True
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except OSError:
        return True
    return True


def _remove(path: Path) -> None:
    if path.is_dir():
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
