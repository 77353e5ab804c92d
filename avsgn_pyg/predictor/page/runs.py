"""What the page shows of a run's folder: curves of its journal, its confusion matrix, and its hardest clips."""

from __future__ import annotations

import base64
import csv
import html
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

from avsgn_pyg.common.errors import DataError
from avsgn_pyg.engine.journal import read_journal
from avsgn_pyg.features.files import PICTURES, SOUNDS

#: Most clips that are listed.
HARDEST: Final = 12
#: Scores that are shown, of those of ``metrics.json``.
SCORES: Final = ("segment_accuracy", "event_f1", "relevance_auc", "background_f1", "all_foreground_oracle")


def folder_of(source: Path) -> Path:
    """Return the run's folder of a model's source, which may be one of its checkpoints."""
    return source.parents[1] if source.parent.name == "checkpoints" else source


def curves(run: Path) -> Iterator[dict[str, Any]]:
    """Yield every number of the journal: epoch, its name, value, and ``loss`` or ``score``."""
    journal = run / "journal.jsonl"
    for record in read_journal(journal) if journal.is_file() else ():
        for name, value in record["loss"].items():
            if value is not None:
                yield {"epoch": record["epoch"], "name": name, "value": value, "kind": "loss"}
        for name, value in record.get("val", {}).items():
            if isinstance(value, (int, float)):
                yield {"epoch": record["epoch"], "name": name, "value": value, "kind": "score"}


def report(run: Path, media: Path | None) -> str:
    """Return scores, confusion matrix and hardest clips of the run's evaluations as HTML, with names escaped."""
    parts = []
    for folder in sorted(run.glob("evaluation-*")):
        found = json.loads((folder / "metrics.json").read_text("utf-8")) if (folder / "metrics.json").is_file() else {}
        scores = found.get("scores", {})
        listed = "".join(f"<li><b>{scores[name]:.1f}</b> {name.replace('_', ' ')}</li>" for name in SCORES
                         if isinstance(scores.get(name), (int, float)))
        parts.append(f"<h3>{html.escape(str(found.get('dataset', '')))}, split "
                     f"{html.escape(folder.name.removeprefix('evaluation-'))}</h3><ul class=scores>{listed}</ul>")
        picture = folder / "confusion.svg"
        if picture.is_file():
            data = base64.b64encode(picture.read_bytes()).decode("ascii")
            parts.append(f'<img class=confusion alt="Confusion matrix: true label by row, predicted label by column" '
                         f'src="data:image/svg+xml;base64,{data}">')
        parts += _table(folder, media)
    return "".join(parts) or "<p>This run has no evaluation yet: <code>python tools/evaluate.py RUN</code>.</p>"


def _table(folder: Path, media: Path | None) -> Iterator[str]:
    rows = sorted((row for row in clips(folder) if row.get("accuracy")), key=lambda row: float(row["accuracy"]))
    if not rows:
        return
    yield "<h4>Hardest clips</h4><table><tr><th>clip<th>class<th>seconds right<th>predicted</tr>"
    for row in rows[:HARDEST]:
        name = html.escape(row["video_id"])
        there = find_media(media, row["video_id"]) is not None
        clip = f'<button type=button data-clip="{name}">{name}</button>' if there else name
        found = html.escape(row["predicted_events"] or "no event")
        yield (f"<tr><td>{clip}<td>{html.escape(row['true_class'])}<td>{float(row['accuracy']):.0f} %<td>{found}</tr>")
    yield "</table>"


def clips(folder: Path) -> Iterator[dict[str, str]]:
    """Yield the rows of an evaluation's clips."""
    path = folder / "predictions.csv"
    if path.is_file():
        with path.open(encoding="utf-8", newline="") as file:
            yield from csv.DictReader(file)


def listed_clip(run: Path, media: Path | None, video_id: Any) -> Path:
    """Return the media file of a clip that an evaluation of the run lists; DataError if there is none."""
    if any(row["video_id"] == video_id for folder in run.glob("evaluation-*") for row in clips(folder)):
        found = find_media(media, video_id)
        if found is not None:
            return found
    raise DataError(f"The file of {video_id!r} was not found.")


def find_media(folder: Path | None, video_id: str) -> Path | None:
    """Return the media file of an id in a folder, or ``None``."""
    for path in sorted(folder.glob(f"{'?' * len(video_id)}.*")) if folder is not None else ():
        if path.stem == video_id and path.suffix.lower() in PICTURES | SOUNDS:
            return path
    return None
