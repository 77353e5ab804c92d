#!/usr/bin/env python3
"""Describe a data folder or a feature store: classes, counts, duplicates, leaks, shapes, foreground.

Exits with 2 if a file cannot be used, for example features of other rows than the annotated ones.

    python tools/inspect_data.py data/ave
    python tools/inspect_data.py data/ave --splits txt
    python tools/inspect_data.py features.h5
"""

from __future__ import annotations

import sys

from avsgn_pyg.common.command_line import Parser, own_words, path
from avsgn_pyg.common.errors import DataError
from avsgn_pyg.data.files import check_folder


def main(arguments: list[str] | None = None) -> int:
    parser = Parser(__doc__)
    parser.add_argument("path", type=path, help="an AVE-shaped folder, or the h5 file of a feature store")
    parser.add_argument("--splits", choices=("order", "txt"), default="order", help="split files to read")
    parser.add_argument("--segments", type=int, default=10, help="seconds per video, if there are no features")
    options = parser.parse_args(arguments)
    try:
        check_folder(options.path, options.splits)
        from avsgn_pyg.data.summary import summarize

        lines = summarize(options.path, splits=options.splits, segments=options.segments)
    except DataError as error:
        print(f"error: {own_words(error, options)}", file=sys.stderr)
        return 2
    print("\n".join(lines))
    return 0


if __name__ == "__main__":
    sys.exit(main())
