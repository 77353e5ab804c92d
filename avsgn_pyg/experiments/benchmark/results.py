"""What a benchmark reports: rows with quartiles and targets, and the machine they were measured on."""

from __future__ import annotations

import dataclasses
import platform
import re
import statistics
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
import torch_geometric
from torch.utils import collect_env
from tqdm import tqdm

from avsgn_pyg.common.files import write_json, write_text
from avsgn_pyg.common.text import markdown_table
from avsgn_pyg.experiments.benchmark.timing import clock, interleave, sampler
from avsgn_pyg.experiments.benchmark.workload import Workload


@dataclass(frozen=True)
class Row:
    """One measured number.

    Attributes:
        name: what was measured.
        value: the median; ``None`` where this machine cannot measure it.
        unit: ``ratio``, ``ms``, ``MiB`` or ``operations``.
        low, high: quartiles over rounds; ``None`` for a single sample.
        at_most: the target.
        note: how it was measured, or why it was not.
    """

    name: str
    value: float | int | None
    unit: str
    low: float | None = None
    high: float | None = None
    at_most: float | None = None
    note: str = ""

    @classmethod
    def of(cls, name: str, values: Sequence[float], unit: str, **rest: Any) -> Row:
        """Return the row of `values` over rounds; `rest` are other fields."""
        if len(values) == 1:
            return cls(name, values[0], unit, **rest)
        low, median, high = statistics.quantiles(values, n=4, method="inclusive")
        return cls(name, median, unit, low, high, **rest)

    @property
    def met(self) -> bool | None:
        """Whether the median is within the target; ``None`` without one."""
        return None if self.value is None or self.at_most is None else self.value <= self.at_most

    def cells(self) -> tuple[str, str, str, str, str]:
        """Return name, value, quartiles, target and note as text."""
        value = "absent" if self.value is None else f"{self.value:.4g} {self.unit}"
        spread = "" if self.low is None else f"{self.low:.4g} .. {self.high:.4g}"
        verdict = {None: "", True: "met", False: "missed"}[self.met]
        target = "" if self.at_most is None else f"<= {self.at_most:.4g} {verdict}"
        return self.name, value, spread, target, self.note


@dataclass(frozen=True)
class Comparison:
    """Variants that take turns. Rows are the first one's time, and the ratio of each other one to it.

    Attributes:
        name: starts the names of the rows.
        variants: name -> what is timed.
        at_most: targets of the ratios, by variant.
        rounds: ``None``: the workload's.
        note: of the first row.
        timed: whether the variants return their own seconds.
    """

    name: str
    variants: Mapping[str, Callable[[], Any]]
    at_most: Mapping[str, float | None] = dataclasses.field(default_factory=dict)
    rounds: int | None = None
    note: str = ""
    timed: bool = False

    def rows(self, workload: Workload) -> Iterator[Row]:
        """Measure every variant in turn."""
        read = clock(workload.device)
        samplers = {name: run if self.timed else sampler(run, read) for name, run in self.variants.items()}
        samples = interleave(samplers, self.rounds or workload.rounds, seed=workload.seed, budget=workload.budget)
        first, *others = samples
        yield Row.of(f"{self.name}: {first}", [1e3 * seconds for seconds in samples[first]], "ms", note=self.note)
        for other in others:
            ratios = [one / two for one, two in zip(samples[other], samples[first], strict=True)]
            yield Row.of(f"{self.name}: {other} / {first}", ratios, "ratio", at_most=self.at_most.get(other),
                         note=f"{other} {1e3 * statistics.median(samples[other]):.4g} ms, {len(ratios)} rounds")


#: A function that yields comparisons, or finished rows.
Group = Callable[[Workload], Iterator[Comparison | Row]]


@dataclass(frozen=True)
class Results:
    """Rows, the machine, and the settings of the workload."""

    rows: tuple[Row, ...]
    machine: dict[str, Any]
    settings: dict[str, Any]

    def text(self) -> str:
        """Return machine, settings and a table of the rows as Markdown."""
        facts = [f"- {title}: " + ", ".join(f"{key} {value}" for key, value in values.items())
                 for title, values in (("machine", self.machine), ("settings", self.settings))]
        head = ("measured", "median", "quartiles", "target", "note")
        table = markdown_table([head, *(row.cells() for row in self.rows)])
        return "\n".join(("# Benchmark", "", *facts, "", *table, ""))

    def save(self, folder: Path) -> tuple[Path, Path]:
        """Write benchmark.json and benchmark.md into `folder`, which is created if needed."""
        rows = [{**dataclasses.asdict(row), "met": row.met} for row in self.rows]
        data, text = folder / "benchmark.json", folder / "benchmark.md"
        write_json(data, {"machine": self.machine, "settings": self.settings, "rows": rows})
        write_text(text, self.text())
        return data, text


def measure(groups: Mapping[str, Group], workload: Workload, *, keep: Path | None = None,
            progress: bool = False) -> Results:
    """Return the rows of all groups, measured in turn.

    Args:
        keep: a folder in which the results so far are saved after each row, so that an interruption loses one row.
        progress: whether a progress bar is shown on a terminal.
    """
    torch.set_num_threads(workload.threads)
    results = Results((), machine_facts(), dataclasses.asdict(workload))
    with tqdm(groups.items(), unit="group", dynamic_ncols=True, disable=None if progress else True) as bar:
        for name, group in bar:
            bar.set_description(name)
            for row in rows_of(group, workload):
                results = dataclasses.replace(results, rows=(*results.rows, row))
                if keep is not None:
                    results.save(keep)
    return results


def rows_of(group: Group, workload: Workload) -> Iterator[Row]:
    """Measure the rows of one group."""
    for part in group(workload):
        yield from part.rows(workload) if isinstance(part, Comparison) else [part]


def machine_facts() -> dict[str, Any]:
    """Return CPU, threads, versions, and the BLAS that torch was built with, on which ratios depend."""
    cpu = collect_env.get_cpu_info(collect_env.run) or platform.processor()
    fields = re.findall(r"^\s*(?:Model name|CPU family|Model|Stepping|CPU\(s\)):.*$", cpu, re.MULTILINE)
    blas = re.findall(r"BLAS_INFO=(\w+)|Math Kernel Library Version ([\w.\-]+)", torch.__config__.show())
    return {
        "cpu": "; ".join(" ".join(field.split()) for field in fields) or cpu,
        "threads": torch.get_num_threads(),
        "torch": torch.__version__,
        "torch_geometric": torch_geometric.__version__,
        "python": platform.python_version(),
        "blas": " ".join(map("".join, blas)) or "unknown",
        "cpu_capability": torch.backends.cpu.get_cpu_capability(),
        "gpu": torch.cuda.get_device_name() if torch.cuda.is_available() else None,
    }
