"""Section 3.3: cross-modal semantic alignment (CMSA), Eq. 2-6.

Attention alone is blind to time order here: label text is a constant, so row t of ``Attn(T, V, V)`` belongs to
label slot t and not to second t. The value residual (`residual`) is what puts the second back; ``none`` is
the printed form. See docs/paper_map.md, rows Eq. 2-3 and Eq. 4-6.

Letters: B videos, T segments, R text rows, d width in, D width out.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor, nn

from avsgn_pyg.model.attention import CrossAttention


class Streams(NamedTuple):
    """The three modalities of a batch; text may lack the batch axis while it is the same for every video."""

    audio: Float[Tensor, "B T w"]
    visual: Float[Tensor, "B T w"]
    text: Float[Tensor, "*B R w"]


class IntraAlignment(nn.Module):
    """Eq. 2 or 3: ``LN(V + Attn(T, V, V))``; without the residual ``Attn(T, V, V)`` as printed.

    ``text_asks=False`` is for one text row a class, where T and V differ in length: the segments then ask
    the labels, ``Attn(V, T, T)``, and every answer stays on its own second.
    """

    def __init__(self, width: int, heads: int, *, residual: bool, text_asks: bool, dropout: float,
                 attention_dropout: float) -> None:
        super().__init__()
        self.attend = CrossAttention(width, heads, attention_dropout)
        self.dropout = nn.Dropout(dropout)
        self.norm = nn.LayerNorm(width) if residual else None
        self.text_asks = text_asks

    def forward(self, stream: Float[Tensor, "B T d"], text: Float[Tensor, "R d"]) -> Float[Tensor, "B T d"]:
        answer = self.dropout(self.attend(text, stream) if self.text_asks else self.attend(stream, text))
        return answer if self.norm is None else self.norm(stream + answer)


class InterAlignment(nn.Module):
    """Eq. 4, 5 or 6: two partners ask one stream; their answers side by side pass the bottleneck ``Phi``.

    ``F = ReLU(Linear_{2d -> D}([X + Attn(P, X, X); X + Attn(Q, X, X)]))`` for the stream X and its partners
    P, Q; without the residual the two ``X +`` fall away. `asks` says for each partner whether it asks (as
    printed) or is asked: between text and seconds of different number the stream asks instead.
    """

    def __init__(self, width: int, dim: int, heads: int, *, residual: bool, asks: tuple[bool, bool],
                 dropout: float, attention_dropout: float) -> None:
        super().__init__()
        self.attend = nn.ModuleList(CrossAttention(width, heads, attention_dropout) for _ in range(2))
        self.dropout = nn.Dropout(dropout)
        self.bottleneck = nn.Linear(2 * width, dim)
        self.residual, self.asks = residual, asks

    def forward(self, stream: Tensor, partners: tuple[Tensor, Tensor], biases: tuple = (None, None)) -> Tensor:
        answers = [
            self.dropout(attend(partner, stream, bias) if asks else attend(stream, partner, bias))
            for attend, partner, asks, bias in zip(self.attend, partners, self.asks, biases, strict=True)
        ]
        if self.residual:
            answers = [stream + answer for answer in answers]
        return self.bottleneck(torch.cat(answers, dim=-1)).relu()


class PlainBottleneck(nn.Module):
    """A switched-off alignment: the stream reaches width D by a linear layer and ReLU alone."""

    def __init__(self, width: int, dim: int) -> None:
        super().__init__()
        self.bottleneck = nn.Linear(width, dim)

    def forward(self, stream: Tensor, partners: tuple[Tensor, Tensor], biases: tuple = (None, None)) -> Tensor:
        return self.bottleneck(stream).relu()


class CMSA(nn.Module):
    """Pseudo intra-modal alignment, then inter-modal alignment (Table 2's five switches).

    Args:
        width: d of the streams that come in.
        dim: D of the streams that go out.
        heads: attention heads.
        residual: where the value is added back: ``both`` | ``intra`` | ``inter`` | ``none`` (as printed).
        intra_clip, intra_clap: Eq. 2 and 3; switched off, the stream passes unchanged.
        inter_visual, inter_audio, inter_text: Eq. 4, 5 and 6; switched off, a linear layer and ReLU.
        text_asks: label text queries the seconds (as printed; needs as many text rows as seconds).
        dropout, attention_dropout: rates on answers and streams, and on attention weights.
    """

    def __init__(self, width: int, dim: int, *, heads: int = 4, residual: str = "both", intra_clip: bool = True,
                 intra_clap: bool = True, inter_visual: bool = True, inter_audio: bool = True,
                 inter_text: bool = True, text_asks: bool = True, dropout: float = 0.1,
                 attention_dropout: float = 0.1) -> None:
        super().__init__()
        rates = {"dropout": dropout, "attention_dropout": attention_dropout}
        intra = {"residual": residual in ("both", "intra"), "text_asks": text_asks, **rates}
        self.intra_visual = IntraAlignment(width, heads, **intra) if intra_clip else None
        self.intra_audio = IntraAlignment(width, heads, **intra) if intra_clap else None

        def align(on: bool, *asks: bool) -> nn.Module:
            if not on:
                return PlainBottleneck(width, dim)
            return InterAlignment(width, dim, heads, residual=residual in ("both", "inter"), asks=asks, **rates)

        self.inter_visual = align(inter_visual, True, text_asks)
        self.inter_audio = align(inter_audio, True, text_asks)
        self.inter_text = align(inter_text, text_asks, text_asks)
        self.dropout = nn.Dropout(dropout)

    def forward(self, streams: Streams, time_bias: Tensor | None = None) -> Streams:
        """[B, T, d] audio and visual, [R, d] text -> [B, T, D], [B, T, D], [B, R, D].

        `time_bias` [h, T, T], if any, is added to the scores between audio and visual seconds.
        """
        audio, visual, text = streams
        if self.intra_visual is not None:
            visual = self.intra_visual(visual, text)
        if self.intra_audio is not None:
            audio = self.intra_audio(audio, text)
        between = (time_bias, None)
        aligned_text = self.inter_text(text, (audio, visual))
        return Streams(
            audio=self.dropout(self.inter_audio(audio, (visual, text), between)),
            visual=self.dropout(self.inter_visual(visual, (audio, text), between)),
            text=self.dropout(aligned_text.expand(len(audio), *aligned_text.shape[-2:])),
        )
