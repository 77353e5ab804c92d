"""Convert features that others published to a feature store with one vector per second.

python tools/convert_features.py --audio feats/vggish --visual feats/res152 feats/r2plus1d_18 \\
    --annotations /data/llp --out /data/llp/features.h5
python tools/convert_features.py --audio 'av/{id}_vggish.npy@0.32,0.96' \\
    --visual 'av/{id}_rgb.npy@0.32,0.96' 'av/{id}_flow.npy@0.32,0.96' --out unav.h5
python tools/convert_features.py --audio AVE/audio_feature.h5 --visual AVE/visual_feature.h5 \\
    --annotations AVE/Annotations.txt --out AVE/features.h5

SOURCE is a folder of <id>.npy, a path with {id}, an .npy file [N, T, d], an h5 file with such a dataset or with a key
per id, or FILE.h5:{id}/KEY. @STEP,WINDOW: seconds from one frame to the next, and seconds that a frame was computed
from. Frames without @STEP are spread evenly over --seconds. docs/data.md has the rule by which frames become seconds.
"""

from __future__ import annotations

import argparse
import sys

from avsgn_pyg.common.command_line import Parser, exit_status, local, path
from avsgn_pyg.common.errors import DataError
from avsgn_pyg.data.published import Published, read_ids


def parse(arguments: list[str] | None = None) -> argparse.Namespace:
    parser = Parser(__doc__)
    several = {"type": local, "nargs": "+", "required": True, "metavar": "SOURCE"}
    parser.add_argument("--audio", **several, help="audio features; several kinds are concatenated")
    parser.add_argument("--visual", **several, help="visual features, likewise")
    parser.add_argument("--annotations", type=path, metavar="PATH",
                        help="a data set's folder, annotation file, or file of ids; default: all ids with features")
    parser.add_argument("--seconds", type=int, metavar="T",
                        help="length of every video; default: 10, or its own length if all sources have @STEP")
    parser.add_argument("--out", type=path, required=True, metavar="FILE.h5", help="the store to write")
    parser.add_argument("--overwrite", action="store_true", help="replace FILE.h5")
    options = parser.parse_args(arguments)
    if options.seconds is not None and options.seconds < 1:
        parser.error("--seconds must be 1 at least")
    return options


def run(options: argparse.Namespace) -> str:
    if options.out.exists() and not options.overwrite:
        raise DataError(f"{options.out}: exists already; give another name, or --overwrite")
    sources = [list(map(Published.parse, texts)) for texts in (options.audio, options.visual)]
    ids = None if options.annotations is None else read_ids(options.annotations)
    own = all(source.step for kind in sources for source in kind)
    from avsgn_pyg.data.convert import convert
    from avsgn_pyg.data.feature_store import write_store

    found = convert(*sources, ids, seconds=options.seconds or (None if own else 10))
    write_store(options.out, found.features)
    return f"{found.table()}\n{options.out}"


def main(arguments: list[str] | None = None) -> int:
    options = parse(arguments)
    return exit_status(lambda: print(run(options)), options, DataError, OSError)


if __name__ == "__main__":
    sys.exit(main())
