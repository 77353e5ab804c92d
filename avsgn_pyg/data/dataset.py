"""From a config to a data set, with every file checked against the others before training starts.

A folder contains annotations, splits and features, in the form of AVE, OV-AVE or AVE-PM; ``docs/data.md`` describes it.
"""

from __future__ import annotations

import dataclasses
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from avsgn_pyg.common.errors import DataError
from avsgn_pyg.common.settings import DataConfig
from avsgn_pyg.data import ave
from avsgn_pyg.data.ave import Annotations, Splits
from avsgn_pyg.data.dense import load_dense
from avsgn_pyg.data.feature_store import EXTRACTION, Features, LabelText, format_span, read_store, width_mismatches
from avsgn_pyg.data.files import BY_ID_FILES, SPLIT_FILES, check_files, feature_files, label_files, root_of
from avsgn_pyg.data.folders import read_kind
from avsgn_pyg.data.legacy import Maps, legacy_shape, open_legacy, open_maps, read_label_text, read_legacy_features
from avsgn_pyg.data.recompose import recompose_dataset
from avsgn_pyg.data.rows import format_some
from avsgn_pyg.data.sources import ABSENT, UNKNOWN, file_record, find_by_id, find_by_row, label_padded
from avsgn_pyg.data.synthetic import make_synthetic
from avsgn_pyg.data.videos import Dataset, Videos
from avsgn_pyg.graph.schema import NO_EVENT

__all__ = ["DataError", "Dataset", "Videos", "load_dataset"]


def load_dataset(config: DataConfig, *, text_nodes: int | None = None) -> Dataset:
    """Load the data set that `config` names.

    Args:
        config: the ``data`` section. Its paths are relative to its ``root``.
        text_nodes: text nodes in every graph; ``None`` takes one per segment.

    Returns:
        The data set; ``notes`` says what was found in the files and what was done about it.

    Raises:
        DataError: a file is missing, damaged or contradicts another; names the file and the place.
    """
    check_files(config)
    if config.kind == "synthetic":
        dataset = make_synthetic(config.synthetic)
    else:
        dataset = load_dense(config) if config.kind == "dense" else _load_files(config)
    if config.held_out:
        dataset = dataset.without_classes(config.held_out)
    if config.limit is not None:
        dataset = dataset.limited(config.limit)
    if config.recompose != "none":
        dataset = recompose_dataset(dataset, config.recompose)
    return dataset if text_nodes is None else dataset.with_graph(text_nodes)


def _load_files(config: DataConfig) -> Dataset:
    """Read the files of the release last: the visual one takes minutes. A feature store is read first, for its ids."""
    root, files = root_of(config), feature_files(config)
    name, by_id = ", ".join(map(str, files.values())), config.kind in BY_ID_FILES
    features = read_store(files["features"], of_seconds=True) if config.features else None
    segments = features.audio.shape[1] if features else legacy_shape(files["audio"], regions=False)[1]
    annotations, found = read_kind(config.kind, root, segments, features and features.categories,
                                   annotations=config.annotations, splits=config.splits)
    if annotations.segments != segments:
        raise DataError(f"{name}: {segments} segments in a video, but {annotations.segments} seconds in "
                        f"{annotations.path}; segments must be seconds")
    if config.kind == "ov-ave":
        found = _without_silent(annotations, found, config.held_out)
    features = features or open_legacy(**files, video_ids=annotations.video_ids, annotations=annotations.path)
    places = (find_by_id if by_id else find_by_row)(features, annotations, name)
    _check_times(annotations, features, name)
    if config.kind == "ave":
        ave.check_coverage(annotations, found, root, config.splits)
        ave.check_forms_agree(root, annotations)
    splits = ave.without_leaks(found, annotations) if config.drop_leaking else found
    _check_not_empty(splits, "all its videos are also in val or test")
    splits, dropped = _without_failed(config, annotations, splits, places, features)
    labelled, left_out, padded = label_padded(config, annotations, features, places, name)
    splits = Splits(*(rows if rows is None else rows[~left_out[rows]] for rows in splits))
    _check_not_empty(splits, "all its events end after their clips")
    label_text = _label_text(config, annotations, features, name)
    maps = open_maps(root / config.visual_features) if config.regions == "keep" else None
    if not config.features:
        features = dataclasses.replace(features, audio=read_legacy_features(files["audio"]),
                                       visual=read_legacy_features(files["visual"]))
    return Dataset(
        name=config.name,
        categories=annotations.categories,
        **{split: _videos(labelled, rows, features, places, maps) for split, rows in splits.present().items()},
        label_text=label_text,
        provenance={
            "features": features.record,
            "splits": config.splits if config.kind == "ave" else "csv",
            "files": _file_records(config, root, files, found),
        },
        notes=(*_notes(annotations, found, splits), *dropped, *_notes_on_lengths(annotations, places, features)),
        warnings=(*annotations.doubtful_classes, *padded),
    )


def _without_silent(annotations: Annotations, splits: Splits, held_out: Sequence[str]) -> Splits:
    """Drop videos without an event that OV-AVE lists under a held-out class; they are no longer of that class later."""
    removed = torch.tensor([name in held_out for name in annotations.categories])[annotations.category]
    stays = ~removed | annotations.relevance.bool().any(-1)
    return Splits(*(rows if rows is None else rows[stays[rows]] for rows in splits))


def _videos(annotations: Annotations, rows: Tensor, features: Features, places: Tensor, maps: Maps | None) -> Videos:
    at, relevance = places[rows], annotations.relevance[rows]
    return Videos(
        audio=features.audio[at],
        visual=features.visual[at],
        category=torch.where(relevance.any(-1), annotations.category[rows], NO_EVENT),
        relevance=relevance,
        row=rows,
        video_ids=tuple(annotations.video_ids[row] for row in rows.tolist()),
        text_nodes=annotations.segments,
        lengths=None if features.lengths is None else features.lengths[at],
        maps=None if maps is None else maps.take(at),
    )


def _check_times(annotations: Annotations, features: Features, name: str) -> None:
    """Raise a DataError if videos of one length have no event in the last segment: segments must be seconds."""
    last = int(annotations.end.max())
    if features.lengths is None and last < annotations.segments:
        raise DataError(
            f"{name}: {annotations.segments} segments in a video, but the last event of {annotations.path} ends at "
            f"second {last}; segments must be seconds. Are the features cut into segments of another length, or their "
            f"axes transposed? They must be [N, {last}, width]")


def _label_text(config: DataConfig, annotations: Annotations, features: Features, name: str) -> LabelText | None:
    """Return the .npy files' label text if the config names them, else that of the store."""
    paths, classes = label_files(config), len(annotations.categories)
    if not paths:
        _check_encoders(features, name)
        return features.label_text
    tables = [read_label_text(path) for path in paths]
    for path, table in zip(paths, tables, strict=True):
        if len(table) != classes:
            raise DataError(f"{path} has {len(table)} rows, {annotations.path} names {classes} classes")
    text = LabelText(*tables)
    for problem in width_mismatches(text, features.audio.shape[2], features.visual.shape[2]):
        raise DataError(f"{paths[0]}, {paths[1]}: {problem}")
    return text


def _check_encoders(features: Features, name: str) -> None:
    """Raise a DataError if extraction recorded another encoder for a store's label text than for its features."""
    record = features.provenance
    if features.label_text is None or record.get("made by") != EXTRACTION:
        return
    for modality, revision in record["label_text"].items():
        other = record[modality]["revision"]
        if revision != other:
            raise DataError(
                f"{name}: its {modality} label text is of encoder {revision[:12]}, its {modality} features of "
                f"{other[:12]}; both must be of one encoder: extract again with the intended one")


def _check_not_empty(splits: Splits, why: str) -> None:
    for split, rows in splits.present().items():
        if not len(rows):
            raise DataError(f"the {split} split is empty: {why}")


def _without_failed(config: DataConfig, annotations: Annotations, splits: Splits, places: Tensor,
                    features: Features) -> tuple[Splits, list[str]]:
    """Drop rows whose extraction failed, and note it for each split.

    Rows that are absent without a recorded reason belong to another store, and are never dropped, unless videos are
    found by id.
    """
    left, notes, failed = {}, [], features.failed
    if config.kind in BY_ID_FILES:
        failed = dict.fromkeys((places == ABSENT).nonzero().flatten().tolist(), "not in the store") | failed
    for split, rows in splits.present().items():
        absent = [row for row in rows.tolist() if places[row] == ABSENT]
        if absent and (config.missing == "refuse" or any(row not in failed for row in absent)):
            row = min(absent, key=lambda row: (row in failed, row))  # one without a recorded reason comes first
            found = (f"{config.features}: {len(absent)} of {len(rows)} {split} rows are not in the store, first row "
                     f"{row} ({annotations.video_ids[row]})")
            if row in failed:
                raise DataError(f"{found}: {failed[row]}; correct and extract them, or leave them out with "
                                "data.missing=drop")
            raise DataError(f"{found}; extract them, or use annotations and split files of fewer videos")
        if absent:
            reasons = Counter(failed[row] for row in absent).most_common()
            listed = format_some([f"{reason} ({count})" for reason, count in reasons], most=3)
            notes.append(f"{split} rows without features, left out: {len(absent)} of {len(rows)}: {listed}")
        left[split] = rows[places[rows] != ABSENT]
    splits = splits._replace(**left)
    _check_not_empty(splits, "all its rows are without features")
    return splits, notes


def _notes(annotations: Annotations, found: Splits, used: Splits) -> Iterator[str]:
    """Yield notes on the files that a reader of a result should know."""
    repeated = ave.duplicates(annotations)
    if repeated:
        yield f"video ids in more than one row: {len(repeated)}; videos are identified by row"
    leaks = ave.leaks(annotations, found)
    if leaks:
        shared = Counter(split for _, split in {(leak.video_id, leak.other_split) for leak in leaks})
        where = " and ".join(f"{shared[split]} with {split}" for split in sorted(shared))
        rows = len({leak.train_row for leak in leaks})
        done = "dropped" if len(used.train) < len(found.train) else "kept (data.drop_leaking=true drops them)"
        yield f"train shares video ids with other splits ({where}); train rows {done}: {rows}"
    silent = (~annotations.relevance.bool().any(-1)).nonzero().flatten().tolist()
    if silent:
        yield f"rows without any event second, all background and without a class to learn: {format_some(silent)}"
    unused = len(annotations) - sum(len(rows) for rows in found.present().values())
    if unused:
        yield f"annotated rows in no split: {unused}"
    trained = set(annotations.category[used.train].tolist())
    untrained = [name for index, name in enumerate(annotations.categories) if index not in trained]
    if untrained:
        yield f"classes without a train video: {format_some(untrained)}"


def _notes_on_lengths(annotations: Annotations, places: Tensor, features: Features) -> Iterator[str]:
    if features.clip_seconds is None:
        yield UNKNOWN
    if features.lengths is None:
        return
    yield f"videos of mixed lengths: {format_span(features.span)} seconds"
    present = places != ABSENT
    if bool((2 * annotations.end[present] <= features.lengths[places[present]]).all()):
        yield "no event ends in the second half of its video; are the segments seconds?"


def _file_records(config: DataConfig, root: Path, features: dict[str, Path], found: Splits
                  ) -> dict[str, dict[str, Any]]:
    """Return role -> record of every file that the data set was read from."""
    files = {name if name == "features" else f"{name} features": path for name, path in features.items()}
    files |= {name: root / name for name in BY_ID_FILES.get(config.kind, ())}
    if config.kind == "ave":
        files = {"annotations": root / config.annotations} | files
        files |= {f"{split} split": root / SPLIT_FILES[config.splits].format(split) for split in found.present()}
    files |= dict(zip(("audio label text", "visual label text"), label_files(config), strict=False))
    return {role: file_record(path) for role, path in files.items()}
