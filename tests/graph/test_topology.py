"""Edges of each topology in a video and in a batch, and whether a list is complete."""

from __future__ import annotations

import gc
import weakref

import pytest
import torch
from torch import Tensor

from avsgn_pyg.graph.topology import COMPLETE, Topology, complete_edges, is_complete, note_complete

T, R = 5, 3
PAIRS = [("audio", "audio"), ("audio", "visual"), ("text", "visual"), ("visual", "text"), ("text", "text")]


def counts(node_type: str, *seconds: int) -> Tensor:
    return torch.tensor([R if node_type == "text" else t for t in seconds])


def edges(topology: Topology, source: str, target: str, *seconds: int) -> list[tuple[int, int]]:
    found = topology.edges(source, target, counts(source, *seconds), counts(target, *seconds))
    return [(j, i) for j, i in found.T.tolist()]


def by_rule(topology: Topology, source: str, target: str, video: int, seconds: tuple[int, ...]) -> set[tuple[int, int]]:
    """One video's edges by the rule of the topology, in loops."""
    first_j, first_i = (int(counts(name, *seconds)[:video].sum()) for name in (source, target))
    found = set()
    for j in range(int(counts(source, *seconds)[video])):
        for i in range(int(counts(target, *seconds)[video])):
            near = "text" in (source, target) or abs(j - i) <= topology.window
            if {"complete": True, "window": near, "cross_modal_only": source != target}[topology.name]:
                found.add((first_j + j, first_i + i))
    return found


@pytest.mark.parametrize("seconds", [(T,), (T, T), (4, 1, 7)])
@pytest.mark.parametrize(("source", "target"), PAIRS)
@pytest.mark.parametrize("topology", [COMPLETE, Topology("window", 1), Topology("window", 2), Topology("window", 9),
                                      Topology("cross_modal_only")], ids=str)
def test_edges_follow_the_rule_within_each_video_sorted_by_target(topology, source, target, seconds):
    found = edges(topology, source, target, *seconds)
    expected = set().union(*(by_rule(topology, source, target, video, seconds) for video in range(len(seconds))))
    assert len(found) == len(set(found)) and set(found) == expected
    assert found == sorted(found, key=lambda edge: (edge[1], edge[0]))


@pytest.mark.parametrize(("given", "words"), [(("topk",), "topk"), (("window", 0), "window=0")])
def test_an_unknown_topology_is_an_error(given: tuple, words: str):
    with pytest.raises(ValueError, match=words):
        Topology(*given)


# --- Complete or not -----------------------------------------------------------------------------------

SIZE = (2, 3, 4)


def one_doubled(index: Tensor) -> Tensor:
    index = index.clone()
    index[:, 5] = index[:, 6]
    return index


def reordered(index: Tensor) -> Tensor:
    return index[:, torch.randperm(index.shape[1])]


@pytest.mark.parametrize("change", [one_doubled, reordered, lambda index: index.flip(0), lambda index: index[:, 1:]])
def test_another_list_is_not_complete(change):
    assert is_complete(complete_edges(*SIZE), *SIZE)
    assert not is_complete(change(complete_edges(*SIZE)), *SIZE)


def test_a_list_is_complete_for_one_size():
    index = complete_edges(2, 3, 4)
    note_complete(index, 2, 3, 4)
    assert is_complete(index, 2, 3, 4)
    assert not is_complete(index, 2, 4, 3) and not is_complete(index, 4, 2, 3) and is_complete(index, 2, 3, 4)


@pytest.mark.gpu
@pytest.mark.parametrize("known", [True, False], ids=["known", "compared"])
def test_on_a_gpu_a_list_that_is_written_into_is_compared_again(known: bool):
    index = complete_edges(*SIZE).cuda()
    note_complete(index, *SIZE) if known else is_complete(index, *SIZE)
    assert is_complete(index, *SIZE) and is_complete(index.clone(), *SIZE)
    index.view(-1)[2:4] = 0
    assert not is_complete(index, *SIZE) and not is_complete(reordered(complete_edges(*SIZE).cuda()), *SIZE)


def test_a_noted_list_can_be_freed():
    index = complete_edges(*SIZE)
    note_complete(index, *SIZE)
    gone = weakref.ref(index)
    del index
    gc.collect()
    assert gone() is None
