"""From prepared pictures and sound to one vector a second: what extraction and prediction share.

Letters: V videos, T segments of one second, k frames a segment, d width.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from avsgn_pyg.features.encoder import AudioEncoder, FrameEncoder


def encode_seconds(
    frame_encoder: FrameEncoder,
    audio_encoder: AudioEncoder,
    frames: Tensor,
    samples: Float[Tensor, "V T 48000"],
) -> tuple[Float[Tensor, "V T da"], Float[Tensor, "V T dv"]]:
    """Audio and visual features of every second, each of unit length.

    Args:
        frames: [V T k ...] prepared pictures, video by video and second by second.
        samples: sound of the same seconds.

    Returns:
        Audio and visual features; a second's visual one is the mean of its frames', brought back to unit length.
    """
    videos, seconds = samples.shape[:2]
    each = frame_encoder.encode_frames(frames)
    visual = each.view(videos, seconds, len(each) // (videos * seconds), -1)
    return audio_encoder.encode_audio(samples), average(visual)


def average(frames: Float[Tensor, "V T k d"]) -> Float[Tensor, "V T d"]:
    """The mean over a second's frames at unit length; of one frame, that frame to the last bit."""
    return frames[:, :, 0] if frames.shape[2] == 1 else F.normalize(frames.mean(dim=2), dim=-1)


def finite(audio: Float[Tensor, "T da"], visual: Float[Tensor, "T dv"]) -> str | None:
    """Which encoder answered with NaN or infinity, as a sentence; ``None`` where none did."""
    for kind, values in (("audio", audio), ("visual", visual)):
        bad = ~torch.isfinite(values).all(-1)
        if bool(bad.any()):
            return f"the {kind} encoder answered with NaN or infinity in second {int(bad.nonzero()[0])}"
    return None
