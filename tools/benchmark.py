"""What the code costs on this machine: steps, epochs, batches, message passing on both backends, long videos, a GPU.

    python tools/benchmark.py                    about ten minutes of one CPU core
    python tools/benchmark.py --quick            a minute: fewer videos, sizes and samples, no memory peaks
    python tools/benchmark.py --rows cmgi,step   only these groups
    python tools/benchmark.py --rows blocks      single layers on blocks, which is measured only when it is named
    python tools/benchmark.py --against DIR      this checkout's speed over that of another one, in DIR
    python tools/benchmark.py --out results      also benchmark.json and .md in results/, kept row by row
"""

from __future__ import annotations

import argparse
import dataclasses
import sys
from typing import TYPE_CHECKING

from avsgn_pyg.common.command_line import Parser, exit_status, path
from avsgn_pyg.common.config import ConfigError, load_config

#: Of avsgn_pyg.experiments.benchmark (GROUPS, Workload), which import torch; a test compares them.
GROUPS = ("step", "operations", "epoch", "batching", "cmgi", "layers", "window", "gpu", "blocks")
ROUNDS, EPOCHS, BUDGET = 15, 3, 20.0

if TYPE_CHECKING:
    from avsgn_pyg.experiments.benchmark.workload import Workload


def parse(arguments: list[str] | None = None) -> argparse.Namespace:
    parser = Parser(__doc__)
    parser.add_overrides("dotted model.* settings")
    parser.add_argument("--quick", action="store_true", help="fewer videos, samples and sizes")
    parser.add_list("--rows", choices=GROUPS, default=GROUPS[:-1], metavar="GROUP",
                    help=f"what to measure: {', '.join(GROUPS)}; default: all but blocks")
    parser.add_argument("--against", type=path, metavar="DIR", help="compare with another checkout")
    parser.add_argument("--out", type=path, metavar="FOLDER", help="folder for benchmark.json and .md")
    parser.add_argument("--threads", type=positive, default=1, help="torch's threads; default 1")
    parser.add_argument("--rounds", type=positive, help=f"samples of a step; default {ROUNDS}")
    parser.add_argument("--epochs", type=positive, help=f"samples of an epoch; default {EPOCHS}")
    parser.add_argument("--budget", type=float, help=f"seconds for a comparison; default {BUDGET:g}")
    parser.add_argument("--quiet", action="store_true", help="no bar")
    return parser.parse_intermixed_args(arguments)


def positive(text: str) -> int:
    value = int(text)
    if value < 1:
        raise argparse.ArgumentTypeError(f"{value} is not a positive whole number")
    return value


def workload(options: argparse.Namespace) -> Workload:
    from avsgn_pyg.experiments.benchmark.workload import Workload

    asked = Workload(threads=options.threads, overrides=tuple(options.overrides))
    asked = asked.quick() if options.quick else asked
    counts = {name: getattr(options, name) for name in ("rounds", "epochs", "budget")}
    return dataclasses.replace(asked, **{name: count for name, count in counts.items() if count is not None})


def run(options: argparse.Namespace) -> None:
    load_config(None, options.overrides)
    from avsgn_pyg.experiments.benchmark import groups, results
    from avsgn_pyg.experiments.benchmark.against import against_groups

    chosen = {name: groups.GROUPS[name] for name in options.rows}
    if options.against is not None:
        chosen = against_groups(options.against)
    measured = results.measure(chosen, workload(options), keep=options.out, progress=not options.quiet)
    print(measured.text())
    if options.out is not None:
        print(*measured.save(options.out), sep="\n")


def main(arguments: list[str] | None = None) -> int:
    options = parse(arguments)
    stopped = "stopped" + (f"; rows so far are in {options.out}" if options.out else "")
    return exit_status(lambda: run(options), options, ConfigError, FileNotFoundError, stopped=stopped)


if __name__ == "__main__":
    sys.exit(main())
