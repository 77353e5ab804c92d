"""The files that a ``data`` section names, and whether they are there; needs neither torch nor PyG.

:func:`check_files` reads no features, so it answers at once; what the files hold is checked when they are read.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Final

from avsgn_pyg.config import DataConfig
from avsgn_pyg.errors import DataError

#: Split files of AVE, in the two forms of ``data.splits``.
SPLIT_FILES: Final = {"order": "{}_order.h5", "txt": "{}Set.txt"}


def check_files(config: DataConfig) -> None:
    """DataError for a file that `config` names and that is not there; made data need none."""
    if config.kind == "synthetic":
        return
    if config.kind == "llp":
        raise DataError("data.kind=llp holds videos to parse: avsgn_pyg.parsing.videos.load_llp reads them, and "
                        "tools/train_parsing.py trains on them")
    root = root_of(config)
    for modality, path in feature_files(config).items():
        check_feature_file(modality, path)
    read_text(root / config.annotations)
    check_train_split(root, config.splits)
    for name in label_files(config):
        check_file(root / name)


def root_of(config: DataConfig) -> Path:
    """``data.root``; DataError where it is not set."""
    if config.root is None:
        raise DataError("data.root is not set; name the folder that holds the annotations and features")
    return config.root


def feature_files(config: DataConfig) -> dict[str, Path]:
    """The feature store, or the release's file of each modality."""
    root = root_of(config)
    if config.features:
        return {"features": root / config.features}
    return {"audio": root / config.audio_features, "visual": root / config.visual_features}


def check_feature_file(modality: str, path: Path) -> None:
    """DataError where a file of :func:`feature_files` is not there."""
    other = f"set data.{modality}_features, or data.features for a feature store"
    check_file(path, hint="" if modality == "features" else f"; {other}")


def label_files(config: DataConfig) -> Iterator[str]:
    """The ``.npy`` files of the label text, where the config names any; DataError for one without the other."""
    names = (config.audio_labels, config.visual_labels)
    if names == (None, None):
        return
    if None in names:
        raise DataError(
            f"data.audio_labels={names[0]}, data.visual_labels={names[1]}: give both, one row for each class"
        )
    yield from names


def check_train_split(root: Path, splits: str) -> None:
    """DataError where the train split has no file in the form that ``data.splits`` names."""
    check_file(root / SPLIT_FILES[splits].format("train"), hint=f"; the train split is needed (data.splits={splits})")


def check_file(path: Path, hint: str = "") -> None:
    """DataError where there is no file at `path`."""
    if not path.is_file():
        raise DataError(f"{path}: no such file{hint}")


def check_path(path: Path) -> None:
    """DataError where there is neither a file nor a folder at `path`."""
    if not path.exists():
        raise DataError(f"{path}: no such file or folder")


def check_folder(path: Path, splits: str) -> None:
    """What a look at a data folder, or at a feature store, needs: DataError where it is not there."""
    check_path(path)
    if path.is_dir():
        read_text(path / "Annotations.txt")
        check_train_split(path, splits)


def read_text(path: Path) -> str:
    """A text file's content; DataError where it is missing or not UTF-8."""
    try:
        return path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"{path}: cannot be read as text ({error})") from None
