"""Draw Fig. 4: frames, sound, the scores of both modalities, truth and prediction of one video over time.

python tools/visualize_timeline.py runs/demo --row 12 --split test
python tools/visualize_timeline.py runs/demo --row 12 --split test --media clips/12.mp4     with frames and sound
python tools/visualize_timeline.py runs/demo --video clip.mp4 --out pictures --format png,svg,pdf
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

SPLITS, FORMATS = ("train", "val", "test"), ("png", "svg", "pdf")


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
    parser.add_argument("--split", choices=SPLITS, help="default: the config's evaluate.split")
    parser.add_argument("--data", type=local, metavar="ROOT", help="folder of the data, the same as data.root=ROOT")
    parser.add_argument("--media", type=path, metavar="CLIP", help="video file of the row, for frames and audio")
    parser.add_argument("--tau", type=float, help="relevance threshold; default: the config's evaluate.tau")
    parser.add_argument("--out", type=path, metavar="DIR", help="default: RUN/pictures/row-N or clip-NAME")
    parser.add_list("--format", choices=FORMATS, default=["png"], help="default: png")
    options = parser.parse_intermixed_args(arguments)
    of_rows = options.overrides or options.split or options.data or options.media
    if of_rows if options.video is not None else options.visual or options.audio:
        parser.error("--video CLIP needs no data, but its encoders (--visual, --audio): no --split, no KEY=VALUE")
    return options


def run(options: argparse.Namespace) -> list[Path]:
    given = [*options.overrides] if options.data is None else [f"data.root={options.data}", *options.overrides]
    encoders = encoder_choices(visual=options.visual, audio=options.audio)
    check_clips(options.video, options.media)
    if options.video is not None:
        check_model(options.run)
        folder = options.out or recipes.pictures.folder_in(options.run, f"clip-{options.video.stem}")
        return predictor.pictures.write_clip_timeline(options.run, options.video, folder, options.format,
                                                      tau=options.tau, encoders=encoders)
    check_run(options.run, given, "a picture", tau=options.tau)
    answer = recipes.pictures.answer_row(options.run, row=options.row, split=options.split, tau=options.tau,
                                         overrides=given)
    if options.media is not None:
        answer = answer._replace(picture=predictor.pictures.with_media(answer.picture, options.media))
    folder = options.out or recipes.pictures.folder_in(options.run, f"row-{answer.row}")
    from avsgn_pyg.visualize.picture import write_timeline

    return write_timeline(answer.picture, folder, options.format)


def main(arguments: list[str] | None = None) -> int:
    options = parse(arguments)
    try:
        print(*run(options), sep="\n")
    except (*EXPECTED_ERRORS, PictureError) as error:
        print(f"error: {own_words(error, options)}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main())
