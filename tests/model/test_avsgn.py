"""The whole network: what it takes, which backend runs, and that padding changes nothing."""

from __future__ import annotations

import copy
import os
import subprocess
import sys
from collections.abc import Callable

import pytest
import torch
from torch import Tensor
from torch_geometric.data import Batch, HeteroData
from torch_geometric.loader import DataLoader

from avsgn_pyg.blocks import count_paths
from avsgn_pyg.config import load_config
from avsgn_pyg.data.videos import Videos
from avsgn_pyg.graph.build import RELATIONS, build_batch, build_video, collate
from avsgn_pyg.graph.topology import COMPLETE, Topology
from avsgn_pyg.graph.views import to_heterodata
from avsgn_pyg.layers.convs import CONVS
from avsgn_pyg.localization import Localization, decode
from avsgn_pyg.zoo import Shape, build_model, build_objective, topology

C, D, T = 2, 8, 5
WINDOW = ("model.cmgi.topology=window", "model.cmgi.window=2")


def same(one: Localization, two: Localization, *, atol: float = 1e-10) -> None:
    """The same numbers in every field that a second or a video has."""
    kept = slice(None) if one.mask is None else one.mask
    for name in ("category", "gate_category"):
        torch.testing.assert_close(getattr(one, name), getattr(two, name), rtol=0, atol=atol)
    torch.testing.assert_close(one.relevance[kept], two.relevance[kept], rtol=0, atol=atol)
    for modality in ("audio", "visual"):
        torch.testing.assert_close(one.gates[modality][kept], two.gates[modality][kept], rtol=0, atol=atol)
        torch.testing.assert_close(one.stages["cmgi"][modality], two.stages["cmgi"][modality], rtol=0, atol=atol)
    for name, made in one.adjacency.items():
        for ours, theirs in zip(made, two.adjacency[name], strict=True):
            torch.testing.assert_close(*(part.to_dense() if part.is_sparse else part for part in (ours, theirs)),
                                       rtol=0, atol=atol)


# --- What it takes ---------------------------------------------------------------------------------------


def features(*lengths: int) -> list[tuple[Tensor, Tensor]]:
    return [(torch.randn(t, D), torch.randn(t, D)) for t in lengths]


def singles(net, parts: list[tuple[Tensor, Tensor]], labels: bool = True) -> list[HeteroData]:
    videos = [build_video(*part, text_nodes=net.text_nodes, topology=topology(net.config)) for part in parts]
    for video in () if labels else videos:
        del video.relevance  # one row a video, which PyG cannot stack over different lengths
    return videos


def stacked(net, parts: list[tuple[Tensor, Tensor]]) -> Batch:
    return build_batch(*map(torch.stack, zip(*parts, strict=True)), text_nodes=net.text_nodes,
                       topology=topology(net.config))


def end_to_end(net, parts: list[tuple[Tensor, Tensor]]) -> Batch:
    return build_batch(*map(torch.cat, zip(*parts, strict=True)), text_nodes=net.text_nodes,
                       lengths=torch.tensor([len(audio) for audio, _ in parts]), topology=topology(net.config))


def from_split(net, parts: list[tuple[Tensor, Tensor]]) -> Batch:
    """By ``Videos.batch``, from a split that has another video and fills all up with numbers that nobody reads."""
    lengths = torch.tensor([9, *(len(audio) for audio, _ in parts)])
    streams = torch.full((2, len(lengths), 9, D), torch.nan)
    for modality in (0, 1):
        streams[modality, 0] = 0
        for number, part in enumerate(parts):
            streams[modality, number + 1, : len(part[modality])] = part[modality]
    count = len(lengths)
    split = Videos(*streams, torch.zeros(count, dtype=torch.int64), torch.zeros(count, 9), torch.arange(count),
                   tuple(map(str, range(count))), net.text_nodes, topology=topology(net.config), lengths=lengths)
    return split.batch(torch.arange(1, count))


WAYS: dict[str, Callable[..., Batch]] = {
    "from_data_list": lambda net, parts: Batch.from_data_list(singles(net, parts, labels=False)),
    "collate": lambda net, parts: collate(singles(net, parts)),
    "loader": lambda net, parts: next(iter(DataLoader(singles(net, parts, labels=False), batch_size=len(parts)))),
    "end to end": end_to_end,
    "a split": from_split,
    "apart and together": lambda net, parts: collate(end_to_end(net, parts).to_data_list()),
    "a copy": lambda net, parts: copy.deepcopy(end_to_end(net, parts)),
    "moved": lambda net, parts: end_to_end(net, parts).to("cpu"),
}


@pytest.mark.usefixtures("double")
@pytest.mark.parametrize("settings", [(), WINDOW, ("model.cmgi.conv=gatv2",), ("model.cmgi.relations=typed",)], ids=str)
@pytest.mark.parametrize("lengths", [(T, T, T), (4, T, 2)])
def test_one_answer_by_whatever_way_the_videos_come(network, lengths: tuple[int, ...], settings: tuple[str, ...]):
    net, parts = network(*settings), features(*lengths)
    expected = net.model(stacked(net, parts) if len(set(lengths)) == 1 else end_to_end(net, parts))
    for way in WAYS.values():
        same(expected, net.model(way(net, parts)))


@pytest.mark.usefixtures("double")
@pytest.mark.parametrize("settings", [(), WINDOW], ids=str)
def test_a_single_video_is_a_batch_of_one(network, settings: tuple[str, ...]):
    net, parts = network(*settings), features(T)
    expected = net.model(stacked(net, parts))
    same(expected, net.model(singles(net, parts)[0]))
    same(expected, net.model(singles(net, parts, labels=False)[0]))
    same(expected, net.model(stacked(net, parts).get_example(0)))


@pytest.mark.usefixtures("double")
def test_a_batch_without_pyg_s_bookkeeping_answers_the_same(network):
    net, parts = network(), features(4, T, 2)
    batch, expected = end_to_end(net, parts), net.model(end_to_end(net, parts))
    for name in ("_slice_dict", "_inc_dict"):
        delattr(batch._global_store, name)
    del batch["text"]._num_nodes
    same(expected, net.model(batch))


# --- Which backend runs ----------------------------------------------------------------------------------


def paths_of(net, batch: HeteroData) -> tuple[int, int]:
    """How many convolutions ran on complete graphs, and along a list."""
    with count_paths() as paths, torch.no_grad():
        net.model(batch)
    assert not paths.fallback
    return sum(paths.complete.values()), sum(paths.edge_list.values())


@pytest.mark.parametrize("conv", sorted(CONVS))
def test_complete_graphs_run_as_dense_algebra_and_others_along_their_list(network, conv: str):
    net = network(f"model.cmgi.conv={conv}", segments=T)
    batch = stacked(net, features(T, T))
    assert paths_of(net, batch) == (6, 0)
    index = batch["audio", "av", "visual"].edge_index
    batch["audio", "av", "visual"].edge_index = torch.cat((index[:, 1:], index[:, -1:]), dim=1)
    assert paths_of(net, batch) == (4, 2)


@pytest.mark.parametrize(("settings", "lengths", "expected"), [
    ((), (T, T), (6, 0)), ((), (T, 3), (0, 6)), (WINDOW, (T, T), (0, 6)), (WINDOW, (3, 3), (6, 0)),
    (("model.cmgi.topology=cross_modal_only",), (T, T), (0, 6)), (("model.cmgi.backend=native",), (T, T), (0, 6)),
    (("model.cmgi.topk=3",), (T, T), (0, 6)), (("model.cmgi.relations=typed",), (T, T), (0, 24)),
    (("model.cmgi.subgraphs=[av]", "model.cmgi.layers=3"), (T, T), (3, 0)),
], ids=str)
def test_the_backend_follows_from_edges_and_settings(network, settings, lengths, expected):
    net = network(*settings)
    assert paths_of(net, end_to_end(net, features(*lengths))) == expected


@pytest.mark.usefixtures("double")
@pytest.mark.parametrize("conv", sorted(CONVS))
def test_both_backends_answer_the_same_in_values_and_every_gradient(network, conv: str):
    net = network(f"model.cmgi.conv={conv}", "model.time_encoding=relative")
    other = network(f"model.cmgi.conv={conv}", "model.time_encoding=relative", "model.cmgi.backend=native")
    other.model.load_state_dict(net.model.state_dict())
    batch, found = stacked(net, features(T, T)), []
    assert paths_of(net, batch) == (6, 0) and paths_of(other, batch) == (0, 6)
    for model in (net.model, other.model):
        answer = model(batch)
        parts = [answer.category, answer.relevance, answer.gate_category, *answer.stages["cmgi"].values()]
        mixture = sum((part * torch.linspace(-1, 2, part.numel()).cos().view_as(part)).sum() for part in parts)
        weights = list(model.parameters())
        found.append([*parts, *torch.autograd.grad(mixture, weights, allow_unused=True, materialize_grads=True)])
    for ours, theirs in zip(*found, strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-8, atol=1e-10)


def test_inference_mode_answers_on_both_backends(network):
    net, parts = network(), features(T, T)
    expected = net.model(stacked(net, parts))
    with torch.inference_mode():
        made_here = stacked(net, parts)
        assert paths_of(net, made_here) == (6, 0)
        same(expected, net.model(made_here), atol=1e-6)
        same(expected, net.model(collate(singles(net, parts))), atol=1e-6)
    net.model(stacked(net, parts)).relevance.sum().backward()  # nothing that was made there is left behind


@pytest.mark.parametrize("settings", [(), WINDOW, ("model.cmgi.conv=gat",), ("model.cmgi.conv=gen", *WINDOW),
                                      ("model.cmgi.topk=3",), ("model.cmgi.relations=typed",),
                                      ("model.time_encoding=relative", *WINDOW)], ids=str)
@pytest.mark.parametrize("lengths", [(T, T), (T, 3)])
def test_half_precision_trains_and_is_near(network, lengths: tuple[int, ...], settings: tuple[str, ...]):
    net = network(*settings)
    batch = end_to_end(net, features(*lengths))
    expected = net.model(batch)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        answer = net.model(batch)
    kept = slice(None) if answer.mask is None else answer.mask
    for name, rows in (("category", slice(None)), ("relevance", kept), ("gate_category", slice(None))):
        one, two = getattr(answer, name)[rows].float(), getattr(expected, name)[rows]
        assert (one - two).norm() < 0.1 * two.norm() + 0.05, name
    answer.relevance[kept].float().square().sum().backward()
    found = [p.grad for p in net.model.parameters() if p.grad is not None]
    assert all(gradient.isfinite().all() for gradient in found) and any(gradient.any() for gradient in found)


# --- One window ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("window", [1, 2, 4])
def test_graph_and_alignment_have_one_window(network, window: int):
    """Eq. 5 gives a second of sound just those seconds of sound that have an edge to it."""
    net = network("model.cmgi.topology=window", f"model.cmgi.window={window}", "model.cmsa.intra_clip=false",
                  "model.cmsa.intra_clap=false")
    assert topology(net.config) == Topology("window", window) and net.model.cmsa.window == window
    seconds = 7
    batch = end_to_end(net, features(seconds))
    batch["audio"].x.requires_grad_()
    aligned = net.model.align(batch).streams.audio[0]
    found = set()
    for i in range(seconds):
        (gradient,) = torch.autograd.grad(aligned[i].sum(), batch["audio"].x, retain_graph=True)
        found |= {(j, i) for j in range(seconds) if gradient[j].any()}
    assert found == set(map(tuple, batch["audio", "av", "audio"].edge_index.T.tolist()))


@pytest.mark.parametrize("kind", ["complete", "cross_modal_only"])
def test_without_a_window_alignment_reaches_the_whole_video(network, kind: str):
    net = network(f"model.cmgi.topology={kind}")
    assert net.model.cmsa.window is None and topology(net.config).name == kind


# --- Padding ---------------------------------------------------------------------------------------------

LENGTHS, CATEGORY = (4, 9, 1, 6), torch.tensor([1, 0, 1, -1])

#: Settings under which a batch of mixed lengths must equal its videos alone.
MIXED: dict[str, tuple[str, ...]] = {
    "default": (),
    "native": ("model.cmgi.backend=native",),
    "per layer": ("model.cmgi.adjacency=per_layer",),
    "learned time": ("model.time_encoding=learned",),
    "sinusoidal time": ("model.time_encoding=sinusoidal",),
    "relative time": ("model.time_encoding=relative",),
    "window": WINDOW,
    "window, relative": (*WINDOW, "model.time_encoding=relative"),
    "strongest edges": ("model.cmgi.topk=3", "model.time_encoding=relative"),
    "cross-modal": ("model.cmgi.topology=cross_modal_only",),
    "typed": ("model.cmgi.relations=typed",),
    "typed window": ("model.cmgi.relations=typed", "model.cmgi.topology=window", "model.cmgi.conv=gat"),
    "printed": ("model.cmsa.residual=none", "model.cmgi.residual=false", "model.cmgi.norm=none"),
    "no alignment": ("model.cmsa.inter_audio=false", "model.cmsa.inter_text=false", "model.cmsa.intra_clip=false"),
    "no subgraph": ("model.cmgi.subgraphs=[]",),
    "segment scores": ("model.head.segment_scores=true", "model.head.gates=vector", "objective.losses=[segment,gate]"),
    "weak": ("objective.supervision=weak",),
    "weak, top k": ("objective.supervision=weak", "objective.mil_pooling=topk", "objective.mil_topk=3"),
    "weak, mean": ("objective.supervision=weak", "objective.mil_pooling=mean"),
    "weak, attention": ("objective.supervision=weak", "objective.mil_pooling=attention"),
}


def batch_of(net, videos: list, category: Tensor) -> Batch:
    return collate([build_video(audio, visual, text_nodes=net.text_nodes, category=int(one), relevance=relevance,
                                topology=topology(net.config))
                    for (audio, visual, relevance), one in zip(videos, category, strict=True)])


def videos_of(lengths: tuple[int, ...] = LENGTHS) -> list[tuple[Tensor, Tensor, Tensor]]:
    return [(*(torch.randn(t, D, requires_grad=True) for _ in range(2)), torch.randint(2, (t,)).double())
            for t in lengths]


@pytest.mark.usefixtures("double")
@pytest.mark.parametrize("way", MIXED)
def test_a_batch_of_mixed_lengths_equals_its_videos_alone(network, way: str):
    net, videos = network(*MIXED[way]), videos_of()
    answer = net.model(batch_of(net, videos, CATEGORY))
    assert answer.mask.sum(1).tolist() == list(LENGTHS)
    for number, length in enumerate(LENGTHS):
        alone = net.model(batch_of(net, videos[number: number + 1], CATEGORY[number: number + 1]))
        assert alone.mask is None
        torch.testing.assert_close(answer.category[number], alone.category[0])
        torch.testing.assert_close(answer.gate_category[number], alone.gate_category[0])
        torch.testing.assert_close(answer.relevance[number, :length], alone.relevance[0])
        for modality in ("audio", "visual"):
            torch.testing.assert_close(answer.gates[modality][number, :length], alone.gates[modality][0])


@pytest.mark.usefixtures("double")
@pytest.mark.parametrize("way", MIXED)
def test_losses_are_means_over_segments_without_padding_and_so_are_their_gradients(network, way: str):
    objective = build_objective(load_config(None, MIXED[way]).objective)
    net, videos = network(*MIXED[way]), videos_of()
    batch = batch_of(net, videos, CATEGORY)
    losses = objective(net.model(batch), batch.category, batch.relevance)
    leaves = [*(part for video in videos for part in video[:2]), *net.model.parameters()]
    found = torch.autograd.grad(objective.total(losses), leaves, allow_unused=True)
    # The same from the videos alone: class losses over videos with an event, the others over all segments.
    sums: dict[str, Tensor] = {}
    for number, (length, one) in enumerate(zip(LENGTHS, CATEGORY, strict=True)):
        single = batch_of(net, videos[number: number + 1], CATEGORY[number: number + 1])
        for name, loss in objective(net.model(single), single.category, single.relevance).items():
            over_segments = name in ("relevance", "consistency", "segment")
            share = length / sum(LENGTHS) if over_segments else float(one >= 0) / int((CATEGORY >= 0).sum())
            sums[name] = sums.get(name, 0.0) + share * loss
    for name, loss in losses.items():
        torch.testing.assert_close(loss, sums[name])
    expected = torch.autograd.grad(objective.total(sums), leaves, allow_unused=True)
    for leaf, ours, theirs in zip(leaves, found, expected, strict=True):
        ours, theirs = (torch.zeros_like(leaf) if part is None else part for part in (ours, theirs))
        torch.testing.assert_close(ours, theirs, rtol=1e-6, atol=1e-10)
        assert ours.isfinite().all()


def test_decoding_by_a_mask_makes_padding_background(network):
    net = network()
    answer = net.model(end_to_end(net, features(4, 9, 1)))
    labels = decode(answer.category, answer.relevance + 99, 0.5, answer.mask)
    assert torch.equal(labels == C, ~answer.mask)


# --- The answer as a graph -------------------------------------------------------------------------------


@pytest.mark.parametrize("lengths", [(T, T), (4, T, 2)])
def test_attention_is_written_onto_the_edges_that_the_batch_has(network, lengths: tuple[int, ...]):
    net = network("model.cmgi.adjacency=per_layer")
    batch = end_to_end(net, features(*lengths))
    for relation in RELATIONS:
        index = batch[relation].edge_index
        index = index[:, (index[0] + index[1]) % 3 != 1]
        batch[relation].edge_index = torch.cat((index[:, :1], index), dim=1)  # one edge twice
    graph = to_heterodata(batch, net.model(batch), layer=1)
    for relation in RELATIONS:
        assert sorted(graph[relation].edge_index.T.tolist()) == sorted(batch[relation].edge_index.T.tolist())
    into = torch.zeros(batch["audio"].num_nodes)
    for relation in RELATIONS:
        if relation[1:] == ("av", "audio"):
            into.index_add_(0, graph[relation].edge_index[1], graph[relation].edge_weight)
    torch.testing.assert_close(into, torch.ones_like(into))


# --- What it refuses -------------------------------------------------------------------------------------


def test_edge_types_that_the_model_does_not_read_are_named_in_a_warning(network):
    net = network()
    batch = build_batch(torch.randn(1, T, D), torch.randn(1, T, D), text_nodes=net.text_nodes)
    batch["audio", "near", "audio"].edge_index = torch.tensor([[0], [1]])
    with pytest.warns(UserWarning, match="near"):
        net.model(batch)


def test_a_batch_without_edges_is_refused(network):
    net = network()
    batch = build_batch(torch.randn(2, T, D), torch.randn(2, T, D), text_nodes=net.text_nodes, topology=None)
    with pytest.raises(ValueError, match="no edges"):
        net.model(batch)
    assert network("model.cmgi.subgraphs=[]").model(batch).relevance.shape == (2, T)


def test_another_number_of_text_nodes_is_refused(network):
    net = network()
    with pytest.raises(ValueError, match=r"text_nodes=4"):
        net.model(build_batch(torch.randn(2, T, D), torch.randn(2, T, D), text_nodes=net.text_nodes + 1))


@pytest.mark.parametrize("lengths", [(6, 4), (4, 4)])
def test_text_rows_that_are_seconds_refuse_other_lengths(network, lengths: tuple[int, ...]):
    net = network(segments=6)
    with pytest.raises(ValueError, match="per_class"):
        net.model(end_to_end(net, features(*lengths)))


def test_learned_time_refuses_more_seconds_than_it_has_vectors_for(network):
    net = network("model.time_encoding=learned")
    with pytest.raises(ValueError, match="time_encoding=learned"):
        net.model(end_to_end(net, features(10)))


@pytest.mark.parametrize("other", [(4, 4), (5, 3)])
def test_audio_and_visual_of_different_seconds_are_refused(network, other: tuple[int, ...]):
    net = network()
    videos = [HeteroData(audio={"x": torch.randn(a, D)}, visual={"x": torch.randn(v, D)},
                         text={"num_nodes": net.text_nodes}) for a, v in zip((5, 5), other, strict=True)]
    with pytest.raises(ValueError, match="as many visual as audio"):
        net.model(Batch.from_data_list(videos))


def test_an_edge_between_two_videos_is_refused(network):
    net = network()
    batch = stacked(net, features(T, T))
    batch["audio", "at", "text"].edge_index = torch.tensor([[0, T], [0, 0]])
    with pytest.raises(ValueError, match="two videos"):
        net.model(batch)


# --- An hour ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("time", ["none", "relative"])
def test_an_hour_in_a_window_answers_and_trains(network, time: str):
    net = network("model.cmgi.topology=window", "model.cmgi.window=3", f"model.time_encoding={time}")
    answer = net.model(end_to_end(net, features(3600)))
    answer.relevance.square().sum().backward()
    assert answer.relevance.shape == (1, 3600) and answer.adjacency["av"][0].is_sparse
    assert answer.adjacency["av"][0].coalesce().values().numel() < 4 * 3600 * 7
    assert all(p.grad.isfinite().all() for p in net.model.parameters() if p.grad is not None)


#: A step on an hour in a process of its own, which prints its peak in GiB.
HOUR = r"""
import re, sys, torch
from avsgn_pyg.config import load_config
from avsgn_pyg.graph.build import build_batch
from avsgn_pyg.zoo import Shape, build_model, topology
config = load_config(None, ["model.cmgi.topology=window", "model.text.slots=per_class", *sys.argv[1:]]).model
model = build_model(config, Shape(128, 128, 3600, 28))
streams = [torch.randn(1, 3600, 128) for _ in range(2)]
model(build_batch(*streams, text_nodes=56, topology=topology(config))).relevance.sum().backward()
# Not ru_maxrss, which begins at what the parent held when it started this process.
print(int(re.search(r"VmHWM:\s+(\d+)", open("/proc/self/status").read())[1]) / 2**20)
"""


@pytest.mark.slow
@pytest.mark.parametrize(("conv", "dim", "gib"), [("gcn", 256, 1.8), ("transformer", 64, 4.0)])
def test_an_hour_in_a_window_trains_in_four_gib(conv: str, dim: int, gib: float):
    """The bound of the first is below what a whole layer of messages would take at its width."""
    given = [f"model.cmgi.conv={conv}", f"model.dim={dim}"]
    done = subprocess.run([sys.executable, "-c", HOUR, *given], capture_output=True, text=True, check=True,
                          env=os.environ | {"OMP_NUM_THREADS": "1"})
    assert 0.3 < float(done.stdout) < gib


def test_the_model_is_built_for_the_topology_of_the_paper_unless_told():
    config = load_config(None, []).model
    assert topology(config) == COMPLETE
    assert build_model(config, Shape(D, D, T, C)).cmsa.window is None
