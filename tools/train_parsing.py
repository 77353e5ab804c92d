"""Train a parser on LLP and score it: which events are heard, which are seen, and when.

python tools/train_parsing.py configs/llp.yaml data.root=/data/llp data.features=features.h5
python tools/train_parsing.py --resume runs/llp
python tools/train_parsing.py --score runs/llp --split test
"""

from __future__ import annotations

import argparse
import json
import logging
import sys
from typing import TYPE_CHECKING

from avsgn_pyg.common.command_line import Parser, exit_status, path, setting
from avsgn_pyg.common.config import load_config
from avsgn_pyg.common.errors import EXPECTED_ERRORS
from avsgn_pyg.engine.run_folder import how_to_continue, read_run_config, run_folder
from avsgn_pyg.tasks import parsing
from avsgn_pyg.tasks.parsing.checks import check_parsing, check_parsing_run

if TYPE_CHECKING:
    from avsgn_pyg.engine.recipes.task import TaskResult


def parse(arguments: list[str] | None = None) -> argparse.Namespace:
    parser = Parser(__doc__)
    parser.add_argument("config", nargs="?", type=setting, metavar="CONFIG",
                        help="a YAML file with data.kind: llp")
    parser.add_overrides("dotted settings, such as train.epochs=5")
    parser.add_argument("--resume", type=path, metavar="RUN",
                        help="resume this run with its saved config; a higher train.epochs lengthens it")
    parser.add_argument("--score", type=path, metavar="RUN", help="only score this run or checkpoint")
    parser.add_argument("--split", choices=("val", "test"), help="with --score; default: the config's evaluate.split")
    parser.add_argument("--device", choices=("auto", "cpu", "cuda", "mps"), help="with --score; default: auto")
    parser.add_argument("--overwrite", action="store_true", help="replace an earlier run of the same name")
    parser.add_argument("--json", action="store_true", help="print JSON instead of the table")
    parser.add_argument("--quiet", action="store_true", help="print only the table")
    options = parser.parse_intermixed_args(arguments)
    if options.config is not None and "=" in options.config:
        options.overrides.insert(0, options.config)
        options.config = None
    if (options.config, options.resume, options.score).count(None) != 2:
        parser.error("give one of CONFIG, --resume RUN and --score RUN")
    if options.split is not None and options.score is None:
        parser.error("--split needs --score; set evaluate.split=... for training")
    if options.device is not None and options.score is None:
        parser.error("--device needs --score; set train.device=... for training")
    if options.overwrite and options.config is None:
        parser.error("--overwrite begins anew, which takes a CONFIG")
    return options


def run(options: argparse.Namespace) -> TaskResult:
    if options.score is not None:
        check_parsing_run(options.score, options.overrides)
        return parsing.evaluate_run(options.score, split=options.split, overrides=options.overrides,
                                    device=options.device or "auto")
    if options.resume is not None:
        check_parsing(read_run_config(options.resume, options.overrides))
        return parsing.restart(options.resume, options.overrides, progress=not options.quiet)
    config = load_config(options.config, options.overrides)
    check_parsing(config)
    options.resume = run_folder(config)
    return parsing.train(config, overwrite=options.overwrite, progress=not options.quiet)


def main(arguments: list[str] | None = None) -> int:
    options = parse(arguments)
    logging.basicConfig(level=logging.WARNING if options.quiet else logging.INFO, format="%(message)s")

    def work() -> None:
        result = run(options)
        print(json.dumps(result.as_dict(), indent=2) if options.json else result.table())

    return exit_status(work, options, *EXPECTED_ERRORS,
                       stopped=lambda: f"\n{how_to_continue('tools/train_parsing.py', options.resume)}")


if __name__ == "__main__":
    sys.exit(main())
