"""The same extraction on a Ray cluster: tasks read, actors encode. Ray is an optional extra, loaded here alone."""

from __future__ import annotations

import importlib.util
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from avsgn_pyg.features.encoder import EncoderChoice, make_audio_encoder, make_frame_encoder
from avsgn_pyg.features.extraction.decode import Decoded, Preparation, Reader
from avsgn_pyg.features.extraction.engine import Outcome, encode_group, group_size
from avsgn_pyg.features.extraction.jobs import ExtractionError, Failed, Marks, Video
from avsgn_pyg.features.extraction.parts import Encoded


class RayEngine:
    """Reads in tasks and encodes in actors, as :class:`avsgn_pyg.features.extraction.engine.Engine` asks.

    The videos must lie at the same path on every machine; what is finished is written by the one that started this.

    Args:
        visual, audio: encoders, made anew in each actor.
        preparation: of the frame encoder that `visual` names.
        actors: how many encode at once; each takes a GPU where the cluster has any and `device` is not the CPU.

    Raises:
        ExtractionError: Ray is not installed, no actor, or more actors than the cluster has GPUs.
    """

    def __init__(
        self, visual: EncoderChoice, audio: EncoderChoice, preparation: Preparation, *, segments: int,
        frames_per_segment: int, device: str = "auto", precision: str = "fp32", batch_size: int = 64, actors: int = 1,
    ) -> None:
        if importlib.util.find_spec("ray") is None:
            raise ExtractionError(
                'engine=ray needs Ray: pip install "ray[data]>=2.40" "pyarrow<26", or share the work with --shard'
            )
        if actors < 1:
            raise ExtractionError(f"actors={actors}: one at least encodes")
        self.reader = Reader(segments, frames_per_segment, preparation)
        self.placement = {"device": device, "precision": precision, "batch_size": batch_size}
        self.choices, self.actors = (visual, audio), actors
        self.group = group_size(batch_size, segments * frames_per_segment)

    def run(self, videos: Sequence[Video]) -> Iterator[Outcome]:
        """One outcome for each video, in any order; a cluster is joined, or one started on this machine."""
        import ray

        started = not ray.is_initialized()
        if started:
            ray.init(log_to_driver=False, include_dashboard=False)
        try:
            rows = [{"id": v.id, "path": str(v.path), "rows": list(v.rows), "size": v.size} for v in videos]
            # Another share of a core than the actors', for else Ray fuses the two and each actor reads for itself.
            read = ray.data.from_items(rows).map(_Read(self.reader), num_cpus=0.5)
            gpus = self._gpus(ray.cluster_resources())
            done = read.map_batches(
                _Encode, fn_constructor_args=(self.choices, self.placement), batch_size=self.group,
                concurrency=self.actors, **gpus,
            )
            there = {video.id: video for video in videos}
            for row in done.iter_rows():
                yield _outcome(there[row["id"]], row)
        finally:
            if started:
                ray.shutdown()

    def _gpus(self, resources: Mapping[str, float]) -> dict[str, int]:
        """What an actor asks for; the machine that starts this need not have a GPU itself."""
        there, device = int(resources.get("GPU", 0)), self.placement["device"]
        if not device.startswith("cuda") and (device != "auto" or not there):
            return {}
        if there < self.actors:
            raise ExtractionError(f"device={device}, actors={self.actors}: each takes a GPU, the cluster has {there}")
        return {"num_gpus": 1}


class _Read:
    """A row of the plan to a row of plain arrays, whatever became of it."""

    def __init__(self, reader: Reader) -> None:
        self.reader = reader

    def __call__(self, row: Mapping[str, Any]) -> dict[str, Any]:
        video = Video(row["id"], Path(row["path"]), tuple(row["rows"]), row["size"])
        result = self.reader(video)
        if isinstance(result, Failed):
            empty = np.zeros(0, np.float32)
            return {"id": video.id, "reason": result.reason, "passing": result.passing, "frames": empty,
                    "samples": empty, "marks": [0, 0, 0]}
        frames, samples, marks = result.frames.numpy(), result.samples.numpy(), [int(mark) for mark in result.marks]
        return {"id": video.id, "reason": "", "passing": False, "frames": frames, "samples": samples, "marks": marks}


class _Encode:
    """Encodes the rows of a batch together, and passes failures on."""

    def __init__(self, choices: tuple[EncoderChoice, EncoderChoice], placement: Mapping[str, Any]) -> None:
        visual, audio = choices
        self.encoders = make_frame_encoder(visual, **placement), make_audio_encoder(audio, **placement)

    def __call__(self, batch: Mapping[str, Any]) -> dict[str, Any]:
        rows = [dict(zip(batch, values, strict=True)) for values in zip(*batch.values(), strict=True)]
        group = [
            Decoded(Video(str(row["id"]), Path()), *(torch.tensor(row[key]) for key in ("frames", "samples")),
                    _marks(row["marks"]))
            for row in rows if not row["reason"]
        ]
        outcome = encode_group(*self.encoders, group)
        reasons = {failed.id: failed.reason for failed in outcome.failed}
        empty = torch.zeros(0, 0)
        found = [outcome.finished.get(str(row["id"]), Encoded(empty, empty, Marks(), 0)) for row in rows]
        return {
            "id": [str(row["id"]) for row in rows],
            "reason": [reasons.get(str(row["id"]), str(row["reason"])) for row in rows],
            "passing": [bool(row["passing"]) for row in rows],
            "marks": [[int(mark) for mark in each.marks] for each in found],
            "audio": [each.audio.flatten().tolist() for each in found],
            "visual": [each.visual.flatten().tolist() for each in found],
            "segments": [len(each.audio) for each in found],
        }


def _outcome(video: Video, row: Mapping[str, Any]) -> Outcome:
    if row["reason"]:
        return Outcome({}, [Failed(video.id, video.rows, row["reason"], bool(row["passing"]))])
    flat = (torch.tensor(row[key], dtype=torch.float32) for key in ("audio", "visual"))
    audio, visual = (values.view(row["segments"], -1) for values in flat)
    return Outcome({video.id: Encoded(audio, visual, _marks(row["marks"]), video.size)}, [])


def _marks(values: Sequence[int]) -> Marks:
    unheard, unseen, breaks_off = map(int, values)
    return Marks(unheard, unseen, bool(breaks_off))
