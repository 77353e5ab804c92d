"""Open a web page on this machine to look at clips, correct their events, and compare models.

python tools/serve.py runs/demo --clip runs/scenes/videos/scene-00135.mp4
python tools/serve.py runs/demo runs/other                               a second tab compares the two
python tools/serve.py --training-free --label "dog barking" --label violin   no trained model
Stop it with Ctrl-C; docs/page.md describes the page, its limits and what is kept.
"""

from __future__ import annotations

import argparse
import os
import sys
import webbrowser
from functools import partial

from avsgn_pyg.common.command_line import Parser, exit_status, path
from avsgn_pyg.common.errors import EXPECTED_ERRORS, DataError
from avsgn_pyg.features.limits import add_limits, take_limits
from avsgn_pyg.predictor.inputs import add_labels, check_clips, check_model, encoder_choices, take_labels


def parse(arguments: list[str] | None = None) -> argparse.Namespace:
    parser = Parser(__doc__)
    parser.add_argument("models", nargs="*", type=path, metavar="RUN", help="runs, checkpoints or saved models")
    parser.add_argument("--training-free", action="store_true", help="use the given labels and no trained model")
    add_labels(parser)
    parser.add_list("--clip", commas=False, type=path, default=[], metavar="CLIP",
                    help="a clip that the page offers; may be repeated")
    parser.add_argument("--host", default="127.0.0.1", help="address to listen at; default: this machine alone")
    parser.add_argument("--port", type=int, default=7860, metavar="N", help="default 7860; 0: any free one")
    parser.add_argument("--open", action="store_true", help="open the page in the browser")
    parser.add_argument("--max-megabytes", type=int, default=500, metavar="N", help="largest file; default 500")
    parser.add_argument("--corrections", type=path, default=path("runs/corrections"), metavar="DIR",
                        help="where clips saved for training are kept; default runs/corrections")
    parser.add_argument("--device", default="auto", choices=("auto", "cpu", "cuda", "mps"))
    parser.add_encoders("if none is recorded, or there is no trained model")
    parser.add_argument("--download", action="store_true", help="download missing weights of the encoders")
    add_limits(parser, pixels=4096 * 4096, seconds=3600, deadline=600)
    options = parser.parse_intermixed_args(arguments)
    if bool(options.models) == options.training_free:
        parser.error("give one RUN or more, or --training-free with labels")
    return options


def run(options: argparse.Namespace) -> None:
    check_clips(*options.clip)
    for model in options.models:
        check_model(model, several=True)
    asked = {"encoders": encoder_choices(visual=options.visual, audio=options.audio), "device": options.device,
             "download": options.download, "limits": take_limits(options),
             **take_labels(options, next(iter(options.models), None))}
    try:
        from avsgn_pyg.predictor.page import serving
    except ModuleNotFoundError as error:
        raise DataError(f"the page needs {error.name}, which is missing: pip install 'avsgn_pyg[page]'") from None
    serving.serve(options.models, asked, clips=options.clip, host=options.host, port=options.port,
                  corrections=options.corrections, most_bytes=options.max_megabytes * 1_000_000,
                  ready=partial(announce, shown=options.open))


def announce(address: str, shown: bool) -> None:
    print(f"The page is at {address} (Ctrl-C stops it)", flush=True)
    if shown and (sys.platform in ("darwin", "win32") or {"DISPLAY", "WAYLAND_DISPLAY"} & os.environ.keys()):
        webbrowser.open(address)


def main(arguments: list[str] | None = None) -> int:
    options = parse(arguments)
    return exit_status(lambda: run(options), options, *EXPECTED_ERRORS)


if __name__ == "__main__":
    sys.exit(main())
