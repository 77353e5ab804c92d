"""The most memory a piece of work held, seen by the operating system in a process of its own."""

from __future__ import annotations

import multiprocessing
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

Given = TypeVar("Given")
PROCESS = Path("/proc/self")


def peak_bytes(prepare: Callable[[Given], Callable[[], object]], given: Given, calls: int = 2) -> int | None:
    """Bytes that ``prepare(given)()`` added at its highest to what the process held after `prepare`.

    The process is fresh, so nothing that ran before counts. What `prepare` makes (parameters, inputs) is not
    in the number; what the work keeps from call to call (an optimizer's moments) is.

    Args:
        prepare, given: go to the process by pickle, so `prepare` is a function that can be imported.
        calls: how often the work is done; the first call may allocate what later ones keep.

    Returns:
        ``None`` where the system does not tell: it is no Linux, or lets no process reset its own peak.
    """
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        return pool.apply(_measure, (prepare, given, calls))


def _measure(prepare: Callable[[Given], Callable[[], object]], given: Given, calls: int) -> int | None:
    work = prepare(given)
    try:
        (PROCESS / "clear_refs").write_text("5")
        before = _status("VmRSS")
    except OSError:
        return None
    for _ in range(calls):
        work()
    return max(_status("VmHWM") - before, 0)


def _status(field: str) -> int:
    """A size in /proc/self/status, bytes. getrusage would not do: its peak is inherited from the parent."""
    text = (PROCESS / "status").read_text()
    lines = dict(line.split(":", 1) for line in text.splitlines() if ":" in line)
    return int(lines[field].split()[0]) * 1024
