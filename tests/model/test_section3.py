"""Section 3 along the edges that a batch has, and along no others: values and every gradient beside plain loops."""

from __future__ import annotations

import copy
import itertools
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest
import torch
from torch import Tensor
from torch_geometric.data import Batch, HeteroData

from avsgn_pyg.config import load_config
from avsgn_pyg.graph.build import RELATIONS, build_batch, build_video, collate
from avsgn_pyg.graph.schema import SUBGRAPHS
from avsgn_pyg.layers.convs import CONVS
from avsgn_pyg.localization import Localization
from avsgn_pyg.zoo import topology

pytestmark = pytest.mark.usefixtures("double")

CONFIGS = Path(__file__).resolve().parents[2] / "configs"
D, T = 8, 4
LENGTHS = {"equal": (T, T), "mixed": (5, 3)}
TOPOLOGIES = {
    "complete": (),
    "window": ("model.cmgi.topology=window", "model.cmgi.window=1"),
    "cross_modal_only": ("model.cmgi.topology=cross_modal_only",),
}
ONE_HOP = {"sg": "{K: 1}", "tag": "{K: 1}", "appnp": "{K: 1}"}


def videos_of(network, lengths: Sequence[int]) -> list[HeteroData]:
    """Videos of random features, each of which wants its gradient."""
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
    write_edges(videos, batch)
    return batch


def write_edges(videos: list[HeteroData], batch: Batch) -> None:
    """Each video's part of the batch's edges, found by the batch's node numbers."""
    for relation, (number, video) in itertools.product(batch.edge_types, enumerate(videos)):
        index, (source, _, target) = batch[relation].edge_index, relation
        own = index[:, batch[target].batch[index[1]] == number]
        video[relation].edge_index = own - torch.stack((batch[source].ptr[number], batch[target].ptr[number]))[:, None]


def ones_own(network, videos: list[HeteroData]) -> Batch:
    """Random edges in no order, one of them twice; a second without any, and one relation less."""
    for video, relation in itertools.product(videos, RELATIONS):
        source, subgraph, target = relation
        if (source, target) == ("text", "text"):
            del video[relation]
            continue
        index = torch.stack([torch.randint(video[name].num_nodes, (7,)) for name in (source, target)])
        if (subgraph, target) == ("av", "audio"):
            index = index[:, index[1] != 2]
        video[relation].edge_index = torch.cat((index, index[:, :1]), dim=1)
    return collate(videos)


BATCHES = {"as built": as_built, "some removed": some_removed, "one's own": ones_own}


def read(answer: Localization, videos: list[HeteroData]) -> list[dict[str, Tensor]]:
    """The answer taken apart: the numbers that the transcription gives for each video, by the same names."""
    found, longest = [], answer.relevance.shape[1]
    for number, video in enumerate(videos):
        seconds = len(video["audio"].x)
        one = {"category": answer.category[number], "gate_category": answer.gate_category[number],
               "relevance": answer.relevance[number, :seconds]}
        if answer.segment_scores is not None:
            one["segment_scores"] = answer.segment_scores[number, :seconds]
        for name in ("audio", "visual", "text"):
            one[name] = answer.stages["cmgi"][name][number, : video[name].num_nodes]
        for name, gate in answer.gates.items():
            one[f"gate {name}"] = gate[number, :seconds]
        for subgraph, made in answer.adjacency.items():
            rows = torch.cat((torch.arange(seconds), longest + torch.arange(video[SUBGRAPHS[subgraph][1]].num_nodes)))
            for layer, matrix in enumerate(made):
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


def named_at(name: str) -> Callable[[str], str]:
    return lambda text: f"{name}: {text}"


def agrees(network, videos: list[HeteroData], batch: HeteroData) -> None:
    """Model and transcription say the same of `videos`, and so do all their gradients."""
    found, expected = read(network.model(batch), videos), [network.transcribed(video) for video in videos]
    for one, two in zip(found, expected, strict=True):
        assert one.keys() == two.keys()
        for name in one:
            torch.testing.assert_close(one[name], two[name], rtol=1e-9, atol=1e-11, msg=named_at(name))
    named = dict(network.model.named_parameters())
    named |= {f"{name} of video {number}": video[name].x for number, video in enumerate(videos)
              for name in ("audio", "visual")}
    leaves = list(named.values())
    for name, one, two in zip(named, gradients(found, leaves), gradients(expected, leaves), strict=True):
        torch.testing.assert_close(one, two, rtol=1e-8, atol=1e-10, msg=named_at(name))


@pytest.mark.parametrize("kind", TOPOLOGIES)
@pytest.mark.parametrize("conv", sorted(CONVS))
def test_every_layer_passes_messages_along_the_batch_s_edges(network, conv: str, kind: str):
    for lengths in LENGTHS.values():
        net = network(f"model.cmgi.conv={conv}", *TOPOLOGIES[kind], segments=T if lengths == LENGTHS["equal"] else None)
        for made in BATCHES.values():
            videos = videos_of(net, lengths)
            agrees(net, videos, made(net, videos))


@pytest.mark.parametrize("conv", sorted(CONVS))
def test_every_layer_does_without_any_edge(network, conv: str):
    net = network(f"model.cmgi.conv={conv}")
    videos = videos_of(net, LENGTHS["mixed"])
    for video, relation in itertools.product(videos, RELATIONS):
        if relation[1] == "vt":
            video[relation].edge_index = torch.empty(2, 0, dtype=torch.long)
    agrees(net, videos, collate(videos))


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
    "vector gates": ("model.head.gates=vector",),
    "segment scores": ("model.head.segment_scores=true", "objective.losses=[segment,gate]"),
    "adapters": ("model.width=6", "model.input_norm=true", "model.text.bank=learned"),
    "edge lists alone": ("model.cmgi.backend=native",),
}


@pytest.mark.parametrize("way", OPTIONS)
def test_options_pass_messages_along_the_batch_s_edges(network, way: str):
    for lengths, made in ((LENGTHS["equal"], as_built), (LENGTHS["mixed"], some_removed), (LENGTHS["mixed"], ones_own)):
        net = network(*OPTIONS[way], segments=T if made is as_built else None)
        videos = videos_of(net, lengths)
        agrees(net, videos, made(net, videos))


SHIPPED = sorted(path.name for path in CONFIGS.glob("avsgn_*.yaml"))


@pytest.mark.parametrize("name", SHIPPED)
def test_the_shipped_recipes_are_section_3_written_out(network, name: str):
    """GraphConv, relative time, vector gates and adapters of avsgn_full.yaml among them."""
    widths = ("model.width=6",) if load_config(CONFIGS / name).model.width else ()
    net = network(*widths, file=CONFIGS / name, segments=T)
    videos = videos_of(net, LENGTHS["equal"])
    for make in (as_built, some_removed):
        agrees(net, videos, make(net, videos))


def test_one_text_row_a_class_on_complete_graphs(network):
    net = network()
    videos = videos_of(net, LENGTHS["equal"])
    agrees(net, videos, as_built(net, videos))


@pytest.mark.parametrize("lengths", [(2,), (1,), (1, 3, 1)], ids=str)
def test_short_videos_too(network, lengths: tuple[int, ...]):
    """Eq. 7 multiplies in another order where there are fewer nodes than features."""
    net = network("model.time_encoding=relative", *TOPOLOGIES["window"])
    for made in (as_built, some_removed):
        videos = videos_of(net, lengths)
        agrees(net, videos, made(net, videos))


def test_a_single_video_brings_its_own_edges(network):
    net = network()
    videos = videos_of(net, (T,))
    ones_own(net, videos)
    agrees(net, videos, videos[0])


# --- What a removed edge changes ---------------------------------------------------------------------


def without_edge(batch: Batch, relation: tuple[str, str, str], source: int, target: int) -> Batch:
    """A copy of the batch that has one edge less."""
    less = copy.copy(batch)
    index = batch[relation].edge_index
    less[relation].edge_index = index[:, ~((index[0] == source) & (index[1] == target))]
    assert less[relation].num_edges == batch[relation].num_edges - 1
    return less


@pytest.mark.parametrize("conv", sorted(CONVS))
def test_a_removed_edge_changes_its_target_and_nothing_else(network, conv: str):
    """One layer of one hop: no other node of the video has its message changed, and no other video its answer."""
    options = f"model.cmgi.conv_options={ONE_HOP[conv]}" if conv in ONE_HOP else "model.cmgi.conv_options={}"
    net = network(f"model.cmgi.conv={conv}", "model.cmgi.layers=1", options)
    batch = build_batch(torch.randn(2, T, D), torch.randn(2, T, D), text_nodes=net.text_nodes)
    whole = net.model(batch)
    less = net.model(without_edge(batch, ("audio", "av", "visual"), source=T + 3, target=T + 1))
    changed = {name: ((rows - less.stages["cmgi"][name]).abs() > 1e-12).any(-1).nonzero().tolist()
               for name, rows in whole.stages["cmgi"].items()}
    assert changed == {"audio": [], "visual": [[1, 1]], "text": []}
    assert ((whole.relevance - less.relevance).abs() > 1e-12).nonzero().tolist() == [[1, 1]]
    for name in ("category", "gate_category"):
        torch.testing.assert_close(getattr(whole, name)[0], getattr(less, name)[0], rtol=0, atol=1e-12)
    weights = less.adjacency["av"][0].to_dense() - whole.adjacency["av"][0]
    assert (weights.abs() > 1e-12).any(-1).nonzero().tolist() == [[1, T + 1]]
    assert less.adjacency["av"][0].to_dense()[1, T + 1, 3] == 0


def test_over_more_layers_a_removed_edge_changes_its_own_video_alone(network):
    net = network()
    batch = build_batch(torch.randn(3, T, D), torch.randn(3, T, D), text_nodes=net.text_nodes)
    less = net.model(without_edge(batch, ("visual", "vt", "text"), source=T, target=net.text_nodes))
    whole = net.model(batch)
    for name, rows in whole.stages["cmgi"].items():
        same = [torch.allclose(rows[video], less.stages["cmgi"][name][video], rtol=0, atol=1e-12) for video in range(3)]
        assert same == [True, name == "audio", True], name


def test_the_last_edge_into_a_node_takes_its_message_with_it(network):
    net = network("model.cmgi.layers=1", "model.cmgi.conv_options={bias: false}", "model.cmgi.norm=none",
                  "model.cmgi.subgraphs=[av]")
    batch = build_batch(torch.randn(1, T, D), torch.randn(1, T, D), text_nodes=net.text_nodes)
    for source in ("audio", "visual"):
        index = batch[source, "av", "audio"].edge_index
        batch[source, "av", "audio"].edge_index = index[:, index[1] != 2]
    answer = net.model(batch)
    assert torch.equal(answer.stages["cmgi"]["audio"][0, 2], answer.stages["cmsa"]["audio"][0, 2])
    assert not torch.equal(answer.stages["cmgi"]["audio"][0, 1], answer.stages["cmsa"]["audio"][0, 1])
