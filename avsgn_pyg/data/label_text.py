"""The label bank: class names as the encoders' text towers see them, and the npy files that hold them.

Letters: C event classes, da / dv feature widths.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from avsgn_pyg.data import h5
from avsgn_pyg.data.files import check_file
from avsgn_pyg.data.h5 import DataError


@dataclass(frozen=True)
class LabelText:
    """The class names as the encoders' text towers see them (Section 3.2).

    Attributes:
        audio: [C, da] from the audio encoder (CLAP in the paper).
        visual: [C, dv] from the image encoder (CLIP in the paper); DataError if C differs.
    """

    audio: Float[Tensor, "C da"]
    visual: Float[Tensor, "C dv"]

    def __post_init__(self) -> None:
        if len(self.audio) != len(self.visual):
            raise DataError(f"label text has {len(self.audio)} audio rows and {len(self.visual)} visual rows")


def width_mismatches(text: LabelText, audio: int, visual: int) -> Iterator[str]:
    """A sentence for each modality whose label text is not as wide as its features."""
    for modality, label, width in (("audio", text.audio, audio), ("visual", text.visual, visual)):
        if label.shape[-1] != width:
            came = f"label text is {label.shape[-1]} wide, features are {width}"
            yield f"{modality} {came}: both must come from the same encoder"


def read_label_text(path: str | Path) -> Float[Tensor, "C d"]:
    """One encoder's label text from an ``.npy`` file, as float32.

    Raises:
        DataError: no such file, not npy, not a finite float table [C, d].
    """
    path = Path(path)
    check_file(path)
    try:
        table = np.load(path, allow_pickle=False)
    except (OSError, ValueError, EOFError) as error:
        raise DataError(f"{path}: not a readable npy file ({error})") from None
    if not isinstance(table, np.ndarray) or table.ndim != 2 or table.dtype.kind != "f" or 0 in table.shape:
        came = f"{table.dtype} {list(table.shape)}" if isinstance(table, np.ndarray) else "an npz archive"
        raise DataError(f"{path}: label text is a float table [C, d]; got {came}")
    h5.refuse_infinite(path, "label text", table)
    return torch.from_numpy(table.astype(np.float32))
