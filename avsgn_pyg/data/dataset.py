"""From a config to a data set: everything is checked against everything else before training starts.

An AVE-shaped folder holds annotations, splits and features; ``docs/data.md`` shows it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from avsgn_pyg.config import DataConfig
from avsgn_pyg.data import ave, sources
from avsgn_pyg.data.ave import Annotations, Splits
from avsgn_pyg.data.files import check_files, feature_files, label_files, root_of
from avsgn_pyg.data.h5 import DataError
from avsgn_pyg.data.label_text import LabelText, read_label_text, width_mismatches
from avsgn_pyg.data.lengths import told
from avsgn_pyg.data.maps import Maps, open_maps
from avsgn_pyg.data.sources import ABSENT, EXTRACTION, FeatureSource, LegacySource, StoreSource
from avsgn_pyg.data.synthetic import make_synthetic
from avsgn_pyg.data.videos import Dataset, Videos
from avsgn_pyg.graph.schema import NO_EVENT

__all__ = ["DataError", "Dataset", "Videos", "load_dataset"]


def load_dataset(config: DataConfig, *, text_nodes: int | None = None) -> Dataset:
    """The data set that `config` names.

    Args:
        config: the ``data`` section. Its paths are relative to its ``root``.
        text_nodes: text nodes in every graph; ``None`` takes one for each segment.

    Returns:
        The data set; ``notes`` says what was found in the files and what was done about it.

    Raises:
        DataError: a file is missing, damaged or contradicts another; names the file and the place.
    """
    check_files(config)
    dataset = make_synthetic(config.synthetic) if config.kind == "synthetic" else _load_ave(config)
    if config.held_out:
        dataset = dataset.without_classes(config.held_out)
    return dataset if text_nodes is None else dataset.with_graph(text_nodes)


def _load_ave(config: DataConfig) -> Dataset:
    """The release's files are read last: the visual one takes minutes, and what can be known before is checked before.

    A feature store comes whole and first, because its ids and classes lie in it. NaN and infinite values
    show only in the reading.
    """
    root, files = root_of(config), feature_files(config)
    source: FeatureSource = StoreSource(files["features"]) if "features" in files else LegacySource(**files)
    annotations = ave.read_annotations(root / config.annotations, source.segments, source.categories)
    if source.lengths is None:
        sources.refuse_other_time_scale(annotations, source.files)
    places = source.places(annotations)
    _refuse_events_past_their_videos(annotations, places, source)
    found = ave.read_splits(root, annotations, config.splits)
    sources.refuse_left_over_rows(annotations, found, root, config.splits)
    sources.refuse_split_forms_that_disagree(root, annotations)
    splits = ave.without_leaks(found, annotations) if config.drop_leaking else found
    _refuse_empty(splits, "all its videos also stand in val or test")
    splits, dropped = _without_failed(config, annotations, splits, places, source)
    label_text = _label_text(config, root, annotations, source)
    maps = open_maps(root / config.visual_features) if config.regions == "keep" else None
    features = source.read()
    return Dataset(
        name=config.name,
        categories=annotations.categories,
        **{split: _videos(annotations, rows, features, places, source, maps) for split, rows in _present(splits)},
        label_text=label_text,
        provenance={
            "features": source.provenance,
            "splits": config.splits,
            "files": _file_records(config, root, source, found),
        },
        notes=(*_notes(annotations, found, splits), *dropped, *_notes_on_lengths(annotations, places, source)),
    )


def _videos(annotations: Annotations, rows: Tensor, features: tuple[Tensor, Tensor], places: Tensor,
            source: FeatureSource, maps: Maps | None) -> Videos:
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


def _refuse_events_past_their_videos(annotations: Annotations, places: Tensor, source: FeatureSource) -> None:
    """Where all videos are as long, reading the annotations has seen to it."""
    if source.lengths is None:
        return
    seconds = torch.where(places == ABSENT, annotations.segments, source.lengths[places])
    for row in (annotations.end > seconds).nonzero().flatten().tolist():
        raise DataError(
            f"{annotations.path}: the event of row {row} ({annotations.video_ids[row]}) ends at "
            f"{int(annotations.end[row])}, but the video has {int(seconds[row])} seconds in {source.files[0]}"
        )


def _label_text(config: DataConfig, root: Path, annotations: Annotations, source: FeatureSource) -> LabelText | None:
    """The .npy files where the config names them, else what the store holds."""
    paths = [root / name for name in label_files(config)]
    if not paths:
        _refuse_foreign_label_text(source)
        return source.label_text
    audio, visual = (read_label_text(path) for path in paths)
    for path, table in zip(paths, (audio, visual), strict=True):
        if len(table) != len(annotations.categories):
            classes = len(annotations.categories)
            raise DataError(f"{path} has {len(table)} rows, {annotations.path} names {classes} classes")
    text = LabelText(audio, visual)
    for problem in width_mismatches(text, *source.widths):
        raise DataError(f"{paths[0]}, {paths[1]}: {problem}")
    return text


def _refuse_foreign_label_text(source: FeatureSource) -> None:
    """DataError where the source's own label text is on record as another encoder's than its features."""
    record = source.provenance
    if source.label_text is None or record.get("made by") != EXTRACTION:
        return
    for modality, revision in record["label_text"].items():
        other = record[modality]["revision"]
        if revision != other:
            raise DataError(
                f"{source.files[0]}: its {modality} label text is of encoder {revision[:12]}, its {modality} features "
                f"of {other[:12]}; both must come from one encoder: extract again with the one that is meant"
            )


def _refuse_empty(splits: Splits, why: str) -> None:
    for split, rows in _present(splits):
        if not len(rows):
            raise DataError(f"the {split} split is empty: {why}")


def _without_failed(
    config: DataConfig, annotations: Annotations, splits: Splits, places: Tensor, source: FeatureSource
) -> tuple[Splits, list[str]]:
    """The splits without rows whose extraction failed, and a note on each split that lost some.

    Rows that are absent for no recorded reason are another store's, and never dropped.
    """
    kept, notes = {}, []
    for split, rows in _present(splits):
        absent = [row for row in rows.tolist() if places[row] == ABSENT]
        unexplained = [row for row in absent if row not in source.failed]
        if unexplained or (absent and config.missing == "refuse"):
            raise DataError(_absence(config, annotations, source, f"{len(absent)} of {len(rows)} {split}", absent))
        if absent:
            reasons = Counter(source.failed[row] for row in absent).most_common()
            told = _some([f"{reason} ({count})" for reason, count in reasons], most=3)
            notes.append(f"{split} rows without features, left out: {len(absent)} of {len(rows)}: {told}")
        kept[split] = rows[places[rows] != ABSENT]
    splits = splits._replace(**kept)
    _refuse_empty(splits, "all its rows are without features")
    return splits, notes


def _absence(
    config: DataConfig, annotations: Annotations, source: FeatureSource, count: str, absent: list[int]
) -> str:
    """What to say of rows that are not in the store; one without a recorded reason is named first."""
    row = min(absent, key=lambda row: (row in source.failed, row))
    found = f"{config.features}: {count} rows are not in the store, first row {row} ({annotations.video_ids[row]})"
    if row in source.failed:
        return f"{found}: {source.failed[row]}; mend and extract them, or leave them out with data.missing=drop"
    return f"{found}; extract them, or give fewer videos annotations and split files of their own"


def _notes(annotations: Annotations, found: Splits, kept: Splits) -> Iterator[str]:
    """What the files hold that a reader of a result should know."""
    repeated = ave.duplicates(annotations)
    if repeated:
        yield f"video ids in more than one row: {len(repeated)}; videos are told apart by row"
    leaks = ave.leaks(annotations, found)
    if leaks:
        shared = Counter(split for _, split in {(leak.video_id, leak.other_split) for leak in leaks})
        where = " and ".join(f"{shared[split]} with {split}" for split in sorted(shared))
        rows = len({leak.train_row for leak in leaks})
        done = "dropped" if len(kept.train) < len(found.train) else "kept (data.drop_leaking=true drops them)"
        yield f"train shares video ids with other splits ({where}); train rows {done}: {rows}"
    silent = (~annotations.relevance.bool().any(-1)).nonzero().flatten().tolist()
    if silent:
        yield f"rows without any event second, all background and without a class to learn: {_some(silent)}"
    unused = len(annotations) - sum(len(rows) for _, rows in _present(found))
    if unused:
        yield f"annotated rows in no split: {unused}"
    taught = set(annotations.category[kept.train].tolist())
    untaught = [name for index, name in enumerate(annotations.categories) if index not in taught]
    if untaught:
        yield f"classes without a train video: {_some(untaught)}"


def _notes_on_lengths(annotations: Annotations, places: Tensor, source: FeatureSource) -> Iterator[str]:
    if source.lengths is None:
        return
    yield f"videos of mixed lengths: {told((int(source.lengths.min()), int(source.lengths.max())))} seconds"
    there = places != ABSENT
    if bool((2 * annotations.end[there] <= source.lengths[places[there]]).all()):
        yield "no event ends in the second half of its video; are the segments seconds?"


def _some(values: list, most: int = 8) -> str:
    rest = f" and {len(values) - most} more" if len(values) > most else ""
    return ", ".join(map(str, values[:most])) + rest


def _present(splits: Splits) -> list[tuple[str, Tensor]]:
    return [(split, rows) for split, rows in splits._asdict().items() if rows is not None]


def _file_records(config: DataConfig, root: Path, source: FeatureSource, found: Splits) -> dict[str, dict[str, Any]]:
    """Role of every file that the data set was read from, and what tells the file from another."""
    form = ave.SPLIT_FILES[config.splits]
    roles = ("features",) if len(source.files) == 1 else ("audio features", "visual features")
    files = {"annotations": root / config.annotations, **dict(zip(roles, source.files, strict=True))}
    files |= {f"{split} split": root / form.format(split) for split, _ in _present(found)}
    labels = {"audio label text": config.audio_labels, "visual label text": config.visual_labels}
    files |= {role: root / name for role, name in labels.items() if name is not None}
    return {role: sources.file_record(path) for role, path in files.items()}
