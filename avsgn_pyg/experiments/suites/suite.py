"""What a suite is: the rows of one table, each a config with some settings changed, beside the paper's numbers.

A suite's YAML names a config for each supervision (``full``, ``weak``). A row changes a few of its dotted settings, or
brings a config of its own; ``docs/suites.md`` shows the form. Every row is resolved, and so checked, before any runs.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal, get_args

from pydantic import Field, ValidationError, model_validator

from avsgn_pyg.config import Config, ConfigError, Section, load_config, read_tree

Supervision = Literal["full", "weak"]
Split = Literal["train", "val", "test"]
SUPERVISIONS: tuple[Supervision, ...] = get_args(Supervision)

#: A row's name is a folder's too.
Name = Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9_.-]*$")]
Percent = Annotated[float, Field(ge=0.0, le=100.0)]
#: What a row stands for, not how it is trained: the suite alone says these.
OWN = ("name", "run_dir", "train.seed", "train.seeds", "objective.supervision")


class Row(Section):
    """One row that is trained.

    Attributes:
        name: of its folder.
        label: in the table; the name where there is none.
        config: in place of the suite's: one path, or one for each supervision.
        change: dotted setting -> value.
        supervision: under which it is trained; ``None`` takes every one of the suite.
        paper: supervision -> the published segment accuracy.
        note: a footnote.
    """

    name: Name
    label: str = ""
    config: str | dict[Supervision, str] | None = None
    change: dict[str, Any] = Field(default_factory=dict)
    supervision: tuple[Supervision, ...] | None = None
    paper: dict[Supervision, Percent] = Field(default_factory=dict)
    note: str = ""

    @property
    def title(self) -> str:
        return self.label or self.name


class Published(Section):
    """A row that is a number in a paper and nothing else."""

    label: str
    paper: dict[Supervision, Percent]
    note: str = ""


class SuiteFile(Section):
    """A suite's YAML.

    Attributes:
        title: of the table.
        notes: what a reader has to know of all rows.
        configs: supervision -> the config that rows start from, relative to the YAML.
        change: dotted settings of every row.
        splits: what is scored; ``None`` takes each config's ``evaluate.split``.
        reference: name of the row "ours", which the others are compared with.
        rows, published: of the table; the published ones come first.
    """

    title: str
    notes: tuple[str, ...] = ()
    configs: dict[Supervision, str]
    change: dict[str, Any] = Field(default_factory=dict)
    splits: Annotated[tuple[Split, ...], Field(min_length=1)] | None = None
    reference: Name
    rows: Annotated[tuple[Row, ...], Field(min_length=1)]
    published: tuple[Published, ...] = ()

    @model_validator(mode="after")
    def _rows_fit(self) -> SuiteFile:
        names = [row.name for row in self.rows]
        twice = sorted({name for name in names if names.count(name) > 1})
        if twice:
            raise ValueError(f"rows: {', '.join(twice)} stands there twice; names are folders")
        if self.reference not in names:
            raise ValueError(f"reference: {self.reference} is none of the rows {', '.join(names)}")
        for row in self.rows:
            strange = [name for name in row.supervision or () if name not in self.configs]
            if strange:
                raise ValueError(f"rows: {row.name}: supervision {strange} has no config; "
                                 f"there are {list(self.configs)}")
        for key in (key for part in (self, *self.rows) for key in part.change if key in OWN):
            raise ValueError(f"change: {key} is the suite's own to set, not a row's")
        return self


@dataclass(frozen=True)
class Cell:
    """One row under one supervision: what is trained once a seed."""

    supervision: Supervision
    row: Row
    config: Config


@dataclass(frozen=True)
class Suite:
    """A suite with its rows resolved.

    Attributes:
        name: the YAML's, without its suffix.
        file: what stands in it, less the rows that were not asked for.
        cells: in the order of the table, supervision by supervision.
    """

    name: str
    file: SuiteFile
    cells: tuple[Cell, ...]

    @property
    def supervisions(self) -> tuple[Supervision, ...]:
        return tuple(dict.fromkeys(cell.supervision for cell in self.cells))

    def splits(self, config: Config) -> tuple[str, ...]:
        """What a row is scored on, in order."""
        return self.file.splits or (config.evaluate.split,)


def load_suite(
    path: Path, overrides: Sequence[str] = (), *, rows: Sequence[str] = (), supervisions: Sequence[str] = ()
) -> Suite:
    """Read a suite and every config in it.

    Args:
        overrides: dotted settings of all rows, such as ``data.root=...``. One that a row is about is refused; one of
            ``evaluate.split`` replaces the suite's ``splits``.
        rows: names of the rows that are wanted; none means all. The reference is always kept.
        supervisions: likewise.

    Raises:
        ConfigError: names the file, the row and the setting.
    """
    file = _read(path)
    wanted = _chosen([row.name for row in file.rows], rows, f"{path}: row")
    under = _chosen(list(file.configs), supervisions, f"{path}: supervision")
    kept = tuple(row for row in file.rows if row.name in (*wanted, file.reference))
    keys = [text.partition("=")[0].strip() for text in overrides]
    _refuse_clashes(path, kept, keys)
    if "evaluate.split" in keys:
        file = file.model_copy(update={"splits": None})
    cells = [
        Cell(supervision, row, _resolve(path, file, row, supervision, overrides))
        for supervision in SUPERVISIONS if supervision in under
        for row in kept if row.supervision is None or supervision in row.supervision
    ]
    return Suite(path.stem, file.model_copy(update={"rows": kept}), tuple(cells))


def _read(path: Path) -> SuiteFile:
    try:
        return SuiteFile.model_validate(read_tree(path))
    except ValidationError as error:
        lines = []
        for problem in error.errors():
            key = ".".join(str(part) for part in problem["loc"])
            message = problem["msg"].removeprefix("Value error, ")
            if problem["type"] == "extra_forbidden":
                section = Row if key.startswith("rows.") else Published if key.startswith("published.") else SuiteFile
                message = f"no such setting; there are: {', '.join(section.model_fields)}"
            lines.append(f"{path}: {key + ': ' if key else ''}{message}")
        raise ConfigError("\n".join(lines)) from None


def _resolve(path: Path, file: SuiteFile, row: Row, supervision: Supervision, overrides: Sequence[str]) -> Config:
    """The row's config: its YAML, what the suite changes, what the row changes, what the command line says."""
    own = row.config.get(supervision) if isinstance(row.config, Mapping) else row.config
    if isinstance(row.config, Mapping) and own is None:
        raise ConfigError(f"{path}: row {row.name}: config: none for {supervision}; give one, or set supervision")
    change = {**file.change, **row.change}
    given = [f"{key}={json.dumps(value)}" for key, value in change.items()]
    try:
        config = load_config(path.parent / (own or file.configs[supervision]), [*given, *overrides])
    except ConfigError as error:
        raise ConfigError(f"{path}: row {row.name} ({supervision}): {error}") from None
    if config.objective.supervision != supervision:
        raise ConfigError(f"{path}: row {row.name}: its config is of objective.supervision="
                          f"{config.objective.supervision}, but stands under {supervision}")
    return config


def _refuse_clashes(path: Path, rows: Sequence[Row], keys: Sequence[str]) -> None:
    """An override of what a row is about would make all rows the same."""
    for key in keys:
        if key in OWN:
            raise ConfigError(f"command line: {key} is the suite's own to set; see --out, --seeds and --supervision")
        for row in rows:
            for changed in row.change:
                if f"{key}.".startswith(f"{changed}.") or f"{changed}.".startswith(f"{key}."):
                    raise ConfigError(f"command line: {key} is what row {row.name} of {path} changes ({changed}); "
                                      "leave it out, or choose other rows with --rows")


def _chosen(there: Sequence[str], asked: Sequence[str], what: str) -> Sequence[str]:
    strange = [name for name in asked if name not in there]
    if strange:
        raise ConfigError(f"{what} {', '.join(strange)}: no such one; there are {', '.join(there)}")
    return asked or there
