"""Checks of clips, models, labels and output formats; needs no torch, so that mistakes are reported at once."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Final

from avsgn_pyg.common import command_line
from avsgn_pyg.common.config import Config
from avsgn_pyg.common.errors import CheckpointError, ConfigError, DataError, did_you_mean
from avsgn_pyg.engine.files import check_files, is_saved, read_config, read_saved
from avsgn_pyg.engine.run_folder import find_checkpoint, find_checkpoints
from avsgn_pyg.features.choice import EncoderChoice
from avsgn_pyg.features.files import PICTURES, SOUNDS, as_text, describe_skipped, find_media, read_labels
from avsgn_pyg.predictor.record import recorded_files

#: Name of an output format -> its description.
FORMS: Final = {
    "table": "events and seconds for a terminal",
    "json": "everything",
    "csv": "one line per second",
    "events": "one line per event",
    "vtt": "WebVTT captions",
    "srt": "SubRip subtitles",
    "audacity": "labels of Audacity",
    "eaf": "an ELAN document",
    "label_studio": "a task of Label Studio",
}


def find_clips(paths: Sequence[Path]) -> list[Path]:
    """Return the files and every media file of the folders, each once; DataError if there are none."""
    return search_clips(paths)[0]


def search_clips(paths: Sequence[Path]) -> tuple[list[Path], list[str]]:
    """Return the clips of :func:`find_clips`, and sentences about files that were left out.

    Left out are files of a folder that are not media or that a prediction wrote, and sound files next to their video.
    """
    check_clips(*paths)
    found, skipped = [], Counter()
    for path in paths:
        files, others = find_media(path) if path.is_dir() else ([path], {})
        written = {folder / name for folder in {file.parent for file in files} for name in recorded_files(folder)}
        found += [file for file in files if file == path or file not in written]
        skipped.update(others)
    clips = list({os.path.abspath(path): path for path in found}.values())
    videos = {path.with_suffix("") for path in clips if path.suffix.lower() in PICTURES}
    sounds = [path for path in clips if path.suffix.lower() in SOUNDS and path.with_suffix("") in videos]
    notes = [describe_skipped(skipped)] if skipped else []
    notes += [f"{as_text(str(path))} is left out, because the video of the same name has the sound" for path in sounds]
    return [path for path in clips if path not in sounds], notes


def check_clips(*paths: Path | None) -> None:
    """Raise DataError for a path that does not exist; the contents are checked when the clip is read."""
    for path in paths:
        if path is not None and not path.exists():
            raise DataError(f"{path}: no such file or folder")


def check_model(path: Path, *, several: bool = False, seeds: Sequence[int] | int | None = None) -> None:
    """Raise CheckpointError for a folder without a complete model, ConfigError for one that is not for prediction.

    Args:
        several: whether a run of several seeds may be given.
        seeds: of them, as for :func:`avsgn_pyg.engine.run_folder.find_checkpoints`.
    """
    if is_saved(path):
        read_saved(path)
        check_no_seeds(path, seeds)
        return
    for checkpoint in find_checkpoints(path, seeds).values() if several else [find_checkpoint(path)]:
        check_files(checkpoint)
        check_config(read_config(checkpoint), checkpoint)


def check_no_seeds(where: str | Path, seeds: Sequence[int] | int | None) -> None:
    """Raise CheckpointError for a choice of seeds of a saved model, which has all that it was saved with."""
    if seeds is not None:
        raise CheckpointError(f"{where}: a saved model answers with all seeds that it was saved with; leave seeds out")


def check_config(config: Config, path: Path) -> None:
    """Raise ConfigError for a model that parses videos, or that was trained on regional features."""
    if config.data.kind == "llp":
        raise ConfigError(f"{path}: this model parses videos (data.kind=llp), and prediction needs one that localizes "
                          "one event; use tools/train_parsing.py --score")
    if config.data.regions == "keep":
        raise ConfigError(f"{path}: trained on regional features (data.regions=keep), and clips are encoded as one "
                          "vector per second; use a model trained with data.regions=pool")


def add_labels(parser: command_line.Parser) -> None:
    """Add the options of labels, which replace a model's classes or need no model at all."""
    parser.add_argument("--labels", type=command_line.path, metavar="FILE", help="use these labels, one per line")
    parser.add_list("--label", commas=False, default=[], metavar="TEXT", help="use this label; may be repeated")
    parser.add_list("--prompt", commas=False, default=[], metavar="KIND=TEXT",
                    help="without a model: visual='a photo of {}' or audio='the sound of {}'; if repeated, the mean")
    parser.add_argument("--calibrate", type=command_line.path, metavar="STORE",
                        help="without a model: a feature store of similar clips; its annotations are not read")


def take_labels(options: Any, model: Path | None, seeds: Sequence[int] | int | None = None) -> dict[str, Any]:
    """Check the model, if there is one, and return the arguments of :func:`.predictor.open_predictor` for it.

    Raises:
        ConfigError: contradictory options, neither labels nor a model, or a model that is not for prediction.
        CheckpointError: no complete model. DataError: a file that cannot be read.
    """
    if options.labels is not None and options.label:
        raise ConfigError("give --labels FILE or --label TEXT, not both")
    given = options.labels or options.label
    labels = read_label_list(given) if given else None
    if model is not None:
        if options.prompt or options.calibrate is not None:
            raise ConfigError("--prompt and --calibrate are for localization without a trained model, by labels alone; "
                              "leave out either these or the model")
        check_model(model, several=True, seeds=seeds)
        return {"model": model, "labels": labels, "seeds": seeds}
    if seeds is not None:
        raise ConfigError("--seeds are those of a trained model; leave them out, or give one")
    if labels is None:
        raise ConfigError("give a trained model (RUN), or two or more labels (--label TEXT, --labels FILE) to "
                          "localize without training")
    check_clips(options.calibrate)
    prompts: dict[str, list[str]] = {}
    for kind, _, text in (prompt.partition("=") for prompt in options.prompt):
        prompts.setdefault(kind, []).append(text)
    return {"model": None, "labels": labels, "prompts": prompts, "calibration": options.calibrate}


def read_label_list(labels: Sequence[str] | str | Path) -> tuple[str, ...]:
    """Return the labels of a list, or of a text file with one label per line; a string is the path of a file.

    Raises:
        DataError: the file cannot be read.
        ConfigError: as for :func:`check_labels`.
    """
    if isinstance(labels, (str, Path)) and not Path(labels).exists():
        raise DataError(f"{labels}: no such file of labels (one per line); give a label itself by label=TEXT")
    labels = read_labels(labels) if isinstance(labels, (str, Path)) else tuple(labels)
    check_labels(labels)
    return labels


def check_labels(labels: Sequence[str]) -> None:
    """Raise ConfigError for fewer than two labels, an empty label, or a duplicate."""
    if len(labels) < 2 or any(not label.strip() for label in labels) or len(set(labels)) != len(labels):
        raise ConfigError(f"labels {list(labels)}: expected two or more labels, none empty and none repeated; a "
                          "single label would be the class of every event")


def check_formats(names: Iterable[str]) -> None:
    """Raise ConfigError for an unknown output format."""
    for name in names:
        if name not in FORMS:
            raise ConfigError(f"format {name!r}: choose one of {', '.join(FORMS)}{did_you_mean(name, FORMS)}")


def encoder_choices(**words: Sequence[str] | None) -> dict[str, EncoderChoice]:
    """Return the encoders that a command line names by ``--<kind> NAME KEY=VALUE ...``."""
    return {kind: EncoderChoice.parse(found[0], found[1:]) for kind, found in words.items() if found}
