"""A seeded sample of cosmic-ray's mutants of one part of the package, each run against the part's tests.

python tests/mutation/run.py augment --count 20 --seed 0
Parts are the sections of parts.ini. A copy of the checkout is mutated, in a temporary folder; surviving mutants are
printed as diffs. It needs cosmic-ray (``pip install cosmic-ray``) and is no part of CI: a mutant takes as long as its
tests.
"""

from __future__ import annotations

import argparse
import configparser
import json
import os
import random
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from cosmic_ray.work_db import WorkDB, use_db
from cosmic_ray.work_item import WorkerOutcome, WorkResult

ROOT = Path(__file__).resolve().parents[2]
COPIED = ("avsgn_pyg", "tests", "configs", "tools", "setup.cfg", "pyproject.toml")
CONFIG = """[cosmic-ray]
module-path = {modules}
timeout = 300.0
excluded-modules = []
test-command = "{python} -m pytest -x -q -p no:cacheprovider -m 'not slow' {tests}"
[cosmic-ray.distributor]
name = "local"
"""


def main() -> int:
    parts = configparser.ConfigParser()
    parts.read(Path(__file__).with_name("parts.ini"))
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("part", choices=parts.sections())
    parser.add_argument("--count", type=int, default=20)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        copy, part = Path(folder) / "copy", parts[options.part]
        copy.mkdir()
        for name in COPIED:
            (shutil.copytree if (ROOT / name).is_dir() else shutil.copy)(ROOT / name, copy / name)
        (copy / "mutation.toml").write_text(CONFIG.format(
            python=sys.executable, modules=json.dumps(part["modules"].split()), tests=" ".join(part["tests"].split())))
        cosmic_ray(copy, "init", "mutation.toml", "mutants.sqlite")
        skip_all_but_a_sample(copy / "mutants.sqlite", options.count, options.seed)
        cosmic_ray(copy, "exec", "mutation.toml", "mutants.sqlite")
        return report(copy / "mutants.sqlite")


def cosmic_ray(folder: Path, *arguments: str) -> None:
    paths = os.pathsep.join([str(folder), os.environ.get("PYTHONPATH", "")])  # the copy, not the installed package
    subprocess.run([sys.executable, "-m", "cosmic_ray.cli", *arguments], cwd=folder, check=True,
                   env=os.environ | {"PYTHONPATH": paths})


def skip_all_but_a_sample(session: Path, count: int, seed: int) -> None:
    with use_db(session, WorkDB.Mode.open) as database:
        sites = sorted((str(mutation.module_path), mutation.operator_name, mutation.occurrence, item.job_id)
                       for item in database.work_items for mutation in item.mutations)
        kept = {site[-1] for site in random.Random(seed).sample(sites, min(count, len(sites)))}
        for *_, job in sites:
            if job not in kept:
                database.set_result(job, WorkResult(worker_outcome=WorkerOutcome.SKIPPED))


def report(session: Path) -> int:
    """Print each survivor, then the count; 1 if there are any."""
    with use_db(session, WorkDB.Mode.open) as database:
        done = [result for _, result in database.results if result.worker_outcome != WorkerOutcome.SKIPPED]
    survivors = [result for result in done if not result.is_killed]
    print(*(f"{result.test_outcome or result.worker_outcome}\n{result.diff}" for result in survivors), sep="\n")
    print(f"{len(done)} mutants, {len(survivors)} survived")
    return int(bool(survivors))


if __name__ == "__main__":
    sys.exit(main())
