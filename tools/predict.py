"""Find the events of clips, and their seconds: run a trained model on files or on every clip of a folder.

python tools/predict.py clip.mp4 --checkpoint runs/demo                                prints events and seconds
python tools/predict.py clips/ --checkpoint runs/demo --out predictions --format json,vtt  writes files
python tools/predict.py clip.mp4 --checkpoint runs/demo --label thunder --label "rain, wind"   other labels
python tools/predict.py clip.mp4 --label "dog barking" --label violin                  no trained model at all
The same command resumes after an interruption; docs/prediction.md describes files and formats.
"""

from __future__ import annotations

import argparse
import sys
import warnings

from avsgn_pyg import predictor
from avsgn_pyg.common.command_line import Parser, exit_status, own_words, path, some_seeds
from avsgn_pyg.common.text import printable
from avsgn_pyg.features.limits import add_limits, take_limits
from avsgn_pyg.predictor.inputs import FORMS, add_labels, encoder_choices, search_clips, take_labels


def parse(arguments: list[str] | None = None) -> argparse.Namespace:
    parser = Parser(__doc__)
    parser.add_argument("clips", nargs="+", type=path, metavar="CLIP", help="a media file, or a folder of them")
    parser.add_argument("--checkpoint", type=path, metavar="RUN",
                        help="run, checkpoint or saved model; default: no trained model, only the given labels")
    parser.add_argument("--seeds", type=some_seeds, metavar="N", help="ensemble of seeds: all, the first N, or 0,3")
    add_labels(parser)
    parser.add_argument("--out", type=path, metavar="DIR", help="write files to this folder; do not print results")
    forms = "; ".join(f"{name}: {what}" for name, what in FORMS.items())
    parser.add_list("--format", choices=FORMS, metavar="FORMAT", help=f"{forms} (default: table, with --out json)")
    parser.add_argument("--cut", action="store_true", help="with --out: also a clip and a picture of every event")
    parser.add_argument("--overwrite", action="store_true",
                        help="replace files that were edited, made by hand, or predicted with other settings")
    parser.add_argument("--tau", type=float, help="threshold of the relevance (default: the config's evaluate.tau), or "
                        "of the scores of a dense model's events (0.4)")
    parser.add_argument("--top", type=int, default=1, metavar="K", help="classes per second in the table")
    parser.add_argument("--device", default="auto", choices=("auto", "cpu", "cuda", "mps"))
    parser.add_argument("--precision", default="fp32", choices=("fp32", "bf16", "fp16"), help="of the encoders")
    parser.add_encoders("if none is recorded, its weights file has moved, or there is no trained model")
    parser.add_argument("--download", action="store_true", help="download missing weights of the encoders")
    add_limits(parser)
    options = parser.parse_intermixed_args(arguments)
    if options.top < 1:
        parser.error("--top K shows one class at least")
    if options.out is None and (options.cut or options.overwrite):
        parser.error("--cut and --overwrite need --out DIR")
    options.format = options.format or ["table" if options.out is None else "json"]
    return options


def run(options: argparse.Namespace) -> int:
    (clips, notes), encoders = search_clips(options.clips), encoder_choices(visual=options.visual, audio=options.audio)
    settings = {"device": options.device, "precision": options.precision, "encoders": encoders,
                "download": options.download, "limits": take_limits(options),
                **take_labels(options, options.checkpoint, options.seeds)}
    model, failed = predictor.open_predictor(**settings), []
    print(*(f"note: {note}\n" for note in notes), sep="", end="", file=sys.stderr)
    asked = {name: getattr(options, name) for name in ("out", "tau", "top", "cut", "overwrite")}
    for result in predictor.predict_clips(model, clips, formats=options.format, progress=True, **asked):
        if result.error is not None:
            failed.append(result.error)
        elif options.out is None:
            print("\n".join(predictor.formats.render(result.prediction, options.format, options.top)), flush=True)
        else:
            print(printable(result.summary), flush=True)
    for error in failed:
        print(f"failed: {own_words(error, options)}", file=sys.stderr)
    if failed and len(clips) > 1:
        print(f"{len(failed)} of {len(clips)} clips failed", file=sys.stderr)
    return 1 if failed else 0


def main(arguments: list[str] | None = None) -> int:
    options = parse(arguments)
    with warnings.catch_warnings():
        warnings.showwarning = lambda message, *_, **__: print(f"warning: {message}", file=sys.stderr)
        return exit_status(
            lambda: run(options), options, *predictor.EXPECTED_ERRORS,
            stopped="stopped; files written so far are complete; with --out the same command resumes")


if __name__ == "__main__":
    sys.exit(main())
