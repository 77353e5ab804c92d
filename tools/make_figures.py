"""Draw the figures of README and docs again, from the run and the clips of ``make demo``.

python tools/make_figures.py runs/demo --videos runs/scenes/videos --row 135 --explained 57 --out docs
python tools/make_figures.py ... --several runs/dense_scenes runs/several/videos/scene-00056.mp4
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from avsgn_pyg import predictor
from avsgn_pyg.common.command_line import Parser, exit_status, path
from avsgn_pyg.common.errors import EXPECTED_ERRORS, PictureError
from avsgn_pyg.engine.recipes.checks import check_run
from avsgn_pyg.predictor.inputs import check_clips

#: Dots an inch: enough for a page, and small files.
DPI = 200


def parse(arguments: list[str] | None = None) -> argparse.Namespace:
    parser = Parser(__doc__)
    parser.add_argument("run", type=path, metavar="RUN", help="folder of a run")
    parser.add_argument("--videos", type=path, required=True, metavar="DIR", help="folder of the clips, ID.mp4")
    parser.add_argument("--row", type=int, metavar="N", help="row of the test split to draw; default: its first")
    parser.add_argument("--explained", type=int, metavar="N", help="row of the test split to explain")
    parser.add_argument("--several", type=path, nargs=2, metavar=("RUN", "CLIP"),
                        help="also a clip of the data of a run that finds several events (docs/dense.md)")
    parser.add_argument("--out", type=path, required=True, metavar="DIR", help="folder of the documentation")
    return parser.parse_args(arguments)


def draw(options: argparse.Namespace) -> list[Path]:
    check_run(options.run, [], "a picture")
    check_clips(options.videos)
    from avsgn_pyg.visualize.theme import save_figure

    figures = predictor.figures.documentation_figures(options.run, options.videos, row=options.row,
                                                      explained=options.explained)
    written = [save_figure(figure, options.out / name, DPI) for name, figure in figures]
    if options.several:
        figure = predictor.figures.annotated_timeline(*options.several)
        written.append(save_figure(figure, options.out / "figures/dense_timeline.png", DPI))
    return written


def main(arguments: list[str] | None = None) -> int:
    options = parse(arguments)
    return exit_status(lambda: print(*draw(options), sep="\n"), options, *EXPECTED_ERRORS, PictureError)


if __name__ == "__main__":
    sys.exit(main())
