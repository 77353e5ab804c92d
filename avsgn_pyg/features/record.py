"""The files in what an encoder says of itself: named without where they lay, and asked for where they are not."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from avsgn_pyg.features.compute import EncoderError


def file_options(options: Mapping[str, Any], files: Mapping[str, str]) -> dict[str, Any]:
    """The part of an encoder's record that rebuilds it: ``options``, and which of them name files.

    Of a file the name is kept and nothing of where it lies: that is the maker's affair, and elsewhere on the
    next machine.
    """
    named = {key: Path(path).name for key, path in files.items()}
    return {"options": {**options, **named}, **({"files": sorted(named)} if named else {})}


def refuse_absent_files(record: Mapping[str, Any], kind: str, given: Mapping[str, Any]) -> None:
    """EncoderError where a file that the record names is neither `given` nor in the current folder."""
    for key in record.get("files", ()):
        file = str(record["options"][key])
        if key not in given and not Path(file).exists():
            raise EncoderError(
                f"{kind} encoder {record['name']!r}: {key} {file} (of revision {record['revision'][:12]}) not here; "
                f"say where it lies: give --{kind} {record['name']} {key}=FILE"
            )
