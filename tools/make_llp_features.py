"""Synthetic features for LLP's real csv files, so that parsing can be tried without a download.

python tools/make_llp_features.py /data/llp --out runs/llp_made.h5
"""

from __future__ import annotations

import argparse
import sys

from avsgn_pyg.common.command_line import Parser, exit_status, path
from avsgn_pyg.common.errors import DataError
from avsgn_pyg.tasks.parsing.checks import check_llp_files


def parse(arguments: list[str] | None = None) -> argparse.Namespace:
    parser = Parser(__doc__)
    parser.add_argument("root", type=path, metavar="LLP", help="the folder of the csv files")
    parser.add_argument("--out", type=path, required=True, metavar="FILE.h5", help="the store to write")
    parser.add_argument("--width", type=int, default=64, metavar="D", help="of both modalities; default 64")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args(arguments)
    if options.width < 1:
        parser.error("--width must be 1 at least")
    return options


def run(options: argparse.Namespace) -> None:
    check_llp_files(options.root)
    from avsgn_pyg.data.feature_store import write_store
    from avsgn_pyg.tasks.parsing.llp import read_llp
    from avsgn_pyg.tasks.parsing.synthetic import make_features

    features = make_features(read_llp(options.root), width=options.width, seed=options.seed)
    write_store(options.out, features)
    print(f"{options.out}: {len(features.video_ids)} videos, synthetic features {options.width} wide")


def main(arguments: list[str] | None = None) -> int:
    options = parse(arguments)
    return exit_status(lambda: run(options), options, DataError, OSError)


if __name__ == "__main__":
    sys.exit(main())
