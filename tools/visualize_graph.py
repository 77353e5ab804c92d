"""Draw the attention graph of one video: figure, heat maps, interactive page; and export it as GraphML, JSON and .pt.

python tools/visualize_graph.py runs/demo --row 12 --split test --layer rollout --arrangement stacked
python tools/visualize_graph.py runs/demo --video clip.mp4 --start 30 --out pictures --format png,svg,pdf
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from avsgn_pyg import predictor, recipes
from avsgn_pyg.common.command_line import Parser, is_setting, local, own_words, path, setting
from avsgn_pyg.common.errors import EXPECTED_ERRORS, PictureError
from avsgn_pyg.predictor.inputs import check_clips, check_model, encoder_choices
from avsgn_pyg.recipes.checks import check_run

SPLITS, FORMATS, ARRANGEMENTS = ("train", "val", "test"), ("png", "svg", "pdf"), ("side-by-side", "stacked", "overlaid")


def parse(arguments: list[str] | None = None) -> argparse.Namespace:
    parser = Parser(__doc__)
    parser.add_argument("run", type=path, metavar="RUN", help="folder of a run or a checkpoint")
    parser.add_overrides("with --row: dotted data.* settings")
    which = parser.add_mutually_exclusive_group()
    which.add_argument("--row", type=int, metavar="N", help="row of the annotations; default: the split's first")
    which.add_argument("--video", type=path, metavar="CLIP", help="draw this media file, not a row")
    for kind in ("visual", "audio"):
        parser.add_list(f"--{kind}", commas=False, own=is_setting, type=setting, metavar="NAME|KEY=VALUE",
                        help="with --video: the encoder")
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
    of_rows = options.overrides or options.split or options.data or options.media
    if of_rows if options.video is not None else options.visual or options.audio or options.start is not None:
        parser.error("--visual, --audio and --start need --video; --split, --data, --media and KEY=VALUE exclude it")
    return options


def run(options: argparse.Namespace) -> list[Path]:
    given = [*options.overrides] if options.data is None else [f"data.root={options.data}", *options.overrides]
    encoders, start = encoder_choices(visual=options.visual, audio=options.audio), options.start or 0
    drawing = {name: getattr(options, name) for name in ("layer", "share", "threshold", "arrangement")}
    check_clips(options.video, options.media)
    if options.video is not None:
        check_model(options.run)
        folder = options.out or recipes.pictures.folder_in(options.run, f"clip-{options.video.stem}-from-{start}")
        return predictor.pictures.write_clip_graph(options.run, options.video, folder, options.format, start=start,
                                                   tau=options.tau, drawing=drawing, encoders=encoders)
    check_run(options.run, given, "a picture", tau=options.tau)
    asked = {"row": options.row, "split": options.split, "tau": options.tau, "overrides": given}
    answer = recipes.pictures.answer_row(options.run, **asked)
    if options.media is not None:
        answer = answer._replace(picture=predictor.pictures.with_media(answer.picture, options.media))
    folder = options.out or recipes.pictures.folder_in(options.run, f"row-{answer.row}")
    return recipes.pictures.write_answer(answer, folder, options.format, drawing)


def main(arguments: list[str] | None = None) -> int:
    options = parse(arguments)
    try:
        print(*run(options), sep="\n")
        return 0
    except (*EXPECTED_ERRORS, PictureError) as error:
        print(f"error: {own_words(error, options)}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        return 130


if __name__ == "__main__":
    sys.exit(main())
