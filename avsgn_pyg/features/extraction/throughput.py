"""How fast an extraction is beside its two halves: reading alone, encoding alone, both at once, in one run.

The rounds are interleaved, so that what slows the machine slows all three; medians are told. Wall seconds answer
for the user's wait; CPU seconds, of this process and of the reading ones, do not change when others use the machine.
"""

from __future__ import annotations

import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from avsgn_pyg.features.encoder import AudioEncoder, FrameEncoder
from avsgn_pyg.features.extraction.engine import LocalEngine, encode_group, gathered
from avsgn_pyg.features.extraction.extract import extract
from avsgn_pyg.features.extraction.jobs import ExtractionError, Plan
from avsgn_pyg.features.extraction.workers import Workers


@dataclass(frozen=True)
class Timing:
    """Seconds, a round each.

    Attributes:
        wall: as a clock shows them.
        cpu: of computing, in this process and the reading ones.
    """

    wall: list[float]
    cpu: list[float]


@dataclass(frozen=True)
class Throughput:
    """What a measurement found, of `videos` videos.

    Attributes:
        decoding, encoding, extraction: each alone; the last with writing everything down.
    """

    videos: int
    decoding: Timing
    encoding: Timing
    extraction: Timing

    @property
    def ratio(self) -> float:
        """Rate of extraction over the rate of the slower half: 1 where the other half costs no time at all."""
        rounds = zip(self.decoding.wall, self.encoding.wall, self.extraction.wall, strict=True)
        return statistics.median(max(decoding, encoding) / both for decoding, encoding, both in rounds)

    @property
    def overhead(self) -> float:
        """CPU seconds of extraction over those of its halves: 1 where nothing is added."""
        rounds = zip(self.decoding.cpu, self.encoding.cpu, self.extraction.cpu, strict=True)
        return statistics.median(both / (decoding + encoding) for decoding, encoding, both in rounds)

    def table(self) -> str:
        """In lines for a reader."""
        lines = [f"{self.videos} videos, medians of {len(self.decoding.wall)} rounds",
                 "              wall s   videos/s    CPU s"]
        for name in ("decoding", "encoding", "extraction"):
            timing: Timing = getattr(self, name)
            wall, cpu = statistics.median(timing.wall), statistics.median(timing.cpu)
            lines.append(f"{name:<12}{wall:8.2f}{self.videos / wall:11.2f}{cpu:9.2f}")
        lines.append(f"extraction / slower half: {self.ratio:.2f} (wall)")
        lines.append(f"CPU of extraction / CPU of both halves: {self.overhead:.2f}")
        return "\n".join(lines)


def measure(
    plan: Plan,
    frame_encoder: FrameEncoder,
    audio_encoder: AudioEncoder,
    *,
    segments: int = 10,
    frames_per_segment: int = 1,
    workers: int = 1,
    rounds: int = 3,
    tick: Callable[[], object] = lambda: None,
) -> Throughput:
    """Time the halves and the whole on all videos of `plan`; starting processes and the first batch are not timed.

    Args:
        workers: reading processes, the same for decoding alone and for extraction.
        tick: called after each of the `rounds` x 3 timings.

    Raises:
        ExtractionError: a video that cannot be read.
    """

    def engine() -> LocalEngine:
        return LocalEngine(
            frame_encoder, audio_encoder, segments=segments, frames_per_segment=frames_per_segment, workers=workers
        )

    decoded = list(gathered(map(engine().workers.reader, plan.videos), engine().group))
    failed = [each for _, failed in decoded for each in failed]
    if failed or rounds < 1:
        raise ExtractionError(f"rounds={rounds}, videos that cannot be read: {[str(each) for each in failed]}")
    encode_group(frame_encoder, audio_encoder, decoded[0][0])

    def decode(engine: LocalEngine) -> None:
        for _ in engine.workers.read(plan.videos):
            pass

    def encode(_: LocalEngine) -> None:
        for group, _ in decoded:
            encode_group(frame_encoder, audio_encoder, group)

    def both(engine: LocalEngine) -> None:
        with tempfile.TemporaryDirectory() as folder:
            extract(plan, Path(folder) / "features.h5", frame_encoder, audio_encoder, segments=segments,
                    frames_per_segment=frames_per_segment, engine=engine, progress=False)

    runs = {"decoding": decode, "encoding": encode, "extraction": both}
    found = {name: Timing([], []) for name in runs}
    for turn in range(rounds):
        for shift in range(3):
            name = list(runs)[(turn + shift) % 3]
            used = engine()
            with used.workers, timed(used.workers, found[name]):
                runs[name](used)
            tick()
    return Throughput(len(plan), **found)


@contextmanager
def timed(pool: Workers, into: Timing) -> Iterator[None]:
    """Add the seconds of the block; the reading processes are up before it begins."""
    if pool.count:
        pool.start()
    begun, cpu = time.perf_counter(), time.process_time() + pool.spent
    yield
    into.wall.append(time.perf_counter() - begun)
    into.cpu.append(time.process_time() + pool.spent - cpu)
