"""The process pool."""

import os
import subprocess
import sys
import time

import pytest

from avsgn_pyg.common.pool import Pool, ProcessDiedError

#: Expressions, run by ``eval``, which pickles.
EXIT, RAISE, SLEEP = "__import__('os')._exit(7)", "1 / 0", "__import__('time').sleep(600)"
CRASH = "__import__('os').kill(__import__('os').getpid(), 11)"
ENDS = {EXIT: ProcessDiedError, CRASH: ProcessDiedError, RAISE: ZeroDivisionError, SLEEP: TimeoutError}


@pytest.mark.slow
@pytest.mark.parametrize("ahead", [0, 1])
def test_a_failing_task_does_not_end_the_others(ahead):
    tasks = [EXIT, "1", RAISE, "2", SLEEP, "3", CRASH, CRASH, "4", "5", "6"]
    with Pool(eval, 2, ahead=ahead, timeout=3.0) as pool:
        outcomes = list(pool.run(tasks))
    assert sorted(task for task, _ in outcomes) == sorted(tasks)
    for task, outcome in outcomes:
        assert isinstance(outcome, ENDS[task]) if task in ENDS else outcome == int(task)
    reasons = {task: str(outcome) for task, outcome in outcomes}
    assert "exit status 7" in reasons[EXIT] and "SIGSEGV" in reasons[CRASH]


def test_tasks_are_read_lazily():
    read = []
    with Pool(eval, 2, ahead=1) as pool:
        next(pool.run(read.append(task) or task for task in "123456789"))
        assert len(read) <= 4


def test_without_processes_tasks_run_in_order():
    outcomes = list(Pool(eval, 0).run(["3", RAISE, "1"]))
    assert [task for task, _ in outcomes] == ["3", RAISE, "1"]
    assert isinstance(outcomes[1][1], ZeroDivisionError)


def test_a_pool_runs_again():
    with Pool(eval, 1) as pool:
        pool.start()
        assert [outcome for _, outcome in pool.run(["1", "2"])] == [1, 2]
        assert [outcome for _, outcome in pool.run([EXIT, "3"])][1] == 3


def test_a_run_that_is_closed_early_leaves_nothing_to_the_next():
    with Pool(eval, 2) as pool:
        first = pool.run(["1", "2", "3", "4"])
        next(first)
        first.close()
        assert sorted(outcome for _, outcome in pool.run(["5", "6"])) == [5, 6]


def test_a_process_that_dies_after_its_task_is_replaced():
    later = "[__import__('threading').Timer(0.3, __import__('os')._exit, [3]).start(), 1][1]"
    with Pool(eval, 1) as pool:
        assert [outcome for _, outcome in pool.run([later])] == [1]
        time.sleep(1.0)
        assert [outcome for _, outcome in pool.run(["2"])] == [2]


def test_exceptions_that_cannot_be_unpickled_keep_their_text_and_exits_do_not_end_the_caller():
    odd = "exec('class Odd(Exception):\\n def __init__(self, a, b): super().__init__(a + b)\\nraise Odd(*\"ab\")')"
    with Pool(eval, 1) as pool:
        (_, first), (_, second) = pool.run([odd, "__import__('sys').exit(2)"])
    assert "Odd: ab" in str(first)
    assert isinstance(second, ProcessDiedError)
    assert "SystemExit" in str(second)


SCRIPT = """
import os, signal, sys, time
from pathlib import Path
from avsgn_pyg.common.pool import Pool

def work(folder):
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    (Path(folder) / f"{{os.getpid()}}.pid").touch()
    time.sleep(600)

{guard}
"""


def test_processes_end_when_their_parent_is_killed_even_if_they_ignore_signals(tmp_path):
    script = tmp_path / "script.py"
    start = f'if __name__ == "__main__":\n    next(Pool(work, 2).run([{str(tmp_path)!r}] * 2))'
    script.write_text(SCRIPT.format(guard=start))
    parent = subprocess.Popen([sys.executable, script])
    deadline = time.monotonic() + 60
    while len(workers := list(tmp_path.glob("*.pid"))) < 2 and time.monotonic() < deadline:
        time.sleep(0.1)
    parent.kill()
    parent.wait()
    while any(os.path.exists(f"/proc/{worker.stem}") for worker in workers) and time.monotonic() < deadline:
        time.sleep(0.1)
    assert len(workers) == 2
    assert not any(os.path.exists(f"/proc/{worker.stem}") for worker in workers)


def test_a_script_without_a_main_guard_is_an_error(tmp_path):
    script = tmp_path / "script.py"
    script.write_text(SCRIPT.format(guard="print(list(Pool(work, 1).run(['x'])))"))
    ended = subprocess.run([sys.executable, script], capture_output=True, text=True, timeout=60)
    assert ended.returncode == 1
    # Not the last line: Python may report the closed pipe of the process it was starting after it.
    assert 'if __name__ == "__main__":, because each process imports it' in ended.stderr


def test_idle_processes_end_by_themselves_and_leave_nothing_behind(tmp_path):
    script = tmp_path / "script.py"
    script.write_text(
        "from avsgn_pyg.common.pool import Pool\n\n"
        "def work(task):\n    from tqdm import tqdm\n    tqdm.get_lock()\n    return task\n\n"
        'if __name__ == "__main__":\n    with Pool(work, 2) as pool:\n        print(sorted(pool.run([1, 2])))\n'
    )
    ended = subprocess.run([sys.executable, script], capture_output=True, text=True, timeout=60)
    assert (ended.stdout, ended.stderr) == ("[(1, 1), (2, 2)]\n", "")
