"""Extraction on a Ray cluster: tasks decode, actors encode. Ray is an optional extra, imported here alone."""

from __future__ import annotations

import importlib.util
import pickle
from collections.abc import Generator, Mapping, Sequence
from typing import Any

from avsgn_pyg.common.errors import ExtractionError
from avsgn_pyg.features.encode import WindowEncoder
from avsgn_pyg.features.encoder import EncoderChoice, make_audio_encoder, make_frame_encoder
from avsgn_pyg.features.extraction.engine import Results, encode_videos, make_pool, videos_per_batch
from avsgn_pyg.features.extraction.read import Reader
from avsgn_pyg.features.extraction.videos import Video


class RayEngine:
    """Decodes in tasks and encodes in actors.

    The videos must have the same path on every machine; the process that starts it writes what is finished.

    Args:
        choices: the frame encoder and the audio encoder, made anew in each actor.
        placement: `device`, `precision` and `batch_size` of the encoders.
        reader: decodes a video.
        actors: how many encode at once; each takes a GPU if the cluster has any and `device` is not the CPU.

    Raises:
        ExtractionError: Ray is not installed, no actor, or more actors than the cluster has GPUs.
    """

    def __init__(
        self, choices: tuple[EncoderChoice, EncoderChoice], placement: Mapping[str, Any], reader: Reader,
        actors: int = 1,
    ) -> None:
        if importlib.util.find_spec("ray") is None:
            raise ExtractionError(
                'engine=ray needs Ray: pip install "ray[data]>=2.40" "pyarrow<26", or share the work with --shard'
            )
        if actors < 1:
            raise ExtractionError(f"actors={actors}: must be 1 or more")
        self.choices, self.placement, self.reader, self.actors = choices, placement, reader, actors

    def run(self, videos: Sequence[Video]) -> Generator[Results, None, None]:
        """Yield the results of one video at a time; joins a running cluster, or starts one on this machine."""
        import ray

        started = not ray.is_initialized()
        if started:
            ray.init(log_to_driver=False, include_dashboard=False)
        try:
            rows = [{"value": pickle.dumps(video)} for video in videos]
            # With the CPU share of the actors, Ray would fuse the two steps, and each actor would read by itself.
            size = videos_per_batch(self.placement["batch_size"], self.reader)
            decoded = ray.data.from_items(rows).map_batches(_Read(self.reader), num_cpus=0.5, batch_size=size)
            encoded = decoded.map_batches(
                _Encode, fn_constructor_args=(self.choices, self.placement, self.reader.rate), concurrency=self.actors,
                batch_size=size, **gpus_of_actor(self.placement["device"], self.actors, ray.cluster_resources()),
            )
            for row in encoded.iter_rows():
                yield dict([pickle.loads(row["value"])])
        finally:
            if started:
                ray.shutdown()


def gpus_of_actor(device: str, actors: int, resources: Mapping[str, float]) -> dict[str, int]:
    """Return what an actor requests; the machine that starts the extraction need not have a GPU."""
    gpus = int(resources.get("GPU", 0))
    if not device.startswith("cuda") and (device != "auto" or not gpus):
        return {}
    if gpus < actors:
        raise ExtractionError(f"device={device}, actors={actors}: each takes a GPU, the cluster has {gpus}")
    return {"num_gpus": 1}


class _Read:
    """Decodes videos in a separate process, because a file may crash it; rows are pickled, which keeps every type."""

    def __init__(self, reader: Reader) -> None:
        self.reader = reader

    def __call__(self, batch: Mapping[str, Any]) -> dict[str, list[bytes]]:
        with make_pool(self.reader, 1) as pool:
            return {"value": list(map(pickle.dumps, pool.run(map(pickle.loads, batch["value"]))))}


class _Encode:
    """Encodes the videos of a batch together."""

    def __init__(self, choices: tuple[EncoderChoice, EncoderChoice], placement: Mapping[str, Any],
                 rate: int = 1) -> None:
        visual, audio = choices
        self.encode = WindowEncoder(make_frame_encoder(visual, **placement), make_audio_encoder(audio, **placement),
                                    rate)

    def __call__(self, batch: Mapping[str, Any]) -> dict[str, list[bytes]]:
        results = encode_videos(self.encode, map(pickle.loads, batch["value"]))
        return {"value": [pickle.dumps(result) for result in results.items()]}
