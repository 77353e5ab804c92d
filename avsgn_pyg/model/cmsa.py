"""Section 3.3: cross-modal semantic alignment (CMSA), Eq. 2-6.

Attention alone is blind to time order here: label text is a constant, so row t of ``Attn(T, V, V)`` belongs to
label slot t and not to second t. The value residual (`residual`) is what puts the second back; ``none`` is
the printed form. See docs/paper_map.md, rows Eq. 2-3 and Eq. 4-6.

Letters: B videos, T segments, R text rows, d width in, D width out.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from avsgn_pyg.dropout import Dropout
from avsgn_pyg.model.attention import CrossAttention
from avsgn_pyg.model.window import LEAST, block_offsets

#: [T, T] matrices a head, video and alignment that training holds where dropout is drawn on the weights or scores have
#: a bias to be learned: scores, weights, what dropout keeps of them, gradients. Else none is held at all.
COPIES = 4


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
        self.dropout = Dropout(dropout)
        self.norm = nn.LayerNorm(width) if residual else None
        self.text_asks = text_asks

    def forward(self, stream: Float[Tensor, "B T d"], text: Float[Tensor, "R d"],
                real: Bool[Tensor, "B T"] | None = None) -> Float[Tensor, "B T d"]:
        heard = self.attend(text, stream, real=real) if self.text_asks else self.attend(stream, text)
        answer = self.dropout(heard)
        return answer if self.norm is None else self.norm(stream + answer)


class InterAlignment(nn.Module):
    """Eq. 4, 5 or 6: two partners ask one stream; their answers side by side pass the bottleneck ``Phi``.

    ``F = ReLU(Linear_{2d -> D}([X + Attn(P, X, X); X + Attn(Q, X, X)]))`` for the stream X and its partners
    P, Q; without the residual the two ``X +`` fall away. `asks` says for each partner whether it asks (as
    printed) or is asked: between text and seconds of different number the stream asks instead. `window` is how far
    the first partner hears, where stream and partner are both seconds.
    """

    def __init__(self, width: int, dim: int, heads: int, *, residual: bool, asks: tuple[bool, bool],
                 dropout: float, attention_dropout: float, window: int | None = None) -> None:
        super().__init__()
        self.attend = nn.ModuleList(CrossAttention(width, heads, attention_dropout, reach) for reach in (window, None))
        self.dropout = Dropout(dropout)
        self.bottleneck = nn.Linear(2 * width, dim)
        self.residual, self.asks = residual, asks

    def forward(self, stream: Tensor, partners: tuple[Tensor, Tensor], biases: tuple = (None, None),
                reals: tuple = (None, None)) -> Tensor:
        """`biases` are added to scores; `reals` say which rows of the one that is asked are no filling."""
        answers = [
            self.dropout(attend(partner, stream, bias, real) if asks else attend(stream, partner, bias, real))
            for attend, partner, asks, bias, real in zip(self.attend, partners, self.asks, biases, reals, strict=True)
        ]
        if self.residual:
            answers = [stream + answer for answer in answers]
        return self.bottleneck(torch.cat(answers, dim=-1)).relu()


class PlainBottleneck(nn.Module):
    """A switched-off alignment: the stream reaches width D by a linear layer and ReLU alone."""

    def __init__(self, width: int, dim: int) -> None:
        super().__init__()
        self.bottleneck = nn.Linear(width, dim)

    def forward(self, stream: Tensor, partners: tuple[Tensor, Tensor], biases: tuple = (None, None),
                reals: tuple = (None, None)) -> Tensor:
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
        window: audio and visual seconds hear each other only so many seconds away; ``None``: over the whole video.
    """

    def __init__(self, width: int, dim: int, *, heads: int = 4, residual: str = "both", intra_clip: bool = True,
                 intra_clap: bool = True, inter_visual: bool = True, inter_audio: bool = True,
                 inter_text: bool = True, text_asks: bool = True, dropout: float = 0.1,
                 attention_dropout: float = 0.1, window: int | None = None) -> None:
        super().__init__()
        rates = {"dropout": dropout, "attention_dropout": attention_dropout}
        intra = {"residual": residual in ("both", "intra"), "text_asks": text_asks, **rates}
        self.intra_visual = IntraAlignment(width, heads, **intra) if intra_clip else None
        self.intra_audio = IntraAlignment(width, heads, **intra) if intra_clap else None

        def align(on: bool, *asks: bool, window: int | None = None) -> nn.Module:
            if not on:
                return PlainBottleneck(width, dim)
            return InterAlignment(width, dim, heads, residual=residual in ("both", "inter"), asks=asks, window=window,
                                  **rates)

        self.text_asks, self.window = text_asks, window
        self.inter_visual = align(inter_visual, True, text_asks, window=window)
        self.inter_audio = align(inter_audio, True, text_asks, window=window)
        self.inter_text = align(inter_text, text_asks, text_asks)
        self.dropout = Dropout(dropout)

    def offsets(self, segments: int, device: torch.device) -> Int[Tensor, "q k"]:
        """How many seconds after its query each key stands, laid out as the scores between audio and visual are."""
        if self.window is not None:
            return block_offsets(self.window, segments, device)
        second = torch.arange(segments, device=device)
        return second - second[:, None]

    def numbers(self, videos: int, segments: int, *, timed: bool) -> float:
        """How many numbers attention between audio and visual seconds holds at least, for all of the pass.

        Args:
            timed: scores get a bias by distance.
        """
        heads = [module.attend[0] for module in (self.inter_visual, self.inter_audio)
                 if isinstance(module, InterAlignment)]
        reach = segments if self.window is None else min(3 * max(self.window, LEAST), segments)
        learns = torch.is_grad_enabled()
        held = sum(attend.heads * (COPIES * learns if timed or (attend.dropout and attend.training) else 0)
                   for attend in heads)
        bias = heads[0].heads * timed * (1 + learns) if heads else 0
        return float(segments * reach * (videos * held + bias))

    def forward(self, streams: Streams, time_bias: Tensor | None = None,
                real: Bool[Tensor, "B T"] | None = None) -> Streams:
        """[B, T, d] audio and visual, [R, d] text -> [B, T, D], [B, T, D], [B, R, D].

        Args:
            time_bias: added to the scores between audio and visual seconds, [h, *] over :meth:`offsets`.
            real: False where a second only fills a shorter video up; nobody hears it.

        Raises:
            ValueError: text asks, so that its rows are the seconds, and videos have another number of these.
        """
        audio, visual, text = streams
        if self.text_asks and (real is not None or len(text) != audio.shape[1]):
            lengths = "of mixed length" if real is not None else f"of {audio.shape[1]} segments"
            raise ValueError(f"text.slots=segments makes one text row a second, {len(text)} of them, but videos came "
                             f"{lengths}; use model.text.slots=per_class, which takes any number")
        if self.intra_visual is not None:
            visual = self.intra_visual(visual, text, real)
        if self.intra_audio is not None:
            audio = self.intra_audio(audio, text, real)
        between, asked = (time_bias, None), (real, real if self.text_asks else None)
        aligned_text = self.inter_text(text, (audio, visual), reals=(real, real))
        return Streams(
            audio=self.dropout(self.inter_audio(audio, (visual, text), between, asked)),
            visual=self.dropout(self.inter_visual(visual, (audio, text), between, asked)),
            text=self.dropout(aligned_text.expand(len(audio), *aligned_text.shape[-2:])),
        )
