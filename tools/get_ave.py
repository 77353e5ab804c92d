"""Download AVE from huggingface.co: videos, annotations and splits, with a record of revision and licence.

python tools/get_ave.py --out AVE                                    all videos: 5.7 GB to download, 12 GB on disk
python tools/get_ave.py --out AVE --repository mteb/AVE-Dataset      only train and test, from parquet files
python tools/get_ave.py --out AVE --snapshot COPY                    from a copy that you have already
An interrupted download resumes with the same command. docs/data.md says what the copies contain.
"""

from __future__ import annotations

import argparse
import sys

from avsgn_pyg.common.command_line import Parser, exit_status, path
from avsgn_pyg.common.errors import DataError
from avsgn_pyg.data.download import COPY, PARQUET_COPY, get_ave


def parse(arguments: list[str] | None = None) -> argparse.Namespace:
    parser = Parser(__doc__)
    parser.add_argument("--out", type=path, required=True, metavar="DIR", help="the folder to create")
    parser.add_argument("--repository", default=COPY, metavar="NAME", help=f"{COPY} (default) or {PARQUET_COPY}")
    parser.add_argument("--revision", metavar="R", help="branch, tag or commit of it; default: the newest")
    parser.add_argument("--snapshot", type=path, metavar="DIR", help="read this copy of the repository; no download")
    parser.add_argument("--annotations", type=path, metavar="DIR", help="folder of AVE's text files, for a copy "
                        f"without them; default: those of {COPY}")
    return parser.parse_args(arguments)


def main(arguments: list[str] | None = None) -> int:
    options = parse(arguments)
    return exit_status(
        lambda: print(get_ave(options.out, options.repository, revision=options.revision, snapshot=options.snapshot,
                              annotations=options.annotations).report()),
        options, DataError, OSError, stopped="\nstopped; the same command resumes")


if __name__ == "__main__":
    sys.exit(main())
