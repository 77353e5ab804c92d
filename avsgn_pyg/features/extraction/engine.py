"""Extraction on one machine: reading processes decode, this process encodes."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable, Sequence

import torch

from avsgn_pyg.common.errors import ExtractionError
from avsgn_pyg.common.pool import Pool, PoolError, cores
from avsgn_pyg.features.encode import WindowEncoder, find_not_finite
from avsgn_pyg.features.encoder import AudioEncoder, FrameEncoder
from avsgn_pyg.features.extraction.contents import Encoded
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
        self.encode = WindowEncoder(frame_encoder, audio_encoder, reader.rate)
        self.batch = videos_per_batch(frame_encoder.batch_size, reader)
        # While one batch of videos is encoded, the processes decode the next.
        self.pool = make_pool(reader, count, ahead=self.batch // max(1, count) + 1)

    def run(self, videos: Sequence[Video]) -> Generator[Results, None, None]:
        """Yield the results of a batch of videos at a time; ExtractionError if processes cannot be started."""
        try:
            with self.pool:
                for batch in batch_decoded(self.pool.run(videos), self.batch):
                    yield encode_videos(self.encode, batch)
        except PoolError as error:
            raise ExtractionError(f"{error}; or use no reading process: --workers 0") from None


def make_pool(reader: Reader, processes: int, *, ahead: int = 0) -> Pool:
    """Return reading processes; one that stays in a decoder long after the reader's deadline is killed."""
    return Pool(reader, processes, ahead=ahead, timeout=60.0 + 2 * reader.limits.deadline, initargs=(1,),
                initializer=torch.set_num_threads, preload=(Reader.__module__,))


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
    return max(1, batch_size // (reader.segments * reader.rate * reader.frames_per_segment))


def encode_videos(encode: WindowEncoder, videos: Iterable[tuple[Video, Decoded | Failure | Exception]]) -> Results:
    """Encode the decoded videos, each as one window.

    Features that are not finite are a failure. If encoding a batch fails, its videos are encoded one by one.
    """
    results, decoded = {}, []
    for video, result in videos:
        if isinstance(result, Decoded):
            decoded.append((video, result))
        else:  # a process may have died because of the file, or of the machine (for example too little memory)
            results[video.id] = result if isinstance(result, Failure) else video.failure(result, retryable=True)
    try:
        features = encode([result.window() for _, result in decoded]) if decoded else ()
    except Exception as error:
        if len(decoded) == 1:
            return results | {decoded[0][0].id: decoded[0][0].failure(error, retryable=True)}
        return results | {key: result for one in decoded for key, result in encode_videos(encode, [one]).items()}
    for (video, result), (audio, visual) in zip(decoded, features, strict=True):
        problem = find_not_finite(audio, visual)
        results[video.id] = (Encoded(audio, visual, result.flags, video.size) if problem is None
                             else video.failure(problem))
    return results
