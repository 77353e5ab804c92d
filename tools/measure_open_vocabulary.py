"""How well labels that nobody trained are told apart by text alone, on classes of a data set held out by chance.

python tools/measure_open_vocabulary.py configs/ave_composite_full.yaml data.root=/data/ave-composite
"""

from __future__ import annotations

import argparse
import json
import sys

from avsgn_pyg.config import load_config
from avsgn_pyg.experiments.open_vocabulary import measure_held_out
from avsgn_pyg.recipes import EXPECTED_ERRORS


def parse(arguments: list[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("config", metavar="CONFIG", help="a YAML file; its data section counts")
    parser.add_argument("overrides", nargs="*", metavar="KEY=VALUE", help="dotted settings, such as data.root=DIR")
    parser.add_argument("--split", choices=("train", "val", "test"), default="val")
    parser.add_argument("--held-out", type=int, default=7, metavar="K", help="classes of a draw; default 7")
    parser.add_argument("--draws", type=int, default=20, metavar="N", help="seeds 0 to N - 1; default 20")
    parser.add_argument("--json", action="store_true", help="print JSON, every draw, in place of the table")
    return parser.parse_intermixed_args(arguments)


def main(arguments: list[str] | None = None) -> int:
    options = parse(arguments)
    try:
        data = load_config(options.config, options.overrides).data
        found = measure_held_out(data, split=options.split, held_out=options.held_out, seeds=range(options.draws))
    except EXPECTED_ERRORS as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    print(json.dumps(found.as_dict(), indent=2, ensure_ascii=False) if options.json else found.table())
    return 0


if __name__ == "__main__":
    sys.exit(main())
