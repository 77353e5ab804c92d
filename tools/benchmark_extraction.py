"""Time decoding alone, encoding alone, and extraction, in one run; their ratios show what the pipeline costs.

python tools/benchmark_extraction.py                       synthetic clips, encoders without weights
python tools/benchmark_extraction.py VIDEOS --visual clip --audio clap --audio-pass video --device cuda --workers 14
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
from pathlib import Path

from tqdm import tqdm

from avsgn_pyg.common.command_line import Parser, is_setting, local, own_words, path, setting
from avsgn_pyg.common.errors import DataError
from avsgn_pyg.features.choice import AUDIO_ENCODERS, FRAME_ENCODERS, OPTIONS
from avsgn_pyg.features.files import media_files


def parse(arguments: list[str] | None = None) -> argparse.Namespace:
    parser = Parser(__doc__)
    parser.add_argument("videos", nargs="?", type=path, metavar="VIDEOS", help="a folder; default: synthetic clips")
    parser.add_argument("--count", type=int, default=24, metavar="N", help="videos to take, or to create; default 24")
    parser.add_argument("--segments", type=int, default=10, metavar="T")
    parser.add_argument("--frames-per-segment", type=int, default=1, metavar="K")
    parser.add_argument("--visual", choices=sorted(FRAME_ENCODERS), default="signal")
    parser.add_argument("--audio", choices=sorted(AUDIO_ENCODERS), default="signal")
    for option, (_, _, help_text) in OPTIONS.items():
        parser.add_argument(f"--{option}", type=local, metavar="TEXT", help=help_text)
    for kind in ("visual", "audio"):
        parser.add_list(f"--{kind}-options", commas=False, own=is_setting, type=setting, default=[],
                        metavar="KEY=VALUE", help="its options")
    parser.add_argument("--device", default="auto")
    parser.add_argument("--precision", default="fp32")
    parser.add_argument("--batch-size", type=int, default=64, metavar="N")
    parser.add_argument("--workers", type=int, default=1, metavar="N", help="reading processes; default 1")
    parser.add_argument("--threads", type=int, metavar="N", help="of the encoders on a CPU; default: cores - workers")
    parser.add_argument("--rounds", type=int, default=3, metavar="N")
    return parser.parse_args(arguments)


def run(options: argparse.Namespace, folder: Path) -> str:
    if options.videos is not None:
        media_files(options.videos)
    import torch

    from avsgn_pyg.features.extraction.config import ExtractionConfig
    from avsgn_pyg.features.extraction.throughput import measure
    from avsgn_pyg.scenes import make_scenes

    if options.videos is None:
        make_scenes(folder, videos=max(8, options.count), seconds=options.segments)
    given = {name: value for name, value in vars(options).items() if name not in ("count", "threads", "rounds")}
    given |= {"videos": options.videos or folder / "videos", "out": folder / "unused.h5"}
    torch.set_num_threads(options.threads or max(1, (os.cpu_count() or 1) - options.workers))
    with tqdm(total=3 * options.rounds, desc="benchmark", unit="timing") as bar:
        return measure(ExtractionConfig(**given), count=options.count, rounds=options.rounds, tick=bar.update)


def main(arguments: list[str] | None = None) -> int:
    options = parse(arguments)
    try:
        with tempfile.TemporaryDirectory() as folder:
            print(run(options, Path(folder)))
    except DataError as error:
        print(f"error: {own_words(error, options)}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
