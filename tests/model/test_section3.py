"""Section 3 on the edges of a batch, and on no others, equals plain loops in values and every gradient."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest
import torch
from torch import Tensor
from torch_geometric.data import Batch, HeteroData

from avsgn_pyg.common.config import load_config
from avsgn_pyg.engine.zoo import topology
from avsgn_pyg.graph.build import RELATIONS, build_batch, build_video, collate
from avsgn_pyg.graph.localization import Localization
from avsgn_pyg.graph.schema import SUBGRAPHS
from avsgn_pyg.layers.convs import CONVS

pytestmark = pytest.mark.usefixtures("double")

CONFIGS = Path(__file__).resolve().parents[2] / "configs"
D, T = 8, 4
LENGTHS = {"equal": (T, T), "mixed": (5, 3)}
TOPOLOGIES = {
    "complete": (),
    "window": ("model.cmgi.topology=window", "model.cmgi.window=1"),
    "cross_modal_only": ("model.cmgi.topology=cross_modal_only",),
}


def videos_of(network, lengths: Sequence[int]) -> list[HeteroData]:
    """Videos of random features that require gradients."""
    return [build_video(*(torch.randn(t, D, requires_grad=True) for _ in range(2)), text_nodes=network.text_nodes,
                        topology=topology(network.config)) for t in lengths]


def as_built(network, videos: list[HeteroData]) -> Batch:
    """The project's own batch of the same features."""
    lengths = [len(video["audio"].x) for video in videos]
    streams = [[video[name].x for video in videos] for name in ("audio", "visual")]
    if len(set(lengths)) == 1:
        return build_batch(*map(torch.stack, streams), text_nodes=network.text_nodes, topology=topology(network.config))
    return build_batch(*map(torch.cat, streams), lengths=torch.tensor(lengths), text_nodes=network.text_nodes,
                       topology=topology(network.config))


def some_removed(network, videos: list[HeteroData]) -> Batch:
    """A third of the batch's edges, and every one into the first second of vision in the audio-visual subgraph."""
    batch = as_built(network, videos)
    for relation in RELATIONS:
        index = batch[relation].edge_index
        kept = torch.rand(index.shape[1]) < 0.67
        if relation[1:] == ("av", "visual"):
            kept &= index[1] != 0
        batch[relation].edge_index = index[:, kept]
        source, _, target = relation
        for number, video in enumerate(videos):
            own = batch[relation].edge_index
            own = own[:, batch[target].batch[own[1]] == number]
            video[relation].edge_index = own - torch.stack((batch[source].ptr[number],
                                                            batch[target].ptr[number]))[:, None]
    return batch


def user_edges(network, videos: list[HeteroData]) -> Batch:
    """Random edges in no order, one of them twice; a second without any, and no relation from text to text."""
    for video, (source, subgraph, target) in itertools.product(videos, RELATIONS):
        if (source, target) == ("text", "text"):
            del video[source, subgraph, target]
            continue
        index = torch.stack([torch.randint(video[name].num_nodes, (7,)) for name in (source, target)])
        if (subgraph, target) == ("av", "audio"):
            index = index[:, index[1] != 2]
        video[source, subgraph, target].edge_index = torch.cat((index, index[:, :1]), dim=1)
    return collate(videos)


def without_a_subgraph(network, videos: list[HeteroData]) -> Batch:
    """No edge between vision and text."""
    for video, relation in itertools.product(videos, RELATIONS):
        if relation[1] == "vt":
            video[relation].edge_index = torch.empty(2, 0, dtype=torch.long)
    return collate(videos)


def by_video(output: Localization, videos: list[HeteroData]) -> list[dict[str, Tensor]]:
    """The output of each video, by the names of its transcription."""
    found, longest = [], output.relevance.shape[1]
    for number, video in enumerate(videos):
        seconds = len(video["audio"].x)
        one = {"category": output.category[number], "gate_category": output.gate_category[number],
               "relevance": output.relevance[number, :seconds]}
        if output.segment_scores is not None:
            one["segment_scores"] = output.segment_scores[number, :seconds]
        for name in ("audio", "visual", "text"):
            one[name] = output.stages["cmgi"][name][number, : video[name].num_nodes]
        for name, gate in output.gates.items():
            one[f"gate {name}"] = gate[number, :seconds]
        for subgraph, matrices in output.adjacency.items():
            rows = torch.cat((torch.arange(seconds), longest + torch.arange(video[SUBGRAPHS[subgraph][1]].num_nodes)))
            for layer, matrix in enumerate(matrices):
                dense = matrix.to_dense() if matrix.is_sparse else matrix
                one[f"{subgraph}{layer}"] = dense[number][rows][:, rows]
        found.append(one)
    return found


def gradients(found: list[dict[str, Tensor]], leaves: list[Tensor]) -> list[Tensor]:
    """Of a fixed mixture of all numbers, with regard to every leaf."""
    parts = [one[name] for one in found for name in sorted(one)]
    mixture = sum((part * torch.linspace(-1, 2, part.numel()).cos().view_as(part)).sum() for part in parts)
    given = torch.autograd.grad(mixture, leaves, allow_unused=True)
    return [torch.zeros_like(leaf) if one is None else one for leaf, one in zip(leaves, given, strict=True)]


def check(network, lengths: Sequence[int], edges: Callable[..., Batch]) -> None:
    """The model and its transcription agree on random videos, and so do all gradients."""
    videos = videos_of(network, lengths)
    batch = edges(network, videos)
    found, expected = by_video(network.model(batch), videos), [network.expected(video) for video in videos]
    for one, two in zip(found, expected, strict=True):
        assert one.keys() == two.keys()
        for name in one:
            torch.testing.assert_close(one[name], two[name], rtol=1e-9, atol=1e-11, msg=lambda text, at=name: at + text)
    named = dict(network.model.named_parameters())
    named |= {f"{name} of video {number}": video[name].x for number, video in enumerate(videos)
              for name in ("audio", "visual")}
    leaves = list(named.values())
    for name, one, two in zip(named, gradients(found, leaves), gradients(expected, leaves), strict=True):
        torch.testing.assert_close(one, two, rtol=1e-8, atol=1e-10, msg=lambda text, at=name: at + text)


@pytest.mark.parametrize("conv", sorted(CONVS))
def test_every_layer_passes_messages_along_the_batch_s_edges(network, conv: str):
    """On complete graphs, on edge lists of any kind, and without any edge in a subgraph."""
    check(network(f"model.cmgi.conv={conv}", segments=T), LENGTHS["equal"], as_built)
    net = network(f"model.cmgi.conv={conv}")
    for edges in (user_edges, without_a_subgraph):
        check(net, LENGTHS["mixed"], edges)


@pytest.mark.parametrize("kind", TOPOLOGIES)
@pytest.mark.parametrize("conv", ["gcn", "gatv2"])
def test_every_topology_passes_messages_along_its_edges(network, conv: str, kind: str):
    for edges in (as_built, some_removed):
        for lengths in LENGTHS.values():
            check(network(f"model.cmgi.conv={conv}", *TOPOLOGIES[kind]), lengths, edges)


OPTIONS = {
    "typed": ("model.cmgi.relations=typed",),
    "typed gat": ("model.cmgi.relations=typed", "model.cmgi.conv=gat"),
    "typed window": ("model.cmgi.relations=typed", *TOPOLOGIES["window"]),
    "strongest edges": ("model.cmgi.topk=2",),
    "strongest edges, gatv2": ("model.cmgi.topk=3", "model.cmgi.conv=gatv2"),
    "strongest edges, each layer": ("model.cmgi.topk=2", "model.cmgi.adjacency=per_layer"),
    "strongest edges, typed": ("model.cmgi.topk=3", "model.cmgi.relations=typed"),
    "relative time": ("model.time_encoding=relative", "model.time_slope=0.3"),
    "relative time, window": ("model.time_encoding=relative", "model.time_slope=0.3", *TOPOLOGIES["window"]),
    "relative time, strongest edges": ("model.time_encoding=relative", "model.cmgi.topk=3"),
    "learned time": ("model.time_encoding=learned",),
    "sinusoidal time": ("model.time_encoding=sinusoidal",),
    "adjacency of each layer": ("model.cmgi.adjacency=per_layer", "model.cmgi.layers=3"),
    "as printed": ("model.cmsa.residual=none", "model.cmgi.residual=false", "model.cmgi.norm=none"),
    "residual inside": ("model.cmsa.residual=intra",),
    "no alignment": ("model.cmsa.inter_audio=false", "model.cmsa.inter_text=false", "model.cmsa.intra_clip=false"),
    "one subgraph": ("model.cmgi.subgraphs=[at]",),
    "no subgraph": ("model.cmgi.subgraphs=[]",),
    "a layer for each subgraph": ("model.cmgi.conv={av: gat, vt: gcn, at: gine}",),
    "heads of its own, relative time": ("model.cmsa.inter_heads=4", "model.time_encoding=relative"),
    "vector gates, no biases": ("model.head.gates=vector", "model.head.bias=false"),
    "segment scores": ("model.head.segment_scores=true", "objective.losses=[segment,gate]"),
    "adapters": ("model.width=6", "model.input_norm=true", "model.text.bank=learned"),
    "edge lists alone": ("model.cmgi.backend=native",),
}


@pytest.mark.slow
@pytest.mark.parametrize("name", OPTIONS)
def test_options_pass_messages_along_the_batch_s_edges(network, name: str):
    check(network(*OPTIONS[name], segments=T), LENGTHS["equal"], as_built)
    check(network(*OPTIONS[name]), LENGTHS["mixed"], user_edges)


SHIPPED = sorted(path.name for path in CONFIGS.glob("avsgn_*.yaml"))


@pytest.mark.parametrize("name", SHIPPED)
def test_the_shipped_recipes_are_section_3_written_out(network, name: str):
    """GraphConv, relative time, vector gates and adapters of avsgn_full.yaml among them."""
    widths = ("model.width=6",) if load_config(CONFIGS / name).model.width else ()
    net = network(*widths, file=CONFIGS / name, segments=T)
    for edges in (as_built, some_removed):
        check(net, LENGTHS["equal"], edges)


@pytest.mark.parametrize("lengths", [(2,), (1, 3, 1)], ids=str)
def test_short_videos(network, lengths: tuple[int, ...]):
    """Eq. 7 multiplies in another order where there are fewer nodes than features."""
    net = network("model.time_encoding=relative", *TOPOLOGIES["window"])
    for edges in (as_built, some_removed):
        check(net, lengths, edges)


@pytest.mark.parametrize("conv", ["gcn", "gat"])
def test_a_removed_edge_changes_its_target_and_nothing_else(network, conv: str):
    """With one layer, the message of no other node changes, and the output of no other video."""
    net = network(f"model.cmgi.conv={conv}", "model.cmgi.layers=1")
    batch = build_batch(torch.randn(2, T, D), torch.randn(2, T, D), text_nodes=net.text_nodes)
    whole = net.model(batch)
    index = batch["audio", "av", "visual"].edge_index
    batch["audio", "av", "visual"].edge_index = index[:, (index[0] != T + 3) | (index[1] != T + 1)]
    less = net.model(batch)
    changed = {name: ((rows - less.stages["cmgi"][name]).abs() > 1e-12).any(-1).nonzero().tolist()
               for name, rows in whole.stages["cmgi"].items()}
    assert changed == {"audio": [], "visual": [[1, 1]], "text": []}
    assert ((whole.relevance - less.relevance).abs() > 1e-12).nonzero().tolist() == [[1, 1]]
    torch.testing.assert_close(whole.category[0], less.category[0], rtol=0, atol=1e-12)
    weights = less.adjacency["av"][0].to_dense() - whole.adjacency["av"][0]
    assert (weights.abs() > 1e-12).any(-1).nonzero().tolist() == [[1, T + 1]]
    assert less.adjacency["av"][0].to_dense()[1, T + 1, 3] == 0
