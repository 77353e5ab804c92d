"""CMGI's switches (Table 3) and the options around Eq. 7 and 8."""

from __future__ import annotations

import itertools

import pytest
import torch

from avsgn_pyg.graph.topology import Layout
from avsgn_pyg.model.cmgi import CMGI
from avsgn_pyg.model.cmsa import CMSA, Streams
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


# --- Layers, relations, topologies -----------------------------------------------------------------


def test_a_layer_for_each_subgraph_with_its_own_options():
    module = CMGI(D, conv={"av": "gat", "vt": "gcn", "at": "tag"}, conv_options={"av": {"heads": 2}, "at": {"K": 1}})
    convs = {name: subgraph.layers[0].propagation.conv for name, subgraph in module.subgraphs.items()}
    assert {name: type(conv).__name__ for name, conv in convs.items()} == \
        {"av": "GATConv", "vt": "GCNConv", "at": "TAGConv"}
    assert convs["av"].heads == 2 and convs["at"].K == 1
    with pytest.raises(ValueError, match="conv='gcn' has no option 'heads'"):
        CMGI(D, conv={"av": "gat", "vt": "gcn", "at": "tag"}, conv_options={"vt": {"heads": 2}})


def test_typed_relations_have_four_layers_of_their_own():
    shared, typed = CMGI(D), CMGI(D, relations="typed")
    count = {module: sum(p.numel() for name, p in module.named_parameters() if ".conv" in name)
             for module in (shared, typed)}
    assert count[typed] == 4 * count[shared]
    assert typed(given(R)).audio.shape == (B, T, D)


@pytest.mark.parametrize("conv", ["gcn", "gat"])
@pytest.mark.parametrize("topology", ["window", "topk", "cross_modal_only"])
def test_a_topology_that_leaves_no_edge_out_is_the_complete_graph(topology: str, conv: str):
    module, complete = (CMGI(D, conv=conv, topology=kind, window=T, topk=T + R).double().eval()
                        for kind in (topology, "complete"))
    complete.load_state_dict(module.state_dict())
    streams = Streams(*(rows.double() for rows in given(R)))
    found, expected = module(streams), complete(streams)
    same = torch.allclose(found.audio, expected.audio, rtol=1e-9, atol=1e-12)
    assert same == (topology != "cross_modal_only")
    weights = found.adjacency["vt"][0].to_dense()
    torch.testing.assert_close(weights.sum(-1), torch.ones_like(weights[..., 0]))
    assert torch.allclose(weights, expected.adjacency["vt"][0]) == same


def test_blocks_are_for_complete_graphs():
    with pytest.raises(ValueError, match="backend=blocks needs complete graphs, topology=topk has fewer edges"):
        CMGI(D, topology="topk", backend="blocks")
    for topology, road in (("topk", "native"), ("complete", "auto")):
        assert CMGI(D, topology=topology).subgraphs["av"].layers[0].propagation.backend == road


def test_only_layers_that_make_messages_are_counted_with_them():
    def messages(**settings: str) -> float:
        subgraph = CMGI(D, **settings).subgraphs["av"]
        return subgraph.numbers(1, Layout((T, T), (True, True)), D)[1]

    assert messages(topology="topk", conv="gat") > 0 < messages(backend="native")
    assert messages(topology="topk") == 0 == messages()


def test_elsewhere_than_on_a_cpu_all_subgraphs_messages_are_counted():
    module = CMGI(256, conv="gatv2", limit_gib=0.5)
    module.check_size(1, 170, 56)
    with pytest.raises(ValueError, match="needs about"):
        module.check_size(1, 170, 56, device="cuda")


def test_what_attention_needs_is_counted_before_it_is_made():
    CMGI(256).check_size(64, 10, 10)
    CMGI(256, topology="window").check_size(1, 3600, 56)
    for module in (CMGI(256), CMGI(256, topology="window")):
        with pytest.raises(ValueError, match=r"1 videos of 3600 segments and 3600 text rows needs about \d"):
            module.check_size(1, 3600, 3600)
    CMGI(256, limit_gib=100.0).check_size(1, 3600, 3600)
    CMGI(256, subgraphs=()).check_size(1, 36000, 36000)


@pytest.mark.parametrize(("settings", "sizes", "words"), [
    ({}, (1, 3600, 56), "use model.cmgi.topology=window"),
    ({"backend": "native"}, (64, 120, 56), "backend=auto.*topology=window"),
    ({"topology": "window", "window": 900}, (1, 3600, 56), "allows 1; a smaller model.cmgi.window, fewer"),
    ({"topology": "window"}, (1, 3600, 3600), "smaller model.cmgi.window, model.text.slots=per_class"),
])
def test_a_refusal_names_what_would_need_less(settings: dict, sizes: tuple, words: str):
    with pytest.raises(ValueError, match=words) as refused:
        CMGI(256, **settings).check_size(*sizes)
    assert ("topology=window" in str(refused.value)) == (settings.get("topology") != "window")


@pytest.mark.parametrize("conv", ["gatv2", "gine", "gen", "resgated", "film"])
def test_messages_that_blocks_write_out_are_counted(conv: str):
    CMGI(256).check_size(1, 400, 56)
    with pytest.raises(ValueError, match="needs about"):
        CMGI(256, conv=conv).check_size(1, 400, 56)
    with pytest.raises(ValueError, match="needs about"):
        CMGI(256, conv="graph", conv_options={"aggr": "max"}).check_size(1, 400, 56)


def test_without_gradients_less_is_held():
    module = CMGI(256, limit_gib=0.3)
    with pytest.raises(ValueError, match="needs about"):
        module.check_size(1, 2000, 56)
    with torch.no_grad():
        module.check_size(1, 2000, 56)


def test_what_alignment_holds_counts_too():
    module, cmsa = CMGI(256, topology="topk"), CMSA(256, 256, text_asks=False)
    module.check_size(1, 3600, 56)
    with pytest.raises(ValueError, match="topology=window"):
        module.check_size(1, 3600, 56, 4, cmsa.numbers(1, 3600, timed=False))
    with torch.no_grad():
        assert cmsa.eval().numbers(1, 3600, timed=False) == 0 < cmsa.numbers(1, 3600, timed=True)
    near = CMSA(256, 256, text_asks=False, window=10)
    assert near.numbers(1, 3600, timed=True) < cmsa.train().numbers(1, 3600, timed=True) / 30
