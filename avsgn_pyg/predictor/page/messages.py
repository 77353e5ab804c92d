"""What the page shows of a clip, as messages that its script draws, and files of the predicted or corrected events."""

from __future__ import annotations

import base64
import io
import math
from collections.abc import Callable
from dataclasses import replace
from typing import Any, Final

import numpy as np
import torch
from PIL import Image

from avsgn_pyg.common.errors import DataError
from avsgn_pyg.features.media import Second
from avsgn_pyg.graph.detection import Detection
from avsgn_pyg.predictor.formats import FORMATS
from avsgn_pyg.predictor.prediction import Prediction
from avsgn_pyg.visualize.strips import loudest, outline, shrunk

#: Maximum number of frames of a clip, pixels of their longer side, and columns of its waveform.
PICTURES, PIXELS, COLUMNS = 40, 160, 800
#: Formats to download, and their names on the page.
DOWNLOADS: Final = {
    "json": "JSON", "csv": "CSV by second", "events": "CSV by event", "vtt": "WebVTT", "srt": "SRT", "eaf": "ELAN",
    "audacity": "Audacity",
}


class Preview:
    """Pictures and sound of a clip, collected while it is read; call it with every second.

    Args:
        report: is called with the share of the clip that was read.
    """

    def __init__(self, report: Callable[[float], None]) -> None:
        self._report, self._sound = report, []
        self.frames: list[list[Any]] = []

    def __call__(self, second: Second, length: int) -> None:
        every = -(-length // PICTURES)
        if bool(second.seen.any()) and second.index % every == every // 2:
            self.frames.append([second.index, jpeg(second.frames[0].numpy())])
        columns = np.stack(outline(second.samples.numpy(), max(1, COLUMNS // length)), axis=1)
        self._sound.append(columns if second.heard else np.zeros_like(columns))
        self._report((second.index + 1) / length)

    @property
    def sound(self) -> list[list[int]]:
        """Lowest and highest sample of each column, percent of the loudest; empty for a silent file."""
        found = np.concatenate(self._sound) if self._sound else np.zeros((0, 2))
        return (100 * found / loudest(found.ravel())).round().astype(int).tolist() if found.any() else []


def jpeg(frame: np.ndarray) -> str:
    """Return a small version of a frame as a data URL."""
    stream = io.BytesIO()
    Image.fromarray(shrunk(frame, PIXELS)).save(stream, "JPEG", quality=82)
    return f"data:image/jpeg;base64,{base64.b64encode(stream.getvalue()).decode('ascii')}"


def result_message(prediction: Prediction, result: str, run: str) -> dict[str, Any]:
    """Return one model's result: scores of every second, and its likeliest class, from which events follow."""
    shares, classes = prediction.category.max(-1)
    scores = {name: (gate * prediction.relevance).tolist() for name, gate in prediction.gates.items()}
    events, dense = None, prediction.found is not None
    if prediction.tau is None or dense:  # the page filters them by the threshold, or (C + 1 scores) there is none
        events = [{"label": event.category, "start": event.start, "end": event.end, "score": event.confidence}
                  for event in prediction.events]
    return {"id": result, "run": run, "categories": list(prediction.categories), "tau": prediction.tau,
            "events": events, "curve": "any event" if dense else "relevance",
            "threshold": "Confidence threshold" if dense else "Relevance threshold",
            "relevance": prediction.relevance.tolist(), "scores": scores,
            "classes": list(map(list, zip(classes.tolist(), shares.tolist(), strict=True)))}


def corrected(prediction: Prediction, tau: Any, events: Any) -> Prediction:
    """Return the prediction with another threshold, or with corrected events; without paths of this machine.

    DataError for events that are not valid for this clip, or for a threshold that is not a number from 0 to 1.
    """
    bare = replace(prediction, path=None, source=None)
    if events is not None:
        found = [(prediction.categories.index(label), start, end)
                 for label, start, end in read_events(events, prediction)]
        if prediction.found is not None:
            return replace(bare, found=tuple(Detection(*event, 1.0) for event in found))
        labels = torch.full((len(prediction),), len(prediction.categories))
        for label, start, end in found:
            labels[round(start) : max(round(start) + 1, math.ceil(end))] = label
        return replace(bare, labels=labels)
    if prediction.tau is None or tau is None:
        return bare
    if not isinstance(tau, (int, float)) or not 0 <= tau < 1:
        raise DataError(f"{prediction.name}: a threshold of {tau!r}; expected 0 to 1")
    if prediction.found is not None:
        return replace(bare, tau=float(tau), found=tuple(each for each in prediction.found if each.score > tau))
    labels = torch.where(prediction.relevance > tau, prediction.category.argmax(-1), len(prediction.categories))
    return replace(bare, tau=float(tau), labels=labels)


def read_events(events: Any, prediction: Prediction) -> list[tuple[str, float, float]]:
    """Return events from the page as label, start and end; DataError if one is not an event of the clip."""
    found = []
    for event in events if isinstance(events, list) else [None]:
        try:
            label, start, end = event["label"], float(event["start"]), float(event["end"])
        except (TypeError, KeyError, ValueError):
            raise DataError(f"{prediction.name}: events need a label, a start and an end") from None
        if label not in prediction.categories or not 0 <= start < end <= prediction.duration + 1e-3:
            raise DataError(f"{prediction.name}: {label!r} from {start:g} to {end:g} s is no event of this clip, which "
                            f"has {prediction.duration:g} s and the classes {', '.join(prediction.categories)}")
        found.append((label, start, end))
    return sorted(found, key=lambda event: event[1])


def export(prediction: Prediction, form: Any) -> tuple[str, str]:
    """Return the name and the text of a file to download; DataError for an unknown format."""
    if form not in DOWNLOADS:
        raise DataError(f"unknown format {form!r}; there are {', '.join(DOWNLOADS)}")
    made = FORMATS[form]
    return f"{prediction.name.rpartition('.')[0] or prediction.name}{made.suffix}", made.text(prediction, 1)
