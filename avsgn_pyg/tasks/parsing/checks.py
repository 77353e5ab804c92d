"""Checks of parsing that need no torch: settings, runs without a checkpoint, missing LLP files."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Final

from avsgn_pyg.common.config import Config, ConfigError
from avsgn_pyg.common.errors import DataError
from avsgn_pyg.common.settings import DataConfig
from avsgn_pyg.data.files import check_file, read_text
from avsgn_pyg.engine.recipes.checks import check_run, refuse_unread

#: LLP's files: the events of each video without times, and with times.
WEAK_FILES: Final = {"train": "AVVP_train.csv", "val": "AVVP_val_pd.csv", "test": "AVVP_test_pd.csv"}
EVAL_FILES: Final = {"audio": "AVVP_eval_audio.csv", "visual": "AVVP_eval_visual.csv"}
#: Settings that localization reads and parsing does not.
UNREAD: Final = {
    "evaluate": ("tau", "bootstrap"),
    "data": ("annotations", "splits", "audio_features", "visual_features", "audio_labels", "visual_labels",
             "drop_leaking", "synthetic"),
}


def check_llp(config: DataConfig) -> Path:
    """Return ``data.root``; DataError for a missing setting, csv file or feature store."""
    if config.root is None or config.features is None:
        raise DataError(f"data.root={config.root}, data.features={config.features}: LLP needs both, the folder of its "
                        "csv files and a feature store (a path below it, or a whole one)")
    check_file(config.root / config.features)
    check_llp_files(config.root)
    return config.root


def check_llp_files(root: Path) -> None:
    """Raise a DataError if LLP's train file is missing, or the times of a split that has a file."""
    read_text(root / WEAK_FILES["train"])
    if any((root / WEAK_FILES[split]).is_file() for split in ("val", "test")):
        for name in EVAL_FILES.values():
            read_text(root / name)


def check_parsing(config: Config) -> None:
    """Check the settings and data files of a parsing run.

    Raises:
        ConfigError: another task, or a setting that parsing would ignore.
        DataError: a file is missing.
    """
    if config.data.kind != "llp":
        raise ConfigError(f"data.kind={config.data.kind}: parsing needs data.kind=llp; use tools/train.py "
                          "for the others")
    refuse_unread(config, "parsing (data.kind=llp)", UNREAD, ("time_flip", "noise"), "docs/parsing.md")
    if config.evaluate.split == "train" or config.train.select == "test":
        raise ConfigError(f"evaluate.split={config.evaluate.split}, train.select={config.train.select}: LLP has "
                          "segment labels in val and test; select on val, or take the last epoch")
    check_llp(config.data)


#: :func:`avsgn_pyg.engine.recipes.checks.check_run` of a parsing run, which may be given other copies of its data.
check_parsing_run = partial(check_run, use="a parser's score", free=("data.",), check=check_parsing)
