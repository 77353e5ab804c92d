"""One table by one command: plan the runs, do those that are missing, write what stands."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from avsgn_pyg.experiments.suites.farm import Failure, work_off
from avsgn_pyg.experiments.suites.formats import markdown, write_tables
from avsgn_pyg.experiments.suites.jobs import Job, plan, refuse_other_data, seeds_there, share, unfinished
from avsgn_pyg.experiments.suites.locks import held
from avsgn_pyg.experiments.suites.results import collect
from avsgn_pyg.experiments.suites.suite import Suite
from avsgn_pyg.experiments.suites.tables import Table, make_table


@dataclass(frozen=True)
class Reproduction:
    """What a command came to.

    Attributes:
        tables: one for each supervision and split, of what is finished.
        paths: the files they were written to.
        done: runs that this command trained or scored.
        failures: those that came to nothing.
        left: runs of the suite that are not finished, on this machine or another.
        total: runs of the suite.
    """

    tables: tuple[Table, ...]
    paths: tuple[Path, ...]
    done: int
    failures: tuple[Failure, ...]
    left: int
    total: int

    def report(self) -> str:
        """The tables, what failed and why, and where it all lies."""
        reasons: dict[str, list[Job]] = {}
        for failure in self.failures:
            reasons.setdefault(failure.reason, []).append(failure.job)
        failed = [f"failed: {', '.join(job.name for job in jobs)}\n  {reason}\n  log: {jobs[-1].log}"
                  for reason, jobs in reasons.items()]
        state = f"{self.total - self.left} of {self.total} runs finished, {self.done} of them now"
        return "\n".join((markdown(self.tables), *failed, state, *map(str, self.paths)))


def reproduce(
    suite: Suite, *, out: Path, seeds: Sequence[int] | None = None, processes: int | None = None,
    devices: Sequence[str] = (), shard: tuple[int, int] = (1, 1), progress: bool = True, train: bool = True,
) -> Reproduction:
    """Run what is missing of rows x seeds, then write the suite's tables into `out`.

    Args:
        suite: of :func:`avsgn_pyg.experiments.suites.suite.load_suite`.
        out: where runs and tables lie. Suites may share it: rows of one name are then one run.
        seeds: of every row. ``None`` is seed 0, and without `train` every seed that `out` has a run of.
        processes, devices, progress: see :func:`avsgn_pyg.experiments.suites.farm.work_off`.
        shard: (i, n) does every n-th run only, i from 1: one of n machines that share `out`.
        train: ``False`` runs nothing: tables of what is finished, as of a suite that is still on its way.

    Raises:
        ConfigError, RunError: a setting cannot be used; a folder holds a run of another recipe or of other data. Before
            anything runs.
        CheckpointError, DataError: what a finished run holds is damaged, or rows are not of the same videos.
        KeyboardInterrupt: after all processes have stopped; the same call goes on.
    """
    if seeds is None:
        seeds = (not train and seeds_there(suite.cells, out)) or (0,)
    jobs = plan(suite, seeds, out)
    missing = {job.name for job in unfinished(jobs)}
    asked = [job for job in share(jobs, shard) if job.name in missing] if train else []
    refuse_other_data(jobs, asked)
    failures = work_off(asked, processes=processes, devices=devices, progress=progress)
    with held(out, f"table-{suite.name}", wait=True):
        tables = tabulate(suite, jobs)
        paths = write_tables(tables, out, suite.name)
    left = len(unfinished(jobs))
    return Reproduction(tables, paths, len(asked) - len(failures), tuple(failures), left, len(jobs))


def tabulate(suite: Suite, jobs: Sequence[Job]) -> tuple[Table, ...]:
    """The tables of what is finished among `jobs`."""
    return tuple(make_table(suite, supervision, split, results)
                 for (supervision, split), results in collect(jobs).items())
