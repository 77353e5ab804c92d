"""Convert published features, with a file, key or row per video, to a feature store with one vector per second.

**Rule**: a frame represents the time around the middle of its window, until half-way to its neighbours; the first and
the last frame also represent the time left at the two ends. The vector of a second is the mean of the frames that
represent parts of it, weighted by the length of these parts. Frames of unknown step are spread evenly, so that 80
frames of ten seconds are averaged in runs of eight.

Shapes: N videos, n frames, T seconds, d width.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from torch.nn.utils.rnn import pad_sequence
from tqdm import tqdm

from avsgn_pyg.common.errors import DataError
from avsgn_pyg.data import h5
from avsgn_pyg.data.feature_store import CONVERSION, Features
from avsgn_pyg.data.legacy import GRIDS, load_npy
from avsgn_pyg.data.published import ID, Published, without_times
from avsgn_pyg.data.rows import format_some

#: Largest difference, in seconds, between the lengths of one video in two kinds of features.
SLACK = 1.0


@dataclass(frozen=True)
class Conversion:
    """Result of :func:`convert`.

    Attributes:
        features: of the videos that have features of all kinds.
        asked: number of ids that were looked for.
        failed: id -> why it is not in `features`.
        unused: ids of files or keys that were not looked for.
    """

    features: Features
    asked: int
    failed: dict[str, str]
    unused: tuple[str, ...]

    def table(self) -> str:
        """Return a summary of a few lines, with the first ids for each reason."""
        lines = [f"{len(self.features.video_ids)} of {self.asked} videos: audio {self.features.audio.shape[2]} wide, "
                 f"visual {self.features.visual.shape[2]}"]
        for reason in dict.fromkeys(self.failed.values()):
            names = [name for name, why in self.failed.items() if why == reason]
            lines.append(f"  left out: {len(names)}: {reason}: {format_some(names)}")
        if self.unused:
            lines.append(f"  not annotated: {len(self.unused)}: {format_some(self.unused)}")
        return "\n".join(lines)


@dataclass(frozen=True)
class _Kind:
    """Opened features of one kind: the row, key or file of each video, and a function that reads it."""

    source: Published
    places: dict[str, Any] | range
    read: Callable[[Any], np.ndarray]

    def place(self, name: str, row: int) -> Any:
        """Return the place of a video, ``None`` without features."""
        if isinstance(self.places, range):
            return row
        return self.places.get(name, self.places.get(without_times(name)))


def convert(audio: Iterable[str | Published], visual: Iterable[str | Published], ids: Sequence[str] | None = None, *,
            seconds: int | None = None) -> Conversion:
    """Read published features and pool them to seconds.

    Args:
        audio, visual: the kinds of each modality, in the form of :meth:`Published.parse`; several are concatenated.
        ids: of the annotated videos, in the order of their rows (:func:`avsgn_pyg.data.published.read_ids`). A video's
            features have its id, or its id without ``_<start>_<end>``. ``None``: all videos that have any features.
        seconds: T of every video; ``None``: every video has its own length, which needs the step of every kind.

    Raises:
        DataError: a file that cannot be used, a file of rows whose number differs from that of `ids`, or no video with
            all kinds. Videos with missing, short or damaged features raise no error: `failed` lists them.
    """
    sources = [[Published.parse(each) if isinstance(each, str) else each for each in kind] for kind in (audio, visual)]
    if not all(sources) or (seconds is None and any(each.step is None for each in (*sources[0], *sources[1]))):
        raise DataError("expected audio and visual features, and seconds=T or an @STEP for each of them")
    with ExitStack() as stack:
        kinds, split = [_open(stack, source) for source in (*sources[0], *sources[1])], len(sources[0])
        if ids is None and any(isinstance(kind.places, range) for kind in kinds):
            raise DataError("features with a row per video need ids: name the annotations, or a file of ids")
        names = tuple(sorted({name for kind in kinds for name in kind.places}) if ids is None else ids)
        _check_rows(kinds, names)
        found, failed = _read_all(kinds, split, names, seconds)
    if not found:
        raise DataError(f"none of {len(names)} videos has all features: {format_some(list(failed.items()), most=3)}")
    rows, streams = list(found), zip(*found.values(), strict=True)
    failures = [{"reason": reason, "rows": [row for row, why in failed.items() if why == reason]}
                for reason in dict.fromkeys(failed.values())]  # as extraction records them
    features = Features(
        *(pad_sequence(list(map(torch.from_numpy, stream)), batch_first=True) for stream in streams),
        video_ids=tuple(names[row] for row in rows), rows=None if ids is None else torch.tensor(rows),
        lengths=torch.tensor([len(sound) for sound, _ in found.values()]),
        provenance={"made by": CONVERSION, "audio": [each.name for each in sources[0]],
                    "visual": [each.name for each in sources[1]], "seconds": seconds,
                    "failed": failures if ids is not None else []})
    return Conversion(features, len(names), {names[row]: reason for row, reason in failed.items()},
                      _unused(kinds, names))


def pool(frames: Float[np.ndarray, "n d"], seconds: int, step: float | None = None, window: float | None = None
         ) -> Float[np.ndarray, "T d"]:
    """Return one vector per second, by the rule of this file.

    Args:
        frames: in the order of time.
        seconds: T.
        step: seconds from one frame to the next; ``None``: T / n.
        window: seconds that a frame was computed from; ``None``: `step`.

    Raises:
        DataError: fewer frames than seconds, if they are spread evenly.
    """
    if step is None and len(frames) < seconds:
        raise DataError(f"{len(frames)} frames for {seconds} seconds")
    step = seconds / len(frames) if step is None else step
    return (_weights(len(frames), seconds, step, window or step) @ frames).astype(np.float32)


@lru_cache(maxsize=256)
def _weights(frames: int, seconds: int, step: float, window: float) -> Float[np.ndarray, "T n"]:
    """Return the share of each frame in each second; rows sum to one."""
    bounds = (window - step) / 2 + step * np.arange(frames + 1.0)
    bounds[0], bounds[-1] = min(bounds[0], 0), max(bounds[-1], seconds)
    second = np.arange(float(seconds))[:, None]
    shared = np.minimum(bounds[1:], second + 1) - np.maximum(bounds[:-1], second)
    return shared.clip(0) / shared.clip(0).sum(1, keepdims=True)


def _read_all(kinds: Sequence[_Kind], split: int, names: Sequence[str], seconds: int | None
              ) -> tuple[dict[int, list[np.ndarray]], dict[int, str]]:
    """Return the pooled audio and visual features of each row, and the reason for each row without.

    Args:
        split: number of audio kinds, which come first.
    """
    found: dict[int, list[np.ndarray]] = {}
    failed, widths = {}, None
    for row, name in enumerate(tqdm(names, desc="convert", unit="video", disable=None)):
        try:
            frames = [_read(kind, name, row) for kind in kinds]
            length = seconds or _length(kinds, frames)
            pooled = [_pool(kind, each, length) for kind, each in zip(kinds, frames, strict=True)]
            widths = widths or [each.shape[1] for each in pooled]
            if [each.shape[1] for each in pooled] != widths:
                raise DataError(f"features {[each.shape[1] for each in pooled]} wide, before {widths}")
            found[row] = [np.concatenate(part, axis=1) for part in (pooled[:split], pooled[split:])]
        except DataError as error:
            failed[row] = str(error)
    return found, failed


def _read(kind: _Kind, name: str, row: int) -> np.ndarray:
    """Return the frames [n, d] of a video; regions are averaged."""
    place = kind.place(name, row)
    if place is None:
        raise DataError(f"no features in {kind.source.name}")
    values = kind.read(place)
    if values.dtype.kind != "f" or values.shape[1:-1] != GRIDS.get(values.ndim + 1) or 0 in values.shape:
        raise DataError(f"{kind.source.path}: expected floats [frames, width]; got {values.dtype} {list(values.shape)}")
    frames = values.mean(axis=tuple(range(1, values.ndim - 1)), dtype=np.float64)
    h5.check_finite(kind.source.path, name, frames.astype(np.float32))
    return frames


def _duration(kind: _Kind, frames: np.ndarray) -> float:
    return (len(frames) - 1) * kind.source.step + kind.source.window


def _length(kinds: Sequence[_Kind], frames: Sequence[np.ndarray]) -> int:
    """Return the whole seconds of the shortest kind."""
    durations = [_duration(kind, each) for kind, each in zip(kinds, frames, strict=True)]
    if max(durations) - min(durations) > SLACK:
        raise DataError("kinds of different lengths: " + ", ".join(f"{each:.1f} s" for each in durations))
    return max(1, math.floor(min(durations) + 0.5))


def _pool(kind: _Kind, frames: np.ndarray, seconds: int) -> np.ndarray:
    if kind.source.step is not None and abs(_duration(kind, frames) - seconds) > SLACK:
        raise DataError(f"{_duration(kind, frames):.1f} s in {kind.source.path} instead of {seconds}")
    return pool(frames, seconds, kind.source.step, kind.source.window)


def _open(stack: ExitStack, source: Published) -> _Kind:
    path = source.path
    if path.suffix in (".h5", ".hdf5") and path.is_file():
        return _open_h5(source, stack.enter_context(h5.opened(path)))
    if path.is_file():
        table = load_npy(path)
        return _Kind(source, range(len(table) if table.ndim > 2 else 0), lambda row: table[row])
    folder, form = (path, f"{ID}.npy") if path.is_dir() else (path.parent, path.name)
    left, _, right = form.partition(ID)
    places = {file.name[len(left) : len(file.name) - len(right)]: file for file in sorted(folder.iterdir())
              if file.name.startswith(left) and file.name.endswith(right) and len(file.name) > len(left + right)}
    return _Kind(source, places, load_npy)


def _open_h5(source: Published, file: Any) -> _Kind:
    keys, path = list(file), source.path
    if source.key is None and len(keys) == 1 and h5.is_table(file, keys[0]):
        table = h5.dataset(path, file, keys[0])
        return _Kind(source, range(len(table)), lambda row: h5.read(path, keys[0], table, row))
    left, _, right = (part.strip("/") for part in (source.key or ID).partition(ID))
    group = file.get(left) if left else file
    names = [name for name in getattr(group, "keys", tuple)()
             if not right or (hasattr(group[name], "keys") and right in group[name])]
    places = {name: "/".join(filter(None, (left, name, right))) for name in names}
    return _Kind(source, places, lambda key: h5.read(path, key, h5.dataset(path, file, key)))


def _check_rows(kinds: list[_Kind], names: Sequence[str]) -> None:
    """Raise a DataError for no features, a wrong number of rows, or one file of ids that differ only in times."""
    for kind in kinds:
        if not kind.places:
            raise DataError(f"{kind.source.path}: no features there; expected files <id>.npy or as the path with {ID} "
                            f"says, keys with {ID}, or one array [N, T, width]")
        if isinstance(kind.places, range) and len(kind.places) != len(names):
            raise DataError(f"{kind.source.path}: {len(kind.places)} rows for {len(names)} ids; row k must be video k")
        taken: dict[Any, str] = {}
        for row, name in enumerate(names):
            place = kind.place(name, row)
            if place is not None and taken.setdefault(place, name) != name:
                raise DataError(f"{kind.source.path}: {taken[place]!r} and {name!r} have the same features, those of "
                                f"{without_times(name)!r}; name them by the whole ids")


def _unused(kinds: list[_Kind], names: Sequence[str]) -> tuple[str, ...]:
    wanted, given = {*names, *map(without_times, names)}, [kind.places for kind in kinds]
    return tuple(sorted({name for places in given if not isinstance(places, range) for name in places} - wanted))
