"""Corrected clips as training data: the data that a model was trained on, and the clips that a person corrected.

The folder of a model has ``videos/`` with the corrected clips, ``annotations.json`` with their events as they were
saved, ``corrected.h5`` and ``corrected.txt`` with their features and rows, and the data set of both, for
``tools/train.py``: ``Annotations.txt``, ``trainSet.txt`` ..., ``features.h5``.
"""

from __future__ import annotations

import math
import shutil
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Final, NamedTuple

import torch

from avsgn_pyg.common.errors import DataError
from avsgn_pyg.common.files import lock, sha256, write_text
from avsgn_pyg.common.text import file_name
from avsgn_pyg.data.annotations import AnnotatedVideo, TimedEvent, read_annotations, write_annotations
from avsgn_pyg.data.ave import SPLITS, read_splits
from avsgn_pyg.data.ave import read_annotations as read_rows
from avsgn_pyg.data.feature_store import Features, LabelText, read_store, write_store
from avsgn_pyg.data.files import SPLIT_FILES, read_text
from avsgn_pyg.features.encoder import label_text
from avsgn_pyg.predictor.encoders import feature_record
from avsgn_pyg.predictor.encoding import EncodedClip
from avsgn_pyg.predictor.prediction import Prediction
from avsgn_pyg.predictor.predictor import Predictor
from avsgn_pyg.predictor.windows import window_starts

#: How many times a corrected clip counts among the others, and epochs of the continued training.
WEIGHT, EPOCHS = 8, 10
HEADER: Final = "Category&VideoID&Quality&StartTime&EndTime"
Event = tuple[str, float, float]


class Saved(NamedTuple):
    """What was saved: a sentence, and the settings with which ``tools/train.py`` continues, if that is all it needs."""

    text: str
    settings: list[str]


def save(folder: Path, clip: Path, prediction: Prediction, events: Sequence[Event], encoded: EncodedClip,
         model: Predictor) -> Saved:
    """Keep a clip with its corrected events, and write the data set to train the model on.

    Args:
        folder: of this model; made if it does not exist.
        clip: the file, which is copied.
        prediction: of the clip; its name is the file's own.
        events: label, start and end in seconds.
        encoded: the clip's features.

    Raises:
        DataError: no window of the clip has one event at most, the most that this model learns; or a file of the
            folder cannot be read or written.
    """
    folder.mkdir(parents=True, exist_ok=True)
    with lock(folder / ".lock", wait=True):
        video_id = _video_id(clip, prediction.name)
        if prediction.found is not None:
            clips = _keep(folder, clip, video_id, prediction, events)
            return Saved(f"Saved: annotations.json, beside the {clips} clips. To train a model of several events, "
                         "extract the features of the clips (docs/dense.md).", [])
        base = _base(model)
        rows, left_out = _windows(video_id, events, prediction, model.segments)
        if any("&" in label for label, _, _ in events):
            raise DataError(f"{prediction.name}: '&' separates the fields of an annotation, and no class may have it")
        if not rows:
            raise DataError(f"{prediction.name}: every window of {model.segments} seconds has several events, and this "
                            "model learns one per window; delete the others")
        _keep(folder, clip, video_id, prediction, events)
        own = _own(folder, video_id, rows, encoded, model)
        learned = _write(folder, own, base)
    settings = ["data.kind=ave", f"data.root={folder}", "data.annotations=Annotations.txt", "data.splits=txt",
                "data.features=features.h5", f"train.init={model.source}", f"train.epochs={EPOCHS}",
                "train.seeds=null", "train.select=last", "train.warmup_epochs=0"]
    if base is None:
        settings += ["evaluate.split=train", "evaluate.every=0"]
    beside = (f"with the {learned} clips of the model's own training" if base
              else "alone, because the model's own training data are not here")
    some = f" {left_out} windows with several events are left out: the model learns one per window." if left_out else ""
    clips = len({name.partition("@")[0] for name in own.features.video_ids})
    return Saved(f"Saved. Now {clips} corrected clip{'s' * (clips > 1)} can be used for training, {beside}; each "
                 f"counts {WEIGHT} times.{some}", settings)


class Videos(NamedTuple):
    """Rows of an annotation file, the features of each, and the rows of every split."""

    lines: list[str]
    features: Features
    splits: dict[str, list[int]]


def _base(model: Predictor) -> Videos | None:
    """Return what the model was trained with, or ``None`` if that is not a feature store that is still there."""
    data, root = model.config.data, model.config.data.root
    if data.kind != "ave" or data.features is None or root is None or not (root / data.features).is_file():
        return None
    features = read_store(root / data.features)
    annotations = read_rows(root / data.annotations, features.audio.shape[1], features.categories)
    same = features.categories == model.meta.categories and features.audio.shape[1] == model.segments
    if not same or any(annotations.clips.values()) or features.lengths is not None:
        return None
    found = torch.arange(len(annotations)) if features.rows is None else features.rows
    place = {row: number for number, row in enumerate(found.tolist())}
    splits = {name: [place[row] for row in rows.tolist() if row in place]
              for name, rows in read_splits(root, annotations, data.splits).present().items()}
    return Videos([annotations.lines[row] for row in found.tolist()], replace(features, rows=None), splits)


def _video_id(clip: Path, name: str) -> str:
    """Return the clip's name as an id of the annotations; a file of another content has another one."""
    stem = file_name(name.rpartition(".")[0] or name).replace("&", "_").replace("@", "_").strip()
    return f"{stem}-{sha256(clip)[:8]}"


def _windows(video_id: str, events: Sequence[Event], prediction: Prediction, segments: int
             ) -> tuple[list[tuple[int, str]], int]:
    """Return window and row of every part of the clip with one event at most, and how many have more."""
    found, left_out, seconds = [], 0, len(prediction)
    for number, start in enumerate(window_starts(seconds, segments)):
        if start % segments and start + segments < seconds:  # half of it is in the one before
            continue
        stop = min(start + segments, seconds)
        inside = [(label, max(round(begin), start) - start, min(math.ceil(end - 1e-6), stop) - start)
                  for label, begin, end in events if begin < stop and end > start]
        likely = prediction.categories[int(prediction.category[start:stop].mean(0).argmax())]
        label, begin, end = inside[0] if inside else (events[0][0] if events else likely, 0, 0)
        if len(inside) > 1:
            left_out += 1
            continue
        part = video_id if seconds <= segments else f"{video_id}@{start}"
        found.append((number, f"{label}&{part}&good&{begin}&{end}"))
    return found, left_out


def _keep(folder: Path, clip: Path, video_id: str, prediction: Prediction, events: Sequence[Event]) -> int:
    """Copy a clip into the folder and note its events there; return how many clips it has."""
    (folder / "videos").mkdir(exist_ok=True)
    shutil.copyfile(clip, folder / "videos" / f"{video_id}{clip.suffix}")
    path = folder / "annotations.json"
    others = [video for video in read_annotations(path) if video.video_id != video_id] if path.is_file() else []
    saved = AnnotatedVideo(video_id, prediction.duration, "train", tuple(TimedEvent(*event) for event in events))
    write_annotations(path, [*others, saved])
    return len(others) + 1


def _own(folder: Path, video_id: str, rows: Sequence[tuple[int, str]], encoded: EncodedClip, model: Predictor
         ) -> Videos:
    """Return all corrected clips of the folder, this one among them, and keep them there."""
    places = [number for number, _ in rows]
    lines = [line for _, line in rows]
    features = Features(
        encoded.audio[places], encoded.visual[places], tuple(line.split("&")[1] for line in lines),
        categories=model.meta.categories, label_text=_label_text(model),
        provenance=dict(feature_record(model.checkpoint)))
    store, listed = folder / "corrected.h5", folder / "corrected.txt"
    if store.is_file() and listed.is_file():
        before = Videos(read_text(listed).splitlines(), read_store(store), {})
        others = [at for at, name in enumerate(before.features.video_ids) if name.partition("@")[0] != video_id]
        lines = [before.lines[at] for at in others] + lines
        features = _join(_take(before.features, others), features) if others else features
    write_store(store, features)
    write_text(listed, "".join(f"{line}\n" for line in lines))
    return Videos(lines, features, {})


def _write(folder: Path, own: Videos, base: Videos | None) -> int:
    """Write the data set to train on; return how many clips of the model's own training are in it."""
    lines, features = own.lines * WEIGHT, _take(own.features, [*range(len(own.lines))] * WEIGHT)
    splits, learned = {"train": [*range(len(lines))]}, 0
    if base is not None:
        # A clip that the model is scored on must not be trained on as well.
        stems = {name.partition("@")[0].rpartition("-")[0] for name in own.features.video_ids}
        kept = [at for at, name in enumerate(base.features.video_ids) if name not in stems]
        place = {at: number for number, at in enumerate(kept)}
        splits = {name: [place[at] for at in rows if at in place] for name, rows in base.splits.items()}
        learned = len(splits["train"])
        splits["train"] += range(len(kept), len(kept) + len(lines))
        lines, features = [base.lines[at] for at in kept] + lines, _join(_take(base.features, kept), features)
    write_store(folder / "features.h5", features)
    write_text(folder / "Annotations.txt", "".join(f"{line}\n" for line in (HEADER, *lines)))
    for name, path in ((name, folder / SPLIT_FILES["txt"].format(name)) for name in SPLITS):
        path.unlink(missing_ok=True)
        if splits.get(name):
            write_text(path, "".join(f"{lines[row]}\n" for row in splits[name]))
    return learned


def _take(features: Features, places: Sequence[int]) -> Features:
    return replace(features, audio=features.audio[places], visual=features.visual[places],
                   video_ids=tuple(features.video_ids[at] for at in places))


def _join(first: Features, second: Features) -> Features:
    return replace(first, audio=torch.cat((first.audio, second.audio)), video_ids=first.video_ids + second.video_ids,
                   visual=torch.cat((first.visual, second.visual)))


def _label_text(model: Predictor) -> LabelText | None:
    """Return the text of the classes by the encoders of the features, if their prompts are recorded."""
    prompts = feature_record(model.checkpoint).get("prompts")
    return label_text(model.encoders.visual, model.encoders.audio, model.meta.categories, prompts) if prompts else None
