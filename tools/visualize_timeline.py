"""Draw frames, sound, scores, ground truth and prediction of a video over time (Fig. 4).

python tools/visualize_timeline.py runs/demo --row 12 --split test
python tools/visualize_timeline.py runs/demo --row 12 --split test --media clips/12.mp4     with frames and sound
python tools/visualize_timeline.py runs/demo --video clip.mp4 --out pictures --format png,svg,pdf
python tools/visualize_timeline.py --video clip.mp4 --label dog --label violin --out pictures    no trained model
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
from avsgn_pyg.predictor.inputs import add_labels, check_clips, encoder_choices, search_clips, take_labels


def parse(arguments: list[str] | None = None) -> argparse.Namespace:
    parser = Parser(__doc__)
    parser.add_argument("run", type=path, nargs="?", metavar="RUN", help="folder of a run or a checkpoint")
    parser.add_overrides("with --row: dotted data.* settings")
    which = parser.add_mutually_exclusive_group()
    which.add_argument("--row", type=int, metavar="N", help="row of the annotations; default: the split's first")
    parser.add_list("--video", to=which, commas=False, type=path, metavar="CLIP",
                    help="a media file or a folder of them, instead of a row; may be repeated")
    parser.add_encoders("with --video")
    add_labels(parser)
    parser.add_argument("--split", choices=("train", "val", "test"), help="default: the config's evaluate.split")
    parser.add_argument("--data", type=local, metavar="ROOT", help="folder of the data, the same as data.root=ROOT")
    parser.add_argument("--media", type=path, metavar="CLIP", help="video file of the row, for frames and audio")
    parser.add_argument("--tau", type=float, help="relevance threshold; default: the config's evaluate.tau")
    parser.add_argument("--out", type=path, metavar="DIR", help="default: RUN/pictures/row-N or clip-NAME")
    parser.add_list("--format", choices=("png", "svg", "pdf"), default=["png"], help="default: png")
    options = parser.parse_intermixed_args(arguments)
    of_rows = options.overrides or options.split or options.data or options.media
    if options.run is None and (options.video is None or options.out is None):
        parser.error("RUN is missing; only labels with --video CLIP and --out DIR need none")
    of_clips = options.visual or options.audio or options.labels or options.label
    if of_rows if options.video is not None else of_clips:
        parser.error("--video CLIP needs no data, but its encoders (--visual, --audio): no --split, no KEY=VALUE")
    return options


def draw(options: argparse.Namespace) -> Iterator[tuple[list[Path], Exception | None]]:
    given = [*options.overrides] if options.data is None else [f"data.root={options.data}", *options.overrides]
    encoders = encoder_choices(visual=options.visual, audio=options.audio)
    check_clips(options.media)
    if options.video is not None:
        clips, notes = search_clips(options.video)
        print(*(f"note: {note}\n" for note in notes), sep="", end="", file=sys.stderr)
        model = predictor.open_predictor(encoders=encoders, **take_labels(options, options.run))
        yield from predictor.pictures.write_clips(
            model, clips, predictor.pictures.write_clip_timeline, options.format, out=options.out, tau=options.tau,
            default=lambda stem: recipes.pictures.folder_in(options.run, f"clip-{stem}"))
        return
    check_run(options.run, given, "a picture", tau=options.tau)
    answer = recipes.pictures.answer_row(options.run, row=options.row, split=options.split, tau=options.tau,
                                         overrides=given)
    if options.media is not None:
        answer = answer._replace(picture=predictor.pictures.with_media(answer.picture, options.media))
    folder = options.out or recipes.pictures.folder_in(options.run, f"row-{int(answer.batch.row)}")
    from avsgn_pyg.visualize.files import write_timeline

    yield write_timeline(answer.picture, folder, options.format), None


def main(arguments: list[str] | None = None) -> int:
    options = parse(arguments)
    return exit_status(lambda: print_each(draw(options), options), options, *EXPECTED_ERRORS, PictureError)


if __name__ == "__main__":
    sys.exit(main())
