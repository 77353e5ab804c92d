"""Measure how fast an extraction is compared to its two halves: decoding alone and encoding alone."""

from __future__ import annotations

import dataclasses
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from avsgn_pyg.errors import ExtractionError
from avsgn_pyg.features.encode import batched
from avsgn_pyg.features.extraction.config import ExtractionConfig
from avsgn_pyg.features.extraction.engine import LocalEngine, encode_videos
from avsgn_pyg.features.extraction.extract import run_extraction
from avsgn_pyg.features.extraction.videos import Failure


def measure(
    config: ExtractionConfig, *, count: int, rounds: int, tick: Callable[[], object] = lambda: None
) -> str:
    """Return a table of the seconds that `count` videos take; starting processes is not timed.

    Args:
        rounds: of the three timings, interleaved so that what slows the machine slows all three.
        tick: called after each timing.

    Raises:
        ExtractionError: a video that cannot be read, or no round.
    """
    plan, encoders = config.plan(), config.encoders()
    plan = dataclasses.replace(plan, videos=plan.videos[:count])

    def decode(engine: LocalEngine) -> None:
        for _ in engine.pool.run(plan.videos):
            pass

    def encode(engine: LocalEngine) -> None:
        for batch in batched(decoded, engine.batch):
            encode_videos(engine.encode, batch)

    def extract(engine: LocalEngine) -> None:
        with tempfile.TemporaryDirectory() as folder:
            run_extraction(dataclasses.replace(config, out=Path(folder) / "features.h5", progress=False),
                           plan=plan, encoders=encoders, engine=engine)

    reader = config.make_engine(*encoders).pool.function
    decoded = [(video, reader(video)) for video in plan.videos]
    failures = [str(result) for _, result in decoded if isinstance(result, Failure)]
    if failures or rounds < 1:
        raise ExtractionError(f"rounds={rounds}, videos that cannot be read: {failures}")
    seconds: dict[str, list[float]] = {"decoding": [], "encoding": [], "extraction": []}
    for _ in range(rounds):
        for name, work in zip(seconds, (decode, encode, extract), strict=True):
            engine = config.make_engine(*encoders)
            with engine.pool:
                engine.pool.start()
                begun = time.perf_counter()
                work(engine)
                seconds[name].append(time.perf_counter() - begun)
            tick()
    return _table(len(plan.videos), seconds)


def _table(videos: int, seconds: dict[str, list[float]]) -> str:
    rounds = list(zip(*seconds.values(), strict=True))
    slower = statistics.median(max(decoding, encoding) / both for decoding, encoding, both in rounds)
    total = statistics.median((decoding + encoding) / both for decoding, encoding, both in rounds)
    lines = [f"{videos} videos, medians of {len(rounds)} rounds", "              wall s   videos/s"]
    for name, values in seconds.items():
        wall = statistics.median(values)
        lines.append(f"{name:<12}{wall:8.2f}{videos / wall:11.2f}")
    lines += [f"extraction / slower half: {slower:.2f}", f"extraction / both halves in turn: {total:.2f}"]
    return "\n".join(lines)
