"""The errors that a tool shows as one sentence. This file imports neither torch nor PyG."""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class ConfigError(ValueError):
    """Raised when a setting is invalid; the message names its file, its key and what would work."""


class DataError(ValueError):
    """Raised when data are invalid; the message names the file, the place, what was found and what would work."""


class EncoderError(DataError):
    """Raised when an encoder cannot be built or used; the message says what was found and what to do, in one line."""


class ExtractionError(DataError):
    """Raised when an extraction cannot start or continue; finished videos are kept."""


class NothingExtractedError(ExtractionError):
    """Raised when no video of an extraction could be encoded; the message lists all reasons."""


class CheckpointError(RuntimeError):
    """Raised when a checkpoint cannot be used; the message names the file, what is wrong, and what would work."""


class RunError(RuntimeError):
    """Raised when a run folder cannot be used for a call; the message says what it contains and what would work."""


class TrainingError(RuntimeError):
    """Raised when training cannot continue; the message says where it stopped and what may help."""


class PictureError(ValueError):
    """Raised when a figure cannot be drawn with the given arguments; the message says what would work."""


#: Errors that a tool prints as a plain sentence, without a traceback.
EXPECTED_ERRORS = (ConfigError, DataError, CheckpointError, RunError, TrainingError)


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """Return ``; did you mean NAME?`` with the closest of the known names, or an empty text if none is close.

    Initials count as close: ``lr`` for ``learning_rate``.
    """
    names = list(known)
    near = difflib.get_close_matches(word, names, n=1) or [
        name for name in names if len(word) > 1 and word == "".join(part[:1] for part in name.split("_"))]
    return f"; did you mean {near[0]}?" if near else ""
