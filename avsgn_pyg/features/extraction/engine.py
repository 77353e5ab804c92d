"""Extraction on one machine: reading processes decode, this process encodes."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable, Sequence

import torch

from avsgn_pyg.common.errors import ExtractionError
from avsgn_pyg.common.pool import Pool, PoolError, cores
from avsgn_pyg.features.encode import WindowEncoder, find_not_finite
from avsgn_pyg.features.encoder import AudioEncoder, FrameEncoder
from avsgn_pyg.features.extraction.progress import Encoded
from avsgn_pyg.features.extraction.read import Decoded, Reader
from avsgn_pyg.features.extraction.videos import Failure, Video

#: Results by video id.
Results = dict[str, Encoded | Failure]
#: Encodes videos in any order, each once, and yields the results of some as they finish.
Engine = Callable[[Sequence[Video]], Generator[Results, None, None]]


class LocalEngine:
    """Encodes batches of videos in this process; `workers` reading processes decode them (see ExtractionConfig)."""

    def __init__(
        self, frame_encoder: FrameEncoder, audio_encoder: AudioEncoder, reader: Reader, workers: int | None = None
    ) -> None:
        count = max(1, min(cores() - 1, 16)) if workers is None else workers
        if count < 0:
            raise ExtractionError(f"workers={count}: must be 0 or more")
        self.encode = WindowEncoder(frame_encoder, audio_encoder)
        self.batch = videos_per_batch(frame_encoder.batch_size, reader)
        # While one batch of videos is encoded, the processes decode the next.
        self.pool = Pool(reader, count, ahead=self.batch // max(1, count) + 1, initializer=torch.set_num_threads,
                         initargs=(1,), preload=(Reader.__module__,))

    def run(self, videos: Sequence[Video]) -> Generator[Results, None, None]:
        """Yield the results of a batch of videos at a time; ExtractionError if processes cannot be started."""
        try:
            with self.pool:
                for batch in batch_decoded(self.pool.run(videos), self.batch):
                    yield encode_videos(self.encode, batch)
        except PoolError as error:
            raise ExtractionError(f"{error}; or use no reading process: --workers 0") from None


def batch_decoded(
    results: Iterable[tuple[Video, Decoded | Failure | Exception]], size: int
) -> Generator[list[tuple[Video, Decoded | Failure | Exception]], None, None]:
    """Gather `size` decoded videos at a time; failures join them and do not change what is encoded together."""
    batch, decoded = [], 0
    for video, result in results:
        batch.append((video, result))
        decoded += isinstance(result, Decoded)
        if decoded in (0, size):
            yield batch
            batch, decoded = [], 0
    if batch:
        yield batch


def videos_per_batch(batch_size: int, reader: Reader) -> int:
    """Return how many videos have about `batch_size` frames."""
    return max(1, batch_size // (reader.segments * reader.frames_per_segment))


def encode_videos(encode: WindowEncoder, videos: Iterable[tuple[Video, Decoded | Failure | Exception]]) -> Results:
    """Encode what was decoded, each video as one window; features that are not finite are a failure."""
    found: dict[Video, Decoded | Failure | Exception] = dict(videos)
    results: Results = {video.id: _failure(video, result) for video, result in found.items()
                        if not isinstance(result, Decoded)}
    decoded = {video: result for video, result in found.items() if isinstance(result, Decoded)}
    features = encode([result.window() for result in decoded.values()]) if decoded else ()
    for (video, result), (audio, visual) in zip(decoded.items(), features, strict=True):
        problem = find_not_finite(audio, visual)
        results[video.id] = (Encoded(audio, visual, result.flags, video.size) if problem is None
                             else Failure(video.id, video.rows, problem))
    return results


def _failure(video: Video, result: Failure | Exception) -> Failure:
    # A process may have died because of the file, or of the machine (for example too little memory).
    return result if isinstance(result, Failure) else Failure(video.id, video.rows, str(result), retryable=True)
