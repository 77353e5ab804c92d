"""The most memory a piece of work held, seen by the operating system in a process of its own."""

from __future__ import annotations

import multiprocessing
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

Given = TypeVar("Given")
PROCESS = Path("/proc/self")


def peak_bytes(prepare: Callable[[Given], Callable[[], object]], given: Given) -> int | None:
    """Bytes that one call of ``prepare(given)`` added at its highest, in a fresh process: nothing before counts.

    Args:
        prepare, given: go to the process by pickle, so `prepare` is a function that can be imported.

    Returns:
        As :func:`added_bytes`.
    """
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        return pool.apply(_measure, (prepare, given))


def _measure(prepare: Callable[[Given], Callable[[], object]], given: Given) -> int | None:
    return added_bytes(prepare(given))


def added_bytes(work: Callable[[], object]) -> int | None:
    """Bytes that ``work()`` added at its highest to what this process held before.

    Returns:
        ``None`` where the system does not tell: it is no Linux, or lets no process reset its own peak. `work` is done
        all the same.
    """
    try:
        (PROCESS / "clear_refs").write_text("5")
        before = _status("VmRSS")
    except OSError:
        work()
        return None
    work()
    return max(_status("VmHWM") - before, 0)


def _status(field: str) -> int:
    """A size in /proc/self/status, bytes. getrusage would not do: its peak is inherited from the parent."""
    text = (PROCESS / "status").read_text()
    lines = dict(line.split(":", 1) for line in text.splitlines() if ":" in line)
    return int(lines[field].split()[0]) * 1024
