"""Join the stores that tools/extract_features.py --shard wrote into one.

python tools/merge_features.py AVE/features.h5 AVE/features.*-of-4.h5
"""

from __future__ import annotations

import argparse
import sys

from avsgn_pyg.common.command_line import Parser, exit_status, path
from avsgn_pyg.common.errors import DataError
from avsgn_pyg.features.files import check_shards


def parse(arguments: list[str] | None = None) -> argparse.Namespace:
    parser = Parser(__doc__)
    parser.add_argument("out", type=path, metavar="FILE.h5", help="the store to write")
    parser.add_argument("shards", type=path, nargs="+", metavar="SHARD.h5", help="all shards of one extraction")
    parser.add_argument("--overwrite", action="store_true", help="replace FILE.h5")
    return parser.parse_args(arguments)


def run(options: argparse.Namespace) -> None:
    check_shards(options.out, options.shards, options.overwrite)
    from avsgn_pyg.features.extraction.merge import merge

    report = merge(options.out, options.shards, overwrite=options.overwrite)
    print(f"{report.table()}\n\n{report.path}")


def main(arguments: list[str] | None = None) -> int:
    options = parse(arguments)
    return exit_status(lambda: run(options), options, DataError)


if __name__ == "__main__":
    sys.exit(main())
