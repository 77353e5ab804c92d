"""One video with a model's output, which every figure of a video and the page take.

Shapes: T segments, N nodes of a subgraph.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

import numpy as np
from jaxtyping import Float, Int, UInt8
from torch import Tensor, nn

from avsgn_pyg.common.errors import PictureError
from avsgn_pyg.graph.localization import events
from avsgn_pyg.visualize.edges import count_nodes, rollout
from avsgn_pyg.visualize.events import Span

#: Name of the adjacency of all layers together.
ROLLOUT: Final = "rollout"


@dataclass(frozen=True, eq=False)
class Picture:
    """One video with a model's output; probabilities, not logits.

    Attributes:
        title: name of the video.
        category: the predicted class.
        relevance: ``s_r``, probability that the event is heard and seen in a second.
        gates: ``audio`` and ``visual``, each in [0, 1]; the mean over features if gates are vectors.
        tau: the relevance above which a second belongs to the event; ``None`` for models without a threshold.
        predicted: the model's events, possibly none.
        truth: the annotated events, possibly none; ``None`` without annotation.
        frames: the picture of each second, RGB; ``None`` without picture.
        waveform: mono samples at any rate, spread over the T seconds; ``None`` without sound.
        notes: remarks on the video, such as that it has no sound.
        adjacency: subgraph -> name of the layer -> [N, N], the same layers for every subgraph; row i weighs the
            messages into node i, and the first of the subgraph's modalities has rows (and columns) 0 to T - 1. Empty
            for models without a graph.
        text: names of the text nodes; empty: their numbers.
        start: second of the video at which the time axis begins; events and `missing` count from there.
        missing: ``audio`` and ``visual`` -> the times [start, end) without sound or picture.

    Raises:
        ValueError: no second, parts of another length, scores outside [0, 1], events outside the video, or an
            adjacency of an unknown subgraph or of other layers or nodes than the others.
    """

    title: str
    category: str
    relevance: Float[np.ndarray, "T"]
    gates: Mapping[str, Float[np.ndarray, "T"]]
    tau: float | None
    predicted: Sequence[Span]
    truth: Sequence[Span] | None = None
    frames: UInt8[np.ndarray, "T H W 3"] | None = None
    waveform: Float[np.ndarray, "samples"] | None = None
    notes: Sequence[str] = ()
    adjacency: Mapping[str, Mapping[str, Float[np.ndarray, "_ _"]]] = field(default_factory=dict)
    text: Sequence[str] = ()
    start: int = 0
    missing: Mapping[str, Sequence[tuple[float, float]]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        seconds = self.seconds
        if not seconds:
            raise ValueError("relevance is empty: a picture needs one or more seconds")
        for name, scores in {"relevance": self.relevance, **{f"gates[{key!r}]": of for key, of in self.gates.items()}
                             }.items():
            if scores.shape != (seconds,):
                raise ValueError(f"{name} must have shape [{seconds}], one score per second, got {list(scores.shape)}")
            if not np.isfinite(scores).all() or scores.min() < 0 or scores.max() > 1:
                raise ValueError(f"{name} lies in [{scores.min():.3g}, {scores.max():.3g}]; give probabilities, not "
                                 "logits")
        if self.frames is not None and len(self.frames) != seconds:
            raise ValueError(f"there are {len(self.frames)} frames for {seconds} seconds; give one for each")
        if self.waveform is not None and not len(self.waveform):
            raise ValueError("waveform is empty; give None if there is no sound")
        for name, spans in (("truth", self.truth or ()), ("predicted", self.predicted)):
            for span in spans:
                if not 0 <= span.start < span.end <= seconds:
                    raise ValueError(f"{name}: {span.label} [{span.start}, {span.end}) does not lie in [0, {seconds})")
        count_nodes(self.adjacency, seconds)

    @property
    def seconds(self) -> int:
        """T."""
        return len(self.relevance)

    @property
    def counts(self) -> dict[str, int]:
        """The nodes of each modality."""
        return count_nodes(self.adjacency, self.seconds)

    @property
    def layers(self) -> tuple[str, ...]:
        """Names of the layers, rollout last; PictureError for a model without a graph."""
        if not self.adjacency:
            raise PictureError(f"{self.title}: this model has no graph (model.cmgi.subgraphs is empty)")
        return tuple(next(iter(self.adjacency.values())))


def spans(labels: Int[Tensor, "T"], categories: Sequence[str], scores: Float[Tensor, "T C"] | None = None
          ) -> tuple[Span, ...]:
    """Return the events of segment labels (background is C) as spans of class names.

    Args:
        scores: probability of each class in each second, whose mean over an event is its confidence.
    """
    return tuple(Span(categories[category], float(start), float(end),
                      score=None if scores is None else float(scores[start:end, category].mean()))
                 for category, start, end in events(labels, len(categories)))


def text_names(categories: Sequence[str], label_text: nn.Module | None) -> tuple[str, ...]:
    """Return the names of a model's text nodes: the labels, or of a mixture of labels the one with most weight.

    Args:
        label_text: the model's :class:`~avsgn_pyg.model.inputs.LabelText`, with the visual bank first; ``None`` for
            models without text nodes.
    """
    if label_text is None:
        return ()
    labels = [f"{name} ({how})" for how in ("seen", "heard") for name in categories]
    if label_text.project is None:
        return tuple(labels)
    weight = label_text.project.weight.detach()
    most = weight.abs().argmax(-1)
    return tuple(f"{'−' if weight[row, label] < 0 else '+'}{abs(weight[row, label]):.2f} {labels[label]}"
                 for row, label in enumerate(most))


def named_layers(
    adjacency: Mapping[str, Sequence[Tensor]], *, layers: int, residual: bool
) -> dict[str, dict[str, Float[np.ndarray, "_ _"]]]:
    """Return the adjacencies of a localization's first video, by subgraph and name of the layer, and their rollout.

    Args:
        adjacency: ``Localization.adjacency``: one per layer, or one that all layers share; dense or sparse.
        layers: layers of message passing.
        residual: whether they have residual connections.
    """
    found = {}
    for subgraph, given in adjacency.items():
        matrices = [one.detach().to_dense()[0].float().cpu().numpy() for one in given]
        shared = len(matrices) == 1 and layers > 1
        names = [f"layers 1 to {layers}"] if shared else [f"layer {at}" for at in range(1, len(matrices) + 1)]
        found[subgraph] = dict(zip(names, matrices, strict=True))
        if layers > 1:
            found[subgraph][ROLLOUT] = rollout(matrices * layers if shared else matrices, residual=residual)
    return found
