"""Which event, and in which seconds: run a trained model on clips, or on every clip of a folder.

python tools/predict.py clip.mp4 --checkpoint runs/demo                                prints events and seconds
python tools/predict.py clips/ --checkpoint runs/demo --out predictions --format json vtt  writes files
python tools/predict.py clip.mp4 --checkpoint runs/demo --labels names.txt            labels that it was not trained on
"""

from __future__ import annotations

import argparse
import sys
import warnings
from pathlib import Path

from avsgn_pyg import predictor
from avsgn_pyg.predictor.inputs import FORMS, check_model, encoder_choices, read_label_list


def parse(arguments: list[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("clips", nargs="+", type=Path, metavar="CLIP", help="a media file, or a folder of them")
    parser.add_argument("--checkpoint", required=True, type=Path, metavar="RUN", help="run, checkpoint or saved model")
    parser.add_argument("--labels", type=Path, metavar="FILE", help="labels to use, one per line")
    parser.add_argument("--out", type=Path, metavar="DIR", help="write files, print no results")
    parser.add_argument("--format", nargs="+", choices=FORMS, metavar="FORMAT",
                        help="; ".join(f"{name}: {what}" for name, what in FORMS.items())
                        + " (default: table, with --out json)")
    parser.add_argument("--tau", type=float, help="relevance threshold; default: the config's evaluate.tau")
    parser.add_argument("--top", type=int, default=1, metavar="K", help="classes per second in the table")
    parser.add_argument("--device", default="auto", choices=("auto", "cpu", "cuda", "mps"))
    parser.add_argument("--precision", default="fp32", choices=("fp32", "bf16", "fp16"), help="of the encoders")
    for kind in ("visual", "audio"):
        parser.add_argument(f"--{kind}", nargs="+", metavar=("NAME", "KEY=VALUE"),
                            help=f"{kind} encoder, if its weights have moved or none is recorded")
    options = parser.parse_args(arguments)
    if options.top < 1:
        parser.error("--top K shows one class at least")
    options.format = options.format or ["table" if options.out is None else "json"]
    return options


def run(options: argparse.Namespace) -> int:
    clips = predictor.find_clips(options.clips)
    encoders = encoder_choices(visual=options.visual, audio=options.audio)
    check_model(options.checkpoint)
    labels = read_label_list(options.labels) if options.labels else None
    settings = {"device": options.device, "precision": options.precision, "encoders": encoders, "labels": labels}
    model, failed = predictor.Predictor.from_checkpoint(options.checkpoint, **settings), []
    for path, result in predictor.predict_clips(model, clips, out=options.out, formats=options.format,
                                                tau=options.tau, top=options.top, progress=True):
        if isinstance(result, Exception):
            failed.append(result)
        elif options.out is None:
            print("\n".join(predictor.formats.render(result, options.format, options.top)), flush=True)
        else:
            events = ", ".join(f"{e.category} {e.start:g}-{e.end:g} s" for e in result.events)
            files = predictor.formats.output_paths(result.name, options.out, options.format)
            print(f"{path}: {events or 'no event'} -> {', '.join(map(str, files))}", flush=True)
    for error in failed:
        print(f"failed: {error}", file=sys.stderr)
    if failed and len(clips) > 1:
        rest = "" if len(failed) == len(clips) else "; the others are done"
        print(f"{len(failed)} of {len(clips)} clips failed{rest}", file=sys.stderr)
    return 1 if failed else 0


def main(arguments: list[str] | None = None) -> int:
    options = parse(arguments)
    try:
        with warnings.catch_warnings():
            warnings.showwarning = lambda message, *_, **__: print(f"warning: {message}", file=sys.stderr)
            return run(options)
    except predictor.EXPECTED_ERRORS as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("stopped; files written so far are complete; the same command starts over", file=sys.stderr)
        return 130


if __name__ == "__main__":
    sys.exit(main())
