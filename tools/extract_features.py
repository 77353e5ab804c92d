"""Encode a folder of videos into a feature store; an interrupted run resumes.

python tools/extract_features.py AVE/videos --annotations AVE/Annotations.txt --out AVE/features.h5
python tools/extract_features.py clips --out clips.h5 --labels classes.txt --frames-per-segment 4
python tools/extract_features.py AVE/videos --annotations AVE/Annotations.txt --out AVE/features.h5 --verify
docs/extraction.md: available weights, several machines, the contents of a store.
"""

from __future__ import annotations

import argparse
import dataclasses
import logging
import sys

from avsgn_pyg.common.command_line import Parser, exit_status, path
from avsgn_pyg.common.errors import DataError, NothingExtractedError
from avsgn_pyg.data.files import check_file
from avsgn_pyg.features.choice import ENGINES, add_encoders, take_encoders
from avsgn_pyg.features.files import check_inputs
from avsgn_pyg.features.limits import add_limits, take_limits


def parse(arguments: list[str] | None = None) -> argparse.Namespace:
    parser = Parser(__doc__)
    parser.add_argument("videos", type=path, metavar="VIDEOS", help="a folder, searched with its subfolders")
    parser.add_argument("--out", type=path, required=True, metavar="FILE.h5", help="the store to write")
    parser.add_argument("--annotations", type=path, metavar="FILE", help="encode only the videos of this file")
    parser.add_argument("--ids", type=path, metavar="FILE", help="encode only these ids: one per line, or a table with "
                        "columns id and start (the second of its file at which the clip begins)")
    parser.add_argument("--labels", type=path, metavar="FILE", help="class names in index order, one per line")
    parser.add_argument("--segments", type=int, default=10, metavar="T", help="seconds per video; default 10")
    parser.add_argument("--own-length", action="store_true", help="do not pad shorter videos")
    parser.add_argument("--frames-per-segment", type=int, default=1, metavar="K", help="frames per feature; default 1")
    parser.add_argument("--rate", type=int, default=1, metavar="R", help="features per second; default 1")
    add_encoders(parser, "clip", "clap")
    parser.add_argument("--download", action="store_true", help="download missing weights")
    parser.add_argument("--workers", type=int, metavar="N", help="reading processes; default: cores - 1")
    parser.add_argument("--engine", choices=ENGINES, default="processes", help="ray: on a Ray cluster")
    parser.add_argument("--actors", type=int, default=1, metavar="N", help="ray: processes that encode; default 1")
    parser.add_argument("--shard", default="1/1", metavar="I/N", help="only this part, into FILE.I-of-N.h5")
    parser.add_argument("--overwrite", action="store_true", help="replace an existing store")
    parser.add_argument("--retry-failed", action="store_true", help="retry permanent failures, too")
    add_limits(parser)
    parser.add_argument("--strict", action="store_true", help="exit code 1 also if an id has no file")
    parser.add_argument("--verify", nargs="?", type=int, const=8, metavar="N", help="compare N videos, encoded again")
    parser.add_argument("--quiet", action="store_true", help="no bar")
    return parser.parse_args(arguments)


def run(options: argparse.Namespace) -> int:
    limits = take_limits(options)
    shard = check_inputs(options.videos, options.annotations, options.labels, options.shard, options.ids)
    if options.verify is not None:
        check_file(shard.name(options.out))
    from avsgn_pyg.features.extraction.config import ExtractionConfig
    from avsgn_pyg.features.extraction.extract import run_extraction
    from avsgn_pyg.features.extraction.verify import verify

    known = {field.name for field in dataclasses.fields(ExtractionConfig)}
    given = {name: value for name, value in vars(options).items() if name in known} | take_encoders(options)
    config = ExtractionConfig(**given, limits=limits, progress=not options.quiet)
    try:
        report = run_extraction(config) if options.verify is None else verify(config, options.verify)
    except NothingExtractedError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    print(f"{report.table()}\n\n{report.path}")
    return int(not report.passed or (options.strict and bool(report.failures)))


def main(arguments: list[str] | None = None) -> int:
    options = parse(arguments)
    logging.basicConfig(level=logging.WARNING, format="%(message)s")
    return exit_status(lambda: run(options), options, DataError,
                       stopped="\nstopped; what is finished is kept, and the same command resumes")


if __name__ == "__main__":
    sys.exit(main())
