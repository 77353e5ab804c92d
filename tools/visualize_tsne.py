"""Draw Fig. 5: t-SNE of sound and sight after the encoder, after CMSA and after CMGI, coloured by class.

python tools/visualize_tsne.py runs/avsgn_full
python tools/visualize_tsne.py runs/avsgn_full/seed-0 --split val --points 1000 --out pictures --format png,svg,pdf
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from avsgn_pyg.common.command_line import Parser, exit_status, local, path
from avsgn_pyg.common.errors import EXPECTED_ERRORS, PictureError
from avsgn_pyg.engine import recipes
from avsgn_pyg.engine.recipes.checks import check_run

SPLITS, FORMATS = ("train", "val", "test"), ("png", "svg", "pdf")


def parse(arguments: list[str] | None = None) -> argparse.Namespace:
    parser = Parser(__doc__)
    parser.add_argument("run", type=path, metavar="RUN", help="folder of a run or a checkpoint")
    parser.add_overrides("dotted data.* settings")
    parser.add_argument("--split", choices=SPLITS, help="default: the config's evaluate.split")
    parser.add_argument("--data", type=local, metavar="ROOT", help="folder of the data, the same as data.root=ROOT")
    parser.add_argument("--points", type=int, default=2000, help="maximum number of seconds; default 2000")
    parser.add_argument("--perplexity", type=float, default=30.0, help="of t-SNE; default 30")
    parser.add_argument("--seed", type=int, default=0, help="of sampling and t-SNE")
    parser.add_argument("--device", default="auto", choices=("auto", "cpu", "cuda", "mps"))
    parser.add_argument("--out", type=path, metavar="DIR", help="default: RUN/pictures/SPLIT")
    parser.add_list("--format", choices=FORMATS, default=["png"], help="default: png")
    return parser.parse_intermixed_args(arguments)


def run(options: argparse.Namespace) -> list[Path]:
    given = [*options.overrides] if options.data is None else [f"data.root={options.data}", *options.overrides]
    check_run(options.run, given, "a picture")
    found = recipes.embedding.embed_run(options.run, split=options.split, overrides=given,
                                        most=options.points, seed=options.seed, device=options.device)
    folder = options.out or recipes.pictures.folder_in(options.run, found.split)
    return recipes.embedding.write_tsne(found, folder, options.format, perplexity=options.perplexity, seed=options.seed)


def main(arguments: list[str] | None = None) -> int:
    options = parse(arguments)
    return exit_status(lambda: print(*run(options), sep="\n"), options, *EXPECTED_ERRORS, PictureError)


if __name__ == "__main__":
    sys.exit(main())
