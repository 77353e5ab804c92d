"""The runs of a suite: their folders, whether they are finished, and how one is trained."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from avsgn_pyg.common import files
from avsgn_pyg.common.config import Config
from avsgn_pyg.common.errors import CheckpointError, ConfigError, DataError, RunError
from avsgn_pyg.engine import recipes
from avsgn_pyg.engine.files import read_config, read_json
from avsgn_pyg.engine.recipes.parts import check_same_data, open_dataset
from avsgn_pyg.engine.recipes.result import name_of
from avsgn_pyg.engine.run_folder import RunFolder, seed_folders
from avsgn_pyg.experiments.suites.suite import Cell, Suite

_REMEDY: Final = "Use another --out, or remove that folder: a table holds one {}."


@dataclass(frozen=True)
class Run:
    """One row, supervision and seed: a run like any other, in ``OUT/<supervision>/<row>/seed-<n>/``.

    Attributes:
        cell: the row and the supervision.
        config: of the row, with this seed and this folder.
    """

    cell: Cell
    config: Config

    @property
    def seed(self) -> int:
        return self.config.train.seed

    @property
    def name(self) -> str:
        return f"{self.cell.supervision}/{self.cell.row.name}/seed-{self.seed}"

    @property
    def folder(self) -> Path:
        return recipes.run_folder(self.config)

    @property
    def out(self) -> Path:
        """The folder of the suite."""
        return self.config.run_dir.parents[1]

    @property
    def log(self) -> Path:
        return self.out / "logs" / f"{self.name.replace('/', '-')}.txt"

    @property
    def epochs(self) -> int:
        """Number of epochs in the journal."""
        journal = RunFolder(self.folder).journal
        return journal.read_bytes().count(b"\n") if journal.is_file() else 0

    def is_done(self) -> bool:
        """Whether it is trained, and scored on every split at the tau of its config.

        Raises:
            RunError: its folder holds a run of another config, or something else.
            CheckpointError: the run in it is damaged.
        """
        finished = RunFolder(self.folder).state(self.config) == "finished"
        return finished and all(self.read_scores(split) is not None for split in self.cell.splits)

    def read_scores(self, split: str) -> dict[str, Any] | None:
        """The content of ``metrics.json``; ``None`` unless it is of the selected checkpoint at the config's tau."""
        index, path = RunFolder(self.folder).index, self.scores_folder(split) / "metrics.json"
        dense = self.config.events is not None
        beside = path.with_name("detections.json" if dense else "predictions.csv")
        if index is None or not path.is_file() or not beside.is_file():
            return None
        found = read_json(path)
        try:
            selected = Path(found["checkpoint"]).name == index.selected
            same_tau = dense or (found["tau_from"] is None and found["tau"] == self.config.evaluate.tau)
        except (KeyError, TypeError):
            raise CheckpointError(f"{path}: not an evaluation of this version; remove it to have it "
                                  "rewritten") from None
        return found if selected and same_tau else None

    def scores_folder(self, split: str) -> Path:
        name, _, recomposed = split.partition("-")
        return self.folder / name_of(name, [f"data.recompose={recomposed}"] if recomposed else [])


def plan(suite: Suite, seeds: Sequence[int], out: Path) -> list[Run]:
    """List every run of a suite, all rows of the first seed first, so that there is a whole table early."""
    runs = []
    for seed in seeds:
        for cell in suite.cells:
            recipe = cell.config.train.model_copy(update={"seed": seed, "seeds": None})
            folder = out / cell.supervision / cell.row.name
            runs.append(Run(cell, cell.config.model_copy(update={"run_dir": folder, "name": f"seed-{seed}",
                                                                 "train": recipe})))
    return runs


def with_others(suite: Suite, out: Path) -> Suite:
    """Return the suite with the other rows of its file that `out` has runs of.

    Raises:
        ConfigError: the overrides clash with such a row.
    """
    own = {(cell.supervision, cell.row.name) for cell in suite.cells}
    return suite.select(lambda supervision, row:
                        (supervision, row) in own or bool(seed_folders(out / supervision / row)))


def in_table(whole: Suite, runs: Sequence[Run], out: Path) -> list[Run]:
    """Return `runs` and every other run of a suite :func:`with_others` that `out` has a folder of."""
    asked = {run.name for run in runs}
    seeds = sorted({*(run.seed for run in runs), *find_seeds(whole.cells, out)})
    return [run for run in plan(whole, seeds, out) if run.name in asked or run.folder.is_dir()]


def unfinished(runs: Sequence[Run]) -> list[Run]:
    """The runs that are still to be trained or scored.

    Raises:
        RunError: a folder holds a run of another config; the table would mix two recipes.
    """
    try:
        return [run for run in runs if not run.is_done()]
    except RunError as error:
        raise RunError(f"{error}\n{_REMEDY.format('recipe')}") from None


def to_train(runs: Sequence[Run], tabled: Sequence[Run], shard: tuple[int, int]) -> list[Run]:
    """Return the runs of a shard that are not finished, after a check of every run of the table.

    Raises:
        RunError: :func:`unfinished`.
    """
    names, (number, count) = {run.name for run in unfinished(tabled)}, shard
    return [run for run in runs[number - 1::count] if run.name in names]


def refuse_other_data(runs: Sequence[Run], coming: Sequence[Run]) -> None:
    """Check that the existing runs were trained on the data that are configured now.

    Data whose path did not change are opened only if one of `coming`, the runs to be trained, reads them anyway: a
    table of finished runs needs no data.

    Raises:
        RunError: a run was trained on other data.
        ConfigError, DataError: the data cannot be opened.
    """
    datasets: dict[str, Any] = {}
    needed = {run.config.data.model_dump_json() for run in coming}
    for run in runs:
        data, last = run.config.data, RunFolder(run.folder).last
        if data.root is None or last is None:
            continue
        before, key = read_config(run.folder).data.root, data.model_dump_json()
        moved = before is None or before.resolve() != data.root.resolve()
        if not moved and key not in needed:
            continue
        try:
            if key not in datasets:
                datasets[key] = open_dataset(run.config)
            check_same_data(last, datasets[key])
        except CheckpointError as error:
            raise RunError(f"{error}\n{_REMEDY.format('data')}") from None
        except (ConfigError, DataError):
            if moved:
                raise  # otherwise the coming run reports it for its own row


def find_seeds(cells: Sequence[Cell], out: Path) -> tuple[int, ...]:
    """Return every seed that some row has a folder of."""
    folders = [folder for cell in cells for folder in seed_folders(out / cell.supervision / cell.row.name)]
    return tuple(sorted({int(folder.name.removeprefix("seed-")) for folder in folders}))


def train(run: Run) -> None:
    """Train a run, or resume it, and score it on its splits.

    Raises:
        RunError: another process trains it.
        Any of :data:`avsgn_pyg.common.errors.EXPECTED_ERRORS`.
    """
    with files.lock(run.out / ".locks" / run.name.replace("/", "-")) as alone:
        if not alone:
            raise RunError(f"{run.folder}: another process is training it; wait for it, or stop it")
        config, splits = run.config, run.cell.splits
        evaluate = config.evaluate.model_copy(update={"split": splits[0].partition("-")[0]})
        recipes.train(config.model_copy(update={"evaluate": evaluate}), progress=False)
        root = [] if config.data.root is None else [f"data.root={config.data.root}"]
        for split in splits:
            name, _, recomposed = split.partition("-")
            if name != evaluate.split or recomposed:
                recipes.evaluate_run(run.folder, split=name, device=config.train.device, progress=False,
                                     overrides=[*root, *([f"data.recompose={recomposed}"] if recomposed else [])])
