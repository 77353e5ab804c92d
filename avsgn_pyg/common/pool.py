"""A pool of processes for independent tasks: a task may raise, time out or crash its process, and the rest go on."""

from __future__ import annotations

import multiprocessing
import os
import pickle
import signal
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from typing import Any, Generic, TypeVar

Task = TypeVar("Task")
Result = TypeVar("Result")
#: Not forked from here: this process has threads, and perhaps a CUDA context, that a fork would break. A fork server
#: is as clean as a spawned process and imports the modules of its tasks once for all of them.
METHOD = "forkserver" if "forkserver" in multiprocessing.get_all_start_methods() else "spawn"


class PoolError(RuntimeError):
    """Processes cannot be started; the message says why and what would work."""


class ProcessDiedError(RuntimeError):
    """A task's process ended before the task did: a crash, or the system's memory ran out."""


def cores() -> int:
    """Cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


class Pool(Generic[Task, Result]):
    """Processes that run ``function(task)``; a context manager, which ends them. They start at the first :meth:`run`.

    Args:
        function: must pickle, as `initializer`, tasks and results must.
        processes: 0 runs the tasks in this process, without `timeout`.
        ahead: further tasks that each process is given in advance, so that it need not wait for the caller.
        timeout: seconds that one task may take; its process is then killed and replaced.
        initializer: called with `initargs` in each process as it starts.
        preload: modules that the fork server imports once.
    """

    def __init__(
        self, function: Callable[[Task], Result], processes: int, *, ahead: int = 0, timeout: float | None = None,
        initializer: Callable[..., None] | None = None, initargs: tuple[Any, ...] = (), preload: tuple[str, ...] = (),
    ) -> None:
        if processes < 0 or ahead < 0:
            raise ValueError(f"processes and ahead must be 0 or more, got {processes} and {ahead}")
        self.function, self.processes, self.ahead, self.timeout = function, processes, ahead, timeout
        self.setup = (initializer, initargs)
        self.context = multiprocessing.get_context(METHOD)
        if METHOD == "forkserver":
            self.context.set_forkserver_preload([__name__, *preload])
        self.workers: list[_Worker] = []

    def __enter__(self) -> Pool[Task, Result]:
        return self

    def __exit__(self, *_: object) -> None:
        for worker in self.workers:
            worker.end()
        self.workers.clear()

    def start(self) -> None:
        """Start the processes that do not run yet.

        Raises:
            PoolError: a process ends as it starts.
        """
        while len(self.workers) < self.processes:
            self.workers.append(_Worker(self))
        for worker in self.workers:
            worker.wait_until_ready()

    def run(self, tasks: Iterable[Task]) -> Iterator[tuple[Task, Result | Exception]]:
        """Run every task and yield it with its result, or with the exception that it ended with, as it finishes.

        `tasks` is read one at a time, as a process can take one. The exceptions are those of the function,
        :class:`ProcessDiedError`, and TimeoutError. In this process (``processes=0``) the order of the tasks is kept.

        Raises:
            PoolError: a process ends as it starts.
        """
        if self.processes == 0:
            yield from ((task, self._attempt(task)) for task in tasks)
            return
        self.start()
        try:
            yield from self._run(iter(tasks))
        finally:
            self._drop_unfinished()

    def _run(self, waiting: Iterator[Task]) -> Iterator[tuple[Task, Result | Exception]]:
        while True:
            for worker in self.workers:
                worker.fill(waiting)
            busy = [worker for worker in self.workers if worker.running]
            if not busy:
                return
            for worker in self._finished(busy):
                yield worker.collect()

    def _drop_unfinished(self) -> None:
        """Kill the processes that still have tasks, if the caller stops early; others start with the next run."""
        for worker in [worker for worker in self.workers if worker.running]:
            worker.kill()
            self.workers.remove(worker)

    def _finished(self, busy: list[_Worker]) -> list[_Worker]:
        """Wait until the first task of one worker or more is done or too late."""
        patience = max(0.0, min(worker.deadline for worker in busy) - time.monotonic())
        firsts = [worker.running[0][1] for worker in busy]
        wait(firsts, timeout=None if patience == float("inf") else patience, return_when=FIRST_COMPLETED)
        return [worker for worker in busy if worker.running[0][1].done() or time.monotonic() >= worker.deadline]

    def _attempt(self, task: Task) -> Result | Exception:
        try:
            return self.function(task)
        except Exception as error:
            return error


class _Worker:
    """One process with the tasks that it was given, oldest first.

    Each has a separate executor, so that a crash ends only the task that caused it.
    """

    def __init__(self, pool: Pool) -> None:
        self.pool = pool
        self.running: deque[tuple[Any, Future]] = deque()
        self.started = 0.0
        self._start()

    @property
    def deadline(self) -> float:
        return float("inf") if self.pool.timeout is None else self.started + self.pool.timeout

    def _start(self) -> None:
        self.executor = ProcessPoolExecutor(1, self.pool.context, _initialize, self.pool.setup)
        with _ignored_interrupts():
            self.ready = self.executor.submit(os.getpid)
        (self.process,) = self.executor._processes.values()

    def wait_until_ready(self) -> None:
        try:
            self.ready.result()
        except BrokenProcessPool:
            raise PoolError(
                "a process ended as it started; a script of your own must start its work under "
                'if __name__ == "__main__":, because each process imports it'
            ) from None

    def fill(self, tasks: Iterator[Any]) -> None:
        while len(self.running) <= self.pool.ahead:
            for task in tasks:
                self._submit(task)
                break
            else:
                return

    def collect(self) -> tuple[Any, Any]:
        """The oldest task with its result; a process that crashed or took too long is replaced."""
        task, future = self.running.popleft()
        if not future.done():
            self._replace()
            return task, TimeoutError(f"took longer than {self.pool.timeout:g} s")
        error = future.exception()
        if isinstance(error, BrokenProcessPool):
            ending = self._ending()
            self._replace()
            return task, ProcessDiedError(f"its process died ({ending}): a crash, or too little memory")
        return task, future.result() if error is None else error

    def _submit(self, task: Any) -> None:
        if not self.running:
            self.started = time.monotonic()
        try:
            future = self.executor.submit(_guarded, self.pool.function, task)
            future.add_done_callback(self._note_start)
        except BrokenProcessPool as error:
            if not self.running:  # it died after its last task
                self._replace()
                return self._submit(task)
            # By an earlier task, whose collection submits this one again.
            future = Future()
            future.set_exception(error)
        self.running.append((task, future))

    def _note_start(self, _: Future) -> None:
        self.started = time.monotonic()  # of the next task

    def end(self) -> None:
        """End the process: one without a task by itself, which lets it clean up, a busy one at once."""
        if self.running or not self.ready.done():
            self.kill()
        else:
            self.executor.shutdown(wait=True)

    def kill(self) -> None:
        self.process.kill()
        self.executor.shutdown(wait=True, cancel_futures=True)

    def _ending(self) -> str:
        # Its manager thread reads the exit status, which can be read only once.
        self.executor.shutdown(wait=True)
        code = self.process.exitcode
        return signal.Signals(-code).name if code is not None and code < 0 else f"exit status {code}"

    def _replace(self) -> None:
        self.kill()
        self._start()
        self.wait_until_ready()
        waiting, self.running = self.running, deque()
        for task, _ in waiting:
            self._submit(task)


@contextmanager
def _ignored_interrupts() -> Iterator[None]:
    """Processes started here ignore Ctrl-C from their first instruction on, also while they import."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


def _guarded(function: Callable[[Any], Any], task: Any) -> Any:
    """Run a task; what it raises is sent as an exception that can be unpickled and does not end the caller."""
    try:
        return function(task)
    except Exception as error:
        try:
            pickle.loads(pickle.dumps(error))
        except Exception:
            raise RuntimeError(f"{type(error).__name__}: {error}") from None
        raise
    except BaseException as error:
        raise ProcessDiedError(f"ended by {type(error).__name__}") from None


def _initialize(initializer: Callable[..., None] | None, initargs: tuple[Any, ...]) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent decides
    threading.Thread(target=_end_with_parent, daemon=True).start()
    if initializer is not None:
        initializer(*initargs)


def _end_with_parent() -> None:
    multiprocessing.parent_process().join()
    os.kill(os.getpid(), getattr(signal, "SIGKILL", signal.SIGTERM))  # which no library can handle or ignore
