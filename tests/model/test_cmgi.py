"""CMGI's switches (Table 3) and the options around Eq. 7 and 8."""

from __future__ import annotations

import itertools

import pytest
import torch

from avsgn_pyg.model.cmgi import CMGI
from avsgn_pyg.model.cmsa import Streams
from avsgn_pyg.model.time import SubgraphTime

B, T, R, D = 2, 4, 6, 8
SUBSETS = [subset for size in range(4) for subset in itertools.combinations(("av", "vt", "at"), size)]


def given(rows: int = T) -> Streams:
    return Streams(torch.randn(B, T, D), torch.randn(B, T, D), torch.randn(B, rows, D))


@pytest.mark.parametrize("subset", SUBSETS)
def test_any_subset_of_subgraphs_runs_and_names_its_adjacency(subset: tuple[str, ...]):
    out = CMGI(D, subgraphs=subset)(given())
    assert set(out.adjacency) == set(subset) and out.audio.shape == out.visual.shape == (B, T, D)


@pytest.mark.parametrize("modality", ["audio", "visual", "text"])
def test_a_modality_in_no_subgraph_keeps_its_aligned_features(modality: str):
    without = [name for name in ("av", "vt", "at") if modality[0] not in name]
    streams = given()
    assert torch.equal(getattr(CMGI(D, subgraphs=without)(streams), modality), getattr(streams, modality))


def test_a_shared_adjacency_is_made_once_and_a_per_layer_one_in_every_layer():
    assert len(CMGI(D, layers=3)(given()).adjacency["av"]) == 1
    out = CMGI(D, layers=3, adjacency="per_layer")(given())
    assert len(out.adjacency["av"]) == 3
    assert not torch.allclose(out.adjacency["av"][0], out.adjacency["av"][1])


def test_subgraphs_take_text_of_another_length():
    out = CMGI(D)(given(R))
    assert out.text.shape == (B, R, D) and out.adjacency["vt"][0].shape == (B, T + R, T + R)


def test_without_residual_two_layers_average_the_seconds_away():
    """The reason for the default: uniform attention erases what CMSA kept, the residual keeps it."""
    streams = given()

    def spread(residual: bool) -> float:
        module = CMGI(D, residual=residual, norm="none").eval()
        for subgraph in module.subgraphs.values():
            subgraph.adjacency[0].query.weight.data.zero_()
        return module(streams).audio.std(1).mean().item()

    assert spread(residual=False) < 1e-6 < 1e-2 < spread(residual=True)


def test_relative_time_makes_near_seconds_louder():
    module = CMGI(D, subgraphs=("av",), time_bias={"av": SubgraphTime((True, True), slope=3.0)}).eval()
    module.subgraphs["av"].adjacency[0].query.weight.data.zero_()
    weights = module(given()).adjacency["av"][0][0]
    assert weights[0, 0] > weights[0, 1] > weights[0, 3] and torch.isclose(weights[0, 0], weights[0, T])
