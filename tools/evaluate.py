"""Score a run, or one of its checkpoints, on a split: table, JSON, one CSV line per video, confusion matrix.

python tools/evaluate.py runs/demo
python tools/evaluate.py runs/avsgn_full --split test --tau-from val
python tools/evaluate.py runs/avsgn_full --data /data/AVE data.splits=txt
A run of several seeds: scores each seed, their mean, and their ensemble, which averages their probabilities.
"""

from __future__ import annotations

import argparse
import json
import logging
import sys

from avsgn_pyg.common.command_line import Parser, exit_status, local, path, some_seeds
from avsgn_pyg.engine import recipes
from avsgn_pyg.engine.recipes.checks import check_run

SPLITS, PICTURES = ("train", "val", "test"), (".png", ".svg", ".pdf")


def parse(arguments: list[str] | None = None) -> argparse.Namespace:
    parser = Parser(__doc__)
    parser.add_argument("run", type=path, metavar="RUN", help="folder of a run or a checkpoint")
    parser.add_overrides("dotted data.* and evaluate.* settings")
    parser.add_argument("--seeds", type=some_seeds, metavar="N",
                        help="seeds of the run to score: all (default), the first N, or a list: 0,3 or 3,")
    parser.add_argument("--split", choices=SPLITS, help="default: the config's evaluate.split")
    threshold = parser.add_mutually_exclusive_group()
    threshold.add_argument("--tau", type=float, help="relevance threshold; default: the config's evaluate.tau")
    threshold.add_argument("--tau-from", choices=(*SPLITS, "val-pasted"), metavar="SPLIT",
                           help="use the best tau of this split; val-pasted: on pasted seconds, without segment labels")
    parser.add_argument("--data", type=local, metavar="ROOT", help="folder of the data, the same as data.root=ROOT")
    parser.add_argument("--device", default="auto", choices=("auto", "cpu", "cuda", "mps"))
    parser.add_argument("--reliability", type=path, metavar="FILE.png", help="draw a reliability diagram")
    parser.add_argument("--json", action="store_true", help="print JSON instead of the table")
    options = parser.parse_intermixed_args(arguments)
    if options.reliability is not None and options.reliability.suffix not in PICTURES:
        parser.error(f"--reliability {options.reliability}: a figure is one of {', '.join(PICTURES)}")
    return options


def run(options: argparse.Namespace) -> None:
    root = [] if options.data is None else [f"data.root={options.data}"]
    overrides = [*root, *options.overrides]
    check_run(options.run, overrides, "an evaluation", tau=options.tau, several=True, seeds=options.seeds)
    result = recipes.evaluate_run(
        options.run, split=options.split, tau=options.tau, tau_from=options.tau_from, seeds=options.seeds,
        device=options.device, overrides=overrides, progress=not options.json)
    if options.reliability is not None:
        recipes.reliability.draw_result(result, options.reliability)
    if options.json:
        print(json.dumps(result.as_dict(), indent=2, ensure_ascii=False))
    else:
        print(result.table(), "", *(f"written: {one.place}" for one in (result, result.ensemble) if one), sep="\n")


def main(arguments: list[str] | None = None) -> int:
    options = parse(arguments)
    logging.basicConfig(level=logging.WARNING, format="%(message)s")
    return exit_status(lambda: run(options), options, *recipes.EXPECTED_ERRORS)


if __name__ == "__main__":
    sys.exit(main())
