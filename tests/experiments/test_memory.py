"""Peak memory is that of the work alone, in a process of its own."""

from __future__ import annotations

import operator
from functools import partial

import pytest

from avsgn_pyg.experiments import memory

MEBIBYTE = 2**20
#: ``write(size)()`` writes `size` bytes and frees them.
write = partial(partial, operator.mul, b"x")


def peak(prepare, given) -> float:
    found = memory.peak_bytes(prepare, given)
    if found is None:
        pytest.skip("this system does not tell a process its peak")
    return found / MEBIBYTE


def test_memory_that_the_work_freed_again_is_counted():
    ballast = b"x" * (400 * MEBIBYTE)  # this process's own, not the fresh one's
    assert 39 < peak(write, 40 * MEBIBYTE) < 48  # the kernel counts in batches of pages
    del ballast


def test_what_was_prepared_is_not_counted():
    assert peak(partial(partial, len), b"x" * (40 * MEBIBYTE)) < 8


def test_a_system_that_does_not_tell_gives_none(monkeypatch, tmp_path):
    monkeypatch.setattr(memory, "PROCESS", tmp_path / "absent")
    done = []
    assert memory.added_bytes(lambda: done.append(1)) is None and done
