"""Figures of a clip: its timeline at any length, and the attention graph of one of its windows.

Shapes: S seconds of the clip, T segments of a window.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, Int, UInt8

from avsgn_pyg.common.errors import ConfigError
from avsgn_pyg.features.media import Limits, probe, read_seconds
from avsgn_pyg.graph.schema import AUDIO, SUBGRAPHS, TEXT, VISUAL
from avsgn_pyg.predictor.clips import attempt
from avsgn_pyg.predictor.encoding import EncodedClip
from avsgn_pyg.predictor.localizer import ClipLocalizer
from avsgn_pyg.predictor.prediction import Prediction
from avsgn_pyg.predictor.predictor import Predictor
from avsgn_pyg.predictor.record import file_stems
from avsgn_pyg.predictor.windows import window_starts
from avsgn_pyg.visualize.events import Span
from avsgn_pyg.visualize.files import VideoGraph, write_timeline
from avsgn_pyg.visualize.picture import Picture, named_layers, text_names
from avsgn_pyg.visualize.strips import LONG, clock, outline, shrunk

#: Largest side of a frame in pixels, and points of the waveform per second.
_PIXELS, _POINTS = 320, 400


def read_media(
    clip: Path, *, start: int = 0, count: int | None = None, limits: Limits = Limits(),  # noqa: B008
) -> tuple[UInt8[np.ndarray, "S H W 3"] | None, Float[np.ndarray, "samples"] | None]:
    """Return a small frame of each second, and the waveform's outline; ``None`` for a missing track.

    MediaError for a file that cannot be read.
    """
    info, frames, waveform = probe(clip, limits=limits), [], []
    count = info.seconds if count is None else count
    for second in read_seconds(clip, start=start, count=count, limits=limits):
        frames.append(shrunk(second.frames[0].numpy(), _PIXELS))
        waveform.append(np.stack(outline(second.samples.numpy(), _POINTS), axis=1).ravel())  # minima and maxima in turn
    return np.stack(frames) if info.has_video else None, np.concatenate(waveform) if info.has_audio else None


def with_media(picture: Picture, clip: Path, start: int = 0) -> Picture:
    """Return the picture with the frames and the waveform of its clip; MediaError if it cannot be read."""
    frames, waveform = read_media(clip, start=start, count=len(picture.relevance))
    return dataclasses.replace(picture, frames=frames, waveform=waveform)


def clip_picture(prediction: Prediction, start: int = 0, end: int | None = None) -> Picture:
    """Return a prediction's seconds [start, end) as a picture, with frames and waveform if it was made from a file."""
    end, names = len(prediction) if end is None else end, prediction.categories
    shown = prediction.between(start, end)
    # The last second of an event of whole seconds is drawn whole, also where the file ends within it.
    ends = [float(math.ceil(event.end)) if prediction.found is None else event.end for event in shown]
    found = tuple(Span(event.label, event.start - start, last - start, not event.note, event.confidence)
                  for event, last in zip(shown, ends, strict=True))
    likeliest = names[int(prediction.category[start:end].mean(0).argmax())]
    picture = Picture(
        title=prediction.name if end - start == len(prediction) else
        f"{prediction.name}, {clock(start, end)} to {clock(end, end)}{' s' * (end < LONG)}",
        category=", ".join(dict.fromkeys(event.category for event in shown)) or f"{likeliest} (below tau throughout)",
        relevance=prediction.relevance[start:end].numpy(),
        gates={name: gate[start:end].numpy() for name, gate in prediction.gates.items()},
        tau=prediction.tau,
        predicted=found,
        notes=prediction.notes,
        start=start,
        missing=_missing(prediction, start, end),
    )
    return picture if prediction.path is None else with_media(picture, prediction.path, start)


def _missing(prediction: Prediction, start: int, end: int) -> dict[str, list[tuple[float, float]]]:
    """The times from `start` in which the file lacks picture or sound: whole seconds, and after the end of the file."""
    found = {}
    for modality, shares in ((VISUAL, prediction.seen), (AUDIO, prediction.heard)):
        runs: list[tuple[float, float]] = []
        for second in range(start, end) if shares is not None else ():
            first = (second if shares[second] == 0 else prediction.end_of(second)) - float(start)
            if runs and runs[-1][1] == first:
                first = runs.pop()[0]
            if first < second + 1 - start:
                runs.append((first, second + 1.0 - start))
        if runs:
            found[modality] = runs
    return found


@torch.inference_mode()
def clip_window(predictor: Predictor, clip: Path, *, start: int = 0, tau: float | None = None,
                encoded: EncodedClip | None = None) -> VideoGraph:
    """Return the window of a clip that begins nearest to second `start`, with the scores of the whole prediction.

    Padding of a clip shorter than a window is not shown; the rows of the adjacency lack the weight of the padding.
    `encoded` is of the clip, if it was encoded before. ConfigError where `start` lies outside the clip; other errors
    are those of a call of the predictor.
    """
    predictor.check_tau(tau)
    if len(predictor.checkpoints) > 1:
        raise ConfigError(f"{predictor.source}: each of {len(predictor.checkpoints)} models has a graph of its own, "
                          "and their mean has none; draw that of one seed")
    encoded = predictor.encode(clip) if encoded is None else encoded
    prediction = predictor.localize_encoded(clip, encoded, tau=tau)
    seconds, segments = len(prediction), predictor.segments
    if not 0 <= start < seconds:
        raise ConfigError(f"start={start} lies outside {clip}, which has {seconds} seconds")
    starts = window_starts(seconds, segments)
    number = min(range(len(starts)), key=lambda at: abs(starts[at] - start))
    first, last = starts[number], min(starts[number] + segments, seconds)
    batch = predictor.graph(encoded.audio[number : number + 1], encoded.visual[number : number + 1])
    output, model = predictor.model(batch), predictor.config.model
    nodes = (last - first) * predictor.rate
    rows = {name: int(batch[name].num_nodes) if name == TEXT else nodes for name in batch.node_types}
    adjacency = named_layers(output.adjacency, layers=model.cmgi.layers, residual=model.cmgi.residual)
    for subgraph, layers in adjacency.items():
        shown = np.concatenate([np.arange(batch[name].num_nodes) < rows[name] for name in SUBGRAPHS[subgraph]])
        parts = [np.repeat(np.arange(rows[name] // size), size)
                 for name in SUBGRAPHS[subgraph] for size in [1 if name == TEXT else predictor.rate]]
        group = np.concatenate((parts[0], parts[1] + parts[0][-1] + 1))
        adjacency[subgraph] = {layer: _pooled(weights[np.ix_(shown, shown)], group)
                               for layer, weights in layers.items()}
    text = text_names(predictor.categories, getattr(predictor.model, "label_text", None))
    picture = dataclasses.replace(clip_picture(prediction, first, last), adjacency=adjacency, text=text)
    return VideoGraph(picture, batch, output)


def _pooled(weights: Float[np.ndarray, "N N"], group: Int[np.ndarray, "N"]) -> Float[np.ndarray, "M M"]:
    """Return the attention among groups of nodes, such as the parts of a second: of its nodes the mean, of its sources
    the sum, so that rows still sum to one."""
    member = np.eye(group[-1] + 1, dtype=weights.dtype)[group]
    return (member / member.sum(0)).T @ weights @ member


def write_clips(
    predictor: ClipLocalizer, clips: Sequence[Path], write: Callable[..., list[Path]],
    formats: Sequence[str] = ("png",), *, out: Path | None, default: Callable[[str], Path], tau: float | None = None,
    **options: Any,
) -> Iterator[tuple[list[Path], Exception | None]]:
    """Write the figures of each clip, also if others fail; yield the paths, or the error.

    Args:
        write: :func:`write_clip_timeline` or :func:`write_clip_graph`, which take `options`.
        out: the folder of a single clip; of several, each has its own in it.
        default: returns the folder of a clip without `out`, from a name that is unique among the clips.

    Raises:
        ConfigError, EncoderError: no clip can be drawn.
    """
    predictor.check_tau(tau)
    predictor.load()
    stems = file_stems(clips)

    def draw(clip: Path) -> list[Path]:
        stem = stems[clip]
        folder = default(stem) if out is None else out / stem if len(clips) > 1 else out
        return write(predictor, clip, folder, formats, tau=tau, **options)

    for clip in clips:
        paths, error = attempt(clip, draw, clip)
        yield paths or [], error


def write_clip_timeline(
    predictor: ClipLocalizer, clip: Path, folder: Path, formats: Sequence[str] = ("png",), *, tau: float | None = None
) -> list[Path]:
    """Write ``timeline.<format>`` of a clip into `folder`; errors are those of a call of the predictor."""
    return write_timeline(clip_picture(predictor(clip, tau=tau)), folder, formats)


def write_clip_graph(
    predictor: Predictor, clip: Path, folder: Path, formats: Sequence[str] = ("png",), *, start: int = 0,
    tau: float | None = None, drawing: dict[str, Any] | None = None,
) -> list[Path]:
    """Write figures, page and exported graph of the window at `start` (see :func:`clip_window`) into `folder`.

    `drawing` contains layer, share, threshold and arrangement of :func:`avsgn_pyg.visualize.files.write_graph`, whose
    PictureError is raised; other errors are those of a call of the predictor.
    """
    found = clip_window(predictor, clip, start=start, tau=tau)
    picture = found.picture
    predicted = "; ".join(f"{span.label} {span.start:g} to {span.end:g} s" for span in picture.predicted)
    facts = {"clip": clip.name, "title": picture.title, "predicted": predicted,
             "predicted_relevance": " ".join(f"{value:.4g}" for value in picture.relevance.tolist())}
    return found.write(folder, formats, drawing, seconds=predictor.rate * len(picture.relevance), facts=facts)
