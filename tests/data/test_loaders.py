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


def shares(videos: Videos, process: int) -> list[tuple[list[int], int, float]]:
    """The rows of a process in every batch of 10, how many of them count, and the weight of their mean."""
    loader = make_loader(videos, 10, shuffle=False, process=process, processes=4)
    return [(batch.row.tolist(), *loader.sampler.share(step)) for step, batch in enumerate(loader)]


def test_processes_share_every_batch_and_their_weighted_means_are_its_mean(videos: Videos) -> None:
    for batch in zip(*(shares(videos, process) for process in range(4)), strict=True):
        own = sorted(row for rows, count, _ in batch for row in rows[:count])
        assert own == list(range(own[0], own[-1] + 1))
        mean = sum(weight * sum(rows) / len(rows) for rows, _, weight in batch) / 4
        assert mean == pytest.approx(sum(own) / len(own))


def test_a_process_without_a_video_in_the_last_batch_has_one_of_weight_0(videos: Videos) -> None:
    assert [shares(videos, process)[-1] for process in (2, 3)] == [([22], 1, pytest.approx(4 / 3)), ([20], 0, 0.0)]


@pytest.mark.parametrize("size", [0, -3])
def test_a_batch_size_must_be_positive(videos: Videos, size: int) -> None:
    with pytest.raises(ValueError, match="batch_size"):
        make_loader(videos, size, shuffle=False)
