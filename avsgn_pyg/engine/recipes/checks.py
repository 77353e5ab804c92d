"""Checks that need no torch: settings, runs without a checkpoint, missing data files.

A tool calls them before it imports the recipe, which repeats them.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Final

from avsgn_pyg.common.config import Config, ConfigError
from avsgn_pyg.common.settings import AugmentConfig, ObjectiveConfig
from avsgn_pyg.data.files import check_files
from avsgn_pyg.engine import files
from avsgn_pyg.engine.run_folder import find_checkpoint, find_checkpoints

#: Sections that may be overridden for a trained run; all others come from the checkpoint.
FREE_SECTIONS: Final = ("data.", "evaluate.")
#: Settings that the localization of one event reads, and that of several (data.kind=dense) does not.
UNREAD: Final = {
    "model": ("head",),
    "evaluate": ("tau",),
    "data": ("audio_features", "visual_features", "audio_labels", "visual_labels", "padded_events", "synthetic"),
}


def check_config(config: Config) -> None:
    """Refuse a config of the other task, or one whose data files are missing.

    Raises:
        ConfigError: data for parsing.
        DataError: a file is missing.
    """
    if config.data.kind == "llp":
        raise ConfigError(f"data.kind={config.data.kind} is another task; tools/train_parsing.py trains and scores it")
    if config.events is not None:
        refuse_unread(config, "data.kind=dense", UNREAD, ("noise",), "docs/dense.md")
    check_files(config.data)


def refuse_unread(config: Config, task: str, unread: Mapping[str, Sequence[str]], augment: Sequence[str],
                  guide: str) -> None:
    """Refuse settings that localization reads and another task would ignore.

    Args:
        task: for messages: ``parsing (data.kind=llp)``.
        unread: section -> its settings that the task does not read.
        augment: settings of ``train.augment`` that it reads.
        guide: the document that says what it reads.
    """
    for name, keys in unread.items():
        section = getattr(config, name)
        for key in keys:
            if getattr(section, key) != section.default(key):
                raise ConfigError(f"{name}.{key}={getattr(section, key)}: {task} does not read it; leave it out; "
                                  f"{guide} says what it reads")
    train, default = config.train, AugmentConfig()
    if config.objective != ObjectiveConfig():
        raise ConfigError(f"objective: it trains the localization of one event; {guide} has the losses of {task}")
    for key in type(default).model_fields:
        if key not in augment and getattr(train.augment, key) != getattr(default, key):
            raise ConfigError(f"train.augment.{key}={getattr(train.augment, key)}: it needs one class a video; {task} "
                              f"has {', '.join(augment)}")
    if train.seeds is not None:
        raise ConfigError(f"train.seeds={list(train.seeds)}: {task} trains one seed a run; give train.seed and a name= "
                          "for each")


def check_run(
    run: Path, overrides: Sequence[str], use: str, *, tau: float | None = None, several: bool = False,
    seeds: Sequence[int] | int | None = None, free: tuple[str, ...] = FREE_SECTIONS,
    check: Callable[[Config], None] = check_config,
) -> list[Path]:
    """Return the checkpoints of a run or of a checkpoint's folder, after checking that all files and data are there.

    Args:
        overrides: dotted settings of the sections `free`, for other copies of the data.
        use: the purpose, for error messages: ``a picture``.
        tau: threshold of the relevance, in [0, 1).
        several: whether a run of several seeds may be given, whose checkpoints are all returned.
        seeds: of them, as for :func:`avsgn_pyg.engine.run_folder.find_checkpoints`.
        check: of the task's settings and data.

    Raises:
        CheckpointError: no checkpoint, or one that lacks a file.
        ConfigError, DataError: a setting cannot be used; a data file is missing.
    """
    check_tau(tau)
    for text in overrides:
        if not text.startswith(free):
            sections = " and ".join(f"{section}*" for section in free)
            raise ConfigError(f"command line: {text}: only {sections} can be set for {use}")
    checkpoints = [*find_checkpoints(run, seeds).values()] if several else [find_checkpoint(run)]
    for checkpoint in checkpoints:
        files.check_files(checkpoint)
        check(files.read_config(checkpoint, overrides))
    return checkpoints


def check_tau(tau: float | None) -> None:
    """Raise ConfigError for a number that is not a threshold of the relevance."""
    if tau is not None and not 0.0 <= tau < 1.0:
        raise ConfigError(f"tau={tau} is no threshold of the relevance; give one in [0, 1), such as 0.6")
