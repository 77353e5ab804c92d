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

from avsgn_pyg.common.config import DataConfig
from avsgn_pyg.common.errors import DataError
from avsgn_pyg.data import ave
from avsgn_pyg.data.ave import Annotations, Splits
from avsgn_pyg.data.by_id import read_avepm, read_ovave
from avsgn_pyg.data.dense import load_dense
from avsgn_pyg.data.feature_store import LabelText, format_span, read_store, width_mismatches
from avsgn_pyg.data.files import BY_ID_FILES, SPLIT_FILES, check_files, feature_files, label_files, root_of
from avsgn_pyg.data.legacy import Maps, open_maps, read_label_text
from avsgn_pyg.data.padding import UNKNOWN, label_padded
from avsgn_pyg.data.recompose import recompose_dataset
from avsgn_pyg.data.rows import format_some
from avsgn_pyg.data.sources import ABSENT, EXTRACTION, Source, file_record, legacy_source, store_source
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
    load = {"synthetic": _generate, "dense": load_dense}.get(config.kind, _load_files)
    dataset = load(config)
    if config.held_out:
        dataset = dataset.without_classes(config.held_out)
    if config.limit is not None:
        dataset = dataset.limited(config.limit)
    if config.recompose != "none":
        dataset = recompose_dataset(dataset, config.recompose)
    return dataset if text_nodes is None else dataset.with_graph(text_nodes)


def _generate(config: DataConfig) -> Dataset:
    return make_synthetic(config.synthetic)


def _load_files(config: DataConfig) -> Dataset:
    """Read the files of the release last: the visual one takes minutes. A feature store is read first, for its ids."""
    root, files = root_of(config), feature_files(config)
    store = files.get("features")
    source = legacy_source(**files) if store is None else store_source(store, read_store(store))
    annotations, found = _read_annotations(config, root, source)
    places = source.places(annotations, by_id=config.kind in BY_ID_FILES)
    if config.kind in BY_ID_FILES:  # ids are unique, so an absent one needs no recorded reason to be left out
        absent = dict.fromkeys((places == ABSENT).nonzero().flatten().tolist(), "not in the store")
        source = dataclasses.replace(source, failed=absent | source.failed)
    _check_times(annotations, source)
    if config.kind == "ave":
        ave.check_coverage(annotations, found, root, config.splits)
        ave.check_forms_agree(root, annotations)
    splits = ave.without_leaks(found, annotations) if config.drop_leaking else found
    _check_not_empty(splits, "all its videos are also in val or test")
    splits, dropped = _without_failed(config, annotations, splits, places, source)
    labelled, left_out, padded = label_padded(config, annotations, source, places)
    splits = Splits(*(rows if rows is None else rows[~left_out[rows]] for rows in splits))
    _check_not_empty(splits, "all its events end after their clips")
    label_text = _label_text(config, annotations, source)
    maps = open_maps(root / config.visual_features) if config.regions == "keep" else None
    features = source.read()
    return Dataset(
        name=config.name,
        categories=annotations.categories,
        **{split: _videos(labelled, rows, features, places, source, maps)
           for split, rows in splits.present().items()},
        label_text=label_text,
        provenance={
            "features": source.provenance,
            "splits": config.splits if config.kind == "ave" else "csv",
            "files": _file_records(config, root, source, found),
        },
        notes=(*_notes(annotations, found, splits), *dropped, *_notes_on_lengths(annotations, places, source)),
        warnings=(*annotations.doubtful_classes, *padded),
    )


def _read_annotations(config: DataConfig, root: Path, source: Source) -> tuple[Annotations, Splits]:
    """Read annotations and splits in the form of ``data.kind``; the source has the number of segments."""
    if config.kind == "ave":
        annotations = ave.read_annotations(root / config.annotations, source.segments, source.categories)
        return annotations, ave.read_splits(root, annotations, config.splits)
    if config.kind == "ave-pm":
        return read_avepm(root, source.segments, source.categories)
    annotations, splits, _ = read_ovave(root, source.categories)
    if annotations.segments != source.segments:
        raise DataError(f"{source.files[0]}: {source.segments} segments in a video, but {annotations.segments} seconds "
                        f"in {annotations.path}; segments must be seconds")
    return annotations, _without_silent(annotations, splits, config.held_out)


def _without_silent(annotations: Annotations, splits: Splits, held_out: Sequence[str]) -> Splits:
    """Drop videos without an event that OV-AVE lists under a held-out class; they are no longer of that class later."""
    removed = torch.tensor([name in held_out for name in annotations.categories])[annotations.category]
    stays = ~removed | annotations.relevance.bool().any(-1)
    return Splits(*(rows if rows is None else rows[stays[rows]] for rows in splits))


def _videos(annotations: Annotations, rows: Tensor, features: tuple[Tensor, Tensor], places: Tensor, source: Source,
            maps: Maps | None) -> Videos:
    audio, visual = (modality[places[rows]] for modality in features)
    relevance = annotations.relevance[rows]
    return Videos(
        audio=audio,
        visual=visual,
        category=torch.where(relevance.any(-1), annotations.category[rows], NO_EVENT),
        relevance=relevance,
        row=rows,
        video_ids=tuple(annotations.video_ids[row] for row in rows.tolist()),
        text_nodes=annotations.segments,
        lengths=None if source.lengths is None else source.lengths[places[rows]],
        maps=None if maps is None else maps.take(places[rows]),
    )


def _check_times(annotations: Annotations, source: Source) -> None:
    """Raise a DataError if the segments of the features cannot be the seconds of the annotations.

    With one length, an event must reach the last segment.
    """
    files, last = ", ".join(map(str, source.files)), int(annotations.end.max())
    if source.lengths is None:
        if last < annotations.segments:
            raise DataError(
                f"{files}: {annotations.segments} segments in a video, but the last event of {annotations.path} ends "
                f"at second {last}; segments must be seconds. Are the features cut into segments of another length, "
                f"or their axes transposed? They must be [N, {last}, width]")


def _label_text(config: DataConfig, annotations: Annotations, source: Source) -> LabelText | None:
    """Return the .npy files' label text if the config names them, else that of the store."""
    paths, classes = label_files(config), len(annotations.categories)
    if not paths:
        _check_encoders(source)
        return source.label_text
    tables = [read_label_text(path) for path in paths]
    for path, table in zip(paths, tables, strict=True):
        if len(table) != classes:
            raise DataError(f"{path} has {len(table)} rows, {annotations.path} names {classes} classes")
    text = LabelText(*tables)
    for problem in width_mismatches(text, *source.widths):
        raise DataError(f"{paths[0]}, {paths[1]}: {problem}")
    return text


def _check_encoders(source: Source) -> None:
    """Raise a DataError if extraction recorded another encoder for a store's label text than for its features."""
    record = source.provenance
    if source.label_text is None or record.get("made by") != EXTRACTION:
        return
    for modality, revision in record["label_text"].items():
        other = record[modality]["revision"]
        if revision != other:
            raise DataError(
                f"{source.files[0]}: its {modality} label text is of encoder {revision[:12]}, its {modality} features "
                f"of {other[:12]}; both must be of one encoder: extract again with the one that is meant")


def _check_not_empty(splits: Splits, why: str) -> None:
    for split, rows in splits.present().items():
        if not len(rows):
            raise DataError(f"the {split} split is empty: {why}")


def _without_failed(config: DataConfig, annotations: Annotations, splits: Splits, places: Tensor,
                    source: Source) -> tuple[Splits, list[str]]:
    """Drop rows whose extraction failed, and note it for each split.

    Rows that are absent without a recorded reason belong to another store, and are never dropped.
    """
    left, notes = {}, []
    for split, rows in splits.present().items():
        absent = [row for row in rows.tolist() if places[row] == ABSENT]
        if absent and (config.missing == "refuse" or any(row not in source.failed for row in absent)):
            raise DataError(_absence(config, annotations, source, f"{len(absent)} of {len(rows)} {split}", absent))
        if absent:
            reasons = Counter(source.failed[row] for row in absent).most_common()
            listed = format_some([f"{reason} ({count})" for reason, count in reasons], most=3)
            notes.append(f"{split} rows without features, left out: {len(absent)} of {len(rows)}: {listed}")
        left[split] = rows[places[rows] != ABSENT]
    splits = splits._replace(**left)
    _check_not_empty(splits, "all its rows are without features")
    return splits, notes


def _absence(config: DataConfig, annotations: Annotations, source: Source, count: str, absent: list[int]) -> str:
    """Return the error for rows that are not in the store; one without a recorded reason is named first."""
    row = min(absent, key=lambda row: (row in source.failed, row))
    found = f"{config.features}: {count} rows are not in the store, first row {row} ({annotations.video_ids[row]})"
    if row in source.failed:
        return f"{found}: {source.failed[row]}; mend and extract them, or leave them out with data.missing=drop"
    return f"{found}; extract them, or use annotations and split files of fewer videos"


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


def _notes_on_lengths(annotations: Annotations, places: Tensor, source: Source) -> Iterator[str]:
    if source.seconds is None:
        yield UNKNOWN
    if source.lengths is None:
        return
    yield f"videos of mixed lengths: {format_span((int(source.lengths.min()), int(source.lengths.max())))} seconds"
    present = places != ABSENT
    if bool((2 * annotations.end[present] <= source.lengths[places[present]]).all()):
        yield "no event ends in the second half of its video; are the segments seconds?"


def _file_records(config: DataConfig, root: Path, source: Source, found: Splits) -> dict[str, dict[str, Any]]:
    """Return role -> record of every file that the data set was read from."""
    roles = ("features",) if len(source.files) == 1 else ("audio features", "visual features")
    files = dict(zip(roles, source.files, strict=True))
    files |= {name: root / name for name in BY_ID_FILES.get(config.kind, ())}
    if config.kind == "ave":
        files = {"annotations": root / config.annotations} | files
        files |= {f"{split} split": root / SPLIT_FILES[config.splits].format(split) for split in found.present()}
    files |= dict(zip(("audio label text", "visual label text"), label_files(config), strict=False))
    return {role: file_record(path) for role, path in files.items()}
