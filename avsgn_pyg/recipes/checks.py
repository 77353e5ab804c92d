"""What can be refused before torch is imported: settings, runs without a checkpoint, data files that are missing.

A tool calls these first, then imports the recipe, which calls them too.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from avsgn_pyg.config import AugmentConfig, Config, ConfigError, ObjectiveConfig
from avsgn_pyg.data.files import check_files
from avsgn_pyg.engine import files
from avsgn_pyg.engine.run_folder import RunFolder, find_checkpoint, seed_folders

#: Sections that may be overridden for a trained run; all others come from the checkpoint.
FREE_SECTIONS: Final = ("data.", "evaluate.")
#: Settings that localization reads and parsing does not.
UNREAD: Final = {
    "evaluate": ("tau", "bootstrap"),
    "data": ("annotations", "splits", "audio_features", "visual_features", "audio_labels", "visual_labels",
             "drop_leaking", "synthetic"),
}


def check_config(config: Config, *, parsing: bool = False) -> None:
    """Refuse a config of the other task, or one whose data files are missing.

    Raises:
        ConfigError: videos to parse where one event is to be localized, or the other way round.
        DataError: a file is missing.
    """
    if parsing:
        check_parsing(config)
    elif config.data.kind == "llp":
        raise ConfigError(f"data.kind={config.data.kind} is another task; tools/train_parsing.py trains and scores it")
    check_files(config.data)


def check_run(
    run: Path, overrides: Sequence[str], use: str, *, tau: float | None = None, several: bool = False
) -> list[Path]:
    """The checkpoints that a run or a checkpoint's folder means, all of whose files and data files are there.

    Args:
        overrides: dotted ``data.`` and ``evaluate.`` settings, for other copies of the data.
        use: what for, as an error says it: ``a picture``.
        tau: threshold of the relevance, in [0, 1).
        several: a run of several seeds is taken too, as the checkpoint of each.

    Raises:
        CheckpointError: no checkpoint, or one that lacks a file.
        ConfigError, DataError: a setting cannot be used; a data file is missing.
    """
    check_tau(tau)
    check_overrides(overrides, use)
    seeds = seed_folders(run) if several and RunFolder(run).index is None else []
    checkpoints = [find_checkpoint(folder) for folder in seeds or [run]]
    for checkpoint in checkpoints:
        files.check_files(checkpoint)
        check_config(files.read_config(checkpoint, overrides))
    return checkpoints


def check_overrides(overrides: Sequence[str], use: str) -> None:
    """ConfigError for a setting that would be another run's."""
    for text in overrides:
        if not text.startswith(FREE_SECTIONS):
            raise ConfigError(f"command line: {text}: {use} can change data.* and evaluate.*, nothing else")


def check_tau(tau: float | None) -> None:
    """ConfigError for what is no threshold of a relevance."""
    if tau is not None and not 0.0 <= tau < 1.0:
        raise ConfigError(f"tau={tau} is no threshold of a relevance; give one in [0, 1), such as 0.6")


def check_folder(folder: Path) -> Path:
    """The folder, if pictures can be written there; ConfigError otherwise."""
    there = next(path for path in (folder, *folder.parents) if path.exists())
    if not (there.is_dir() and os.access(there, os.W_OK)):
        raise ConfigError(f"{folder}: cannot be written to; name another folder for the pictures, --out DIR")
    return folder


def check_parsing_run(run: Path, overrides: Sequence[str]) -> Path:
    """The checkpoint that a parsing run means; errors are :func:`check_run`'s."""
    for text in overrides:
        if not text.startswith("data."):
            raise ConfigError(f"command line: {text}: scoring a parser can change data.* and nothing else")
    checkpoint = find_checkpoint(run)
    files.check_files(checkpoint)
    check_config(files.read_config(checkpoint, overrides), parsing=True)
    return checkpoint


def check_parsing(config: Config) -> None:
    """ConfigError for what parsing would ignore."""
    if config.data.kind != "llp":
        raise ConfigError(f"data.kind={config.data.kind}: parsing needs data.kind=llp; tools/train.py takes the others")
    for name, keys in UNREAD.items():
        section = getattr(config, name)
        for key in keys:
            if getattr(section, key) != type(section).model_fields[key].default:
                raise ConfigError(f"{name}.{key}={getattr(section, key)}: parsing (data.kind=llp) does not read it; "
                                  "leave it out; docs/parsing.md says what it reads")
    if config.objective != ObjectiveConfig():
        raise ConfigError("objective: it trains the localization of one event; parsing's losses are set under parsing")
    augment = config.train.augment
    if augment != AugmentConfig(time_flip=augment.time_flip, noise=augment.noise):
        raise ConfigError("train.augment: recombine and boundary need one class a video; time_flip and noise do not")
    if config.train.seeds is not None:
        raise ConfigError(f"train.seeds={list(config.train.seeds)}: a parsing run has one seed; give train.seed and a "
                          "name= for each")
    select, split, patience = config.train.select, config.evaluate.split, config.train.early_stop
    if split == "train" or select == "test":
        raise ConfigError(f"evaluate.split={split}, train.select={select}: LLP has segment labels in val and test; "
                          "select on val, or take the last epoch")
    if patience is not None and select == "last":
        raise ConfigError(f"train.early_stop={patience} needs a split to watch; train.select=last has none")
