"""Section 3.3: cross-modal semantic alignment (CMSA), Eq. 2-6.

As printed, attention queried by the (constant) label text cannot tell one second from another; adding the stream back
(`residual`) restores the order. See docs/paper_map.md, rows Eq. 2-3 and Eq. 4-6.

Shapes: B videos, T segments, R text rows, d width in, D width out.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from avsgn_pyg.model.attention import CrossAttention
from avsgn_pyg.model.window import block_offsets


class Streams(NamedTuple):
    """The three modalities of a batch; text has no batch axis while it is the same for every video."""

    audio: Float[Tensor, "B T w"]
    visual: Float[Tensor, "B T w"]
    text: Float[Tensor, "*B R w"]


class IntraAlignment(nn.Module):
    """Eq. 2 or 3: ``LN(V + Attn(T, V, V))``; without the residual ``Attn(T, V, V)`` as printed.

    With ``text_queries=False`` seconds query the labels, ``Attn(V, T, T)``: text and seconds may then differ in number.
    """

    def __init__(self, width: int, heads: int, *, residual: bool, text_queries: bool, dropout: float,
                 attention_dropout: float) -> None:
        super().__init__()
        self.attend = CrossAttention(width, heads, attention_dropout)
        self.dropout = nn.Dropout(dropout)
        self.norm = nn.LayerNorm(width) if residual else None
        self.text_queries = text_queries

    def forward(self, stream: Float[Tensor, "B T d"], text: Float[Tensor, "R d"]) -> Float[Tensor, "B T d"]:
        """The stream aligned with the label text."""
        attended = self.attend(text, stream) if self.text_queries else self.attend(stream, text)
        attended = self.dropout(attended)
        return attended if self.norm is None else self.norm(stream + attended)


class InterAlignment(nn.Module):
    """Eq. 4-6: ``ReLU(Linear_{2d -> D}([X + Attn(P, X, X); X + Attn(Q, X, X)]))`` for a stream X and partners P, Q.

    Without `residual` the two ``X +`` are omitted, as printed. `partner_queries`: for each partner, whether it queries
    the stream (as printed) or is queried by it, which allows text and seconds to differ in number. `window` limits the
    first partner's attention, in which stream and partner are both seconds.
    """

    def __init__(self, width: int, dim: int, heads: int, *, residual: bool, partner_queries: tuple[bool, bool],
                 dropout: float, attention_dropout: float, window: int | None = None) -> None:
        super().__init__()
        self.attend = nn.ModuleList(CrossAttention(width, heads, attention_dropout, reach) for reach in (window, None))
        self.dropout = nn.Dropout(dropout)
        self.bottleneck = nn.Linear(2 * width, dim)
        self.residual, self.partner_queries = residual, partner_queries

    def forward(self, stream: Tensor, partners: tuple[Tensor, Tensor], biases: tuple = (None, None),
                masks: tuple = (None, None)) -> Tensor:
        """`biases` are added to the scores of the two attentions; `masks` are False for keys that are padding."""
        parts = []
        for attend, partner, queries, bias, mask in zip(self.attend, partners, self.partner_queries, biases, masks,
                                                        strict=True):
            query, source = (partner, stream) if queries else (stream, partner)
            attended = self.dropout(attend(query, source, bias, mask))
            parts.append(stream + attended if self.residual else attended)
        return self.bottleneck(torch.cat(parts, dim=-1)).relu()


class NoAlignment(nn.Module):
    """An alignment that Table 2 switches off: a linear layer to width D and ReLU."""

    def __init__(self, width: int, dim: int) -> None:
        super().__init__()
        self.bottleneck = nn.Linear(width, dim)

    def forward(self, stream: Tensor, *_: object, **__: object) -> Tensor:
        """The stream alone, at width D."""
        return self.bottleneck(stream).relu()


class CMSA(nn.Module):
    """Pseudo intra-modal alignment, then inter-modal alignment.

    Args:
        width, dim: d of the input streams, D of the output streams.
        heads: number of heads of every attention.
        inter_heads: number of heads in Eq. 4-6; ``None``: `heads`. The paper names heads for Eq. 2-3 only.
        residual: where the stream is added back: ``both`` | ``intra`` | ``inter`` | ``none`` (as printed).
        intra_clip, intra_clap: Eq. 2 and 3; switched off, the stream passes unchanged.
        inter_visual, inter_audio, inter_text: Eq. 4, 5 and 6; switched off, :class:`NoAlignment`.
        text_queries: label text queries the seconds (as printed; needs as many text rows as seconds).
        dropout, attention_dropout: rates on attention outputs and streams, and on attention weights.
        window: largest distance in seconds at which audio and visual seconds attend to each other; ``None``: any.
    """

    def __init__(self, width: int, dim: int, *, heads: int = 4, inter_heads: int | None = None, residual: str = "both",
                 intra_clip: bool = True, intra_clap: bool = True, inter_visual: bool = True,
                 inter_audio: bool = True, inter_text: bool = True, text_queries: bool = True, dropout: float = 0.1,
                 attention_dropout: float = 0.1, window: int | None = None) -> None:
        super().__init__()
        rates = {"dropout": dropout, "attention_dropout": attention_dropout}

        def intra(on: bool) -> nn.Module | None:
            return IntraAlignment(width, heads, residual=residual in ("both", "intra"), text_queries=text_queries,
                                  **rates) if on else None

        def inter(on: bool, *partner_queries: bool, window: int | None = None) -> nn.Module:
            return InterAlignment(width, dim, inter_heads or heads, residual=residual in ("both", "inter"),
                                  window=window, partner_queries=partner_queries,
                                  **rates) if on else NoAlignment(width, dim)

        self.text_queries, self.window = text_queries, window
        self.intra_visual, self.intra_audio = intra(intra_clip), intra(intra_clap)
        self.inter_visual = inter(inter_visual, True, text_queries, window=window)
        self.inter_audio = inter(inter_audio, True, text_queries, window=window)
        self.inter_text = inter(inter_text, text_queries, text_queries)
        self.dropout = nn.Dropout(dropout)

    def offsets(self, segments: int, device: torch.device) -> Int[Tensor, "q k"]:
        """Seconds from each query to each key (audio and visual), in the layout of the attention scores."""
        if self.window is not None:
            return block_offsets(self.window, segments, device)
        second = torch.arange(segments, device=device)
        return second - second[:, None]

    def forward(self, streams: Streams, time_bias: Float[Tensor, "h q k"] | None = None,
                mask: Bool[Tensor, "B T"] | None = None) -> Streams:
        """[B, T, d], [B, T, d], [R, d] -> [B, T, D], [B, T, D], [B, R, D].

        Args:
            time_bias: added to the scores between audio and visual seconds, laid out as :meth:`offsets`.
            mask: False for padded seconds.

        Raises:
            ValueError: text rows are seconds (`text_queries`), and videos have another number of these.
        """
        audio, visual, text = streams
        if self.text_queries and (mask is not None or len(text) != audio.shape[1]):
            raise ValueError(f"text.slots=segments makes {len(text)} text rows, one per second, and needs videos of "
                             f"that length; got {'mixed lengths up to ' if mask is not None else ''}{audio.shape[1]} "
                             "seconds. Use model.text.slots=per_class, which takes any length")
        if self.intra_visual is not None:
            visual = self.intra_visual(visual, text)
        if self.intra_audio is not None:
            audio = self.intra_audio(audio, text)
        biases, masks = (time_bias, None), (mask, None)
        aligned_text = self.inter_text(text, (audio, visual), masks=(mask, mask))
        return Streams(audio=self.dropout(self.inter_audio(audio, (visual, text), biases, masks)),
                       visual=self.dropout(self.inter_visual(visual, (audio, text), biases, masks)),
                       text=self.dropout(aligned_text.expand(len(audio), *aligned_text.shape[-2:])))
