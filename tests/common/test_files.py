"""Atomic writing and locks."""

import errno
import fcntl
import json
import os
import re
import stat
import subprocess
import sys

import pytest

from avsgn_pyg.common import files
from avsgn_pyg.common.errors import DataError
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
    with atomic(path, folder=True) as partial:
        (partial / "inside").mkdir()
        (partial / "inside" / "a").write_text("1")
        assert not path.exists()
    assert (path / "inside" / "a").read_text() == "1"
    with pytest.raises(FileExistsError, match="model"), atomic(path):
        pass


def test_partial_files_of_dead_processes_are_removed(tmp_path):
    dead = subprocess.Popen([sys.executable, "-c", ""])
    dead.wait()
    with atomic(tmp_path / "x" / "a") as partial:
        pass
    here = tmp_path / partial.name.replace(f"-{os.getpid()}-", f"-{dead.pid}-")
    running = tmp_path / partial.name.replace(f"-{os.getpid()}-", f"-{os.getppid()}-")
    elsewhere = tmp_path / re.sub("[0-9a-f]{8}-", "00000000-", here.name, count=1)
    for path in (here, running, elsewhere):
        path.write_text("")
    write_json(tmp_path / "a", {})
    assert sorted(_partials(tmp_path)) == sorted([running, elsewhere])


def test_a_link_in_place_of_the_file_is_replaced_and_its_target_kept(tmp_path):
    victim, path = tmp_path / "victim", tmp_path / "a.txt"
    victim.write_text("kept")
    path.symlink_to(victim)
    write_text(path, "new")
    assert victim.read_text() == "kept" and path.read_text() == "new" and not path.is_symlink()


@pytest.mark.parametrize("folder", [False, True])
def test_temporary_names_are_random_and_a_link_at_one_is_not_followed(tmp_path, monkeypatch, folder):
    names = set()
    for name in "abc":
        with atomic(tmp_path / name) as partial:
            names.add(partial.name.split("-")[-1])
    assert len(names) == 3
    monkeypatch.setattr(files.secrets, "token_hex", lambda size: "0" * 16)
    with atomic(tmp_path / "d") as partial:
        pass
    victim = tmp_path / "victim"
    victim.mkdir() if folder else victim.write_text("kept")
    partial.symlink_to(victim)
    with pytest.raises(FileExistsError), atomic(tmp_path / "d", folder=folder):
        pass
    assert partial.is_symlink() and (victim.is_dir() if folder else victim.read_text() == "kept")


def test_json_with_a_name_that_is_not_utf_8_comes_back(tmp_path):
    write_json(tmp_path / "a.json", {"caf\udce9": "é"})
    assert json.loads((tmp_path / "a.json").read_text("utf-8")) == {"caf\udce9": "é"}


def test_the_umask_holds_and_long_names_work(tmp_path):
    before = os.umask(0o027)
    try:
        write_text(tmp_path / ("ä" * 127), "")
    finally:
        os.umask(before)
    assert [stat.S_IMODE(entry.stat().st_mode) for entry in tmp_path.iterdir()] == [0o640]


HOLD = """import logging, pathlib, sys, time
from avsgn_pyg.common.files import lock
with lock(pathlib.Path(sys.argv[1])) as held, lock(pathlib.Path(sys.argv[1] + "b")):
    print(held)
    time.sleep(float(sys.argv[2]))
"""


def hold(path, seconds=600, **options):
    return subprocess.Popen([sys.executable, "-u", "-c", HOLD, path, str(seconds)], stdout=subprocess.PIPE, text=True,
                            stderr=subprocess.PIPE, **options)


def test_a_lock_has_one_holder_and_is_released_when_its_process_is_killed(tmp_path):
    path = tmp_path / ".locks" / "a"
    holder = hold(path)
    assert holder.stdout.readline() == "True\n"
    with lock(path) as held:
        assert not held
    holder.kill()
    holder.communicate()
    with lock(path, wait=True) as held:
        assert held


@pytest.mark.parametrize("without_locks", ["ENOLCK", "ENOSYS", "EOPNOTSUPP"], indirect=True)
def test_without_locks_a_lease_has_one_holder_and_is_taken_over_when_its_process_is_killed(tmp_path, without_locks):
    path = tmp_path / ".locks" / "a"
    holder = hold(path, env=without_locks)
    assert holder.stdout.readline() == "True\n"
    found, said = hold(path, 0, env=without_locks).communicate()
    assert found == "False\n" and f"process {holder.pid} on" in said and said.count("no locks") == 1
    holder.kill()
    assert holder.communicate()[1].count("no locks") == 1  # for the whole folder
    found, said = hold(path, 0, env=without_locks).communicate()
    assert found == "True\n" and "taken over" in said
    assert not list(path.parent.glob("*.lease"))


def test_a_lock_in_a_folder_that_its_last_holder_removes_is_taken_anew(tmp_path, monkeypatch):
    path, real = tmp_path / "parts" / "lock", fcntl.flock

    def remove_first(*arguments):
        monkeypatch.setattr(fcntl, "flock", real)
        path.unlink()
        path.parent.rmdir()
        return real(*arguments)

    monkeypatch.setattr(fcntl, "flock", remove_first)
    with lock(path) as held, lock(path) as again:
        assert held and not again


def test_only_a_busy_lock_is_held_by_another_process(tmp_path, monkeypatch):
    def refuse(*_):
        raise OSError(errno.EIO, "input/output error")

    monkeypatch.setattr(fcntl, "flock", refuse)
    with pytest.raises(OSError, match="input/output"), lock(tmp_path / "a"):
        pass


def test_windows_locks_a_byte(tmp_path, monkeypatch):
    class Windows:
        LK_NBLCK, free = 2, True

        @classmethod
        def locking(cls, handle, mode, size):
            if not cls.free:
                raise PermissionError(errno.EACCES, "permission denied")
            cls.free = False

    monkeypatch.setattr(files, "fcntl", None)
    monkeypatch.setattr(files, "msvcrt", Windows, raising=False)
    with lock(tmp_path / "a") as held, lock(tmp_path / "a") as again:
        assert held and not again


def plant(kind, path, victim):
    path.parent.mkdir(exist_ok=True)
    if kind == "link":
        path.symlink_to(victim)
    elif kind == "pipe":
        os.mkfifo(path)
    elif kind == "folder":
        path.mkdir()
    elif os.geteuid():
        pytest.skip("only root can give a file to another user")
    else:
        path.touch()
        os.chown(path, 12345, -1)


@pytest.mark.parametrize("kind", ["link", "pipe", "folder", "another user"])
@pytest.mark.parametrize("name", ["lock", "lock.lease"])
def test_a_planted_lock_is_refused_and_nothing_else_is_touched(tmp_path, monkeypatch, kind, name):
    victim, path = tmp_path / "victim", tmp_path / "parts" / "lock"
    plant(kind, path.with_name(name), victim)

    def no_locks(*_):
        raise OSError(errno.ENOLCK, "no locks available")

    if name == "lock.lease":
        monkeypatch.setattr(fcntl, "flock", no_locks)
    with pytest.raises(DataError, match=rf"{name}: (is|belongs)"), lock(path):
        pass
    assert not victim.exists()


@pytest.mark.parametrize("target", ["victim", "nowhere"])
def test_a_folder_of_locks_that_is_a_link_or_of_another_user_is_refused(tmp_path, target):
    (tmp_path / "victim").mkdir()
    (tmp_path / "parts").symlink_to(tmp_path / target)
    with pytest.raises(DataError, match="parts: is a symbolic link"), lock(tmp_path / "parts" / "lock"):
        pass
    assert not (tmp_path / "nowhere").exists() and not list((tmp_path / "victim").iterdir())
    if os.geteuid() == 0:
        os.chown(tmp_path / "victim", 12345, -1)
        with pytest.raises(DataError, match="belongs to another user"), lock(tmp_path / "victim" / "lock"):
            pass
