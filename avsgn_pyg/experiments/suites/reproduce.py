"""A table by one command: list the runs, train those that are missing, write the tables of what is finished."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from avsgn_pyg.common import files
from avsgn_pyg.experiments.suites import detections, execution
from avsgn_pyg.experiments.suites.execution import Failure
from avsgn_pyg.experiments.suites.formats import markdown, write_tables
from avsgn_pyg.experiments.suites.results import collect
from avsgn_pyg.experiments.suites.runs import (
    Run,
    find_seeds,
    in_table,
    plan,
    refuse_other_data,
    to_train,
    unfinished,
    with_others,
)
from avsgn_pyg.experiments.suites.suite import Suite
from avsgn_pyg.experiments.suites.tables import Table, make_table

#: Trains runs, and yields each with the reason of its failure, or None.
Engine = Callable[..., Generator[tuple[Run, str | None], None, None]]


@dataclass(frozen=True)
class Reproduction:
    """The outcome of :func:`reproduce`.

    Attributes:
        tables: one for each supervision and split, of what is finished.
        paths: the files they were written to.
        done: runs that this call trained or scored.
        failures: runs that failed.
        left: runs of the suite that are not finished.
        total: runs of the suite.
    """

    tables: tuple[Table, ...]
    paths: tuple[Path, ...]
    done: int
    failures: tuple[Failure, ...]
    left: int
    total: int

    def report(self) -> str:
        """The tables, what failed and why, and the paths of the files."""
        reasons: dict[str, list[Run]] = {}
        for failure in self.failures:
            reasons.setdefault(failure.reason, []).append(failure.run)
        failed = [f"failed: {', '.join(run.name for run in runs)}\n  {reason}\n  log: {runs[-1].log}"
                  for reason, runs in reasons.items()]
        state = f"{self.total - self.left} of {self.total} runs finished, {self.done} of them now"
        return "\n".join((markdown(self.tables), *failed, state, *map(str, self.paths)))


def reproduce(
    suite: Suite, *, out: Path, seeds: Sequence[int] | None = None, shard: tuple[int, int] = (1, 1),
    progress: bool = True, train: bool = True, engine: Engine = execution.run_on_processes, **options: Any,
) -> Reproduction:
    """Run what is missing of rows x seeds, then write the tables of the suite into `out`.

    Other rows and seeds of its file that `out` has runs of stay in the tables.

    Args:
        out: folder of runs and tables. Suites may share it: rows of one name are then one run.
        seeds: of every row. ``None``: seed 0, and without `train` every seed that `out` has a run of.
        shard: (i, n) runs every n-th run only, from the i-th on, counted from 1: the part of one of n machines.
        progress: show a bar of epochs on a terminal.
        train: ``False`` runs nothing and writes the tables of what is finished.
        engine, options: what trains the runs, :func:`avsgn_pyg.experiments.suites.execution.run_on_processes` or
            :func:`avsgn_pyg.experiments.suites.cluster.run_on_ray`, and its options, such as `processes` and `devices`.

    Raises:
        ConfigError, RunError: a setting cannot be used; a folder holds a run of another recipe or of other data;
            another machine uses `out`. All before anything runs.
        CheckpointError, DataError: the files of a finished run are damaged, or rows are not of the same videos.
        KeyboardInterrupt: after all processes have stopped; the same call resumes.
    """
    if seeds is None:
        seeds = (not train and find_seeds(suite.cells, out)) or (0,)
    runs, (_, count) = plan(suite, seeds, out), shard
    whole = with_others(suite, out)  # its YAML files, which may change while it runs, are read now alone
    tabled = in_table(whole, runs, out)
    coming = to_train(runs, tabled, shard) if train else []
    refuse_other_data(tabled, coming)
    with contextlib.ExitStack() as stack:
        if coming and count == 1:
            stack.enter_context(execution.use_alone(out))
        ended = stack.enter_context(execution.show_progress(coming)) if coming and progress else None
        outcomes = stack.enter_context(contextlib.closing(engine(coming, **options)))
        failures = []
        for run, reason in outcomes:
            failures += [] if reason is None else [Failure(run, reason)]
            if ended is not None:
                ended(run)
    with files.lock(out / ".locks" / f"table-{suite.name}", wait=True):
        tabled = in_table(whole, runs, out)
        tables = detections.make_tables(whole, tabled) if whole.dense else tuple(
            make_table(whole, supervision, split, results)
            for (supervision, split), results in collect(whole, tabled).items())
        paths = write_tables(tables, out, suite.name)
    return Reproduction(tables, paths, len(coming) - len(failures), tuple(failures), len(unfinished(runs)), len(runs))
