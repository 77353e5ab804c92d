"""What a benchmark says: rows with quartiles and targets, and the machine they were measured on."""

from __future__ import annotations

import json
import platform
import re
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
import torch_geometric

from avsgn_pyg.experiments.timing import Quartiles


@dataclass(frozen=True)
class Row:
    """One measured (or quoted) number.

    Attributes:
        name: what was measured.
        value: the median; ``None`` where this machine cannot measure it.
        unit: ``ratio``, ``s``, ``ms``, ``MiB``, ``operations``, ``kernels`` or ``exponent``.
        low, high: quartiles over rounds; ``None`` for a single sample or a quoted number.
        at_most, at_least: the target.
        note: how it was had, or why it was not.
    """

    name: str
    value: float | int | None
    unit: str
    low: float | None = None
    high: float | None = None
    at_most: float | None = None
    note: str = ""
    at_least: float | None = None

    @classmethod
    def over_rounds(cls, name: str, found: Quartiles, unit: str, *, scale: float = 1.0,
                    at_most: float | None = None, at_least: float | None = None, note: str = "") -> Row:
        """A row from quartiles in seconds (`scale` 1000 for ms) or of ratios."""
        low, median, high = (scale * value for value in found)
        return cls(name, median, unit, low, high, at_most, note, at_least)

    @classmethod
    def absent(cls, name: str, unit: str, why: str, *, at_most: float | None = None,
               at_least: float | None = None) -> Row:
        """A row that could not be had; `why` stands in its note."""
        return cls(name, None, unit, at_most=at_most, note=why, at_least=at_least)

    @property
    def met(self) -> bool | None:
        """Whether the median keeps the target; ``None`` without one."""
        if self.value is None or (self.at_most is None and self.at_least is None):
            return None
        return ((self.at_most is None or self.value <= self.at_most)
                and (self.at_least is None or self.value >= self.at_least))

    def cells(self) -> tuple[str, str, str, str, str]:
        """Name, value, quartiles, target, note as text."""
        value = "absent" if self.value is None else f"{self.value:.4g} {self.unit}"
        spread = "" if self.low is None or self.high is None else f"{self.low:.4g} .. {self.high:.4g}"
        verdict = {True: "met", False: "missed", None: ""}[self.met]
        bounds = [f"{sign} {bound:g}" for sign, bound in (("<=", self.at_most), (">=", self.at_least))
                  if bound is not None]
        return self.name, value, spread, " ".join((*bounds, verdict)).rstrip(), self.note


HEADINGS = ("measured", "median", "quartiles", "target", "how")


@dataclass(frozen=True)
class Results:
    """Rows, the machine, and what was asked."""

    rows: tuple[Row, ...]
    machine: dict[str, Any]
    settings: dict[str, Any]

    def table(self) -> str:
        """For a terminal: machine, then aligned columns, notes below their row."""
        cells = [HEADINGS[:4], *(row.cells()[:4] for row in self.rows)]
        widths = [max(len(line[column]) for line in cells) for column in range(4)]
        lines = ["  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip()
                 for line in cells]
        rule = "-" * max(map(len, lines))
        notes = [f"{row.name}: {row.note}" for row in self.rows if row.note]
        return "\n".join((*_facts(self), "", lines[0], rule, *lines[1:], "", *notes))

    def markdown(self) -> str:
        """The same as Markdown."""
        table = _markdown([HEADINGS, ("---",) * 5, *(row.cells() for row in self.rows)])
        return "\n".join(("# Benchmark", "", *(f"- {fact}" for fact in _facts(self)), "", table, ""))

    def save(self, folder: Path) -> tuple[Path, Path]:
        """Write benchmark.json and benchmark.md into `folder`, which is made if need be."""
        folder.mkdir(parents=True, exist_ok=True)
        data, text = folder / "benchmark.json", folder / "benchmark.md"
        rows = [{**asdict(row), "met": row.met} for row in self.rows]
        record = {"machine": self.machine, "settings": self.settings, "rows": rows}
        data.write_text(json.dumps(record, indent=2) + "\n", encoding="utf-8")
        text.write_text(self.markdown(), encoding="utf-8")
        return data, text


def machine_facts() -> dict[str, Any]:
    """CPU, threads, versions, and the BLAS that torch was built with: a CPU ratio means little without it."""
    build = torch.__config__.show()
    library = re.search(r"Math Kernel Library Version ([\w.\-]+)", build)
    blas = re.search(r"BLAS_INFO=(\w+)", build)
    capability = re.search(r"CPU capability usage: (\w+)", build)
    name = blas.group(1) if blas else "not named by torch.__config__"
    return {
        "cpu": _cpu(),
        "threads": torch.get_num_threads(),
        "torch": torch.__version__,
        "torch_geometric": torch_geometric.__version__,
        "python": platform.python_version(),
        "blas": f"{name} {library.group(1)}" if library else name,
        "cpu_capability": capability.group(1) if capability else "unknown",
        "gpu": torch.cuda.get_device_name() if torch.cuda.is_available() else None,
    }


def _cpu() -> str:
    """Model name, what tells CPUs of one name apart (family, model, stepping), and the count."""
    info = Path("/proc/cpuinfo")
    text = info.read_text() if info.is_file() else ""
    fields = dict(re.findall(r"^(model name|cpu family|model|stepping)\s*:\s*(.+)$", text, re.MULTILINE))
    name = fields.pop("model name", platform.processor() or platform.machine())
    details = ", ".join(f"{key} {value}" for key, value in fields.items())
    cores = len(re.findall(r"^processor\s*:", text, re.MULTILINE))
    return f"{name} ({details}), {cores} cores" if fields else name


def _facts(results: Results) -> Iterable[str]:
    for title, facts in (("machine", results.machine), ("settings", results.settings)):
        yield f"{title}: " + ", ".join(f"{key} {value}" for key, value in facts.items())


def _markdown(lines: Sequence[Sequence[str]]) -> str:
    return "\n".join("| " + " | ".join(cell.replace("|", "\\|") for cell in line) + " |" for line in lines)
