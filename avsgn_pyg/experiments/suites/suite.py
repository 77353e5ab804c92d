"""The YAML of a suite: the rows of one table, each a config with some settings changed, and the paper's numbers.

It names a config for each supervision (``full``, ``weak``). A row changes some of its settings or has a config of its
own; ``docs/suites.md`` describes the format. Every row is resolved, and so validated, before anything runs.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal, get_args

from pydantic import Field, ValidationError, model_validator

from avsgn_pyg.common.config import Config, ConfigError, load_config, read_tree
from avsgn_pyg.common.settings import Section

Supervision = Literal["full", "weak"]
#: A split, as it was made or with its background recomposed (``data.recompose``).
Split = Literal["train", "val", "test", "val-runs", "val-seconds", "test-runs", "test-seconds"]
#: The name of a row is also the name of a folder.
Name = Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9_.-]*$")]
Percent = Annotated[float, Field(ge=0.0, le=100.0)]
#: Settings of a smoke run, over those of every row; without ``data.root`` it runs on synthetic data.
SMOKE = ("train.epochs=1", "evaluate.bootstrap=20", "data.limit=32")
SMOKE_DATA = ("data.kind=synthetic", "data.synthetic.videos=100")
SMOKE_NOTE = "A smoke run: one epoch, at most 32 videos of a split. Its numbers say nothing about the methods."
#: Settings that the suite sets itself.
OWN = ("name", "run_dir", "train.seed", "train.seeds", "objective.supervision")


class Row(Section):
    """A row that is trained.

    Attributes:
        name: of its folder.
        label: in the table; default: the name.
        config: instead of the suite's: one path, or one for each supervision.
        change: dotted setting -> value.
        supervision: that it is trained under; ``None``: every one of the suite.
        paper: supervision -> published segment accuracy, percent.
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
    """A row of published numbers, which is not trained."""

    label: str
    paper: dict[Supervision, Percent]
    note: str = ""


class SuiteFile(Section):
    """The content of the YAML.

    Attributes:
        title: of the table.
        notes: below the table.
        configs: supervision -> the config that rows start from, relative to the YAML.
        change: dotted settings of every row.
        splits: to score; ``None``: each config's ``evaluate.split``.
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
    def _check_rows(self) -> SuiteFile:
        names = [row.name for row in self.rows]
        if twice := sorted({name for name in names if names.count(name) > 1}):
            raise ValueError(f"rows: duplicate name {', '.join(twice)}; each row needs a folder of its own")
        if self.reference not in names:
            raise ValueError(f"reference: {self.reference} is none of the rows {', '.join(names)}")
        for row in self.rows:
            if strange := [name for name in row.supervision or () if name not in self.configs]:
                raise ValueError(f"rows: {row.name}: supervision {strange} has no config; "
                                 f"there are {list(self.configs)}")
        for key in (key for part in (self, *self.rows) for key in part.change if key in OWN):
            raise ValueError(f"change: {key} is set by the suite and cannot be changed")
        return self


@dataclass(frozen=True)
class Cell:
    """One row under one supervision, which is trained once for each seed; `splits` are scored, in this order."""

    supervision: Supervision
    row: Row
    config: Config
    splits: tuple[str, ...]


@dataclass(frozen=True)
class Suite:
    """A suite whose rows are resolved.

    Attributes:
        path: the YAML.
        file: its content, with all rows.
        cells: the rows that were asked for, in the order of the table, supervision by supervision.
        overrides: dotted settings of all rows.
        forced: dotted settings that win over those of a row, too.
    """

    path: Path
    file: SuiteFile
    cells: tuple[Cell, ...]
    overrides: tuple[str, ...] = ()
    forced: tuple[str, ...] = ()

    @property
    def name(self) -> str:
        return self.path.stem

    @property
    def dense(self) -> bool:
        """Whether its runs find several events a video."""
        return any(cell.config.events is not None for cell in self.cells)

    def select(self, wanted: Callable[[str, str], bool]) -> Suite:
        """Return the suite with the rows of its file for which ``wanted(supervision, name)`` is true.

        Raises:
            ConfigError: the overrides clash with such a row, or it cannot be resolved.
        """
        chosen = [(supervision, row) for supervision in get_args(Supervision) if supervision in self.file.configs
                  for row in self.file.rows
                  if (row.supervision is None or supervision in row.supervision) and wanted(supervision, row.name)]
        _refuse_clashes(self.path, [row for _, row in chosen], self.overrides)
        cells = tuple(_resolve(self.path, self.file, row, supervision, self.overrides, self.forced)
                      for supervision, row in chosen)
        return dataclasses.replace(self, cells=cells)


def load_suite(
    path: Path, overrides: Sequence[str] = (), *, rows: Sequence[str] = (), supervisions: Sequence[str] = (),
    smoke: bool = False,
) -> Suite:
    """Read a suite and every config in it.

    Args:
        overrides: dotted settings of all rows, such as ``data.root=...``. A setting that distinguishes rows is refused;
            ``evaluate.split`` replaces the suite's ``splits``.
        rows: names of the rows to keep, default all; the reference is always kept.
        supervisions: likewise.
        smoke: train every row for one epoch on few videos, to see that everything runs; synthetic videos unless
            ``data.root`` or ``data.kind`` is overridden.

    Raises:
        ConfigError: names the file, the row and the setting.
    """
    file = _read(path)
    wanted = (*_choose([row.name for row in file.rows], rows, f"{path}: row"), file.reference)
    under = _choose(list(file.configs), supervisions, f"{path}: supervision")
    keys = _keys(overrides)
    if "evaluate.split" in keys:
        file = file.model_copy(update={"splits": None})
    if smoke:
        file = file.model_copy(update={"notes": (SMOKE_NOTE, *file.notes)})
        dense = any(load_config(path.parent / config).events for config in file.configs.values())
        overrides = (*overrides, *(() if dense or {"data.root", "data.kind"} & {*keys} else SMOKE_DATA))
    suite = Suite(path, file, (), tuple(overrides), SMOKE if smoke else ())
    return suite.select(lambda supervision, row: supervision in under and row in wanted)


def _read(path: Path) -> SuiteFile:
    try:
        return SuiteFile.model_validate(read_tree(path))
    except ValidationError as error:
        lines = []
        for problem in error.errors():
            key = ".".join(str(part) for part in problem["loc"])
            message = problem["msg"].removeprefix("Value error, ")
            if problem["type"] == "extra_forbidden":
                section = {"rows": Row, "published": Published}.get(key.partition(".")[0], SuiteFile)
                message = f"no such setting; there are: {', '.join(section.model_fields)}"
            lines.append(f"{path}: {key + ': ' if key else ''}{message}")
        raise ConfigError("\n".join(lines)) from None


def _resolve(path: Path, file: SuiteFile, row: Row, supervision: Supervision, overrides: Sequence[str],
             forced: Sequence[str]) -> Cell:
    """Apply to a row's config the changes of the suite, then those of the row, then the command line, then `forced`."""
    own = row.config.get(supervision) if isinstance(row.config, Mapping) else row.config
    if isinstance(row.config, Mapping) and own is None:
        raise ConfigError(f"{path}: row {row.name}: config: none for {supervision}; add one, or set supervision")
    changes = [f"{key}={json.dumps(value)}" for key, value in {**file.change, **row.change}.items()]
    try:
        config = load_config(path.parent / (own or file.configs[supervision]), [*changes, *overrides, *forced])
    except ConfigError as error:
        raise ConfigError(f"{path}: row {row.name} ({supervision}): {error}") from None
    if config.objective.supervision != supervision:
        raise ConfigError(f"{path}: row {row.name}: expected a config of objective.supervision={supervision}, got "
                          f"{config.objective.supervision}")
    splits = file.splits or (config.evaluate.split,)
    if config.train.select == "test" and splits != ("test",):
        raise ConfigError(f"{path}: row {row.name}: train.select=test needs splits: [test] alone, so that the table "
                          f"shows the split that selected the epoch; got {list(splits)}")
    return Cell(supervision, row, config, splits)


def _keys(overrides: Sequence[str]) -> list[str]:
    return [text.partition("=")[0].strip() for text in overrides]


def _refuse_clashes(path: Path, rows: Sequence[Row], overrides: Sequence[str]) -> None:
    """Refuse to override what distinguishes rows: they would become equal."""
    for key in _keys(overrides):
        if key in OWN:
            raise ConfigError(f"command line: {key} is set by the suite; see --out, --seeds and --supervision")
        for row in rows:
            for changed in row.change:
                if f"{key}.".startswith(f"{changed}.") or f"{changed}.".startswith(f"{key}."):
                    raise ConfigError(f"command line: {key} is what row {row.name} of {path} changes ({changed}); "
                                      "omit it, or select other rows with --rows")


def _choose(available: Sequence[str], asked: Sequence[str], what: str) -> Sequence[str]:
    if strange := [name for name in asked if name not in available]:
        raise ConfigError(f"{what} {', '.join(strange)}: not found; there are {', '.join(available)}")
    return asked or available
