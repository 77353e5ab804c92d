"""Section 3.4: cross-modal graph interaction (CMGI), Eq. 7-8.

Three subgraphs a video (audio-visual, visual-text, audio-text). Attention over a subgraph's nodes is
its adjacency; graph convolutions pass messages along it; a modality's answers from its two subgraphs are summed.

Letters: B videos, N nodes of a subgraph (the rows of its two modalities), D width, L layers.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import partial
from typing import Any, NamedTuple

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn

from avsgn_pyg.blocks import FallbackError
from avsgn_pyg.graph.schema import SUBGRAPHS, TEXT
from avsgn_pyg.graph.topology import TOPOLOGIES, Layout, Window
from avsgn_pyg.model.cmsa import Streams
from avsgn_pyg.model.forms import Shared
from avsgn_pyg.model.propagation import Propagation
from avsgn_pyg.model.relations import TypedPropagation
from avsgn_pyg.model.subgraph import GraphLayer, Subgraph
from avsgn_pyg.model.time import SubgraphTime
from avsgn_pyg.model.together import Together, pays


class Interaction(NamedTuple):
    """A*, V* and T* (the sums over subgraphs), and every subgraph's adjacency."""

    audio: Float[Tensor, "B T D"]
    visual: Float[Tensor, "B T D"]
    text: Float[Tensor, "B R D"]
    adjacency: dict[str, tuple[Tensor, ...]]


class CMGI(nn.Module):
    """The subgraphs of Table 3 and their sums: ``A* = A_av + A_at``, ``V* = V_av + V_vt``, ``T* = T_vt + T_at``.

    Args:
        dim: D.
        subgraphs: any subset of ``av``, ``vt``, ``at``. A modality in no subgraph keeps its aligned features,
            so with none at all ``A* = F_a`` and ``V* = F_v``.
        conv, conv_options: the layer, see :class:`~avsgn_pyg.model.propagation.Propagation`; or both by subgraph.
        backend: the road of every layer; ``auto`` is blocks on complete graphs, real edges on others.
        relations: ``shared`` or ``typed`` (:class:`~avsgn_pyg.model.relations.TypedPropagation`).
        topology, window, topk: which edges there are, see :data:`~avsgn_pyg.graph.topology.TOPOLOGIES`.
        layers: L.
        residual, norm: around every layer; ``residual=False, norm="none"`` is Eq. 8 as printed.
        adjacency: ``shared`` (Eq. 7 once, from the layer-0 features) or ``per_layer``.
        dropout: rate on every layer's message.
        time_bias: subgraph -> relative-time score for Eq. 7, where wanted.
        limit_gib: what :meth:`check_size` allows.

    Raises:
        ValueError: a layer that cannot be built, or ``backend="blocks"`` where graphs are not complete.
    """

    def __init__(self, dim: int, *, subgraphs: Sequence[str] = tuple(SUBGRAPHS), conv: str | Mapping[str, str] = "gcn",
                 conv_options: Mapping[str, Any] | None = None, layers: int = 2, residual: bool = True,
                 norm: str = "layer", adjacency: str = "shared", relations: str = "shared",
                 topology: str = "complete", window: int = 10, topk: int = 8, backend: str = "auto",
                 dropout: float = 0.1, time_bias: Mapping[str, SubgraphTime] | None = None,
                 limit_gib: float = 1.0) -> None:
        super().__init__()
        self.dim, self.limit_gib, edges = dim, limit_gib, TOPOLOGIES[topology](window, topk)
        if backend == "blocks" and not edges.complete:
            raise ValueError(f"backend=blocks needs complete graphs, topology={topology} has fewer edges; use auto")
        road = backend if edges.complete else "native"

        def build(name: str) -> Subgraph:
            by_name = not isinstance(conv, str)
            one, options = (conv[name], (conv_options or {}).get(name)) if by_name else (conv, conv_options)
            stack = [GraphLayer(_RELATIONS[relations](lambda: Propagation(dim, one, options, road)), dim,
                                residual=residual, norm=norm, dropout=dropout) for _ in range(layers)]
            return Subgraph(stack, dim, adjacency=adjacency, time_bias=(time_bias or {}).get(name), topology=edges,
                            timed=tuple(modality != TEXT for modality in SUBGRAPHS[name]))

        self.subgraphs = nn.ModuleDict({name: build(name) for name in subgraphs})
        self._mergeable = len(self.subgraphs) > 1 and isinstance(conv, str) and edges.complete and road != "native"
        self._proven, self._conv, self._together = False, conv, Together(without="time_bias")

    def forward(self, streams: Streams, real: Bool[Tensor, "B T"] | None = None) -> Interaction:
        """`real` is False where a second only fills a shorter video up: nothing hears it."""
        answers: dict[str, list[Tensor]] = {modality: [] for modality in Streams._fields}
        adjacency: dict[str, tuple[Tensor, ...]] = {}
        shared = self._shared(streams, real)
        for name, (one, two, adjacency[name]) in self._at_once(streams, shared) or self._in_turn(streams, real):
            for modality, answer in zip(SUBGRAPHS[name], (one, two), strict=True):
                answers[modality].append(answer)
        kept = {modality: sum(found[1:], found[0]) if found else getattr(streams, modality)
                for modality, found in answers.items()}
        return Interaction(**kept, adjacency=adjacency)

    def _in_turn(self, streams: Streams, real: Tensor | None) -> Iterator[tuple[str, tuple]]:
        for name, subgraph in self.subgraphs.items():
            pair = {modality: getattr(streams, modality) for modality in SUBGRAPHS[name]}
            yield name, subgraph(*pair.values(), None if real is None else _real(pair, real))

    def _at_once(self, streams: Streams, shared: Shared | None) -> Iterable[tuple[str, tuple]] | None:
        """All subgraphs as one, the same values in a third of the operations; ``None`` where they share no form."""
        if shared is None:
            return None
        parts = list(self.subgraphs.values())
        first, second = (torch.stack([getattr(streams, SUBGRAPHS[name][end]) for name in self.subgraphs])
                         for end in (0, 1))
        scores = [part.time_scores(first.shape[2], second.shape[2]) for part in parts]
        timed = None if scores[0] is None else torch.stack(scores)
        drawn = None if self._proven else _random_states(first.device)
        try:
            one, two, made = self._together(parts[0], shared, first, second, None, timed)
        except (FallbackError, torch.OutOfMemoryError):
            raise
        except RuntimeError as refusal:
            if self._proven:
                raise
            _put_back(first.device, drawn)
            answers = list(self._in_turn(streams, None))  # what is wrong with the call itself is told here
            self._mergeable = False
            warnings.warn(f"conv={self._conv} does not run under torch.func.vmap, so subgraphs run one after another, "
                          f"which is slower for small batches and on a GPU: {refusal}", stacklevel=2)
            return answers
        self._proven = True
        matrices = zip(*(matrix.unbind() for matrix in made), strict=True)
        return zip(self.subgraphs, zip(one.unbind(), two.unbind(), matrices, strict=True), strict=True)

    def _shared(self, streams: Streams, real: Tensor | None) -> Shared | None:
        """What all subgraphs have in common, where they are of one form and size and better run at once."""
        sizes = {streams.audio.shape, streams.visual.shape, streams.text.shape}
        if not (self._mergeable and real is None and len(sizes) == 1 and pays(streams.audio)):
            return None
        return self._together.shared(list(self.subgraphs.values()))

    def check_size(self, videos: int, segments: int, text: int, width: int = 4, beside: float = 0.0,
                   device: str = "cpu") -> None:
        """Refuse a batch whose attention and messages cannot be afforded, before anything of them is made.

        Args:
            width: bytes of a number.
            beside: numbers that the alignment in front holds, :meth:`.cmsa.CMSA.numbers`.
            device: its type; elsewhere than on a CPU all subgraphs' messages may be held at once.

        Raises:
            ValueError: more than `limit_gib` by :meth:`Subgraph.numbers`; it says what to use.
        """
        rows = {modality: text if modality == TEXT else segments for modality in Streams._fields}
        sizes = {name: tuple(rows[modality] for modality in SUBGRAPHS[name]) for name in self.subgraphs}
        counts = [subgraph.numbers(videos, Layout(sizes[name], subgraph.timed), self.dim)
                  for name, subgraph in self.subgraphs.items()]
        held = sum if self._mergeable and device != "cpu" else partial(max, default=0)
        inside = sum(attention for attention, _ in counts) + held(messages for _, messages in counts)
        need = width / 2**30 * (inside + beside)
        if need > self.limit_gib:
            raise ValueError(
                f"attention over {videos} videos of {segments} segments and {text} text rows needs about "
                f"{need:.2g} GiB, model.cmgi.limit_gib allows {self.limit_gib:g}; {self._advice(segments, text)}, or "
                "raise the limit")

    def _advice(self, segments: int, text: int) -> str:
        """What would need less, by what is set."""
        topologies = {type(subgraph.topology) for subgraph in self.subgraphs.values()}
        native = any(subgraph.native and subgraph.topology.complete for subgraph in self.subgraphs.values())
        ways = ["backend=auto, which makes no message of its own for every edge"] if native else []
        if Window in topologies:
            ways.append("a smaller model.cmgi.window")
            ways += ["model.text.slots=per_class, which has fewer text rows"] if text >= segments else []
        else:
            ways.append("use model.cmgi.topology=window (with model.text.slots=per_class), which grows with the length "
                        "and not with its square, in alignment too")
        return ", ".join([*ways, "fewer of model.cmgi.subgraphs", "smaller batches"])


def _random_states(device: torch.device) -> tuple[Tensor, Tensor | None]:
    return torch.get_rng_state(), torch.cuda.get_rng_state(device) if device.type == "cuda" else None


def _put_back(device: torch.device, states: tuple[Tensor, Tensor | None]) -> None:
    """As if nothing had been drawn: a run that goes on later tries again, and must come to the same numbers."""
    torch.set_rng_state(states[0])
    if states[1] is not None:
        torch.cuda.set_rng_state(states[1], device)


_RELATIONS = {"shared": lambda build: build(), "typed": TypedPropagation}


def _real(pair: Mapping[str, Tensor], real: Bool[Tensor, "B T"]) -> Bool[Tensor, "B N"]:
    return torch.cat([real.new_ones(rows.shape[:2]) if modality == TEXT else real
                      for modality, rows in pair.items()], dim=1)
