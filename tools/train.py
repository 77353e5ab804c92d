"""Train a config, or resume a stopped run.

python tools/train.py                                        synthetic features, a minute on a CPU
python tools/train.py configs/avsgn_full.yaml train.seeds=[0,1,2,3,4]
python tools/train.py --resume runs/avsgn_full
python tools/train.py --resume runs/avsgn_full train.epochs=60
torchrun --nproc-per-node 2 tools/train.py configs/avsgn_full.yaml
"""

from __future__ import annotations

import argparse
import contextlib
import logging
import os
import shlex
import sys
from pathlib import Path

from tqdm.contrib.logging import logging_redirect_tqdm

from avsgn_pyg.common.command_line import Parser, exit_status, path, python, setting
from avsgn_pyg.common.config import load_config
from avsgn_pyg.engine import recipes
from avsgn_pyg.engine.recipes.checks import check_config
from avsgn_pyg.engine.run_folder import how_to_continue, read_run_config

FIRST = Path(__file__).resolve().parent.parent / "configs" / "synthetic.yaml"


def parse(arguments: list[str] | None = None) -> argparse.Namespace:
    parser = Parser(__doc__)
    parser.add_argument("config", nargs="?", type=setting, metavar="CONFIG",
                        help=f"a YAML file; default configs/{FIRST.name}")
    parser.add_overrides("dotted settings, such as train.epochs=5")
    parser.add_argument("--resume", type=path, metavar="RUN",
                        help="resume this run with its saved config; a higher train.epochs lengthens it")
    parser.add_argument("--overwrite", action="store_true", help="replace an earlier run of the same name")
    parser.add_argument("--quiet", action="store_true", help="print only the table")
    options = parser.parse_intermixed_args(arguments)
    if options.config is not None and "=" in options.config:
        options.overrides.insert(0, options.config)
        options.config = None
    if options.resume is not None and (options.config is not None or options.overwrite):
        parser.error("--resume RUN takes its config from RUN: give no CONFIG and no --overwrite")
    return options


def run(options: argparse.Namespace) -> recipes.Result:
    if options.resume is not None:
        check_config(read_run_config(options.resume, options.overrides))
        return recipes.restart(options.resume, options.overrides, progress=not options.quiet)
    config = load_config(options.config or FIRST, options.overrides)
    check_config(config)
    options.resume = recipes.run_folder(config)
    return recipes.train(config, overwrite=options.overwrite, progress=not options.quiet)


def main(arguments: list[str] | None = None) -> int:
    options = parse(arguments)
    first = os.environ.get("RANK", "0") == "0"
    logging.basicConfig(
        level=logging.WARNING if options.quiet or not first else logging.INFO, format="%(message)s"
    )

    def work() -> None:
        with contextlib.nullcontext() if options.quiet else logging_redirect_tqdm():
            result = run(options)
        if first:
            other = "test" if result.split == "val" else "val"
            command = shlex.join([python(), "tools/evaluate.py", str(result.folder), "--split", other])
            print(f"{result.table()}\n\nThe run is in {result.folder}/ (docs/runs.md describes its files). To score "
                  f"another split:\n  {command}")

    return exit_status(work, options, *recipes.EXPECTED_ERRORS,
                       stopped=lambda: f"\n{how_to_continue('tools/train.py', options.resume)}")


if __name__ == "__main__":
    sys.exit(main())
