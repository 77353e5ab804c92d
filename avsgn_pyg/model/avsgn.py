"""AVSGN, Section 3 and Fig. 2 of the paper: align (CMSA), interact (CMGI), localize.

    HeteroData -> align -> Aligned -> interact -> Interaction -> localize -> Localization

Shapes: B videos, T segments, R text rows (T, or 2C with one row per class), C classes, d width of CMSA, D hidden width.
"""

from __future__ import annotations

import warnings
from typing import NamedTuple

from jaxtyping import Bool
from torch import Tensor, nn
from torch_geometric.data import Batch, HeteroData

from avsgn_pyg.graph.edges import subgraph_edges
from avsgn_pyg.graph.localization import Localization
from avsgn_pyg.graph.schema import AUDIO, RELATIONS, TEXT, VISUAL
from avsgn_pyg.graph.views import as_batch, flatten, node_counts, pad, padded_view
from avsgn_pyg.model.cmgi import CMGI, Interaction
from avsgn_pyg.model.cmsa import CMSA, Streams
from avsgn_pyg.model.inputs import LabelText


class Aligned(NamedTuple):
    """CMSA's output, and the encoders' features with the text rows; `mask` is False for padded seconds, or ``None``."""

    encoder: dict[str, Tensor]
    streams: Streams
    mask: Bool[Tensor, "B T"] | None


class AVSGN(nn.Module):
    """The network; its parts are built by :func:`avsgn_pyg.engine.zoo.build_model` and passed in.

    Args:
        adapt_audio, adapt_visual: encoder features [*, d_a] or [*, d_v] -> [*, d].
        label_text: the label bank and its projection to R text rows.
        time_audio, time_visual: time encodings, [B, T, d] -> [B, T, d].
        cmsa, cmgi, head: Sections 3.3, 3.4 and 3.5; the head is a :class:`~avsgn_pyg.model.head.LocalizationHead`.
        cmsa_time: scores between audio and visual seconds by their distance in time, or ``None``.
    """

    def __init__(self, *, adapt_audio: nn.Module, adapt_visual: nn.Module, label_text: LabelText,
                 time_audio: nn.Module, time_visual: nn.Module, cmsa: CMSA, cmgi: CMGI, head: nn.Module,
                 cmsa_time: nn.Module | None = None) -> None:
        super().__init__()
        self.adapt_audio, self.adapt_visual = adapt_audio, adapt_visual
        self.label_text = label_text
        self.time_audio, self.time_visual, self.cmsa_time = time_audio, time_visual, cmsa_time
        self.cmsa, self.cmgi, self.head = cmsa, cmgi, head

    def forward(self, data: HeteroData | Batch) -> Localization:
        """One output per video, for a single video, a ``Batch.from_data_list``, or a batch of :mod:`.graph.build`.

        CMGI passes messages along the ``edge_index`` of the data, and along no other edges. (CMSA, which precedes it,
        is attention over all seconds, or over the model's window.)

        Raises:
            ValueError: audio and visual nodes differ in number, text nodes do not match the model's text rows, videos
                differ in length with ``text.slots=segments``, or a subgraph has no edges.
        """
        batch = as_batch(data)
        aligned = self.align(batch)
        interaction = self.interact(aligned, batch)
        return self.localize(aligned, interaction, batch)

    def align(self, batch: Batch) -> Aligned:
        """Sections 3.2 and 3.3: features and label text -> three streams of width D."""
        (audio, mask), (visual, _) = padded_view(batch, AUDIO), padded_view(batch, VISUAL)
        self._check(batch)
        text = self.label_text(self.adapt_visual, self.adapt_audio)
        streams = Streams(audio=self.time_audio(self.adapt_audio(audio)),
                          visual=self.time_visual(self.adapt_visual(visual)), text=text)
        bias = None if self.cmsa_time is None else self.cmsa_time(self.cmsa.offsets(audio.shape[1], audio.device))
        encoder = {AUDIO: audio, VISUAL: visual, TEXT: text.expand(len(audio), *text.shape)}
        return Aligned(encoder, self.cmsa(streams, bias, mask), mask)

    def interact(self, aligned: Aligned, batch: Batch) -> Interaction:
        """Section 3.4: messages along the batch's edges."""
        (audio, visual, text), mask = aligned.streams, aligned.mask
        nodes = {AUDIO: flatten(audio, mask), VISUAL: flatten(visual, mask), TEXT: text.flatten(0, 1)}
        edges = {name: subgraph_edges(batch, name, as_list=self.cmgi.as_list) for name in self.cmgi.layers}
        return self.cmgi(nodes, edges)

    def localize(self, aligned: Aligned, interaction: Interaction, batch: Batch) -> Localization:
        """Section 3.5: gates, class and relevance, with the features of every stage."""
        streams = self.interacted(interaction, batch)
        output = self.head(streams.audio, streams.visual, aligned.mask)
        return Localization(**output._asdict(), adjacency=interaction.adjacency, mask=aligned.mask,
                            stages=self.stages(aligned, streams))

    @staticmethod
    def interacted(interaction: Interaction, batch: Batch) -> Streams:
        """CMGI's flat nodes as blocks [B, T, D], [B, T, D], [B, R, D], zero for padded seconds."""
        blocks = {name: pad(nodes, node_counts(batch, name))[0] for name, nodes in interaction.nodes.items()}
        return Streams(**blocks)

    @staticmethod
    def stages(aligned: Aligned, interacted: Streams) -> dict[str, dict[str, Tensor]]:
        """Features of every modality after the encoders, CMSA and CMGI."""
        return {"encoder": aligned.encoder, "cmsa": aligned.streams._asdict(), "cmgi": interacted._asdict()}

    def _check(self, batch: Batch) -> None:
        audio, visual = node_counts(batch, AUDIO), node_counts(batch, VISUAL)
        if audio != visual:
            raise ValueError(f"expected as many visual as audio nodes in every video, got {audio} audio and {visual} "
                             "visual nodes")
        unread = set(batch.edge_types) - set(RELATIONS)
        if unread:
            warnings.warn(f"the model does not read the edge types {sorted(unread)}; it reads {list(RELATIONS)}",
                          stacklevel=3)
        found, rows = node_counts(batch, TEXT), self.label_text.rows
        if set(found) != {rows}:
            raise ValueError(f"this model makes {rows} text rows per video, the batch has {sorted(set(found))} text "
                             f"nodes; build the data with text_nodes={rows} (model.text.slots=segments fixes the "
                             "number of segments, per_class takes any)")
