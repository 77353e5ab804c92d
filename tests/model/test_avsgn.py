"""The whole network: its inputs, its backends, padding, errors, and long videos."""

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
from avsgn_pyg.common.config import load_config
from avsgn_pyg.engine.zoo import build_objective, topology
from avsgn_pyg.graph.build import RELATIONS, build_batch, build_video, collate
from avsgn_pyg.graph.localization import Localization
from avsgn_pyg.graph.topology import Topology
from avsgn_pyg.graph.views import to_heterodata

C, D, T = 2, 8, 5
WINDOW = ("model.cmgi.topology=window", "model.cmgi.window=2")


def assert_same(one: Localization, two: Localization, *, atol: float = 1e-10) -> None:
    """Every field agrees, apart from padding."""
    kept = slice(None) if one.mask is None else one.mask
    for name in ("category", "gate_category"):
        torch.testing.assert_close(getattr(one, name), getattr(two, name), rtol=0, atol=atol)
    torch.testing.assert_close(one.relevance[kept], two.relevance[kept], rtol=0, atol=atol)
    for modality in ("audio", "visual"):
        torch.testing.assert_close(one.gates[modality][kept], two.gates[modality][kept], rtol=0, atol=atol)
        torch.testing.assert_close(one.stages["cmgi"][modality], two.stages["cmgi"][modality], rtol=0, atol=atol)
    for name, matrices in one.adjacency.items():
        for ours, theirs in zip(matrices, two.adjacency[name], strict=True):
            torch.testing.assert_close(*(part.to_dense() if part.is_sparse else part for part in (ours, theirs)),
                                       rtol=0, atol=atol)


# --- Inputs ---------------------------------------------------------------------------------------


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


def concatenated(net, parts: list[tuple[Tensor, Tensor]]) -> Batch:
    return build_batch(*map(torch.cat, zip(*parts, strict=True)), text_nodes=net.text_nodes,
                       lengths=torch.tensor([len(audio) for audio, _ in parts]), topology=topology(net.config))


def without_bookkeeping(net, parts: list[tuple[Tensor, Tensor]]) -> Batch:
    """A batch that PyG's own collation did not write."""
    batch = concatenated(net, parts)
    for name in ("_slice_dict", "_inc_dict"):
        delattr(batch._global_store, name)
    del batch["text"]._num_nodes
    return batch


BATCHES: dict[str, Callable[..., Batch]] = {
    "from_data_list": lambda net, parts: Batch.from_data_list(singles(net, parts, labels=False)),
    "collate": lambda net, parts: collate(singles(net, parts)),
    "loader": lambda net, parts: next(iter(DataLoader(singles(net, parts, labels=False), batch_size=len(parts)))),
    "concatenated": concatenated,
    "separated and collated": lambda net, parts: collate(concatenated(net, parts).to_data_list()),
    "a copy": lambda net, parts: copy.deepcopy(concatenated(net, parts)),
    "without bookkeeping": without_bookkeeping,
}


@pytest.mark.usefixtures("double")
@pytest.mark.parametrize("settings", [(), WINDOW, ("model.cmgi.conv=gatv2", "model.cmgi.relations=typed")], ids=str)
@pytest.mark.parametrize("lengths", [(T, T, T), (4, T, 2)])
def test_the_output_does_not_depend_on_how_a_batch_was_made(network, lengths: tuple[int, ...],
                                                            settings: tuple[str, ...]):
    net, parts = network(*settings), features(*lengths)
    expected = net.model(stacked(net, parts) if len(set(lengths)) == 1 else concatenated(net, parts))
    for make in BATCHES.values():
        assert_same(expected, net.model(make(net, parts)))


@pytest.mark.usefixtures("double")
@pytest.mark.parametrize("settings", [(), WINDOW], ids=str)
def test_a_single_video_is_a_batch_of_one(network, settings: tuple[str, ...]):
    net, parts = network(*settings), features(T)
    expected = net.model(stacked(net, parts))
    assert_same(expected, net.model(singles(net, parts)[0]))
    assert_same(expected, net.model(singles(net, parts, labels=False)[0]))
    assert_same(expected, net.model(stacked(net, parts).get_example(0)))


# --- Backends ----------------------------------------------------------------------------------


def paths_of(net, batch: HeteroData) -> tuple[int, int]:
    """How many convolutions ran on complete graphs, and along a list."""
    with count_paths() as paths, torch.no_grad():
        net.model(batch)
    assert not paths.fallback
    return sum(paths.complete.values()), sum(paths.edge_list.values())


@pytest.mark.parametrize("conv", ["gcn", "gat", "gen"])
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
    assert paths_of(net, concatenated(net, features(*lengths))) == expected


def test_inference_mode_runs_on_both_backends_and_training_after_it(network):
    net, parts = network(), features(T, T)
    expected = net.model(stacked(net, parts))
    with torch.inference_mode():
        batch = stacked(net, parts)
        assert paths_of(net, batch) == (6, 0)
        assert_same(expected, net.model(batch), atol=1e-6)
        assert_same(expected, net.model(collate(singles(net, parts))), atol=1e-6)
    net.model(stacked(net, parts)).relevance.sum().backward()


@pytest.mark.parametrize("settings", [(), ("model.cmgi.conv=gat",), ("model.cmgi.conv=gen", *WINDOW),
                                      ("model.cmgi.topk=3",), ("model.time_encoding=relative", *WINDOW)], ids=str)
@pytest.mark.parametrize("lengths", [(T, T), (T, 3)])
def test_half_precision_trains_and_agrees(network, lengths: tuple[int, ...], settings: tuple[str, ...]):
    net = network(*settings)
    batch = concatenated(net, features(*lengths))
    expected = net.model(batch)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        output = net.model(batch)
    kept = slice(None) if output.mask is None else output.mask
    for name, rows in (("category", slice(None)), ("relevance", kept), ("gate_category", slice(None))):
        one, two = getattr(output, name)[rows].float(), getattr(expected, name)[rows]
        assert (one - two).norm() < 0.1 * two.norm() + 0.05, name
    output.relevance[kept].float().square().sum().backward()
    found = [p.grad for p in net.model.parameters() if p.grad is not None]
    assert all(gradient.isfinite().all() for gradient in found) and any(gradient.any() for gradient in found)


# --- One window ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("window", [1, 2, 4])
def test_graph_and_alignment_have_the_same_window(network, window: int):
    """Eq. 5 gives a second of sound just those seconds of sound that have an edge to it."""
    net = network("model.cmgi.topology=window", f"model.cmgi.window={window}", "model.cmsa.intra_clip=false",
                  "model.cmsa.intra_clap=false")
    assert topology(net.config) == Topology("window", window) and net.model.cmsa.window == window
    seconds = 7
    batch = concatenated(net, features(seconds))
    batch["audio"].x.requires_grad_()
    aligned = net.model.align(batch).streams.audio[0]
    found = set()
    for i in range(seconds):
        (gradient,) = torch.autograd.grad(aligned[i].sum(), batch["audio"].x, retain_graph=True)
        found |= {(j, i) for j in range(seconds) if gradient[j].any()}
    assert found == set(map(tuple, batch["audio", "av", "audio"].edge_index.T.tolist()))


# --- Padding ---------------------------------------------------------------------------------------------

LENGTHS, CATEGORY = (4, 9, 1, 6), torch.tensor([1, 0, 1, -1])

#: Settings under which a batch of mixed lengths must equal its videos alone.
MIXED: dict[str, tuple[str, ...]] = {
    "default": (),
    "per layer": ("model.cmgi.adjacency=per_layer",),
    "learned time": ("model.time_encoding=learned",),
    "window, relative": (*WINDOW, "model.time_encoding=relative"),
    "strongest edges": ("model.cmgi.topk=3", "model.time_encoding=relative"),
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
    output = net.model(batch_of(net, videos, CATEGORY))
    assert output.mask.sum(1).tolist() == list(LENGTHS)
    for number, length in enumerate(LENGTHS):
        alone = net.model(batch_of(net, videos[number: number + 1], CATEGORY[number: number + 1]))
        assert alone.mask is None
        torch.testing.assert_close(output.category[number], alone.category[0])
        torch.testing.assert_close(output.gate_category[number], alone.gate_category[0])
        torch.testing.assert_close(output.relevance[number, :length], alone.relevance[0])
        for modality in ("audio", "visual"):
            torch.testing.assert_close(output.gates[modality][number, :length], alone.gates[modality][0])


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


# --- Attention as a graph -------------------------------------------------------------------------------


@pytest.mark.parametrize("lengths", [(T, T), (4, T, 2)])
def test_attention_can_be_written_to_the_edges_of_the_batch(network, lengths: tuple[int, ...]):
    net = network("model.cmgi.adjacency=per_layer")
    batch = concatenated(net, features(*lengths))
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


def test_text_nodes_of_an_exported_graph_carry_the_label_text(network):
    net = network("model.width=8")
    batch = build_batch(torch.randn(2, T, D), torch.randn(2, T, D), text_nodes=net.text_nodes)
    graph = to_heterodata(batch, net.model(batch))
    expected = net.model.label_text(net.model.adapt_visual, net.model.adapt_audio).detach()
    assert graph.validate() and "x" not in batch["text"]
    for one in graph.to_data_list():
        assert one.validate() and torch.equal(one["text"].x, expected)


# --- Errors -------------------------------------------------------------------------------------


def test_unknown_edge_types_are_named_in_a_warning(network):
    net = network()
    batch = build_batch(torch.randn(1, T, D), torch.randn(1, T, D), text_nodes=net.text_nodes)
    batch["audio", "near", "audio"].edge_index = torch.tensor([[0], [1]])
    with pytest.warns(UserWarning, match="near"):
        net.model(batch)


def two_lengths(net, audio: tuple[int, int], visual: tuple[int, int]) -> Batch:
    return Batch.from_data_list([
        HeteroData(audio={"x": torch.randn(a, D)}, visual={"x": torch.randn(v, D)}, text={"num_nodes": net.text_nodes})
        for a, v in zip(audio, visual, strict=True)])


@pytest.mark.parametrize(("settings", "segments", "make", "words"), [
    ((), None, lambda net: build_batch(torch.randn(2, T, D), torch.randn(2, T, D), text_nodes=5), "text_nodes=4"),
    ((), 6, lambda net: concatenated(net, features(6, 4)), "per_class"),
    ((), 6, lambda net: concatenated(net, features(4, 4)), "per_class"),
    (("model.time_encoding=learned",), None, lambda net: concatenated(net, features(10)), "time_encoding=learned"),
    ((), None, lambda net: two_lengths(net, (5, 5), (4, 4)), "as many visual as audio"),
    ((), None, lambda net: two_lengths(net, (5, 5), (5, 3)), "as many visual as audio"),
], ids=["text nodes", "text of mixed lengths", "text of other lengths", "learned time", "visual", "one visual"])
def test_a_batch_that_does_not_fit_is_an_error(network, settings: tuple[str, ...], segments: int | None,
                                               make: Callable[..., Batch], words: str):
    net = network(*settings, segments=segments)
    with pytest.raises(ValueError, match=words):
        net.model(make(net))


def test_a_batch_without_edges_is_an_error(network):
    net = network()
    batch = build_batch(torch.randn(2, T, D), torch.randn(2, T, D), text_nodes=net.text_nodes, topology=None)
    with pytest.raises(ValueError, match="no edges"):
        net.model(batch)
    assert network("model.cmgi.subgraphs=[]").model(batch).relevance.shape == (2, T)


# --- An hour ---------------------------------------------------------------------------------------------


#: A step on an hour in a process of its own, which prints its peak in GiB.
HOUR = r"""
import re, sys, torch
from avsgn_pyg.common.config import load_config
from avsgn_pyg.graph.build import build_batch
from avsgn_pyg.engine.zoo import Shape, build_model, topology
config = load_config(None, ["model.cmgi.topology=window", "model.text.slots=per_class", *sys.argv[1:]]).model
model = build_model(config, Shape(128, 128, 3600, 28))
streams = [torch.randn(1, 3600, 128) for _ in range(2)]
output = model(build_batch(*streams, text_nodes=56, topology=topology(config)))
output.relevance.square().sum().backward()
assert output.relevance.shape == (1, 3600) and output.adjacency["av"][0].is_sparse
assert all(p.grad.isfinite().all() for p in model.parameters() if p.grad is not None)
# Not ru_maxrss, which begins at what the parent held when it started this process.
print(int(re.search(r"VmHWM:\s+(\d+)", open("/proc/self/status").read())[1]) / 2**20)
"""


@pytest.mark.slow
@pytest.mark.parametrize(("conv", "dim", "gib"), [("gcn", 256, 1.8), ("transformer", 32, 2.6)])
def test_an_hour_in_a_window_trains_in_bounded_memory(conv: str, dim: int, gib: float):
    """The bound of the first is below what a whole layer of messages would take at its width."""
    given = [f"model.cmgi.conv={conv}", f"model.dim={dim}", "model.time_encoding=relative"]
    done = subprocess.run([sys.executable, "-c", HOUR, *given], capture_output=True, text=True, check=True,
                          env=os.environ | {"OMP_NUM_THREADS": "1"})
    assert 0.3 < float(done.stdout) < gib
