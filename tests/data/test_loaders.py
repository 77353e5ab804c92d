"""Every video once an epoch, in an order that seed and epoch decide alone."""

from __future__ import annotations

import pytest
import torch
from torch_geometric.data import Batch

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


def test_every_video_comes_once_an_epoch(videos: Videos) -> None:
    for number in range(3):
        assert sorted(epoch(videos, 0, number)) == list(range(23))


def test_the_order_is_a_function_of_seed_and_epoch(videos: Videos) -> None:
    first = epoch(videos, 3, 7)
    torch.manual_seed(99)
    assert epoch(videos, 3, 7) == first
    orders = {tuple(epoch(videos, seed, number)) for seed in (-1, 0, 1, 2) for number in range(4)}
    assert len(orders) == 16
    assert tuple(range(23)) not in orders


def test_a_resumed_loader_goes_on_as_the_uninterrupted_one(videos: Videos) -> None:
    loader = make_loader(videos, 5, shuffle=True, seed=1)
    straight = []
    for number in range(4):
        loader.sampler.set_epoch(number)
        straight.append(flat(loader))
    assert epoch(videos, 1, 3) == straight[3]


def test_the_inner_sampler_takes_the_epoch_too(videos: Videos) -> None:
    loader = make_loader(videos, 5, shuffle=True, seed=1)
    loader.sampler.sampler.set_epoch(2)
    assert flat(loader) == epoch(videos, 1, 2)


def test_one_list_of_indices_becomes_one_batch(videos: Videos) -> None:
    batch = next(iter(make_loader(videos, 4, shuffle=False)))
    assert isinstance(batch, Batch)
    assert batch.num_graphs == 4
    assert torch.equal(batch["audio"].x, videos.audio[:4].flatten(0, 1))


def test_no_video_is_fetched_alone(videos: Videos, monkeypatch: pytest.MonkeyPatch) -> None:
    def alone(*_: object) -> None:
        raise AssertionError("a batch must come from stacked tensors")

    monkeypatch.setattr(Videos, "__getitem__", alone)
    assert len(rows(make_loader(videos, 8, shuffle=True))) == 3


def test_iterating_leaves_the_global_generator_alone(videos: Videos) -> None:
    before = torch.get_rng_state()
    rows(make_loader(videos, 5, shuffle=True))
    assert torch.equal(torch.get_rng_state(), before)


@pytest.mark.parametrize("size", [0, -3])
def test_a_batch_size_must_be_positive(videos: Videos, size: int) -> None:
    with pytest.raises(ValueError, match="batch_size"):
        make_loader(videos, size, shuffle=False)
