"""The published checkpoints of CLAP, and the one that is meant; needs none of its libraries."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from avsgn_pyg.features.compute import EncoderError
from avsgn_pyg.features.weights import hub_file, looks_like_a_file

REPOSITORY: Final = "lukewys/laion_clap"
#: Published checkpoints, each with the model and the fusion that it was trained as; the first of a pair is its default.
PUBLISHED: Final = {
    "630k-audioset-best": ("HTSAT-tiny", False),
    "630k-best": ("HTSAT-tiny", False),
    "630k-audioset-fusion-best": ("HTSAT-tiny", True),
    "630k-fusion-best": ("HTSAT-tiny", True),
    "music_speech_audioset_epoch_15_esc_89.98": ("HTSAT-base", False),
    "music_audioset_epoch_15_esc_90.14": ("HTSAT-base", False),
    "music_speech_epoch_15_esc_89.25": ("HTSAT-base", False),
}


def find_weights(model: str, fused: bool, weights: str, download: bool) -> Path:
    """The checkpoint that is meant; EncoderError says what to download and where to put it."""
    if weights not in PUBLISHED:
        if looks_like_a_file(weights):
            return Path(weights)
        raise EncoderError(f"clap has no weights {weights!r}: give weights=FILE or one of {', '.join(PUBLISHED)}")
    if PUBLISHED[weights] != (model, fused):
        trained, fusion = PUBLISHED[weights]
        raise EncoderError(f"clap weights {weights} are of model={trained} fused={str(fusion).lower()}, "
                           f"not of model={model} fused={str(fused).lower()}")
    path = hub_file(REPOSITORY, [f"{weights}.pt"], download=download)
    if path is None:
        raise EncoderError(
            f"clap weights {weights} are not on this machine; fetch them with download=true, or save "
            f"https://huggingface.co/{REPOSITORY}/resolve/main/{weights}.pt and give weights=FILE"
        )
    return path
