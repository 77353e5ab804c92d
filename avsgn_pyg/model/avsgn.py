"""AVSGN, Section 3 and Fig. 2 of the paper: align (CMSA), interact (CMGI), localize.

    HeteroData batch -> align -> Streams -> interact -> Interaction -> localize -> Localization

Letters: B videos, T segments, R text rows (T, or 2C with one row a class), C classes, d width of CMSA, D hidden width.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from jaxtyping import Bool
from torch import Tensor, nn
from torch_geometric.data import HeteroData

from avsgn_pyg.graph.schema import AUDIO, TEXT, VISUAL
from avsgn_pyg.graph.views import padded_view
from avsgn_pyg.localization import Localization
from avsgn_pyg.model.cmgi import CMGI, Interaction
from avsgn_pyg.model.cmsa import CMSA, Streams
from avsgn_pyg.model.inputs import LabelText
from avsgn_pyg.model.time import RelativeTime


class Aligned(NamedTuple):
    """The encoders' own features beside CMSA's answer; `mask` tells seconds from filling, ``None`` without any."""

    encoder: dict[str, Tensor]
    streams: Streams
    mask: Bool[Tensor, "B T"] | None


class AVSGN(nn.Module):
    """The network; its parts are passed in, made by :func:`avsgn_pyg.zoo.build_model`.

    Args:
        adapt_audio, adapt_visual: encoder features [*, d_a] or [*, d_v] -> [*, d].
        label_text: the label bank and its projection to R text rows.
        time_audio, time_visual: time encodings, [B, T, d] -> [B, T, d].
        cmsa, cmgi, head: Sections 3.3, 3.4 and 3.5; the head is a :class:`~avsgn_pyg.model.head.LocalizationHead`.
        cmsa_time: scores between audio and visual seconds by their distance, or ``None``.
    """

    def __init__(self, *, adapt_audio: nn.Module, adapt_visual: nn.Module, label_text: LabelText,
                 time_audio: nn.Module, time_visual: nn.Module, cmsa: CMSA, cmgi: CMGI, head: nn.Module,
                 cmsa_time: RelativeTime | None = None) -> None:
        super().__init__()
        self.adapt_audio, self.adapt_visual = adapt_audio, adapt_visual
        self.label_text = label_text
        self.time_audio, self.time_visual = time_audio, time_visual
        self.cmsa, self.cmgi, self.head = cmsa, cmgi, head
        self.cmsa_time = cmsa_time

    def forward(self, batch: HeteroData) -> Localization:
        """One answer for every video of a batch made by :mod:`avsgn_pyg.graph.build`.

        Raises:
            ValueError: the batch's videos have another number of text nodes than this model makes, differ in length
                where text rows are seconds, or are too long for complete graphs.
        """
        aligned = self.align(batch)
        interaction = self.interact(aligned.streams, aligned.mask)
        return self.localize(aligned, interaction)

    def align(self, batch: HeteroData) -> Aligned:
        """Sections 3.2 and 3.3: features and label text -> three streams of width D."""
        (audio, mask), (visual, seen) = padded_view(batch, AUDIO), padded_view(batch, VISUAL)
        self._check(batch, audio, visual, mask, seen)
        text = self.label_text(self.adapt_visual, self.adapt_audio)
        streams = Streams(audio=self.time_audio(self.adapt_audio(audio)),
                          visual=self.time_visual(self.adapt_visual(visual)), text=text)
        between = None
        if self.cmsa_time is not None:
            between = self.cmsa_time.at(self.cmsa.offsets(audio.shape[1], audio.device))
        return Aligned({AUDIO: audio, VISUAL: visual}, self.cmsa(streams, between, mask), mask)

    def interact(self, streams: Streams, mask: Bool[Tensor, "B T"] | None = None) -> Interaction:
        """Section 3.4: messages along the three subgraphs."""
        return self.cmgi(streams, mask)

    def localize(self, aligned: Aligned, interaction: Interaction) -> Localization:
        """Section 3.5: gates, class and relevance; and every stage a reader may want to see."""
        found = self.head(interaction.audio, interaction.visual, aligned.mask)
        stages = {"encoder": aligned.encoder, "cmsa": aligned.streams._asdict(),
                  "cmgi": {AUDIO: interaction.audio, VISUAL: interaction.visual, TEXT: interaction.text}}
        return Localization(**found._asdict(), adjacency=interaction.adjacency, stages=stages,
                            mask=aligned.mask)

    def _check(self, batch: HeteroData, audio: Tensor, visual: Tensor, mask: Tensor | None,
               seen: Tensor | None) -> None:
        """Refuse what the equations cannot take, and what memory cannot, before any of it is made."""
        videos, segments, _ = audio.shape
        same = torch.equal(mask, seen) if mask is not None and seen is not None else mask is seen
        if visual.shape[:2] != audio.shape[:2] or not same:
            raise ValueError(f"audio and visual nodes are the same seconds, but {tuple(audio.shape[:2])} and "
                             f"{tuple(visual.shape[:2])} came, or videos that differ in one of them alone")
        came = batch[TEXT].num_nodes
        if came != videos * self.label_text.rows:
            raise ValueError(
                f"the batch has {came / videos:g} text nodes a video, this model makes {self.label_text.rows}; "
                f"build the data with text_nodes={self.label_text.rows} (text_slots: segments fixes the number of "
                "segments, per_class takes any)")
        beside = self.cmsa.numbers(videos, segments, timed=self.cmsa_time is not None)
        self.cmgi.check_size(videos, segments, self.label_text.rows, audio.element_size(), beside, audio.device.type)
