"""What the code costs: groups of rows, each measured when its turn comes and kept as soon as it is there.

Features are random and of the data set's shape: what they say does not change what they cost. Every row is
explained in docs/benchmark.md.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

from tqdm import tqdm

from avsgn_pyg.experiments.dense_step import DenseSettings
from avsgn_pyg.experiments.gpu_rows import gpu_rows
from avsgn_pyg.experiments.graph_rows import cmgi_rows, layer_rows, window_rows
from avsgn_pyg.experiments.rows import Results, Row, machine_facts
from avsgn_pyg.experiments.timing import threads
from avsgn_pyg.experiments.training_rows import batching_rows, compile_rows, epoch_rows, operation_rows, step_rows
from avsgn_pyg.experiments.workload import Workload

Group = Callable[[Workload], Iterator[Row]]

#: What ``--rows`` chooses from, in the order in which it is measured.
GROUPS: dict[str, Group] = {
    "step": step_rows,
    "compile": compile_rows,
    "operations": operation_rows,
    "epoch": epoch_rows,
    "batching": batching_rows,
    "cmgi": cmgi_rows,
    "layers": layer_rows,
    "window": window_rows,
    "gpu": gpu_rows,
}


def measure(workload: Workload, groups: Sequence[str] = tuple(GROUPS), *, keep: Path | None = None,
            progress: bool = False) -> Results:
    """The rows of `groups`; those of a GPU are absent where there is no CUDA device.

    Args:
        keep: a folder that holds what was measured so far after every row, so that stopping loses one row.

    Raises:
        ConfigError: an override that the hand-written step does not know.
        ValueError: an unknown group; it names those there are.
    """
    unknown = [name for name in groups if name not in GROUPS]
    if unknown:
        raise ValueError(f"rows {', '.join(unknown)}: no such group; choose from {', '.join(GROUPS)}")
    DenseSettings.of(workload.config())  # refuses before anything is timed
    return collect({name: GROUPS[name] for name in groups}, workload, keep=keep, progress=progress)


def collect(groups: Mapping[str, Group], workload: Workload, *, keep: Path | None = None,
            progress: bool = False) -> Results:
    """The rows of every group, and the machine; `keep` and `progress` as of :func:`measure`."""
    rows: list[Row] = []
    with threads(workload.threads):
        machine, settings = machine_facts(), dataclasses.asdict(workload)
        with tqdm(groups.items(), unit="group", dynamic_ncols=True, disable=None if progress else True) as bar:
            for name, group in bar:
                bar.set_description(name)
                for row in group(workload):
                    rows.append(row)
                    bar.set_postfix(rows=len(rows))
                    if keep is not None:
                        Results(tuple(rows), machine, settings).save(keep)
        return Results(tuple(rows), machine, settings)
