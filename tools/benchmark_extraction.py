"""Time decoding alone, encoding alone, and extraction, in one run; their ratios show what the pipeline costs.

python tools/benchmark_extraction.py                       synthetic clips, encoders without weights
python tools/benchmark_extraction.py VIDEOS --visual clip --audio clap --audio-pass video --device cuda --workers 14
"""

from __future__ import annotations

import argparse
import dataclasses
import os
import sys
import tempfile
from pathlib import Path

from tqdm import tqdm

from avsgn_pyg.common.command_line import Parser, exit_status, path
from avsgn_pyg.common.errors import DataError
from avsgn_pyg.features.choice import add_encoders, take_encoders
from avsgn_pyg.features.files import find_media


def parse(arguments: list[str] | None = None) -> argparse.Namespace:
    parser = Parser(__doc__)
    parser.add_argument("videos", nargs="?", type=path, metavar="VIDEOS", help="a folder; default: synthetic clips")
    parser.add_argument("--count", type=int, default=24, metavar="N", help="videos to take, or to create; default 24")
    parser.add_argument("--segments", type=int, default=10, metavar="T")
    parser.add_argument("--frames-per-segment", type=int, default=1, metavar="K")
    add_encoders(parser, "signal", "signal")
    parser.add_argument("--workers", type=int, default=1, metavar="N", help="reading processes; default 1")
    parser.add_argument("--threads", type=int, metavar="N", help="of the encoders on a CPU; default: cores - workers")
    parser.add_argument("--rounds", type=int, default=3, metavar="N")
    return parser.parse_args(arguments)


def run(options: argparse.Namespace, folder: Path) -> None:
    if options.videos is not None:
        find_media(options.videos)
    import torch

    from avsgn_pyg.features.extraction.config import ExtractionConfig
    from avsgn_pyg.features.extraction.throughput import measure
    from avsgn_pyg.scenes import make_scenes

    if options.videos is None:
        make_scenes(folder, videos=max(8, options.count), seconds=options.segments)
    known = {field.name for field in dataclasses.fields(ExtractionConfig)}
    given = {name: value for name, value in vars(options).items() if name in known} | take_encoders(options)
    given |= {"videos": options.videos or folder / "videos", "out": folder / "unused.h5"}
    torch.set_num_threads(options.threads or max(1, (os.cpu_count() or 1) - options.workers))
    with tqdm(total=3 * options.rounds, desc="benchmark", unit="timing") as bar:
        table = measure(ExtractionConfig(**given), count=options.count, rounds=options.rounds, tick=bar.update)
    print(table)


def main(arguments: list[str] | None = None) -> int:
    options = parse(arguments)
    with tempfile.TemporaryDirectory() as folder:
        return exit_status(lambda: run(options, Path(folder)), options, DataError)


if __name__ == "__main__":
    sys.exit(main())
