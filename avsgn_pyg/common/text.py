"""Clean labels and ids for XML, CSV and file names, and write tables; needs neither torch nor PyG."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Sequence

#: Characters that XML 1.0 forbids, including lone surrogates, which UTF-8 cannot encode.
_UNPRINTABLE = re.compile("[^\t\n\r\u0020-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
#: Parts of file names that Windows, and partly macOS, forbids: some characters, a final dot or space, device names.
_UNNAMEABLE = re.compile(r'[\x00-\x1f<>:"/\\|?*\x7f\ud800-\udfff]|[. ]+$|^(?=(?:con|prn|aux|nul|com\d|lpt\d)(?:\.|$))',
                         re.IGNORECASE)
#: The start of a formula in a spreadsheet. Names and numbers after a minus (YouTube ids) are harmless.
_FORMULA = re.compile(r"[=+@\t\r]|-(?![\w-]*\Z)", re.ASCII)


def printable(text: str) -> str:
    """Return `text` without the characters that XML 1.0 forbids, which are never visible, and lone surrogates.

    A byte of a file name that is no UTF-8, which Python has as a surrogate, becomes ``\\xff``.
    """
    return _UNPRINTABLE.sub(lambda found: rf"\x{ord(found[0]) - 0xdc00:x}" if "\udc80" <= found[0] <= "\udcff" else "",
                            text)


def csv_cell(value: object) -> object:
    """Return a cell of a CSV file; a text that a spreadsheet would run as a formula gets a leading apostrophe.

    Video ids that begin with a minus stay as they are, so that tables can be joined by them.
    """
    if not isinstance(value, str):
        return value
    text = printable(value)
    return f"'{text}" if _FORMULA.match(text) else text


def file_name(text: str) -> str:
    """Return a file name for `text` that Linux, Windows and macOS allow; it is `text` itself if possible.

    Otherwise forbidden characters become ``_``, the name is cut to 200 bytes and ends with eight letters of the text's
    hash, so that two texts never share a name.
    """
    name = _UNNAMEABLE.sub("_", text)
    name = name if len(name.encode()) <= 200 else name.encode()[:191].decode(errors="ignore")
    if name == text and name:
        return name
    return f"{name}-{hashlib.sha256(text.encode(errors='surrogatepass')).hexdigest()[:8]}"


def markdown_table(rows: Sequence[Sequence[str]]) -> list[str]:
    """Return the lines of a Markdown table, whose first row is the header; columns are aligned for a terminal."""
    lines = [[cell.replace("|", "\\|") for cell in row] for row in rows]
    widths = [max(3, *map(len, column)) for column in zip(*lines, strict=True)]
    table = ["| " + " | ".join(map(str.ljust, line, widths)) + " |" for line in lines]
    return [table[0], "|" + "|".join("-" * (width + 2) for width in widths) + "|", *table[1:]]
