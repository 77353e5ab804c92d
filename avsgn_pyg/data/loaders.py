"""Batches in an order that depends on the seed and the epoch alone.

Indexing stacked features is all the work there is, so batches are made in the training process: worker
processes would spend more time handing tensors over than making them.
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

    Call :meth:`set_epoch` before each epoch: without it every epoch repeats the last order. A run that is
    resumed at epoch 7 sees the batches an uninterrupted run would have seen.
    """

    def __init__(self, length: int, seed: int) -> None:
        self.length = length
        self.seed = seed
        self.epoch = 0

    def set_epoch(self, epoch: int) -> None:
        """Choose the order of epoch `epoch`, counted from 0."""
        self.epoch = epoch

    def __len__(self) -> int:
        return self.length

    def __iter__(self) -> Iterator[int]:
        # A hash keeps (seed 0, epoch 1) and (seed 1, epoch 0) apart, which their sum would not.
        digest = hashlib.sha256(f"{self.seed} {self.epoch}".encode()).digest()
        generator = torch.Generator().manual_seed(int.from_bytes(digest[:8], "little"))
        yield from torch.randperm(self.length, generator=generator).tolist()


class EpochBatchSampler(BatchSampler):
    """Lists of indices; the last one may be shorter. Hands :meth:`set_epoch` on to its sampler."""

    def set_epoch(self, epoch: int) -> None:
        if isinstance(self.sampler, EpochSampler):
            self.sampler.set_epoch(epoch)


class _Batches(TorchDataset[Batch]):
    """A list of indices in, one batch of graphs out."""

    def __init__(self, videos: Videos) -> None:
        self.videos = videos

    def __len__(self) -> int:
        return len(self.videos)

    def __getitem__(self, index: list[int]) -> Batch:
        return self.videos.batch(torch.tensor(index))


def make_loader(videos: Videos, batch_size: int, *, shuffle: bool, seed: int = 0) -> DataLoader:
    """Batches of `videos` as ``HeteroDataBatch``, every video once an epoch.

    Args:
        videos: a split, on any device; its batches are there too.
        batch_size: videos in a batch; the last batch holds what is left.
        shuffle: draw a new order each epoch; ``loader.sampler.set_epoch(epoch)`` chooses it. AVE's split
            files are sorted by class, so training on them in order would not mix classes.
        seed: of the order. The global random state is neither read nor moved.

    Raises:
        ValueError: `batch_size` is not a positive whole number.
    """
    order = EpochSampler(len(videos), seed) if shuffle else SequentialSampler(videos)
    return DataLoader(
        _Batches(videos),
        sampler=EpochBatchSampler(order, batch_size, drop_last=False),
        batch_size=None,
        collate_fn=_as_it_is,
        generator=torch.Generator(),
    )


def _as_it_is(batch: Batch) -> Batch:
    return batch
