"""Convert edited ELAN, Audacity, csv or Label Studio files, or a published data set, to one file of annotations.

python tools/import_annotations.py predictions/*.eaf --out corrected.json              any events, in ActivityNet's form
python tools/import_annotations.py *.labels.txt --annotations annotations.json --out new.json  the rest stays as it is
python tools/import_annotations.py predictions/*.eaf --labels classes.txt --out Annotations.txt            rows of AVE
python tools/import_annotations.py /data/OV-AVE --out annotations.json                               or AVE, or AVE-PM
The id of a video is the name of its file. A row of AVE needs exactly one event in whole seconds. A file that cannot be
converted fails; the others do not.
"""

from __future__ import annotations

import argparse
import sys

from avsgn_pyg.common.command_line import Parser, exit_status, path
from avsgn_pyg.common.errors import DataError
from avsgn_pyg.common.files import write_text
from avsgn_pyg.data.annotations import labels_of, read_annotations, replaced, write_annotations
from avsgn_pyg.data.edited import read_edited, to_rows
from avsgn_pyg.data.rows import read_rows
from avsgn_pyg.features.files import read_labels


def parse(arguments: list[str] | None = None) -> argparse.Namespace:
    parser = Parser(__doc__)
    parser.add_argument("files", type=path, nargs="+", metavar="FILE",
                        help="<id>.eaf, <id>.labels.txt, <id>.txt, <id>.events.csv; a .json export of Label Studio; "
                             "or a folder of AVE, OV-AVE, AVE-PM")
    classes = parser.add_mutually_exclusive_group()
    classes.add_argument("--labels", type=path, metavar="FILE", help="class names, one per line")
    classes.add_argument("--annotations", type=path, metavar="FILE",
                         help="annotations with the class names; other videos of a .json file are kept")
    parser.add_argument("--segments", type=int, default=10, metavar="T", help="seconds per video of AVE; default 10")
    parser.add_argument("--quality", default="good", help="third field of the rows; default good")
    parser.add_argument("--out", type=path, metavar="FILE", help="a .json file, or rows of AVE; default: print rows")
    parser.add_argument("--overwrite", action="store_true", help="replace an existing FILE")
    return parser.parse_args(arguments)


def run(options: argparse.Namespace) -> int:
    out, base, names = options.out, [], None
    as_rows = out is None or out.suffix != ".json"
    if out is not None and out.exists() and not options.overwrite:
        raise DataError(f"{out}: exists already; give another name, or --overwrite")
    if options.labels is not None:
        names = read_labels(options.labels)
    elif options.annotations is not None and options.annotations.suffix == ".json":
        base = read_annotations(options.annotations)
        names = labels_of(base)
    elif options.annotations is not None:
        names = tuple(dict.fromkeys(row.category for _, row in read_rows(options.annotations, options.segments)))
    elif as_rows:
        raise DataError("rows of AVE need --labels or --annotations, for the names of the classes; a .json file not")
    if len(options.files) > 1 and any(file.is_dir() for file in options.files):
        raise DataError("give one folder of a data set and nothing else, or files")
    if options.files[0].is_dir():
        from avsgn_pyg.data.folders import read_folder  # needs torch
        found, errors = [(video.video_id, video) for video in read_folder(options.files[0], options.segments)], []
    else:
        found, errors = read_edited(options.files, names)
    if as_rows:
        rows, failed = to_rows(found, options.segments, options.quality)
        text, errors = "".join(f"{row}\n" for row in rows), errors + failed
        if out is not None and rows:
            write_text(out, text)
            text = f"{len(rows)} rows of {len(options.files)} files: {out}\n"
        print(text, end="")
    elif found:
        write_annotations(out, replaced(base, [video for _, video in found]))
        print(f"{sum(len(video.events) for _, video in found)} events in {len(found)} videos: {out}")
    for error in errors:
        print(f"failed: {error}", file=sys.stderr)
    return int(bool(errors))


def main(arguments: list[str] | None = None) -> int:
    options = parse(arguments)
    return exit_status(lambda: run(options), options, DataError)


if __name__ == "__main__":
    sys.exit(main())
