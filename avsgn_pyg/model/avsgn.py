"""AVSGN, Section 3 and Fig. 2 of the paper: align (CMSA), interact (CMGI), localize.

    HeteroData batch -> align -> Streams -> interact -> Interaction -> localize -> Localization

Letters: B videos, T segments, R text rows (T, or 2C with one row a class), C classes, d width of CMSA, D hidden width.
"""

from __future__ import annotations

from typing import NamedTuple

from torch import Tensor, nn
from torch_geometric.data import HeteroData

from avsgn_pyg.graph.schema import AUDIO, TEXT, VISUAL
from avsgn_pyg.graph.views import dense_view
from avsgn_pyg.localization import Localization
from avsgn_pyg.model.cmgi import CMGI, Interaction
from avsgn_pyg.model.cmsa import CMSA, Streams
from avsgn_pyg.model.head import LocalizationHead
from avsgn_pyg.model.inputs import LabelText


class Aligned(NamedTuple):
    """The encoders' own features beside CMSA's answer."""

    encoder: dict[str, Tensor]
    streams: Streams


class AVSGN(nn.Module):
    """The network; its parts are passed in, made by :func:`avsgn_pyg.zoo.build_model`.

    Args:
        adapt_audio, adapt_visual: encoder features [*, d_a] or [*, d_v] -> [*, d].
        label_text: the label bank and its projection to R text rows.
        time_audio, time_visual: time encodings, [B, T, d] -> [B, T, d].
        cmsa, cmgi, head: Sections 3.3, 3.4 and 3.5.
        cmsa_time: T -> [h, T, T] scores between audio and visual seconds, or ``None``.
    """

    def __init__(self, *, adapt_audio: nn.Module, adapt_visual: nn.Module, label_text: LabelText,
                 time_audio: nn.Module, time_visual: nn.Module, cmsa: CMSA, cmgi: CMGI, head: LocalizationHead,
                 cmsa_time: nn.Module | None = None) -> None:
        super().__init__()
        self.adapt_audio, self.adapt_visual = adapt_audio, adapt_visual
        self.label_text = label_text
        self.time_audio, self.time_visual = time_audio, time_visual
        self.cmsa, self.cmgi, self.head = cmsa, cmgi, head
        self.cmsa_time = cmsa_time

    def forward(self, batch: HeteroData) -> Localization:
        """One answer for every video of a batch made by :mod:`avsgn_pyg.graph.build`.

        Raises:
            ValueError: if the batch's videos have another number of text nodes than this model makes.
        """
        aligned = self.align(batch)
        interaction = self.interact(aligned.streams)
        return self.localize(aligned, interaction)

    def align(self, batch: HeteroData) -> Aligned:
        """Sections 3.2 and 3.3: features and label text -> three streams of width D."""
        audio, visual = dense_view(batch, AUDIO), dense_view(batch, VISUAL)
        self._check_text_nodes(batch, len(audio))
        text = self.label_text(self.adapt_visual, self.adapt_audio)
        streams = Streams(audio=self.time_audio(self.adapt_audio(audio)),
                          visual=self.time_visual(self.adapt_visual(visual)), text=text)
        between = None if self.cmsa_time is None else self.cmsa_time(audio.shape[1])
        return Aligned({AUDIO: audio, VISUAL: visual}, self.cmsa(streams, between))

    def interact(self, streams: Streams) -> Interaction:
        """Section 3.4: messages along the three subgraphs."""
        return self.cmgi(streams)

    def localize(self, aligned: Aligned, interaction: Interaction) -> Localization:
        """Section 3.5: gates, class and relevance; and every stage a reader may want to see."""
        found = self.head(interaction.audio, interaction.visual)
        stages = {"encoder": aligned.encoder, "cmsa": aligned.streams._asdict(),
                  "cmgi": {AUDIO: interaction.audio, VISUAL: interaction.visual, TEXT: interaction.text}}
        return Localization(**found._asdict(), adjacency=interaction.adjacency, stages=stages)

    def _check_text_nodes(self, batch: HeteroData, videos: int) -> None:
        came = batch[TEXT].num_nodes
        if came != videos * self.label_text.rows:
            raise ValueError(
                f"the batch has {came / videos:g} text nodes a video, this model makes {self.label_text.rows}; "
                f"build the data with text_nodes={self.label_text.rows} (text_slots: segments fixes the number of "
                "segments, per_class takes any)")
