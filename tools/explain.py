"""Explain a prediction: the seconds and edges that its class, or the relevance of a second, needs (docs/explain.md).

python tools/explain.py runs/demo --row 57 --split test
python tools/explain.py runs/demo --row 57 --second 8 --method integrated_gradients --out pictures --format png,svg
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from avsgn_pyg.common.command_line import Parser, exit_status, local, path
from avsgn_pyg.common.errors import EXPECTED_ERRORS, PictureError
from avsgn_pyg.engine import recipes
from avsgn_pyg.engine.recipes.checks import check_run

SPLITS, FORMATS, METHODS = ("train", "val", "test"), ("png", "svg", "pdf"), ("gnn", "integrated_gradients")


def parse(arguments: list[str] | None = None) -> argparse.Namespace:
    parser = Parser(__doc__)
    parser.add_argument("run", type=path, metavar="RUN", help="folder of a run or a checkpoint")
    parser.add_overrides("dotted data.* settings")
    parser.add_argument("--row", type=int, metavar="N", help="row of the annotations; default: the split's first")
    parser.add_argument("--second", type=int, metavar="N", help="explain the relevance of this second, not the class")
    parser.add_argument("--method", choices=METHODS, default="gnn",
                        help="GNNExplainer (default), or Captum's integrated gradients")
    parser.add_argument("--split", choices=SPLITS, help="default: the config's evaluate.split")
    parser.add_argument("--data", type=local, metavar="ROOT", help="folder of the data, the same as data.root=ROOT")
    parser.add_argument("--out", type=path, metavar="DIR", help="default: RUN/pictures/row-N")
    parser.add_list("--format", choices=FORMATS, default=["png"], help="default: png")
    return parser.parse_intermixed_args(arguments)


def run(options: argparse.Namespace) -> list[Path]:
    given = [*options.overrides] if options.data is None else [f"data.root={options.data}", *options.overrides]
    check_run(options.run, given, "a picture")
    answer, explanation, note = recipes.pictures.explain_row(
        options.run, method=options.method, second=options.second, row=options.row, split=options.split,
        overrides=given)
    folder = options.out or recipes.pictures.folder_in(options.run, f"row-{int(answer.batch.row)}")
    from avsgn_pyg.visualize.files import write_explanation

    return write_explanation(answer.picture, explanation, folder, options.format, note=note)


def main(arguments: list[str] | None = None) -> int:
    options = parse(arguments)
    return exit_status(lambda: print(*run(options), sep="\n"), options, *EXPECTED_ERRORS, PictureError)


if __name__ == "__main__":
    sys.exit(main())
