"""A table of the paper, or of this project: every row, several seeds, ours beside the paper's numbers.

python tools/reproduce.py configs/suites/table3_cmgi.yaml data.root=/data/ave --seeds 5
python tools/reproduce.py configs/suites/table3_cmgi.yaml data.root=/data/ave --seeds 5 --jobs 8 --devices cuda:0 cuda:1
python tools/reproduce.py configs/suites/table3_cmgi.yaml data.root=/data/ave --seeds 5 --shard 2/8   one of 8 machines

Runs that are finished are kept, stopped ones go on: give the same command again. docs/suites.md has the rest.
"""

from __future__ import annotations

import argparse
import logging
import sys
from pathlib import Path

from avsgn_pyg.config import check_keys, read_tree
from avsgn_pyg.errors import EXPECTED_ERRORS


def shard(text: str) -> tuple[int, int]:
    number, _, count = text.partition("/")
    if not (number.isdecimal() and count.isdecimal() and 1 <= int(number) <= int(count)):
        raise argparse.ArgumentTypeError(f"{text!r} is not i/n with i from 1 to n, such as 2/8")
    return int(number), int(count)


def whole(text: str) -> int:
    if not text.isdecimal():
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number of 0 or more")
    return int(text)


def seeds(text: str) -> tuple[int, ...]:
    numbers = [whole(part) for part in text.removesuffix(",").split(",")]
    found = tuple(numbers) if "," in text else tuple(range(numbers[0]))
    if not found or len(set(found)) < len(found):
        raise argparse.ArgumentTypeError(f"{text!r} names no seed, or one twice; give a count, or seeds: 0,3,4 or 3,")
    return found


def parse(arguments: list[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("suite", type=Path, metavar="SUITE", help="a YAML of configs/suites")
    parser.add_argument("overrides", nargs="*", metavar="KEY=VALUE", help="dotted settings of all rows")
    parser.add_argument("--seeds", type=seeds, metavar="N", help="0 to N-1, or a list: 0,3,4 or 3,; default: 0")
    parser.add_argument("--out", type=Path, default=Path("runs/suites"), metavar="DIR", help="default: runs/suites")
    parser.add_argument("--rows", nargs="+", default=[], metavar="ROW", help="these alone, and the one that is ours")
    parser.add_argument("--supervision", nargs="+", default=[], choices=("full", "weak"), help="default: both")
    parser.add_argument("--jobs", type=whole, metavar="N", help="runs at a time; default: one a device; 0: in here")
    parser.add_argument("--devices", nargs="+", default=[], metavar="D", help="cuda:0, cpu, auto; default: every GPU")
    parser.add_argument("--shard", type=shard, default=(1, 1), metavar="I/N", help="every N-th run, from the I-th on")
    parser.add_argument("--finished", action="store_true", help="tables of what is finished; nothing is run")
    parser.add_argument("--quiet", action="store_true", help="no bar")
    return parser.parse_intermixed_args(arguments)


def main(arguments: list[str] | None = None) -> int:
    options = parse(arguments)
    logging.basicConfig(level=logging.WARNING, format="%(message)s")
    try:
        read_tree(options.suite)
        check_keys(options.overrides)
        from avsgn_pyg.experiments.suites import load_suite, reproduce

        suite = load_suite(options.suite, options.overrides, rows=options.rows, supervisions=options.supervision)
        found = reproduce(suite, seeds=options.seeds, out=options.out, processes=options.jobs, devices=options.devices,
                          shard=options.shard, progress=not options.quiet, train=not options.finished)
    except EXPECTED_ERRORS as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("\nstopped; the same command goes on", file=sys.stderr)
        return 130
    print(found.report())
    return 1 if found.failures else 0


if __name__ == "__main__":
    sys.exit(main())
