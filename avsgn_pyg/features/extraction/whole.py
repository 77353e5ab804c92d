"""Files that appear whole or not at all, and what to say where they cannot."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

from avsgn_pyg.features.extraction.jobs import ExtractionError


def write_whole(path: Path, content: bytes) -> None:
    """Write a file that appears whole or not at all; ExtractionError says what could not be written."""
    scratch = path.with_name(f"{path.name}.partial")
    try:
        with scratch.open("wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        os.replace(scratch, path)
    except OSError as error:
        scratch.unlink(missing_ok=True)
        raise cannot_write(path, error) from None


def write_json(path: Path, content: Any) -> None:
    """Write a value as JSON, as :func:`write_whole` does."""
    write_whole(path, json.dumps(content, indent=1, ensure_ascii=False).encode())


def cannot_write(path: Path, error: Exception) -> ExtractionError:
    """What to say where the disk is full or refuses."""
    said = getattr(error, "strerror", None) or str(error)
    return ExtractionError(
        f"{path}: cannot be written ({said}). What was finished is kept: make room, and run the same command again"
    )
