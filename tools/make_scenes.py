"""Write a small AVE of synthetic clips, or complete one: videos, annotations, splits; or clips with several events.

python tools/make_scenes.py runs/scenes
python tools/make_scenes.py runs/scenes --videos 480 --seed 1 --workers 8
python tools/make_scenes.py runs/several --several
"""

from __future__ import annotations

import argparse
import sys

from avsgn_pyg.common.command_line import Parser, exit_status, path
from avsgn_pyg.scenes import ScenesError, make_scenes


def parse(arguments: list[str] | None = None) -> argparse.Namespace:
    parser = Parser(__doc__)
    parser.add_argument("folder", type=path, metavar="FOLDER", help="created if it does not exist")
    parser.add_argument("--several", action="store_true",
                        help="one to four events per clip; they may overlap and begin and end between whole seconds")
    parser.add_argument("--videos", type=int, metavar="N", help="clips, at least 8 (default: 240; several: 60)")
    parser.add_argument("--seed", type=int, default=0, help="random seed (default: 0)")
    parser.add_argument("--seconds", type=int, metavar="T",
                        help="length of a clip (default: 10); several: of the longest (120), 6 x the shortest")
    parser.add_argument("--workers", type=int, metavar="N", help="processes; default: one per core")
    parser.add_argument("--quiet", action="store_true", help="no progress bar")
    return parser.parse_args(arguments)


def run(options: argparse.Namespace) -> None:
    scenes = make_scenes(
        options.folder,
        several=options.several,
        videos=options.videos,
        seed=options.seed,
        seconds=options.seconds,
        workers=options.workers,
        progress=not options.quiet,
    )
    print(scenes.summary())


def main(arguments: list[str] | None = None) -> int:
    options = parse(arguments)
    return exit_status(lambda: run(options), options, ScenesError, OSError,
                       stopped="stopped; finished clips are kept, and the same call resumes")


if __name__ == "__main__":
    sys.exit(main())
