"""A suite's work, run by run: which there are, where each one's folder is, and whether it is finished."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from avsgn_pyg import recipes
from avsgn_pyg.config import Config, ConfigError, load_config
from avsgn_pyg.data.dataset import DataError, Dataset
from avsgn_pyg.engine.checkpoint import CONFIG, CheckpointError, read_json
from avsgn_pyg.engine.run_folder import RunError, RunFolder, seed_folders
from avsgn_pyg.experiments.suites.locks import held
from avsgn_pyg.experiments.suites.suite import Cell, Suite
from avsgn_pyg.recipes.parts import check_same_data, open_dataset

#: Beside the supervisions' folders: what each run printed.
LOGS = "logs"

_WAY: Final = "Give this table another --out, or remove that folder: a table holds one {}."


@dataclass(frozen=True)
class Job:
    """One row, one supervision, one seed: a run like any other, in ``OUT/<supervision>/<row>/seed-<n>/``.

    Attributes:
        cell: the row and the supervision.
        config: the row's, with this seed and this folder.
        splits: what it is scored on.
        out: the suite's folder.
    """

    cell: Cell
    config: Config
    splits: tuple[str, ...]
    out: Path

    @property
    def seed(self) -> int:
        return self.config.train.seed

    @property
    def name(self) -> str:
        """For a reader, and a log's name."""
        return f"{self.cell.supervision}/{self.cell.row.name}/seed-{self.seed}"

    @property
    def folder(self) -> Path:
        return recipes.run_folder(self.config)

    @property
    def log(self) -> Path:
        return self.out / LOGS / f"{self.name.replace('/', '-')}.txt"

    @property
    def epochs(self) -> int:
        """How many are done, by the journal."""
        journal = self.folder / "journal.jsonl"
        return journal.read_bytes().count(b"\n") if journal.is_file() else 0

    def is_done(self) -> bool:
        """Whether it is trained and scored on every split, as its config asks.

        Raises:
            RunError: its folder holds a run of another config, or something else.
            CheckpointError: the run there is damaged.
        """
        run = RunFolder(self.folder)
        if run.state(self.config) != "finished":
            return False
        return all(read_scores(self, split) is not None for split in self.splits)


def read_scores(job: Job, split: str) -> dict[str, Any] | None:
    """A run's ``metrics.json``; ``None`` where there is none of its selected checkpoint at its config's tau."""
    index = RunFolder(job.folder).index
    path = scored(job, split) / "metrics.json"
    if index is None or not path.is_file() or not (path.parent / "predictions.csv").is_file():
        return None
    found = read_json(path)
    try:
        selected = Path(found["checkpoint"]).name == index.selected
        as_asked = found["tau_from"] is None and found["tau"] == job.config.evaluate.tau
    except (KeyError, TypeError):
        raise CheckpointError(f"{path}: not an evaluation of this version; remove it, and it is made again") from None
    return found if selected and as_asked else None


def scored(job: Job, split: str) -> Path:
    """Folder of a run's scores."""
    return job.folder / f"evaluation-{split}"


def plan(suite: Suite, seeds: Sequence[int], out: Path) -> list[Job]:
    """Every run of a suite, all rows of the first seed first, so that a whole table stands early."""
    jobs = []
    for seed in seeds:
        for cell in suite.cells:
            recipe = cell.config.train.model_copy(update={"seed": seed, "seeds": None})
            folder = out / cell.supervision / cell.row.name
            config = cell.config.model_copy(update={"run_dir": folder, "name": f"seed-{seed}", "train": recipe})
            jobs.append(Job(cell, config, suite.splits(cell.config), out))
    return jobs


def unfinished(jobs: Sequence[Job]) -> list[Job]:
    """Those that are still to be trained or scored.

    Raises:
        RunError: a folder holds a run of another config: the table would mix two recipes.
    """
    try:
        return [job for job in jobs if not job.is_done()]
    except RunError as error:
        raise RunError(f"{error}\n{_WAY.format('recipe')}") from None


def refuse_other_data(jobs: Sequence[Job], coming: Sequence[Job]) -> None:
    """See that runs which are there were trained on the data that are asked for.

    Data that lie where they lay are opened only if a run to come reads them anyway: a table of what is finished needs
    no data.

    Args:
        jobs: the whole suite.
        coming: those that are about to be trained.

    Raises:
        RunError: they were not.
        ConfigError, DataError: the data cannot be opened.
    """
    opened: dict[str, Dataset] = {}
    read_anyway = {job.config.data.model_dump_json() for job in coming}
    for job in jobs:
        root, last, key = job.config.data.root, RunFolder(job.folder).last, job.config.data.model_dump_json()
        if root is None or last is None:
            continue
        in_place = _same_place(root, load_config(job.folder / CONFIG).data.root)
        if in_place and key not in read_anyway:
            continue
        try:
            if key not in opened:
                opened[key] = open_dataset(job.config)
        except (ConfigError, DataError):
            if not in_place:
                raise
            continue  # the run to come tells it of its own row
        try:
            check_same_data(last, opened[key])
        except CheckpointError as error:
            raise RunError(f"{error}\n{_WAY.format('data')}") from None


def _same_place(one: Path, other: Path | None) -> bool:
    return other is not None and one.resolve() == other.resolve()


def seeds_there(cells: Sequence[Cell], out: Path) -> tuple[int, ...]:
    """Every seed that a row has a folder of."""
    folders = [folder for cell in cells for folder in seed_folders(out / cell.supervision / cell.row.name)]
    return tuple(sorted({int(folder.name.removeprefix("seed-")) for folder in folders}))


def share(jobs: Sequence[Job], shard: tuple[int, int]) -> list[Job]:
    """Every n-th job, from the i-th on, i counted from 1: what one of n machines does."""
    number, count = shard
    return list(jobs[number - 1::count])


def train(job: Job) -> None:
    """Train, or continue, one job and score it on its splits.

    Raises:
        RunError: another process is at it.
        Any of :data:`avsgn_pyg.recipes.EXPECTED_ERRORS`.
    """
    with held(job.out, job.name.replace("/", "-"), wait=False) as alone:
        if not alone:
            raise RunError(f"{job.folder}: another process is training it; wait for it, or stop it")
        first, *others = job.splits
        evaluate = job.config.evaluate.model_copy(update={"split": first})
        config = job.config.model_copy(update={"evaluate": evaluate})
        recipes.train(config, progress=False)
        for split in others:
            recipes.evaluate_run(job.folder, split=split, device=config.train.device, progress=False,
                                 overrides=[] if config.data.root is None else [f"data.root={config.data.root}"])
