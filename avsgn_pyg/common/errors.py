"""The errors that a tool shows as one sentence; here, so that catching them imports neither torch nor PyG."""

from __future__ import annotations


class ConfigError(ValueError):
    """A setting that cannot be used; the message names its file, its key and what would work."""


class DataError(ValueError):
    """Data that cannot be used; the message names the file, the place, what was found and what would work."""


class EncoderError(DataError):
    """An encoder that cannot be made or used; one line that names what came and what to do."""


class ExtractionError(DataError):
    """An extraction that cannot start or go on; what is finished is kept."""


class CheckpointError(RuntimeError):
    """A checkpoint that cannot be used; the message names the file, what is wrong, and what would work."""


class RunError(RuntimeError):
    """A run folder that cannot be used as asked; the message says what is there and what would work."""


class TrainingError(RuntimeError):
    """Training cannot go on; the message says where it stopped and what may help."""


class PictureError(ValueError):
    """A figure that cannot be drawn as asked; the message says what would work."""


#: What a tool shows as a plain sentence: the message says what was found and what would work.
EXPECTED_ERRORS = (ConfigError, DataError, CheckpointError, RunError, TrainingError)
