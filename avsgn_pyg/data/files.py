"""The files named in the ``data`` section, and checks that they exist; needs neither torch nor PyG.

Their contents are checked when they are read.
"""

from __future__ import annotations

import csv
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

from avsgn_pyg.common.errors import DataError
from avsgn_pyg.common.settings import DataConfig

#: Split files of AVE, in the two forms of ``data.splits``.
SPLIT_FILES: Final = {"order": "{}_order.h5", "txt": "{}Set.txt"}

#: Annotation files of the data sets whose videos are found by id and whose features come from a feature store.
BY_ID_FILES: Final = {
    "ov-ave": ("ovave_dataset_meta.csv", "released_ovavel_dataset_anno.json"),
    "ave-pm": ("train.csv", "val.csv", "test.csv"),
}
#: The file that identifies the kind of a folder, in the order of the search.
KNOWN_BY: Final = {"ov-ave": BY_ID_FILES["ov-ave"][0], "ave": "Annotations.txt", "ave-pm": BY_ID_FILES["ave-pm"][0]}


def check_files(config: DataConfig) -> None:
    """Raise a DataError that names the first missing file of `config`; synthetic data need no files."""
    if config.kind == "synthetic":
        return
    if config.kind == "llp":
        raise DataError("data.kind=llp is for video parsing: avsgn_pyg.tasks.parsing.videos.load_llp reads them, and "
                        "tools/train_parsing.py trains on them")
    root = root_of(config)
    for modality, path in feature_files(config).items():
        other = f"; set data.{modality}_features, or data.features for a feature store"
        check_file(path, hint="" if modality == "features" else other)
    if config.kind in BY_ID_FILES:
        check_by_id(root, config.kind)
    else:
        read_text(root / config.annotations)
        if not (config.kind == "dense" and config.annotations.endswith(".json")):
            check_train_split(root, config.splits)
    for path in label_files(config):
        check_file(path)


def root_of(config: DataConfig) -> Path:
    """Return ``data.root``; DataError if it is not set."""
    if config.root is None:
        raise DataError("data.root is not set; name the folder that contains the annotations and features")
    return config.root


def feature_files(config: DataConfig) -> dict[str, Path]:
    """Return ``features`` -> the feature store, or ``audio`` and ``visual`` -> the two files of the release."""
    root = root_of(config)
    if config.features:
        return {"features": root / config.features}
    return {"audio": root / config.audio_features, "visual": root / config.visual_features}


def label_files(config: DataConfig) -> list[Path]:
    """Return the ``.npy`` files of the audio and visual label text, if any; DataError for one without the other."""
    names = (config.audio_labels, config.visual_labels)
    if names == (None, None):
        return []
    if None in names:
        raise DataError(f"data.audio_labels={names[0]}, data.visual_labels={names[1]}: give both, one row per class")
    return [root_of(config) / name for name in names]


def check_train_split(root: Path, splits: str, option: str = "data.splits=") -> None:
    """Raise a DataError if there is no train split in the form `splits`; `option` is how the form was set."""
    others = [form for form, name in SPLIT_FILES.items() if form != splits and (root / name.format("train")).is_file()]
    hint = f"{option}{splits} needs it" + "".join(f"; try {option}{form}" for form in others)
    check_file(root / SPLIT_FILES[splits].format("train"), hint=f"; {hint}")


def check_file(path: Path, hint: str = "") -> None:
    """Raise a DataError if there is no file at `path`."""
    if not path.is_file():
        raise DataError(f"{path}: no such file{hint}")


def check_by_id(root: Path, kind: str) -> None:
    """Raise a DataError if an annotation file of OV-AVE or AVE-PM is missing."""
    for name in BY_ID_FILES[kind]:
        check_file(root / name, hint=f"; data.kind={kind} needs it")


def kind_of(root: Path) -> str:
    """Return ``ave``, ``ov-ave`` or ``ave-pm``, by the annotation files in a folder; DataError if there are none."""
    for kind, name in KNOWN_BY.items():
        if (root / name).is_file():
            return kind
    raise DataError(f"{root}: expected the annotation files of AVE (Annotations.txt), OV-AVE "
                    f"({', '.join(BY_ID_FILES['ov-ave'])}) or AVE-PM ({', '.join(BY_ID_FILES['ave-pm'])})")


def check_folder(path: Path, splits: str) -> None:
    """Raise a DataError unless `path` is a file, or a folder with annotations and a train split; for inspect_data."""
    if not path.exists():
        raise DataError(f"{path}: no such file or folder")
    if path.is_dir():
        kind = kind_of(path)
        check_train_split(path, splits, "--splits ") if kind == "ave" else check_by_id(path, kind)


def read_text(path: Path) -> str:
    """Read a text file; DataError if it is missing or not UTF-8."""
    if not path.exists():
        raise DataError(f"{path}: no such file")
    try:
        return path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"{path}: cannot be read as text ({error})") from None


def read_table(path: Path, columns: tuple[str, ...], delimiter: str = ",") -> Iterator[tuple[str, tuple[str, ...]]]:
    """Yield place and values of the named columns of every line, below a header line.

    Raises:
        DataError: the file lacks a column; or the place of a line with an empty or missing field, or too many fields.
    """
    table = csv.DictReader(read_text(path).splitlines(), delimiter=delimiter)
    if missing := set(columns) - set(table.fieldnames or ()):
        raise DataError(f"{path}: no column {', '.join(sorted(missing))} among {table.fieldnames}; expected "
                        f"{', '.join(columns)}")
    for row in table:
        values = tuple((row[column] or "").strip() for column in columns)
        if None in row or not all(values):
            raise DataError(f"{path}, line {table.line_num}: expected {len(table.fieldnames)} fields of which "
                            f"{', '.join(columns)} are not empty; got {[*filter(None, row.values())]}")
        yield f"{path}, line {table.line_num}", values


def read_json(path: Path, **options: Any) -> Any:
    """Read a JSON file, with options of ``json.loads``; DataError if it is something else."""
    text = read_text(path)
    try:
        return json.loads(text, **options)
    except (ValueError, RecursionError) as error:
        raise DataError(f"{path}: not a readable JSON file ({error})") from None


def read_object(path: Path) -> dict[str, Any]:
    """Read a JSON file of one object; DataError if it is something else."""
    found = read_json(path)
    if not isinstance(found, dict):
        raise DataError(f"{path}: expected a JSON object with ids as keys, got {type(found).__name__}")
    return found
