"""AVE from a copy on huggingface.co: videos, annotations and splits in one folder, and a record of their origin.

Two layouts are read: AVE's text files with ``.mp4`` files or a zip of them, and parquet files with a column of videos.
Needs neither torch nor PyG.
"""

from __future__ import annotations

import io
import json
import re
import shlex
import shutil
import zipfile
import zlib
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import IO, Any, Final

from avsgn_pyg.common.command_line import python
from avsgn_pyg.common.errors import DataError
from avsgn_pyg.common.files import atomic, write_bytes, write_json
from avsgn_pyg.data.files import SPLIT_FILES, read_text
from avsgn_pyg.data.rows import Row, format_some, read_rows

#: A copy with AVE's text files and all videos, and one in parquet files without AVE's val split.
COPY: Final = "UnFaZeD07/AVE-Dataset"
PARQUET_COPY: Final = "mteb/AVE-Dataset"
ANNOTATIONS: Final = "Annotations.txt"
TEXTS: Final = (ANNOTATIONS, *(SPLIT_FILES["txt"].format(split) for split in ("train", "val", "test")))
#: Rows of AVE's own annotation file, and seconds of a video.
ROWS: Final = 4143
SEGMENTS: Final = 10
RECORD: Final = "source.json"
NO_LICENCE: Final = ("AVE's authors state no licence for annotations and clips, which are parts of YouTube videos; the "
                     "licence here is what the copy says")

#: The id of a video and a function that opens it.
Video = tuple[str, Callable[[], IO[bytes]]]


@dataclass(frozen=True)
class Fetched:
    """AVE in a folder.

    Attributes:
        folder: contains ``Annotations.txt``, the text file of every split that has a video, and ``videos/<id>.mp4``.
        repository, revision: of the copy; if `snapshot` was given, the folder's name is the revision.
        licence: as stated on the copy's card; ``None`` if it states none.
        rows: number of rows of the annotation file.
        present: split file -> number of its rows that have a video, and number of all its rows.
        absent: ids without a video.
        notes: facts that matter for reading results.
    """

    folder: Path
    repository: str
    revision: str
    licence: str | None
    rows: int
    present: Mapping[str, tuple[int, int]]
    absent: tuple[str, ...]
    notes: tuple[str, ...]

    def report(self) -> str:
        """What is there, what is absent, and the commands that extract features and train on them."""
        extract = [python(), "tools/extract_features.py", f"{self.folder / 'videos'}", "--annotations",
                   f"{self.folder / ANNOTATIONS}", "--out", f"{self.folder / 'features.h5'}", "--download"]
        train = [python(), "tools/train.py", "configs/avsgn_full.yaml", f"data.root={self.folder}", "data.splits=txt",
                 "data.features=features.h5", *(["data.missing=drop"] if self.absent else [])]
        found = sum(there for there, _ in self.present.values())
        counts = ", ".join(f"{name} {there} of {total}" for name, (there, total) in self.present.items())
        lines = [f"{self.folder}: AVE from {self.repository}, revision {self.revision}; licence: "
                 f"{self.licence or 'none stated'} ({NO_LICENCE})",
                 f"rows with a video: {found} of {self.rows} ({counts})"]
        if self.absent:
            lines.append(f"videos that are absent: {len(self.absent)}, listed in {RECORD}: {format_some(self.absent)}")
        return "\n".join((*lines, *self.notes, "next:", shlex.join(extract), shlex.join(train)))


def get_ave(
    out: Path, repository: str = COPY, *, revision: str | None = None, snapshot: Path | None = None,
    annotations: Path | None = None,
) -> Fetched:
    """Download AVE into the folder `out`; after an interruption the same call continues, and finished videos are kept.

    Classes, their order and splits are those of AVE's text files, whatever the copy's own labels are. Videos are joined
    to them by id.

    Args:
        out: the folder to create.
        repository: a data set of huggingface.co, in one of the two layouts.
        revision: its branch, tag or commit; ``None``: the newest.
        snapshot: a folder with the repository's files, which is read in place of a download.
        annotations: a folder with AVE's text files, for a copy without them; ``None``: those of :data:`COPY`.

    Raises:
        DataError: the copy cannot be downloaded or is damaged; it has no text files or no video of AVE; `out` holds
            another copy; parquet files need the extra ``parquet``.
    """
    if snapshot is not None and not snapshot.is_dir():
        raise DataError(f"{snapshot}: no such folder; give the folder of a downloaded copy")
    source = snapshot or _download(repository, revision, ["*.txt", "*.md", "*.zip", "*.mp4", "*.parquet"])
    texts, notes = _find_texts(annotations or source), []
    if not texts and snapshot is None and annotations is None:
        other = _download(COPY, None, ["*.txt"])
        texts, notes = _find_texts(other), [f"annotations and splits: {COPY}, revision {other.name}"]
    for name in TEXTS:
        if name not in texts:
            raise DataError(f"{annotations or source}: no {name} there; give the folder of AVE's text files with "
                            "--annotations")
    revision = source.resolve().name  # the hub names the folder of a copy by its commit
    _check_record(out, repository, revision)
    rows = {name: [row for _, row in read_rows(path, SEGMENTS)] for name, path in texts.items()}
    annotated = rows.pop(ANNOTATIONS)
    if mismatched := _write_videos(source, out / "videos", annotated):
        notes.append(f"videos whose label in the copy is none of their classes in {ANNOTATIONS}: {len(mismatched)}, "
                     f"{format_some(mismatched)}")
    there = {path.stem for path in (out / "videos").glob("*.mp4")}
    absent = tuple(dict.fromkeys(row.video_id for row in annotated if row.video_id not in there))
    if len(absent) == len({row.video_id for row in annotated}):
        raise DataError(f"{source}: no video of {texts[ANNOTATIONS]} in its .mp4, .zip and .parquet files")
    if len(annotated) != ROWS:
        notes.append(f"{ANNOTATIONS} has {len(annotated)} rows, AVE's own {ROWS}: it is another version")
    present = {name: (sum(row.video_id in there for row in split), len(split)) for name, split in rows.items()}
    notes += _write_texts(out, texts, present)
    found = Fetched(out, repository, revision, _licence(source), len(annotated), present, absent, tuple(notes))
    write_json(out / RECORD, {**asdict(found), "folder": None, "about the licence": NO_LICENCE})
    return found


def _write_texts(out: Path, texts: Mapping[str, Path], present: Mapping[str, tuple[int, int]]) -> Iterator[str]:
    """Copy the text files; yield a note on each split without a video, whose file is left out."""
    for name, path in texts.items():
        if name == ANNOTATIONS or present[name][0]:
            write_bytes(out / name, path.read_bytes())
        else:
            (out / name).unlink(missing_ok=True)
            yield f"no video of {name} is there, so it was left out; nothing can be chosen or tested on this split"


def _download(repository: str, revision: str | None, patterns: list[str]) -> Path:
    """Download files of a data set into the hub's cache, which resumes; return the folder, named by the commit."""
    import huggingface_hub  # slow to import
    from huggingface_hub.errors import HTTPError

    try:
        return Path(huggingface_hub.snapshot_download(
            repository, repo_type="dataset", revision=revision, allow_patterns=patterns))
    except (HTTPError, OSError, ValueError) as error:
        reason = (str(error).strip() or type(error).__name__).splitlines()[0]
        raise DataError(f"{repository}: huggingface.co did not provide this data set ({reason}); the same command "
                        "resumes, or give a downloaded copy with --snapshot") from None


def _find_texts(folder: Path) -> dict[str, Path]:
    """Return name -> path of AVE's text files in a folder or below it."""
    found = {name: next(iter(sorted(folder.rglob(name))), None) for name in TEXTS}
    return {name: path for name, path in found.items() if path is not None}


def _check_record(out: Path, repository: str, revision: str) -> None:
    """Record the copy before its first video is written; DataError if the folder holds videos of another copy."""
    if not (out / RECORD).is_file() or not any((out / "videos").glob("*.mp4")):
        write_json(out / RECORD, {"repository": repository, "revision": revision})
        return
    try:
        before = json.loads(read_text(out / RECORD))
        held = before["repository"], before["revision"]
    except (ValueError, KeyError, TypeError):
        raise DataError(f"{out / RECORD}: not a record of this tool; give another --out") from None
    if held != (repository, revision):
        raise DataError(f"{out}: holds {held[0]}, revision {held[1]}, and {repository}, revision {revision}, was asked "
                        "for; give another --out")


def _write_videos(source: Path, folder: Path, rows: Sequence[Row]) -> list[str]:
    """Write the videos that are not there yet; return the ids whose label is none of their annotated classes."""
    classes = defaultdict(set)
    for row in rows:
        classes[row.video_id].add(_plain(row.category))
    mismatched: list[str] = []
    try:
        for video_id, opened in _videos(source, classes, mismatched):
            target = folder / f"{video_id}.mp4"
            # An id comes from a file of others: it must be the name of a file in this folder.
            if video_id in classes and target.name == f"{video_id}.mp4" and not target.exists():
                with atomic(target) as partial, opened() as stream, partial.open("wb") as file:
                    shutil.copyfileobj(stream, file)
    except (zipfile.BadZipFile, zlib.error, EOFError) as error:
        raise DataError(f"{source}: a damaged zip file ({error}); remove it and download it again") from None
    return mismatched


def _videos(source: Path, classes: Mapping[str, set[str]], mismatched: list[str]) -> Iterator[Video]:
    for path in sorted(source.rglob("*.mp4")):
        yield path.stem, lambda path=path: path.open("rb")
    for path in sorted(source.rglob("*.zip")):
        with zipfile.ZipFile(path) as archive:
            for name, entry in ((Path(entry.filename), entry) for entry in archive.infolist()):
                if name.suffix == ".mp4":
                    yield name.stem, lambda archive=archive, entry=entry: archive.open(entry)
    for path in sorted(source.rglob("*.parquet")):
        yield from _parquet_videos(path, classes, mismatched)


def _parquet_videos(path: Path, classes: Mapping[str, set[str]], mismatched: list[str]) -> Iterator[Video]:
    """The videos of a parquet file with the columns ``video`` (bytes and path), ``youtube_id`` and ``label``."""
    try:
        import pyarrow
        import pyarrow.parquet
    except ImportError:
        raise DataError(f'{path}: parquet files need pyarrow: pip install "pyarrow<26", the extra parquet') from None
    try:
        file = pyarrow.parquet.ParquetFile(path)
        names = _label_names(file.schema_arrow.metadata or {})
        for batch in file.iter_batches(batch_size=16, columns=["video", "youtube_id", "label"]):
            for row in batch.to_pylist():
                video_id, content = row["youtube_id"], row["video"]["bytes"]
                if content is None:
                    raise DataError(f"{path}: {video_id} has no bytes, only the path {row['video']['path']!r}")
                if names and video_id in classes and _plain(names[row["label"]]) not in classes[video_id]:
                    mismatched.append(video_id)
                yield video_id, lambda content=content: io.BytesIO(content)
    except (pyarrow.ArrowException, KeyError, TypeError, IndexError, OSError) as error:
        raise DataError(f"{path}: not a parquet file with the columns video (bytes and path), youtube_id and label "
                        f"({type(error).__name__}: {error})") from None


def _label_names(metadata: Mapping[bytes, bytes]) -> list[str]:
    """Return the class names that the library ``datasets`` notes in a parquet file, if it did."""
    features: Any = json.loads(metadata.get(b"huggingface", b"{}")).get("info", {}).get("features", {})
    return list(features.get("label", {}).get("names", []))


def _plain(name: str) -> str:
    """Return the letters of a class name."""
    return re.sub(r"[\W_]", "", name).casefold()


def _licence(source: Path) -> str | None:
    """Return the licence in the header of the copy's card."""
    card = source / "README.md"
    header = re.match(r"---\n(.*?)\n---", read_text(card), re.DOTALL) if card.is_file() else None
    found = re.search(r"^license:\s*(\S.*)$", header[1], re.MULTILINE) if header else None
    return found[1].strip() if found else None
