"""Join the stores that tools/extract_features.py --shard wrote into one.

python tools/merge_features.py AVE/features.h5 AVE/features.*-of-4.h5
"""

from __future__ import annotations

import argparse
import sys

from avsgn_pyg.common.command_line import Parser, own_words, path
from avsgn_pyg.common.errors import DataError
from avsgn_pyg.features.files import check_shards


def parse(arguments: list[str] | None = None) -> argparse.Namespace:
    parser = Parser(__doc__)
    parser.add_argument("out", type=path, metavar="FILE.h5", help="the store to write")
    parser.add_argument("shards", type=path, nargs="+", metavar="SHARD.h5", help="all shards of one extraction")
    parser.add_argument("--overwrite", action="store_true", help="replace FILE.h5")
    return parser.parse_args(arguments)


def main(arguments: list[str] | None = None) -> int:
    options = parse(arguments)
    try:
        check_shards(options.out, options.shards, options.overwrite)
        from avsgn_pyg.features.extraction.merge import merge

        report = merge(options.out, options.shards, overwrite=options.overwrite)
    except DataError as error:
        print(f"error: {own_words(error, options)}", file=sys.stderr)
        return 2
    print(f"{report.table()}\n\n{report.path}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
