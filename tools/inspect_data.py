#!/usr/bin/env python3
"""Describe a folder of AVE, OV-AVE or AVE-PM, or a feature store: classes, counts, duplicates, leaks, foreground.

Exits with 2 if a file cannot be used, for example features of other rows than the annotated ones.

    python tools/inspect_data.py data/ave
    python tools/inspect_data.py data/ave --splits txt
    python tools/inspect_data.py features.h5
"""

from __future__ import annotations

import argparse
import sys

from avsgn_pyg.common.command_line import Parser, exit_status, path
from avsgn_pyg.common.errors import DataError
from avsgn_pyg.data.files import check_folder


def parse(arguments: list[str] | None = None) -> argparse.Namespace:
    parser = Parser(__doc__)
    parser.add_argument("path", type=path, help="a folder of AVE, OV-AVE or AVE-PM, or the h5 file of a feature store")
    parser.add_argument("--splits", choices=("order", "txt"), default="order", help="split files of AVE to read")
    parser.add_argument("--segments", type=int, default=10, help="seconds per video, if there are no features")
    return parser.parse_args(arguments)


def run(options: argparse.Namespace) -> None:
    check_folder(options.path, options.splits)
    from avsgn_pyg.data.summary import summarize

    print("\n".join(summarize(options.path, splits=options.splits, segments=options.segments)))


def main(arguments: list[str] | None = None) -> int:
    options = parse(arguments)
    return exit_status(lambda: run(options), options, DataError)


if __name__ == "__main__":
    sys.exit(main())
