"""Every video once an epoch, in an order that seed and epoch decide alone."""

from __future__ import annotations

import pytest
import torch

from avsgn_pyg.data.loaders import make_loader
from avsgn_pyg.data.videos import Videos


@pytest.fixture
def videos() -> Videos:
    count = 23
    return Videos(
        audio=torch.randn(count, 2, 3),
        visual=torch.randn(count, 2, 3),
        category=torch.zeros(count, dtype=torch.int64),
        relevance=torch.ones(count, 2),
        row=torch.arange(count),
        video_ids=tuple(map(str, range(count))),
        text_nodes=2,
    )


def rows(loader: torch.utils.data.DataLoader) -> list[list[int]]:
    return [batch.row.tolist() for batch in loader]


def flat(loader: torch.utils.data.DataLoader) -> list[int]:
    return [row for batch in rows(loader) for row in batch]


def epoch(videos: Videos, seed: int, number: int) -> list[int]:
    loader = make_loader(videos, 5, shuffle=True, seed=seed)
    loader.sampler.set_epoch(number)
    return flat(loader)


def test_without_shuffling_batches_follow_the_split(videos: Videos) -> None:
    loader = make_loader(videos, 10, shuffle=False)
    assert rows(loader) == [list(range(10)), list(range(10, 20)), [20, 21, 22]]
    assert len(loader) == 3
    loader.sampler.set_epoch(4)
    assert flat(loader) == list(range(23))


def test_the_order_is_a_function_of_seed_and_epoch(videos: Videos) -> None:
    before, first = torch.get_rng_state(), epoch(videos, 3, 7)
    assert torch.equal(torch.get_rng_state(), before) and sorted(first) == list(range(23))
    torch.manual_seed(99)
    assert epoch(videos, 3, 7) == first
    orders = {tuple(epoch(videos, seed, number)) for seed in (-1, 0, 1, 2) for number in range(4)}
    assert len(orders) == 16
    assert tuple(range(23)) not in orders


def test_the_inner_sampler_takes_the_epoch_too(videos: Videos) -> None:
    loader = make_loader(videos, 5, shuffle=True, seed=1)
    loader.sampler.sampler.set_epoch(2)
    assert flat(loader) == epoch(videos, 1, 2)


@pytest.mark.parametrize("size", [0, -3])
def test_a_batch_size_must_be_positive(videos: Videos, size: int) -> None:
    with pytest.raises(ValueError, match="batch_size"):
        make_loader(videos, size, shuffle=False)
