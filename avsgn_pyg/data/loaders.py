"""Batches in an order that depends on seed and epoch alone.

Batches are built in the training process: indexing stacked features is so fast that worker processes would spend more
time on sending the tensors.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator

import torch
from torch.utils.data import BatchSampler, DataLoader, Sampler, SequentialSampler
from torch.utils.data import Dataset as TorchDataset
from torch_geometric.data import Batch

from avsgn_pyg.data.videos import Videos


class EpochSampler(Sampler[int]):
    """Every index once, in an order that is a pure function of (`seed`, epoch).

    Call :meth:`set_epoch` before each epoch, else all have the same order. A resumed run has the batches of an
    uninterrupted one.
    """

    def __init__(self, length: int, seed: int) -> None:
        self.length, self.seed, self.epoch = length, seed, 0

    def set_epoch(self, epoch: int) -> None:
        """Choose the order of epoch `epoch`, counted from 0."""
        self.epoch = epoch

    def __len__(self) -> int:
        return self.length

    def __iter__(self) -> Iterator[int]:
        # A hash separates (seed 0, epoch 1) from (seed 1, epoch 0), which their sum would not.
        digest = hashlib.sha256(f"{self.seed} {self.epoch}".encode()).digest()
        generator = torch.Generator().manual_seed(int.from_bytes(digest[:8], "little"))
        yield from torch.randperm(self.length, generator=generator).tolist()


class EpochBatchSampler(BatchSampler):
    """Lists of indices: the share of one of several processes in every batch; the last batch may be shorter.

    Args:
        order: of all videos.
        batch_size: videos in a batch of all processes together.
        process, processes: number of this process, counted from 0, and how many there are.
    """

    def __init__(self, order: Sampler[int], batch_size: int, process: int = 0, processes: int = 1) -> None:
        super().__init__(order, batch_size, drop_last=False)
        self.process, self.processes = process, processes

    def __iter__(self) -> Iterator[list[int]]:
        for batch in super().__iter__():
            # Every process has to take part in a step; the weight of a video that is not its own is 0.
            yield batch[self.process::self.processes] or batch[:1]

    def share(self, step: int) -> tuple[int, float]:
        """Return how many videos of batch `step` are this process's, and the weight of their mean loss.

        The mean over the processes of their weighted losses is the mean over the videos of the batch.
        """
        size = min(self.batch_size, len(self.sampler) - step * self.batch_size)
        videos = len(range(self.process, size, self.processes))
        return videos, videos * self.processes / size

    def set_epoch(self, epoch: int) -> None:
        """Choose the epoch of the sampler, if it has any."""
        if isinstance(self.sampler, EpochSampler):
            self.sampler.set_epoch(epoch)


class _Batches(TorchDataset[Batch]):
    """Maps a list of indices to one batch of graphs."""

    def __init__(self, videos: Videos) -> None:
        self.videos = videos

    def __len__(self) -> int:
        return len(self.videos)

    def __getitem__(self, index: list[int]) -> Batch:
        return self.videos.batch(torch.tensor(index))


def make_loader(
    videos: Videos, batch_size: int, *, shuffle: bool, seed: int = 0, process: int = 0, processes: int = 1
) -> DataLoader:
    """Return a loader of ``HeteroDataBatch`` with every video once per epoch.

    Args:
        videos: a split, on any device; its batches are on the same.
        batch_size: videos in a batch of all processes together; the last batch may have fewer.
        shuffle: draw a new order each epoch; ``loader.sampler.set_epoch(epoch)`` chooses it. AVE's split files are
            sorted by class, so batches in their order would not mix classes.
        seed: of the order. The global random state is neither read nor changed.
        process, processes: the loader returns the share of this process, see :class:`EpochBatchSampler`.

    Raises:
        ValueError: `batch_size` is not a positive whole number.
    """
    order = EpochSampler(len(videos), seed) if shuffle else SequentialSampler(videos)
    sampler = EpochBatchSampler(order, batch_size, process, processes)
    return DataLoader(_Batches(videos), sampler=sampler, batch_size=None, collate_fn=lambda batch: batch,
                      generator=torch.Generator())
