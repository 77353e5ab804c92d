"""A clip as figures: its timeline at any length, and the attention graph of one of its windows.

Letters: S seconds of the clip, T segments of a window.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from jaxtyping import Float, UInt8
from torch_geometric.data import Batch

from avsgn_pyg.config import ConfigError
from avsgn_pyg.features.media import probe, read_seconds
from avsgn_pyg.graph.export import save_attention
from avsgn_pyg.graph.schema import AUDIO, SUBGRAPHS, TEXT, VISUAL
from avsgn_pyg.localization import Localization, events
from avsgn_pyg.predictor.encoding import encode_clip
from avsgn_pyg.predictor.prediction import Prediction
from avsgn_pyg.predictor.predictor import Predictor
from avsgn_pyg.predictor.windows import window_starts
from avsgn_pyg.visualize.events import Span
from avsgn_pyg.visualize.picture import Picture, named_layers, spans, text_names, write_graph, write_timeline
from avsgn_pyg.visualize.strips import outline, shrunk

#: Pixels a side of a kept picture, and points of the outline of a second of sound.
_PIXELS, _POINTS = 320, 400


class WindowAnswer(NamedTuple):
    """One window of a clip: what there is to show, its graph as it went in, and what the model made of it."""

    picture: Picture
    batch: Batch
    localization: Localization


def read_media(
    clip: Path, *, start: int = 0, count: int | None = None
) -> tuple[UInt8[np.ndarray, "S H W 3"] | None, Float[np.ndarray, "samples"] | None]:
    """A small picture of each second, and the outline of the sound; ``None`` for a track that is not there.

    Raises:
        MediaError: the file cannot be read.
    """
    info, pictures, sound = probe(clip), [], []
    for second in read_seconds(clip, start=start, count=info.seconds if count is None else count):
        pictures.append(shrunk(second.frames[0].numpy(), _PIXELS))
        # Lowest and highest sample in turn: drawn, it is the sound itself.
        sound.append(np.stack(outline(second.samples.numpy(), _POINTS), axis=1).ravel())
    return np.stack(pictures) if info.has_video else None, np.concatenate(sound) if info.has_audio else None


def with_media(picture: Picture, clip: Path) -> Picture:
    """The same picture with the frames and the sound of its clip.

    Raises:
        MediaError: the file cannot be read.
    """
    frames, waveform = read_media(clip, count=len(picture.relevance))
    return dataclasses.replace(picture, frames=frames, waveform=waveform)


def clip_picture(prediction: Prediction) -> Picture:
    """What a prediction says of a clip, with frames and sound where it came from a file."""
    return _picture(prediction, prediction.name, 0, len(prediction))


def clip_window(predictor: Predictor, clip: Path, *, start: int = 0, tau: float | None = None) -> WindowAnswer:
    """The window of a clip that begins nearest to second `start`; its scores are the averaged ones of the prediction.

    A clip shorter than a window is padded for the model; the padded seconds are not shown, and the rest of their
    rows' weight goes to them.

    Raises:
        ConfigError: `start` lies outside the clip. Others: those of a call of the predictor.
    """
    prediction = predictor(clip, tau=tau)
    seconds, segments = len(prediction), predictor.segments
    if not 0 <= start < seconds:
        raise ConfigError(f"start={start} lies outside {clip}, which has {seconds} seconds")
    encoders = predictor.encoders
    found = encode_clip(clip, encoders.visual, encoders.audio, segments=segments,
                        frames_per_segment=encoders.frames_per_segment)
    starts = window_starts(max(seconds, segments), segments)
    number = min(range(len(starts)), key=lambda at: abs(starts[at] - start))
    batch, localization = _localize(predictor, found.audio[number : number + 1], found.visual[number : number + 1])
    first, last = starts[number], min(starts[number] + segments, seconds)
    whole = len(starts) == 1
    title = prediction.name if whole else f"{prediction.name}, seconds {first} to {last}"
    picture = _picture(prediction, title, first, last)
    counts = {AUDIO: segments, VISUAL: segments, TEXT: int(batch[TEXT].num_nodes)}
    cmgi = predictor.config.model.cmgi
    layers = named_layers(localization.adjacency, layers=cmgi.layers, residual=cmgi.residual)
    labels = predictor.config.model.text.slots == "per_class"
    picture = dataclasses.replace(picture, adjacency=_cropped(layers, counts, last - first),
                                  text=text_names(predictor.categories) if labels else ())
    return WindowAnswer(picture, batch, localization)


def write_clip_timeline(
    checkpoint: Path, clip: Path, folder: Path, formats: Sequence[str] = ("png",), *, tau: float | None = None,
    **options: Any,
) -> list[Path]:
    """``timeline.<format>`` of a clip in `folder`; `options` and errors are the :class:`Predictor`'s."""
    prediction = Predictor.from_checkpoint(checkpoint, **options)(clip, tau=tau)
    return write_timeline(clip_picture(prediction), folder, formats)


def write_clip_graph(
    checkpoint: Path, clip: Path, folder: Path, formats: Sequence[str] = ("png",), *, start: int = 0,
    tau: float | None = None, drawing: dict[str, Any] | None = None, **options: Any,
) -> list[Path]:
    """Figures, page and exported graph of a clip's window in `folder`.

    Args:
        start: see :func:`clip_window`.
        drawing: layer, share, threshold and arrangement, as of :func:`avsgn_pyg.visualize.picture.write_graph`.
        options: the :class:`Predictor`'s, whose errors these are too.

    Raises:
        PictureError: the graph cannot be drawn as asked.
    """
    answer = clip_window(Predictor.from_checkpoint(checkpoint, **options), clip, start=start, tau=tau)
    paths = write_graph(answer.picture, folder, formats, **(drawing or {}))
    return [*paths, *save_attention(answer.batch, answer.localization, folder, seconds=len(answer.picture.relevance),
                                    facts=_facts(answer.picture, clip))]


def _facts(picture: Picture, clip: Path) -> dict[str, str]:
    """What a clip's exported graph carries: nobody annotated it, so what was predicted."""
    return {"clip": clip.name, "title": picture.title,
            "predicted": "; ".join(f"{span.label} {span.start:g} to {span.end:g} s" for span in picture.predicted),
            "predicted_relevance": " ".join(f"{value:.4g}" for value in picture.relevance.tolist())}


def _picture(prediction: Prediction, title: str, first: int, last: int) -> Picture:
    """Seconds [first, last) of a prediction."""
    here = slice(first, last)
    named = tuple(dict.fromkeys(span.label for span in _spans(prediction, here)))
    likeliest = prediction.categories[int(prediction.category[here].mean(0).argmax())]
    path = prediction.path
    frames, waveform = (None, None) if path is None else read_media(path, start=first, count=last - first)
    return Picture(
        title=title,
        category=", ".join(named) or f"{likeliest} (below tau throughout)",
        relevance=prediction.relevance[here].numpy(),
        gates={name: gate[here].numpy() for name, gate in prediction.gates.items()},
        tau=prediction.tau,
        predicted=_spans(prediction, here),
        frames=frames,
        waveform=waveform,
    )


def _spans(prediction: Prediction, here: slice) -> tuple[Span, ...]:
    return spans(events(prediction.labels[here], len(prediction.categories)), prediction.categories)


@torch.inference_mode()
def _localize(predictor: Predictor, audio: torch.Tensor, visual: torch.Tensor) -> tuple[Batch, Localization]:
    """The model's whole answer for one window, attention and all."""
    batch = predictor.graph(audio, visual)
    return batch, predictor.model(batch)


def _cropped(
    adjacency: Mapping[str, Mapping[str, np.ndarray]], counts: Mapping[str, int], seconds: int
) -> dict[str, dict[str, np.ndarray]]:
    """Without the nodes of padded seconds."""
    cut = {}
    for subgraph, found in adjacency.items():
        kept = np.concatenate([np.arange(counts[name]) < (counts[name] if name == TEXT else seconds)
                               for name in SUBGRAPHS[subgraph]])
        cut[subgraph] = {layer: weights[np.ix_(kept, kept)] for layer, weights in found.items()}
    return cut
