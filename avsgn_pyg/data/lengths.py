"""How many seconds each video has where not all have as many: filled up in memory, end to end in a file.

Letters: N videos, T seconds of the longest, S seconds of all together, d width.
"""

from __future__ import annotations

from jaxtyping import Float, Int
from torch import Tensor

from avsgn_pyg.data.h5 import DataError
from avsgn_pyg.graph.views import length_mask


def checked_lengths(lengths: Tensor, videos: int, segments: int) -> Int[Tensor, "N"] | None:
    """The lengths of N videos that were filled up to T, on the CPU; ``None`` where nothing was filled.

    Raises:
        DataError: not one a video, or one that is not from 1 to T.
    """
    if lengths.shape != (videos,) or not bool(((lengths >= 1) & (lengths <= segments)).all()):
        ends = f" from {int(lengths.min())} to {int(lengths.max())}" if lengths.numel() else ""
        raise DataError(f"lengths must be [{videos}], one a video, from 1 to {segments} seconds; got "
                        f"{list(lengths.shape)}{ends}")
    return None if bool((lengths == segments).all()) else lengths.long().cpu()


def end_to_end(filled: Float[Tensor, "N T d"], lengths: Int[Tensor, "N"]) -> Float[Tensor, "S d"]:
    """The videos' own seconds, one video after the other."""
    return filled[length_mask(lengths, filled.shape[1]).to(filled.device)]


def filled_up(seconds: Float[Tensor, "S d"], lengths: Int[Tensor, "N"]) -> Float[Tensor, "N T d"]:
    """The other way: every video as long as the longest, zeros after its end.

    Raises:
        DataError: no video, one without a second, or another number of seconds than they have together.
    """
    if lengths.ndim != 1 or not len(lengths) or int(lengths.min()) < 1:
        least = f", the least {int(lengths.min())}" if lengths.numel() else ""
        raise DataError(f"lengths must be one a video, each a second or more; got {list(lengths.shape)}{least}")
    if seconds.ndim != 2 or len(seconds) != int(lengths.sum()):
        raise DataError(f"videos of {int(lengths.sum())} seconds together need features of as many, [seconds, width]; "
                        f"got {list(seconds.shape)}")
    filled = seconds.new_zeros(len(lengths), int(lengths.max()), seconds.shape[1])
    filled[length_mask(lengths, filled.shape[1])] = seconds
    return filled


def told(span: tuple[int, int]) -> str:
    """Lengths from shortest to longest, in words."""
    return f"{span[0]}" if span[0] == span[1] else f"{span[0]} to {span[1]}"
