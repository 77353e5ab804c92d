"""Where published features are, and which ids an annotation file of any data set has; needs neither torch nor PyG."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from avsgn_pyg.common.errors import DataError
from avsgn_pyg.data.files import BY_ID_FILES, read_object, read_table, read_text
from avsgn_pyg.data.rows import read_rows

ID: Final = "{id}"
#: Annotation files of a folder, in the order of their rows, and the columns that have ids.
FOLDERS: Final = (("Annotations.txt",), ("AVVP_train.csv", "AVVP_val_pd.csv", "AVVP_test_pd.csv"),
                  BY_ID_FILES["ov-ave"][:1], BY_ID_FILES["ave-pm"])
COLUMNS: Final = ("filename", "vid_name", "sample_id", "video_id", "id")


@dataclass(frozen=True)
class Published:
    """Features of one kind, as a file, or a folder with a file per video.

    Attributes:
        path: an ``.npy`` or ``.h5`` file, a folder of ``<id>.npy``, or a path whose last part contains ``{id}``.
        key: of an h5 file, where the features of a video are, such as ``{id}/rgb``; ``None``: one dataset for all
            videos, or ``{id}``.
        step: seconds from one frame to the next; ``None``: the frames are spread evenly over the video.
        window: seconds that one frame was computed from.
    """

    path: Path
    key: str | None = None
    step: float | None = None
    window: float | None = None

    @property
    def name(self) -> str:
        """The last parts of the path, the key and the times."""
        times = "" if self.step is None else f"@{self.step:g},{self.window:g}"
        return "/".join(self.path.parts[-2:]) + (f":{self.key}" if self.key else "") + times

    @classmethod
    def parse(cls, text: str) -> Published:
        """Return the meaning of ``PATH[:KEY][@STEP[,WINDOW]]``.

        Raises:
            DataError: no file or folder of this name; a step outside (0, 1], a window shorter than its step, or a key
                without ``{id}`` or of a file that is not h5.
        """
        if not text:
            raise DataError("features without a name; give a folder or a file")
        rest, step, window = re.fullmatch(r"(.+?)(?:@([\d.]+)(?:,([\d.]+))?)?", text, re.DOTALL).groups()
        name, key = re.fullmatch(r"(.+?\.(?:h5|hdf5))(?::(.+))?|.+", rest, re.DOTALL).groups()
        path = Path(name or rest)
        try:
            times = tuple(None if time is None else float(time) for time in (step, window or step))
        except ValueError:
            times = (0.0, 0.0)
        if step and not 0 < times[0] <= min(1, times[1]):
            raise DataError(f"{text}: @STEP,WINDOW are seconds, 0 < STEP <= 1 and STEP <= WINDOW, such as @0.32,0.96")
        if key is not None and key.count(ID) != 1:
            raise DataError(f"{text}: the key {key!r} must contain {ID} once, such as {ID}/rgb")
        place = path.parent if ID in path.name else path
        if not place.exists():
            raise DataError(f"{place}: no such file or folder")
        return cls(path, key, *times)


def read_ids(path: str | Path) -> tuple[str, ...]:
    """Return the id of every annotated video, in the order of the rows.

    Args:
        path: a folder with the files of AVE, LLP, OV-AVE or AVE-PM; or one file: rows of AVE, a table with one of the
            columns :data:`COLUMNS`, JSON with ids as keys (UnAV-100: of ``database``), or one id per line.

    Raises:
        DataError: no such file, or no ids in it.
    """
    path = Path(path)
    if path.is_dir():
        known = (tuple(path / name for name in names) for names in FOLDERS)
        files = next((names for names in known if names[0].is_file()), ())
        if not files:
            listed = ", ".join(names[0] for names in FOLDERS)
            raise DataError(f"{path}: none of {listed} is in this folder; name a file of ids, one per line")
        return tuple(name for file in files if file.is_file() for name in read_ids(file))
    text = read_text(path)
    first = text.partition("\n")[0].strip()
    if path.suffix == ".json":
        found = read_object(path)
        found = list(found.get("database", found))
    elif first.count("&") >= 4:
        found = [row.video_id for _, row in read_rows(path, segments=10**9)]
    elif column := next((name for name in COLUMNS if name in re.split("[,\t]", first)), None):
        found = [name for _, (name,) in read_table(path, (column,), "\t" if "\t" in first else ",")]
    else:
        found = [line.strip() for line in text.splitlines() if line.strip()]
    if not found:
        raise DataError(f"{path}: no ids in it")
    return tuple(found)


def without_times(name: str) -> str:
    """Return ``<video>`` of ``<video>_<start>_<end>``, as LLP's features are named; other names as they are."""
    return re.sub(r"_\d+(\.\d+)?_\d+(\.\d+)?$", "", name)
