"""Reading processes that keep the encoders fed: bounded, in any order, and none can take the others down.

Each process has a pipe of its own and one video at a time, so that a decoder that crashes is known by its
video. A thread of the parent takes results off the pipes while the encoders compute; past its bound it waits, and
the processes with it.
"""

from __future__ import annotations

import io
import multiprocessing
import os
import pickle
import queue
import signal
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from multiprocessing.connection import Connection, wait
from typing import Any

import torch

from avsgn_pyg.features.extraction import decode
from avsgn_pyg.features.extraction.decode import Decoded, Result
from avsgn_pyg.features.extraction.jobs import ExtractionError, Failed, Video

#: Seconds between two looks at whether the reading was given up.
GLANCE = 0.2
Read = Callable[[Video], Result]
READY, END = b"ready", object()
#: Not forked from here: this process has threads, and perhaps a CUDA context, that a fork would break. A fork server
#: is as clean as a spawned process, and imports torch once for all of them.
METHOD = "forkserver" if "forkserver" in multiprocessing.get_all_start_methods() else "spawn"


def default_workers() -> int:
    """One process for each core but the encoders' own, at least one and at most 16."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return max(1, min(cores - 1, 16))


class Workers:
    """`count` processes that run `reader`, which must pickle; with 0 the caller's own. A context manager.

    Processes start once, and serve any number of :meth:`read`.

    Attributes:
        count: processes.
        ahead: finished videos that may wait for the encoders, beside one in each process.
    """

    def __init__(self, reader: Read, count: int, ahead: int = 8) -> None:
        if count < 0 or ahead < 1:
            raise ExtractionError(f"workers={count}, ahead={ahead}: give 0 workers or more, and 1 ahead or more")
        self.reader, self.count, self.ahead = reader, count, ahead
        self._idle: list[_Process] = []
        self._spent = 0.0

    def __enter__(self) -> Workers:
        return self

    def start(self) -> None:
        """Have the processes ready; ExtractionError where one does not come up."""
        if self._idle:
            return
        self._idle = [_Process(self.reader) for _ in range(self.count)]
        try:
            for process in self._idle:
                process.greet()
        except BaseException:
            self.close()
            raise

    @property
    def spent(self) -> float:
        """Seconds of computing by the processes since they started to read, as of their last answers."""
        return self._spent + sum(process.spent for process in self._idle)

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """End the processes; what they were reading is lost."""
        self._spent = self.spent
        for process in self._idle:
            process.end()
        self._idle.clear()

    def read(self, videos: Iterable[Video]) -> Iterator[Result]:
        """Every video once, as it gets ready; lazily in this process without workers, where order is kept."""
        return self._gather(videos) if self.count else (self.reader(video) for video in videos)

    def _gather(self, videos: Iterable[Video]) -> Iterator[Result]:
        self.start()
        done: queue.Queue[Any] = queue.Queue(self.ahead)
        given_up = threading.Event()
        thread = threading.Thread(target=self._feed, args=(deque(videos), done, given_up), daemon=True)
        thread.start()
        try:
            while (result := done.get()) is not END:
                if isinstance(result, BaseException):
                    raise result
                yield result
        finally:
            given_up.set()
            thread.join()

    def _feed(self, videos: deque[Video], done: queue.Queue[Any], given_up: threading.Event) -> None:
        """Hand out videos and collect results until there are none, in a thread of the parent."""

        def put(result: object) -> None:
            while not given_up.is_set():
                with suppress(queue.Full):
                    return done.put(result, timeout=GLANCE)

        try:
            busy: dict[Connection, _Process] = {}
            for process in self._idle:
                if videos:
                    busy[process.give(videos.popleft())] = process
            while busy and not given_up.is_set():
                for pipe in wait(list(busy), timeout=GLANCE):
                    process = busy.pop(pipe)
                    put(process.take())
                    if process.dead:
                        process = self._replace(process)
                    if videos and not given_up.is_set():
                        busy[process.give(videos.popleft())] = process
            if busy:
                self.close()
            put(END)
        except BaseException as error:
            put(error)

    def _replace(self, process: _Process) -> _Process:
        self._spent += process.spent
        process.end()
        fresh = _Process(self.reader)
        self._idle[self._idle.index(process)] = fresh
        fresh.greet()
        return fresh


class _Process:
    """One reading process, its pipe, and the video that it is at."""

    def __init__(self, reader: Reader) -> None:
        context = multiprocessing.get_context(METHOD)
        if METHOD == "forkserver":
            context.set_forkserver_preload([decode.__name__])
        self.pipe, theirs = context.Pipe()
        self.process = context.Process(target=_serve, args=(theirs, reader), daemon=True)
        self.process.start()
        theirs.close()
        self.video: Video | None = None
        self.dead = False
        self.spent = 0.0

    def greet(self) -> None:
        try:
            self.pipe.recv_bytes()
        except (EOFError, OSError):
            raise ExtractionError(
                f"a reading process could not start ({self._ending()}); a script of your own must start its work under "
                'if __name__ == "__main__":, for each process imports it; or read without any: --workers 0'
            ) from None

    def give(self, video: Video) -> Connection:
        self.video = video
        # A process that died meanwhile shows when its answer is taken.
        with suppress(OSError):
            self.pipe.send(video)
        return self.pipe

    def take(self) -> Result:
        video = self.video
        try:
            self.spent, result = _unpack(video, self.pipe.recv_bytes())
            return result
        except (EOFError, OSError):
            self.dead = True
            # Perhaps the file's doing, perhaps a machine out of memory: nobody can tell.
            return Failed(video.id, video.rows, f"its reading process died ({self._ending()})", passing=True)

    def end(self) -> None:
        self.pipe.close()
        self.process.terminate()
        self.process.join()

    def _ending(self) -> str:
        self.process.join(timeout=5)
        code = self.process.exitcode
        return signal.Signals(-code).name if code is not None and code < 0 else f"exit status {code}"


def _serve(pipe: Connection, reader: Read) -> None:
    """The life of a reading process: it ends when the parent's end of the pipe does, however that came."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    torch.set_num_threads(1)
    with suppress(EOFError, OSError):
        pipe.send_bytes(READY)
        begun = time.process_time()
        while True:
            result = reader(pipe.recv())
            pipe.send_bytes(_pack(result, time.process_time() - begun))


def _pack(result: Result, spent: float) -> bytes:
    """As bytes. Not as shared memory, torch's own way: containers have little of it, and its files outlive a kill."""
    if isinstance(result, Failed):
        return pickle.dumps((spent, result))
    return pickle.dumps((spent, (_plain(result.frames), result.samples.numpy(), result.marks)), protocol=5)


def _unpack(video: Video, packed: bytes) -> tuple[float, Result]:
    spent, result = pickle.loads(packed)
    if isinstance(result, Failed):
        return spent, result
    frames, samples, marks = result
    saved = isinstance(frames, bytes)
    pictures = torch.load(io.BytesIO(frames), weights_only=True) if saved else torch.from_numpy(frames)
    return spent, Decoded(video, pictures, torch.from_numpy(samples), marks)


def _plain(frames: torch.Tensor) -> Any:
    """A numpy array, or a saved tensor where numpy has no such type (bfloat16)."""
    try:
        return frames.numpy()
    except TypeError:
        buffer = io.BytesIO()
        torch.save(frames, buffer)
        return buffer.getvalue()
