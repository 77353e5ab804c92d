"""Measure how well the text of labels classifies or localizes videos of classes that were not trained.

python tools/measure_open_vocabulary.py configs/ave_composite_full.yaml data.root=/data/AVE-Composite
    classifies by text alone: classes drawn at random, nothing trained
python tools/measure_open_vocabulary.py configs/ave_composite_full.yaml data.root=/data/AVE-Composite --training-free
    localizes events of all classes by text alone, with every rule of docs/training_free.md
python tools/measure_open_vocabulary.py runs/held_out data.root=/data/AVE-Composite
    a run trained with data.held_out=[...]: uses its relevance and the labels' text, on the videos of those classes
"""

from __future__ import annotations

import argparse
import json
import sys
from typing import TYPE_CHECKING

from avsgn_pyg.common.command_line import Parser, exit_status, path
from avsgn_pyg.common.config import load_config
from avsgn_pyg.common.errors import EXPECTED_ERRORS
from avsgn_pyg.data.files import check_files
from avsgn_pyg.engine.recipes.checks import check_run

if TYPE_CHECKING:
    from avsgn_pyg.engine.recipes.open_vocabulary import Measurement

PICTURES = (".png", ".svg", ".pdf")


def parse(arguments: list[str] | None = None) -> argparse.Namespace:
    parser = Parser(__doc__)
    parser.add_argument("source", type=path, metavar="CONFIG|RUN", help="a YAML file with data settings, or a run")
    parser.add_overrides("dotted settings, such as data.root=DIR")
    parser.add_argument("--split", choices=("train", "val", "test"), help="default: val; of a run, its evaluate.split")
    parser.add_argument("--held-out", type=int, metavar="K", help="with CONFIG: classes per draw; default 7")
    parser.add_argument("--draws", type=int, metavar="N", help="with CONFIG: number of draws; default 20")
    parser.add_argument("--training-free", action="store_true", help="with CONFIG: localize by training-free rules")
    parser.add_argument("--reliability", type=path, metavar="FILE.png", help="reliability of --training-free")
    parser.add_argument("--json", action="store_true", help="print JSON instead of the table")
    options = parser.parse_intermixed_args(arguments)
    if options.source.is_dir() and (options.training_free or not (options.held_out is options.draws is None)):
        parser.error("--held-out, --draws and --training-free need a CONFIG; the classes of a RUN were held out in its "
                     "training")
    if options.reliability is not None and not (options.training_free and options.reliability.suffix in PICTURES):
        parser.error(f"--reliability FILE draws the rule of --training-free, as one of {', '.join(PICTURES)}; for a "
                     "RUN, use tools/evaluate.py --reliability FILE")
    if options.training_free and not (options.held_out is options.draws is None):
        parser.error("--training-free uses all classes: leave out --held-out and --draws")
    return options


def measure(options: argparse.Namespace) -> Measurement:
    if options.source.is_dir():
        check_run(options.source, options.overrides, "a measurement")
        from avsgn_pyg.engine.recipes.open_vocabulary import measure_unseen

        return measure_unseen(options.source, split=options.split, overrides=options.overrides)
    data = load_config(options.source, options.overrides).data
    check_files(data)
    if options.training_free:
        from avsgn_pyg.engine.recipes.training_free import measure_training_free

        return measure_training_free(data, split=options.split or "val", figure=options.reliability)
    from avsgn_pyg.engine.recipes.open_vocabulary import measure_held_out

    return measure_held_out(data, split=options.split or "val",
                            held_out=7 if options.held_out is None else options.held_out,
                            seeds=range(20 if options.draws is None else options.draws))


def run(options: argparse.Namespace) -> None:
    found = measure(options)
    print(json.dumps(found.values, indent=2, ensure_ascii=False) if options.json else found.table)


def main(arguments: list[str] | None = None) -> int:
    options = parse(arguments)
    return exit_status(lambda: run(options), options, *EXPECTED_ERRORS)


if __name__ == "__main__":
    sys.exit(main())
