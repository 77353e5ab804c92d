"""Measure how fast an extraction is compared to its two halves: decoding alone and encoding alone."""

from __future__ import annotations

import dataclasses
import statistics
import tempfile
import time
from collections import deque
from collections.abc import Callable
from pathlib import Path

from avsgn_pyg.common.errors import ExtractionError
from avsgn_pyg.features.extraction.config import ExtractionConfig
from avsgn_pyg.features.extraction.engine import batch_decoded, encode_videos
from avsgn_pyg.features.extraction.extract import run_extraction
from avsgn_pyg.features.extraction.videos import Failure


def measure(
    config: ExtractionConfig, *, count: int, rounds: int, tick: Callable[[], object] = lambda: None
) -> str:
    """Return a table of the seconds that `count` videos take; starting processes is not timed.

    Args:
        rounds: repetitions of the three timings, interleaved so that other load on the machine affects all three.
        tick: called after each timing.

    Raises:
        ExtractionError: a video that cannot be read, or no round.
    """
    plan, encoders = config.plan(), config.encoders()
    plan = dataclasses.replace(plan, videos=plan.videos[:count])
    engine = config.make_engine(*encoders)
    decoded = [(video, engine.pool.function(video)) for video in plan.videos]
    failures = [str(result) for _, result in decoded if isinstance(result, Failure)]
    if failures or rounds < 1:
        raise ExtractionError(f"rounds={rounds}, videos that cannot be read: {failures}")
    with tempfile.TemporaryDirectory() as folder:
        config = dataclasses.replace(config, out=Path(folder) / "features.h5", overwrite=True, progress=False)
        work = {
            "decoding": lambda: deque(engine.pool.run(plan.videos), maxlen=0),
            "encoding": lambda: [encode_videos(engine.encode, batch) for batch in batch_decoded(decoded, engine.batch)],
            "extraction": lambda: run_extraction(config, plan=plan, encoders=encoders, engine=engine.run),
        }
        seconds: dict[str, list[float]] = {name: [] for name in work}
        for _ in range(rounds):
            for name, do in work.items():
                with engine.pool:
                    engine.pool.start()
                    begun = time.perf_counter()
                    do()
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
