"""Convert edited ELAN or Audacity files, each with one event in whole seconds, to AVE annotation rows.

python tools/import_annotations.py predictions/*.eaf --labels classes.txt                  prints the rows
python tools/import_annotations.py *.labels.txt --annotations AVE/Annotations.txt --out new/Annotations.txt
The id of a row is the name of its file. A file with several events, or with other times, fails; the others do not.
"""

from __future__ import annotations

import argparse
import sys

from avsgn_pyg.common.command_line import Parser, own_words, path
from avsgn_pyg.common.errors import DataError
from avsgn_pyg.common.files import write_text
from avsgn_pyg.data.edited import read_edited
from avsgn_pyg.data.rows import read_rows
from avsgn_pyg.features.files import read_labels


def parse(arguments: list[str] | None = None) -> argparse.Namespace:
    parser = Parser(__doc__)
    parser.add_argument("files", type=path, nargs="+", metavar="FILE", help="<id>.eaf, <id>.labels.txt or <id>.txt")
    classes = parser.add_mutually_exclusive_group(required=True)
    classes.add_argument("--labels", type=path, metavar="FILE", help="class names, one per line")
    classes.add_argument("--annotations", type=path, metavar="FILE", help="an annotation file with the class names")
    parser.add_argument("--segments", type=int, default=10, metavar="T", help="seconds per video; default 10")
    parser.add_argument("--quality", default="good", help="third field of the rows; default good")
    parser.add_argument("--out", type=path, metavar="FILE", help="write the rows; default: print them")
    parser.add_argument("--overwrite", action="store_true", help="replace an existing FILE")
    return parser.parse_args(arguments)


def run(options: argparse.Namespace) -> int:
    if options.out is not None and options.out.exists() and not options.overwrite:
        raise DataError(f"{options.out}: exists already; give another name, or --overwrite")
    if options.labels is not None:
        names = read_labels(options.labels)
    else:
        rows = read_rows(options.annotations, options.segments)
        names = tuple(dict.fromkeys(row.category for _, row in rows))
    rows, errors = read_edited(options.files, names, segments=options.segments, quality=options.quality)
    text = "".join(f"{row}\n" for row in rows)
    if options.out is None:
        print(text, end="")
    elif rows:
        write_text(options.out, text)
        print(f"{len(rows)} rows of {len(options.files)} files: {options.out}")
    for error in errors:
        print(f"failed: {error}", file=sys.stderr)
    return int(bool(errors))


def main(arguments: list[str] | None = None) -> int:
    options = parse(arguments)
    try:
        return run(options)
    except DataError as error:
        print(f"error: {own_words(error, options)}", file=sys.stderr)
        return 2


if __name__ == "__main__":
    sys.exit(main())
