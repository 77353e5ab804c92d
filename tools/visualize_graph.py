"""Draw the attention graph of one video: figure, heat maps, interactive page; and export it as GraphML, JSON and .pt.

python tools/visualize_graph.py runs/demo --row 12 --split test --layer rollout --arrangement stacked
python tools/visualize_graph.py runs/demo --video clip.mp4 --start 30 --out pictures --format png,svg,pdf
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator
from pathlib import Path

from avsgn_pyg import predictor
from avsgn_pyg.common.command_line import Parser, exit_status, local, path, print_each
from avsgn_pyg.common.errors import EXPECTED_ERRORS, PictureError
from avsgn_pyg.engine import recipes
from avsgn_pyg.engine.recipes.checks import check_run
from avsgn_pyg.predictor.inputs import check_clips, check_model, encoder_choices, search_clips

SPLITS, FORMATS, ARRANGEMENTS = ("train", "val", "test"), ("png", "svg", "pdf"), ("side-by-side", "stacked", "overlaid")


def parse(arguments: list[str] | None = None) -> argparse.Namespace:
    parser = Parser(__doc__)
    parser.add_argument("run", type=path, metavar="RUN", help="folder of a run or a checkpoint")
    parser.add_overrides("with --row: dotted data.* settings")
    which = parser.add_mutually_exclusive_group()
    which.add_argument("--row", type=int, metavar="N", help="row of the annotations; default: the split's first")
    parser.add_list("--video", to=which, commas=False, type=path, metavar="CLIP", help="a file or folder, not a row")
    parser.add_encoders("with --video")
    parser.add_argument("--start", type=int, metavar="SECOND", help="with --video: first second of the window")
    parser.add_argument("--split", choices=SPLITS, help="default: the config's evaluate.split")
    parser.add_argument("--data", type=local, metavar="ROOT", help="folder of the data, the same as data.root=ROOT")
    parser.add_argument("--media", type=path, metavar="CLIP", help="video file of the row, for frames and audio")
    parser.add_argument("--tau", type=float, help="relevance threshold; default: the config's evaluate.tau")
    parser.add_argument("--layer", help='"layer 1", ... or "rollout"; default: the first')
    parser.add_argument("--share", type=float, default=0.1, help="fraction of edges to draw; default 0.1")
    parser.add_argument("--threshold", type=float, help="draw edges of at least this weight")
    parser.add_argument("--arrangement", choices=ARRANGEMENTS, default="side-by-side", help="layout of the subgraphs")
    parser.add_argument("--out", type=path, metavar="DIR", help="default: RUN/pictures/row-N or clip-NAME-from-0")
    parser.add_list("--format", choices=FORMATS, default=["png"], help="default: png")
    options = parser.parse_intermixed_args(arguments)
    rows = options.overrides or options.split or options.data or options.media
    if rows if options.video is not None else options.visual or options.audio or options.start is not None:
        parser.error("--visual, --audio and --start need --video; --split, --data, --media and KEY=VALUE exclude it")
    return options


def draw(options: argparse.Namespace) -> Iterator[tuple[list[Path], Exception | None]]:
    given = [*options.overrides] if options.data is None else [f"data.root={options.data}", *options.overrides]
    encoders, start = encoder_choices(visual=options.visual, audio=options.audio), options.start or 0
    drawing = {name: getattr(options, name) for name in ("layer", "share", "threshold", "arrangement")}
    check_clips(options.media)
    if options.video is not None:
        clips, notes = search_clips(options.video)
        print(*(f"note: {note}\n" for note in notes), sep="", end="", file=sys.stderr)
        check_model(options.run)
        model = predictor.Predictor.from_checkpoint(options.run, encoders=encoders)
        yield from predictor.pictures.write_clips(
            model, clips, predictor.pictures.write_clip_graph, options.format, out=options.out, tau=options.tau,
            default=lambda stem: recipes.pictures.folder_in(options.run, f"clip-{stem}-from-{start}"), start=start,
            drawing=drawing)
        return
    check_run(options.run, given, "a picture", tau=options.tau)
    asked = {name: getattr(options, name) for name in ("row", "split", "tau")}
    answer = recipes.pictures.answer_row(options.run, **asked, overrides=given)
    if options.media:
        answer = answer._replace(picture=predictor.pictures.with_media(answer.picture, options.media))
    folder = options.out or recipes.pictures.folder_in(options.run, f"row-{int(answer.batch.row)}")
    yield answer.write(folder, options.format, drawing), None


def main(arguments: list[str] | None = None) -> int:
    options = parse(arguments)
    return exit_status(lambda: print_each(draw(options), options), options, *EXPECTED_ERRORS, PictureError)


if __name__ == "__main__":
    sys.exit(main())
