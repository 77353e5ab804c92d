"""Every video once an epoch, in an order that seed and epoch decide alone."""

from __future__ import annotations

import pytest
import torch

from avsgn_pyg.data.loaders import make_loader
from avsgn_pyg.data.videos import Videos

COUNT = 23


@pytest.fixture
def videos() -> Videos:
    return Videos(
        audio=torch.randn(COUNT, 2, 3),
        visual=torch.randn(COUNT, 2, 3),
        category=torch.zeros(COUNT, dtype=torch.int64),
        relevance=torch.ones(COUNT, 2),
        row=torch.arange(COUNT),
        video_ids=tuple(map(str, range(COUNT))),
        text_nodes=2,
    )


def epoch(videos: Videos, seed: int, number: int) -> list[int]:
    loader = make_loader(videos, 5, shuffle=True, seed=seed)
    loader.sampler.set_epoch(number)
    return torch.cat([batch.row for batch in loader]).tolist()


def test_without_shuffling_batches_follow_the_split(videos: Videos) -> None:
    loader = make_loader(videos, 10, shuffle=False)
    loader.sampler.set_epoch(4)
    assert [batch.row.tolist() for batch in loader] == [list(range(10)), list(range(10, 20)), [20, 21, 22]]
    assert len(loader) == 3


def test_the_order_is_a_function_of_seed_and_epoch(videos: Videos) -> None:
    before, first = torch.get_rng_state(), epoch(videos, 3, 7)
    assert torch.equal(torch.get_rng_state(), before) and sorted(first) == list(range(COUNT))
    torch.manual_seed(99)
    assert epoch(videos, 3, 7) == first
    orders = {tuple(epoch(videos, seed, number)) for seed in (-1, 0, 1) for number in range(3)}
    assert len(orders) == 9
    assert tuple(range(COUNT)) not in orders


@pytest.mark.parametrize("size", [0, -3])
def test_a_batch_size_must_be_positive(videos: Videos, size: int) -> None:
    with pytest.raises(ValueError, match="batch_size"):
        make_loader(videos, size, shuffle=False)
