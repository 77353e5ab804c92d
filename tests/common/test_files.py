"""Atomic writing and locks."""

import os
import subprocess
import sys

import pytest

from avsgn_pyg.common.files import atomic, lock, write_json, write_text


def _partials(folder):
    return [path for path in folder.iterdir() if path.name.endswith(".partial")]


def test_a_file_is_replaced_whole(tmp_path):
    path = tmp_path / "new" / "a.txt"
    write_text(path, "first")
    write_text(path, "second ä")
    assert path.read_text(encoding="utf-8") == "second ä"
    assert [entry.name for entry in path.parent.iterdir()] == ["a.txt"]


def test_an_error_keeps_the_old_file_and_removes_the_partial_one(tmp_path):
    path = tmp_path / "a.txt"
    write_text(path, "old")
    with pytest.raises(TypeError), atomic(path) as partial:
        partial.write_text(partial.write_text("half"))
    assert path.read_text() == "old"
    assert not _partials(tmp_path)


def test_a_folder_appears_complete_and_is_never_replaced(tmp_path):
    path = tmp_path / "model"
    with atomic(path) as partial:
        (partial / "inside").mkdir(parents=True)
        (partial / "inside" / "a").write_text("1")
        assert not path.exists()
    assert (path / "inside" / "a").read_text() == "1"
    with pytest.raises(FileExistsError, match="model"), atomic(path):
        pass


def test_partial_files_of_dead_processes_are_removed(tmp_path):
    dead = subprocess.Popen([sys.executable, "-c", ""])
    dead.wait()
    with atomic(tmp_path / "x" / "a") as partial:
        partial.touch()
    machine = partial.name.split(".")[2].split("-")[0]
    here = tmp_path / f".a.{machine}-{dead.pid}-00ff00.partial"
    running = tmp_path / f".a.{machine}-{os.getppid()}-00ff00.partial"
    elsewhere = tmp_path / f".a.00000000-{dead.pid}-00ff00.partial"
    for path in (here, running, elsewhere):
        path.write_text("")
    write_json(tmp_path / "a", {})
    assert sorted(_partials(tmp_path)) == sorted([running, elsewhere])


HOLD = """import pathlib, sys, time
from avsgn_pyg.common.files import lock
with lock(pathlib.Path(sys.argv[1])):
    print(1)
    time.sleep(600)
"""


def test_a_lock_has_one_holder_and_is_released_when_its_process_is_killed(tmp_path):
    path = tmp_path / ".locks" / "a"
    holder = subprocess.Popen([sys.executable, "-u", "-c", HOLD, path], stdout=subprocess.PIPE)
    assert holder.stdout.readline() == b"1\n"
    with lock(path) as held:
        assert not held
    holder.kill()
    holder.wait()
    with lock(path, wait=True) as held:
        assert held
