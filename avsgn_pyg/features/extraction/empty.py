"""A shard in which nothing worked: a file in the place of its store, so that the merge knows of it and its failures."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from avsgn_pyg.data import h5

FORMAT = "avsgn_pyg empty shard"


def write_empty(path: Path, provenance: Mapping[str, Any]) -> None:
    """An h5 file without features; OSError where it cannot be written."""
    h5.write(path, {}, {"format": FORMAT, "provenance": json.dumps(provenance)})


def read_empty(path: Path) -> dict[str, Any] | None:
    """The provenance of a file of :func:`write_empty`; ``None`` where it is something else.

    Raises:
        DataError: no such file, or no h5 file.
    """
    with h5.opened(path) as file:
        return json.loads(file.attrs["provenance"]) if file.attrs.get("format") == FORMAT else None
