"""Corrected clips as training data: the data that a model was trained on, and the corrected clips.

The folder of a model has ``videos/`` with the corrected clips, ``annotations.json`` with their events as they were
saved, and the data set for ``tools/train.py``: ``Annotations.txt``, ``trainSet.txt`` ..., ``features.h5``.
"""

from __future__ import annotations

import math
import shutil
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Final, NamedTuple

import torch
import torch.nn.functional as F

from avsgn_pyg.common.errors import DataError
from avsgn_pyg.common.files import lock, sha256, write_text
from avsgn_pyg.common.text import file_name
from avsgn_pyg.data.annotations import AnnotatedVideo, TimedEvent, read_annotations, write_annotations
from avsgn_pyg.data.ave import SPLITS, read_splits
from avsgn_pyg.data.ave import read_annotations as read_rows
from avsgn_pyg.data.feature_store import Features, read_store, write_store
from avsgn_pyg.data.files import SPLIT_FILES, read_text
from avsgn_pyg.features.encoder import label_text
from avsgn_pyg.predictor.encoders import feature_record
from avsgn_pyg.predictor.encoding import EncodedClip
from avsgn_pyg.predictor.prediction import Prediction
from avsgn_pyg.predictor.predictor import Predictor
from avsgn_pyg.predictor.windows import window_starts

#: How many times a corrected clip is repeated in the data, and epochs of the continued training.
WEIGHT, EPOCHS = 8, 10
#: Two clips of which both features have at least this cosine are the same.
SAME: Final = 0.9995
HEADER: Final = "Category&VideoID&Quality&StartTime&EndTime"
Event = tuple[str, float, float]


class Saved(NamedTuple):
    """What was saved: a sentence, and the settings to continue with ``tools/train.py``; none if more is needed."""

    text: str
    settings: list[str]


class Rows(NamedTuple):
    """Rows of an annotation file, and the features of each."""

    lines: list[str]
    features: Features

    def take(self, places: Sequence[int]) -> Rows:
        """Return the rows at these places."""
        features = replace(self.features, audio=self.features.audio[places], visual=self.features.visual[places],
                           video_ids=tuple(self.features.video_ids[place] for place in places))
        return Rows([self.lines[place] for place in places], features)

    def join(self, other: Rows) -> Rows:
        """Return these rows and the others after them."""
        joined = {name: torch.cat((getattr(self.features, name), getattr(other.features, name)))
                  for name in ("audio", "visual")}
        ids = self.features.video_ids + other.features.video_ids
        return Rows(self.lines + other.lines, replace(self.features, video_ids=ids, **joined))


def save(folder: Path, clip: Path, prediction: Prediction, events: Sequence[Event], encoded: EncodedClip,
         model: Predictor) -> Saved:
    """Keep a clip with its corrected events, and write the data set to train the model on.

    Args:
        folder: of this model; made if it does not exist.
        clip: the file, which is copied.
        prediction: of the clip; its name is the name of the uploaded file.
        events: label, start and end in seconds.
        encoded: the clip's features.

    Raises:
        DataError: every window of the clip has several events, and this model learns one; or a file of the folder
            cannot be read or written.
    """
    folder.mkdir(parents=True, exist_ok=True)
    with lock(folder / ".lock", wait=True):
        stem = file_name(prediction.name.rpartition(".")[0] or prediction.name)
        # A file with other content has another id.
        video_id = f"{stem.replace('&', '_').replace('@', '_').strip()}-{sha256(clip)[:8]}"
        if prediction.found is not None:
            count = len(_keep(folder, clip, video_id, prediction, events))
            return Saved(f"Saved: annotations.json now has {_clips(count)}. To train a model of several events, "
                         "extract the features of the clips (docs/dense.md).", [])
        windows, left_out = _windows(video_id, events, prediction, model.segments)
        if any("&" in label for label, _, _ in events):
            raise DataError(f"{prediction.name}: '&' separates the fields of an annotation, so no class may contain it")
        if not windows:
            raise DataError(f"{prediction.name}: every window of {model.segments} seconds has several events, and this "
                            "model learns one per window; delete the others")
        trained, splits = _training_data(model)
        kept = _keep(folder, clip, video_id, prediction, events)
        corrected = _corrected(folder, [each for each in kept if each != video_id], windows, encoded, model)
        written = _write(folder, corrected, trained, splits)
    settings = ["data.kind=ave", f"data.root={folder}", "data.annotations=Annotations.txt", "data.splits=txt",
                "data.features=features.h5", f"train.init={model.source}", f"train.epochs={EPOCHS}",
                "train.seeds=null", "train.select=last", "train.early_stop=null", "train.warmup_epochs=0"]
    if not written.get(model.config.evaluate.split):
        settings.append("evaluate.split=train")
    if not written.get("val"):
        settings.append("evaluate.every=0")
    learned = len(written["train"]) - WEIGHT * len(corrected.lines)
    beside = (f"with the {_clips(learned)} of the model's own training" if trained
              else "alone, because the model's own training data are not available")
    some = f" {left_out} windows with several events are left out: the model learns one per window." if left_out else ""
    return Saved(f"Saved. Now {_clips(len(kept), 'corrected clip')} can be used for training, {beside}; each "
                 f"corrected clip counts {WEIGHT} times.{some}", settings)


def _clips(count: int, what: str = "clip") -> str:
    return f"{count} {what}{'s' * (count != 1)}"


def _training_data(model: Predictor) -> tuple[Rows | None, dict[str, list[int]]]:
    """Return the model's training data and splits; ``None`` if they are not a feature store on this machine."""
    data, root = model.config.data, model.config.data.root
    if data.kind != "ave" or data.features is None or root is None or not (root / data.features).is_file():
        return None, {}
    features = read_store(root / data.features)
    annotations = read_rows(root / data.annotations, features.audio.shape[1], features.categories)
    same = features.categories == model.meta.categories and features.audio.shape[1] == model.segments
    if not same or any(annotations.clips.values()) or features.lengths is not None:
        return None, {}
    found = list(range(len(annotations))) if features.rows is None else features.rows.tolist()
    place = {row: number for number, row in enumerate(found)}
    splits = {name: [place[row] for row in rows.tolist() if row in place]
              for name, rows in read_splits(root, annotations, data.splits).present().items()}
    return Rows([annotations.lines[row] for row in found], replace(features, rows=None)), splits


def _windows(video_id: str, events: Sequence[Event], prediction: Prediction, segments: int
             ) -> tuple[list[tuple[int, str]], int]:
    """Return number and row of every window with at most one event, and how many windows have more."""
    found, left_out, seconds = [], 0, len(prediction)
    for number, start in enumerate(window_starts(seconds, segments)):
        if start % segments and start + segments < seconds:  # overlaps the window before
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


def _keep(folder: Path, clip: Path, video_id: str, prediction: Prediction, events: Sequence[Event]) -> list[str]:
    """Copy a clip into the folder and write its events there; return the ids of all clips in the folder."""
    (folder / "videos").mkdir(exist_ok=True)
    shutil.copyfile(clip, folder / "videos" / f"{video_id}{clip.suffix}")
    path = folder / "annotations.json"
    others = [video for video in read_annotations(path) if video.video_id != video_id] if path.is_file() else []
    saved = AnnotatedVideo(video_id, prediction.duration, "train", tuple(TimedEvent(*event) for event in events))
    write_annotations(path, [*others, saved])
    return [video.video_id for video in (*others, saved)]


def _corrected(folder: Path, others: Sequence[str], windows: Sequence[tuple[int, str]], encoded: EncodedClip,
               model: Predictor) -> Rows:
    """Return the rows of a clip, preceded by those of the `others` in the folder's data set."""
    places, lines = zip(*windows, strict=True)
    prompts = feature_record(model.checkpoint).get("prompts")
    text = label_text(model.encoders.visual, model.encoders.audio, model.meta.categories, prompts) if prompts else None
    new = Rows([*lines], Features(
        encoded.audio[[*places]], encoded.visual[[*places]], tuple(line.split("&")[1] for line in lines),
        categories=model.meta.categories, label_text=text, provenance=dict(feature_record(model.checkpoint))))
    if not others or not (folder / "features.h5").is_file():
        return new
    features = read_store(folder / "features.h5")
    line = {line.split("&")[1]: line for line in read_text(folder / "Annotations.txt").splitlines()}
    place = {name: at for at, name in enumerate(features.video_ids)
             if name.partition("@")[0] in others and name in line}
    old = Rows([line.get(name, "") for name in features.video_ids], features).take([*place.values()])
    return old.join(new) if place else new


def _write(folder: Path, corrected: Rows, trained: Rows | None, splits: dict[str, list[int]]
           ) -> dict[str, list[int]]:
    """Write the data set to train on; return the rows of its splits."""
    data = corrected.take([*range(len(corrected.lines))] * WEIGHT)
    first, found = 0, {"train": []}
    if trained is not None:
        # No corrected clip, which is trained on, may remain in val or test.
        stems = {name.partition("@")[0].rpartition("-")[0] for name in corrected.features.video_ids}
        same = _same(trained.features, corrected.features)
        kept = [at for at, name in enumerate(trained.features.video_ids) if name not in stems and not same[at]]
        place = {at: number for number, at in enumerate(kept)}
        found = {name: [place[at] for at in rows if at in place] for name, rows in splits.items()}
        data, first = trained.take(kept).join(data), len(kept)
    found["train"] += range(first, len(data.lines))
    write_store(folder / "features.h5", data.features)
    write_text(folder / "Annotations.txt", "".join(f"{line}\n" for line in (HEADER, *data.lines)))
    for name, path in ((name, folder / SPLIT_FILES["txt"].format(name)) for name in SPLITS):
        path.unlink(missing_ok=True)
        if found.get(name):
            write_text(path, "".join(f"{data.lines[row]}\n" for row in found[name]))
    return found


def _same(features: Features, others: Features) -> list[bool]:
    """Return for each clip whether both its features equal those of one of the others, whatever its name."""
    cosines = [F.normalize(getattr(features, kind).flatten(1), dim=-1) @
               F.normalize(getattr(others, kind).flatten(1), dim=-1).T for kind in ("audio", "visual")]
    return (torch.minimum(*cosines) > SAME).any(1).tolist()
