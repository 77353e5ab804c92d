"""Draw the attention graph of one video: figure, heat maps, interactive page; and export it as GraphML, JSON and .pt.

python tools/visualize_graph.py runs/demo --row 12 --split test --layer rollout --arrangement stacked
python tools/visualize_graph.py runs/demo --video clip.mp4 --start 30 --out pictures --format png svg pdf
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from avsgn_pyg import recipes
from avsgn_pyg.recipes import pictures
from avsgn_pyg.visualize.picture import PictureError

SPLITS, FORMATS, ARRANGEMENTS = ("train", "val", "test"), ("png", "svg", "pdf"), ("beside", "stacked", "overlaid")


def parse(arguments: list[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", type=Path, metavar="RUN", help="a run's folder or a checkpoint's")
    parser.add_argument("overrides", nargs="*", metavar="KEY=VALUE", help="with --row: dotted data.* settings")
    which = parser.add_mutually_exclusive_group()
    which.add_argument("--row", type=int, metavar="N", help="row of the annotations; default: the split's first")
    which.add_argument("--video", type=Path, metavar="CLIP", help="a media file in place of a row")
    for kind in ("visual", "audio"):
        parser.add_argument(f"--{kind}", nargs="+", metavar=("NAME", "KEY=VALUE"), help="with --video: its encoder")
    parser.add_argument("--start", type=int, metavar="SECOND", help="of a long clip, the window from here")
    parser.add_argument("--split", choices=SPLITS, help="default: the config's evaluate.split")
    parser.add_argument("--data", metavar="ROOT", help="folder of the data, the same as data.root=ROOT")
    parser.add_argument("--media", type=Path, metavar="CLIP", help="the row's video, for its frames and its sound")
    parser.add_argument("--tau", type=float, help="relevance threshold; default: the config's evaluate.tau")
    parser.add_argument("--layer", help='"layer 1", ... or "rollout"; default: the first')
    parser.add_argument("--share", type=float, default=0.1, help="part of the edges that is drawn; default 0.1")
    parser.add_argument("--threshold", type=float, help="in place of --share: edges of at least this weight")
    parser.add_argument("--arrangement", choices=ARRANGEMENTS, default="beside", help="of the subgraphs")
    parser.add_argument("--out", type=Path, metavar="DIR", help="default: RUN/pictures/row-N or clip-NAME-from-0")
    parser.add_argument("--format", nargs="+", choices=FORMATS, default=["png"], help="default: png")
    options = parser.parse_intermixed_args(arguments)
    of_rows = options.overrides or options.split or options.data or options.media
    if of_rows if options.video is not None else options.visual or options.audio or options.start is not None:
        parser.error("--visual, --audio, --start are of a --video CLIP; --split, --data, --media, KEY=VALUE of a row")
    return options


def run(options: argparse.Namespace) -> list[Path]:
    drawing = {name: getattr(options, name) for name in ("layer", "share", "threshold", "arrangement")}
    if options.video is not None:
        from avsgn_pyg.predictor.encoders import named
        from avsgn_pyg.predictor.pictures import write_clip_graph

        folder = options.out or pictures.folder_in(options.run, f"clip-{options.video.stem}-from-{options.start or 0}")
        return write_clip_graph(options.run, options.video, folder, options.format, start=options.start or 0,
                                tau=options.tau, drawing=drawing,
                                encoders=named(visual=options.visual, audio=options.audio))
    given = [*options.overrides] if options.data is None else [f"data.root={options.data}", *options.overrides]
    answer = pictures.answer_row(options.run, row=options.row, split=options.split, tau=options.tau, overrides=given)
    if options.media is not None:
        from avsgn_pyg.predictor.pictures import with_media

        answer = answer._replace(picture=with_media(answer.picture, options.media))
    folder = options.out or pictures.folder_in(options.run, f"row-{answer.row}")
    return pictures.write_answer(answer, folder, options.format, drawing)


def main(arguments: list[str] | None = None) -> int:
    options = parse(arguments)
    try:
        print(*run(options), sep="\n")
    except (*recipes.EXPECTED_ERRORS, PictureError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main())
