"""Inputs and output formats of a prediction: clips, a model's folder, labels, forms; needs no torch."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Final

from avsgn_pyg.config import ConfigError
from avsgn_pyg.data.files import check_path
from avsgn_pyg.engine import files
from avsgn_pyg.engine.files import MODEL
from avsgn_pyg.engine.run_folder import find_checkpoint
from avsgn_pyg.errors import DataError
from avsgn_pyg.features.choice import EncoderChoice
from avsgn_pyg.features.files import media_files, read_labels

#: Of a folder that :mod:`avsgn_pyg.predictor.pretrained` wrote.
SAVED_CONFIG: Final = "config.json"
#: Name of a form on a command line -> what it is for.
FORMS: Final = {
    "table": "events and seconds for a terminal",
    "json": "everything",
    "csv": "one line a second",
    "events": "one line an event",
    "vtt": "WebVTT captions",
    "eaf": "an ELAN document",
}


def find_clips(paths: Sequence[Path]) -> list[Path]:
    """The files themselves, and of folders every media file in them, each once, in the order given.

    Raises:
        DataError: nothing stands at a path, or a folder holds no media file.
    """
    found: list[Path] = []
    for path in paths:
        check_path(path)
        found += media_files(path) if path.is_dir() else [path]
    return list(dict.fromkeys(found))


def check_clips(*paths: Path | None) -> None:
    """DataError where nothing stands at a path; what such a file holds shows when it is read."""
    for path in paths:
        if path is not None and not path.exists():
            raise DataError(f"{path}: no such file")


def is_saved(path: Path) -> bool:
    """Whether a folder was written by ``save_pretrained``, rather than a run's or a checkpoint's."""
    return (path / SAVED_CONFIG).is_file() and (path / MODEL).is_file()


def check_model(path: Path) -> None:
    """Refuse a folder that holds no model, before anything of it is loaded.

    Raises:
        CheckpointError: no checkpoint, or one that lacks a file.
        ConfigError: its config holds a setting that this version does not know.
    """
    if not is_saved(path):
        checkpoint = find_checkpoint(path)
        files.check_files(checkpoint)
        files.read_config(checkpoint)


def labels_of(given: Sequence[str] | str | Path) -> tuple[str, ...]:
    """A list of labels as it came, or of a file with one a line; text by itself is the file's path.

    Raises:
        ConfigError: fewer than two, an empty one, or one that stands twice.
        DataError: the file cannot be read.
    """
    labels = read_labels(given) if isinstance(given, (str, Path)) else tuple(given)
    check_labels(labels)
    return labels


def check_labels(labels: Sequence[str]) -> None:
    """ConfigError for fewer than two labels, an empty one, or one that stands twice."""
    if len(labels) < 2 or any(not label.strip() for label in labels) or len(set(labels)) != len(labels):
        raise ConfigError(f"labels={list(labels)}: give two labels or more, none empty, each once; a list of one would "
                          "call everything that")


def check_forms(names: Iterable[str]) -> None:
    """ConfigError for a form that there is none of."""
    for name in names:
        if name not in FORMS:
            raise ConfigError(f"format {name!r}: choose among {', '.join(FORMS)}")


def named(**words: Sequence[str] | None) -> dict[str, EncoderChoice]:
    """Encoders as a command line names them, ``NAME KEY=VALUE ...`` for each kind; those that are named alone."""
    return {kind: EncoderChoice.parse(said[0], said[1:]) for kind, said in words.items() if said}
