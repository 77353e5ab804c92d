"""How long the runs of a suite will take, from epochs that are timed in their folder or from measurements."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Final

from avsgn_pyg.common.settings import DataConfig
from avsgn_pyg.engine.journal import read_journal
from avsgn_pyg.experiments.suites.runs import Run, in_table, plan, to_train, with_others
from avsgn_pyg.experiments.suites.suite import Suite

#: Model -> seconds that one core needs for an epoch of AVE's size: 3,339 videos of 10 s, 512 wide, batch 64. Medians on
#: an AMD EPYC with AVX-512 (docs/suites.md).
EPOCH_SECONDS: Final = {"avsgn": 6.0, "late_fusion": 1.0, "avel": 4.0, "psp": 4.0, "cpsp": 4.0, "avsdn": 7.0,
                        "vscg": 10.0, "cmran": 35.0, "cmbs": 35.0, "cacenet": 35.0, "per_second": 1.5,
                        "actionformer": 7.0}
AVE_VIDEOS: Final = 3339
#: Seconds that a run needs beside its epochs: opening data, scores, figures.
RUN_SECONDS: Final = 2.0


@dataclass(frozen=True)
class Estimate:
    """The runs that a call would train.

    Attributes:
        runs: in their order.
        epochs: number of epochs that each still needs.
        seconds: that each will take in one process.
        timed: for each, whether `seconds` is estimated from epochs of the same row in the output folder.
    """

    runs: tuple[Run, ...]
    epochs: tuple[int, ...]
    seconds: tuple[float, ...]
    timed: tuple[bool, ...]

    def __str__(self) -> str:
        if not self.runs:
            return "no run is left to train"
        found = (f"{len(self.runs)} runs to train, {sum(self.epochs):,} epochs: about {duration(sum(self.seconds))} "
                 "for one process")
        if guessed := len(self.runs) - sum(self.timed):
            whose = f"{guessed} of them are estimated" if any(self.timed) else "Estimated"
            found += f". {whose} from measurements on one core of an AMD EPYC, for data of AVE's size (docs/suites.md)"
        return found + (f"; {sum(self.timed)} from epochs of the same rows here" if any(self.timed) else "")

    def report(self) -> str:
        """Return a line for each run, and the total."""
        lines = [f"{run.name:<40} {epochs:>4} epochs  {duration(seconds)}"
                 for run, epochs, seconds in zip(self.runs, self.epochs, self.seconds, strict=True)]
        return "\n".join((*lines, str(self)))


def estimate(
    suite: Suite, *, out: Path, seeds: Sequence[int] | None = None, shard: tuple[int, int] = (1, 1)
) -> Estimate:
    """Estimate what :func:`.reproduce` would train with these arguments; nothing is trained or written.

    Raises:
        ConfigError, RunError, CheckpointError: as that function.
    """
    runs = plan(suite, (0,) if seeds is None else seeds, out)
    coming = to_train(runs, in_table(with_others(suite, out), runs, out), shard)
    found = []
    for run in coming:
        epochs = max(0, run.config.train.epochs - run.epochs)
        timed = _timed(run)
        each = timed or EPOCH_SECONDS[run.config.model.name] * _share_of_ave(run.config.data)
        found.append((run, epochs, epochs * each + RUN_SECONDS, timed is not None))
    return Estimate(*zip(*found, strict=True)) if found else Estimate((), (), (), ())


def duration(seconds: float) -> str:
    """Return ``40 s``, ``12 min`` or ``7.5 h``."""
    if seconds < 100:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"


def _timed(run: Run) -> float | None:
    """Seconds of an epoch, median over every seed of the row; ``None`` before its first epoch."""
    records = [record for path in run.folder.parent.glob("seed-*/journal.jsonl") for record in read_journal(path)]
    return median(record["seconds"] + record.get("evaluation_seconds", 0.0) for record in records) if records else None


def _share_of_ave(data: DataConfig) -> float:
    """Number of train videos, as a share of AVE's; files are not opened, and count as AVE's."""
    videos = 0.7 * data.synthetic.videos if data.kind == "synthetic" else AVE_VIDEOS
    return min(videos, data.limit or videos) / AVE_VIDEOS
