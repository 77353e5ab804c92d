"""Reproduce a table of the paper or of this project: train every row and compare with the paper's numbers.

python tools/reproduce.py configs/suites/table3_cmgi.yaml data.root=/data/AVE --seeds 5
python tools/reproduce.py configs/suites/table3_cmgi.yaml data.root=/data/AVE --seeds 5 --jobs 8 --devices cuda:0,cuda:1
python tools/reproduce.py configs/suites/table3_cmgi.yaml data.root=/data/AVE --seeds 5 --shard 2/8   one of 8 machines
python tools/reproduce.py configs/suites/table3_cmgi.yaml --smoke      one epoch of every row on few synthetic videos
Finished runs are kept and stopped ones resume if you give the same command again. docs/suites.md describes the rest.
"""

from __future__ import annotations

import argparse
import logging
import sys
from functools import partial
from pathlib import Path

from avsgn_pyg.common.command_line import Parser, exit_status, is_name, path, seeds, shard, whole
from avsgn_pyg.common.config import check_keys, read_tree
from avsgn_pyg.common.errors import EXPECTED_ERRORS


def parse(arguments: list[str] | None = None) -> argparse.Namespace:
    parser = Parser(__doc__)
    parser.add_argument("suite", type=path, metavar="SUITE", help="a YAML file of configs/suites")
    parser.add_overrides("dotted settings of all rows")
    parser.add_argument("--seeds", type=seeds, metavar="N", help="number of seeds, or a list: 0,3,4 or 3,")
    parser.add_argument("--out", type=path, default=Path("runs/suites"), metavar="DIR", help="default: runs/suites")
    parser.add_list("--rows", own=is_name, default=[], metavar="ROW", help="only these rows and the reference")
    parser.add_list("--supervision", default=[], choices=("full", "weak"), help="default: both")
    parser.add_argument("--jobs", type=whole, metavar="N", help="parallel runs; default: one per device")
    parser.add_list("--devices", own=is_name, default=[], metavar="D", help="cuda:0, cpu, auto; default: every GPU")
    parser.add_argument("--engine", choices=("processes", "ray"), default="processes", help="ray: on a Ray cluster")
    parser.add_argument("--cpus", type=whole, metavar="N", help="ray: CPUs for each run; default 1")
    parser.add_argument("--gpus", type=float, metavar="X", help="ray: GPUs for each run; default 1 if there are any")
    parser.add_argument("--shard", type=shard, default=(1, 1), metavar="I/N", help="only every N-th run, from the I-th")
    parser.add_argument("--smoke", action="store_true", help="one epoch of every row on few videos, into DIR/smoke")
    parser.add_argument("--dry-run", action="store_true", help="only say what would be trained, and how long it takes")
    parser.add_argument("--finished", action="store_true", help="only write tables, train nothing")
    parser.add_argument("--quiet", action="store_true", help="print neither the estimate nor the progress bar")
    options = parser.parse_intermixed_args(arguments)
    unread = (options.jobs, options.devices or None) if options.engine == "ray" else (options.cpus, options.gpus)
    if any(value is not None for value in unread):
        parser.error("--jobs and --devices need --engine processes, --cpus and --gpus need --engine ray")
    return options


def run(options: argparse.Namespace) -> int:
    read_tree(options.suite)
    check_keys(options.overrides)
    from avsgn_pyg.experiments.suites import estimate, load_suite, reproduce, run_on_processes, run_on_ray

    suite = load_suite(options.suite, options.overrides, rows=options.rows, supervisions=options.supervision,
                       smoke=options.smoke)
    out = options.out / "smoke" if options.smoke else options.out
    if not options.finished:
        work = estimate(suite, seeds=options.seeds, out=out, shard=options.shard)
        if options.dry_run:
            print(work.report())
            return 0
        if not options.quiet:
            print(work, file=sys.stderr)
    engine = (partial(run_on_ray, cpus=options.cpus or 1, gpus=options.gpus) if options.engine == "ray" else
              partial(run_on_processes, processes=options.jobs, devices=options.devices))
    found = reproduce(suite, seeds=options.seeds, out=out, shard=options.shard, engine=engine,
                      progress=not options.quiet, train=not options.finished)
    print(found.report())
    return 1 if found.failures else 0


def main(arguments: list[str] | None = None) -> int:
    options = parse(arguments)
    logging.basicConfig(level=logging.WARNING, format="%(message)s")
    return exit_status(lambda: run(options), options, *EXPECTED_ERRORS, stopped="\nstopped; the same command resumes")


if __name__ == "__main__":
    sys.exit(main())
