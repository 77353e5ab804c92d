"""The whole network on videos of mixed length: filling up changes nothing, and long videos are refused or afforded."""

from __future__ import annotations

import os
import subprocess
import sys
from types import SimpleNamespace

import pytest
import torch
from torch import Tensor

from avsgn_pyg.config import load_config
from avsgn_pyg.graph.build import build_batch, build_video, collate
from avsgn_pyg.localization import Localization, decode
from avsgn_pyg.model.avsgn import AVSGN
from avsgn_pyg.model.convs import CONVS
from avsgn_pyg.zoo import Shape, build_model, build_objective

LENGTHS, C, D = (4, 9, 1, 6), 3, 8
CATEGORY = torch.tensor([1, 0, 2, -1])

#: Settings under which a batch of mixed lengths must equal its videos alone.
WAYS: dict[str, tuple[str, ...]] = {
    "default": (),
    "native": ("model.cmgi.backend=native",),
    "per layer": ("model.cmgi.adjacency=per_layer",),
    "learned time": ("model.time_encoding=learned",),
    "sinusoidal time": ("model.time_encoding=sinusoidal",),
    "relative time": ("model.time_encoding=relative",),
    "window": ("model.cmgi.topology=window", "model.cmgi.window=2"),
    "window, relative": ("model.cmgi.topology=window", "model.cmgi.window=2", "model.time_encoding=relative"),
    "top k": ("model.cmgi.topology=topk", "model.cmgi.topk=3", "model.time_encoding=relative"),
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
    **{conv: (f"model.cmgi.conv={conv}",) for conv in CONVS},
}


@pytest.fixture(autouse=True)
def _float64():
    torch.set_default_dtype(torch.float64)
    yield
    torch.set_default_dtype(torch.float32)


def network(*overrides: str, segments: int = max(LENGTHS), slots: str = "per_class") -> AVSGN:
    config = load_config(None, ["model.dim=16", f"model.text.slots={slots}", *overrides])
    bank = SimpleNamespace(audio=torch.randn(C, D), visual=torch.randn(C, D))
    return build_model(config.model, Shape(D, D, segments, C), bank).eval()


def videos_of(lengths: tuple[int, ...] = LENGTHS) -> list[tuple[Tensor, Tensor, Tensor]]:
    return [(*(torch.randn(t, D, requires_grad=True) for _ in range(2)), torch.randint(2, (t,)).double())
            for t in lengths]


def batch_of(videos: list, category: Tensor):
    return collate([build_video(audio, visual, text_nodes=2 * C, category=int(one), relevance=relevance, row=row)
                    for row, ((audio, visual, relevance), one) in enumerate(zip(videos, category, strict=True))])


@pytest.mark.parametrize("way", WAYS)
def test_a_batch_of_mixed_lengths_equals_its_videos_alone(way: str):
    model, videos = network(*WAYS[way]), videos_of()
    answer: Localization = model(batch_of(videos, CATEGORY))
    assert answer.mask.sum(1).tolist() == list(LENGTHS)
    for number, length in enumerate(LENGTHS):
        alone = model(batch_of(videos[number: number + 1], CATEGORY[number: number + 1]))
        assert alone.mask is None
        torch.testing.assert_close(answer.category[number], alone.category[0])
        torch.testing.assert_close(answer.gate_category[number], alone.gate_category[0])
        torch.testing.assert_close(answer.relevance[number, :length], alone.relevance[0])
        for modality in ("audio", "visual"):
            torch.testing.assert_close(answer.gates[modality][number, :length], alone.gates[modality][0])


@pytest.mark.parametrize("way", WAYS)
def test_losses_are_means_over_real_segments_and_pass_their_gradients_to_these(way: str):
    objective = build_objective(load_config(None, WAYS[way]).objective)
    model, videos = network(*WAYS[way]), videos_of()
    batch = batch_of(videos, CATEGORY)
    losses = objective(model(batch), batch.category, batch.relevance)
    leaves = [part for video in videos for part in video[:2]]
    found = torch.autograd.grad(objective.total(losses), [*leaves, *model.parameters()], allow_unused=True)
    # The same from the videos alone: class losses over videos with an event, the others over all segments.
    sums = {}
    for number, (length, one) in enumerate(zip(LENGTHS, CATEGORY, strict=True)):
        single = batch_of(videos[number: number + 1], CATEGORY[number: number + 1])
        for name, loss in objective(model(single), single.category, single.relevance).items():
            over_segments = name in ("relevance", "consistency", "segment")
            share = length / sum(LENGTHS) if over_segments else float(one >= 0) / int((CATEGORY >= 0).sum())
            sums[name] = sums.get(name, 0.0) + share * loss
    for name, loss in losses.items():
        torch.testing.assert_close(loss, sums[name])
    expected = torch.autograd.grad(objective.total(sums), [*leaves, *model.parameters()], allow_unused=True)
    for ours, theirs in zip(found, expected, strict=True):
        zero = torch.zeros(())
        ours, theirs = (zero if part is None else part for part in (ours, theirs))
        torch.testing.assert_close(*torch.broadcast_tensors(ours, theirs), rtol=1e-6, atol=1e-10)
        assert ours.isfinite().all()


def test_text_rows_that_are_seconds_refuse_other_lengths_by_name():
    model = network(slots="segments", segments=6)
    for lengths in ((6, 4), (4, 4)):
        batch = batch_of(videos_of(lengths), CATEGORY[:2])
        batch["text"].num_nodes = 2 * 6
        with pytest.raises(ValueError, match=r"use model\.text\.slots=per_class"):
            model(batch)


def test_learned_time_refuses_more_seconds_than_it_knows():
    model = network("model.time_encoding=learned", segments=5)
    with pytest.raises(ValueError, match="knows 5 seconds, the batch has 9"):
        model(batch_of(videos_of(), CATEGORY))


def test_audio_and_visual_of_different_length_are_refused():
    batch = batch_of(videos_of(), CATEGORY)
    other = batch_of(videos_of((4, 9, 2, 5)), CATEGORY)
    for key in ("x", "ptr", "batch"):
        batch["visual"][key] = other["visual"][key]
    batch._slice_dict["visual"] = other._slice_dict["visual"]
    with pytest.raises(ValueError, match="audio and visual nodes are the same seconds"):
        network()(batch)


@pytest.mark.parametrize("way", ["default", "native", "window, relative", "top k", "typed", "gat", "gen"])
def test_half_precision_trains_on_mixed_lengths(way: str):
    model = network(*WAYS[way]).float()
    batch = batch_of([tuple(part.detach().float() for part in video) for video in videos_of()], CATEGORY)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        answer = model(batch)
    answer.relevance[answer.mask].float().square().sum().backward()
    found = [p.grad for p in model.parameters() if p.grad is not None]
    assert all(gradient.isfinite().all() for gradient in found) and any(gradient.any() for gradient in found)


# --- An hour -----------------------------------------------------------------------------------------


def hour(seconds: int = 3600):
    none = torch.zeros(1, dtype=torch.int64)
    return build_batch(torch.randn(1, seconds, D), torch.randn(1, seconds, D), text_nodes=2 * C, edges=False,
                       category=none, relevance=torch.ones(1, seconds), row=none)


@pytest.mark.parametrize("topology", ["complete", "cross_modal_only"])
def test_an_hour_on_complete_graphs_fails_early_and_says_what_to_use(topology: str, monkeypatch: pytest.MonkeyPatch):
    model = network(f"model.cmgi.topology={topology}", "model.dim=256")
    monkeypatch.setattr(model.cmsa, "forward", None)  # nothing is made first
    with pytest.raises(ValueError, match=r"3600 segments.*needs about .* GiB.*use model\.cmgi\.topology=window"):
        model(hour())


def test_the_limit_is_a_setting():
    assert network("model.cmgi.limit_gib=0.00001", "model.cmgi.subgraphs=[]")(hour(20)).mask is None
    with pytest.raises(ValueError, match="limit_gib allows 1e-05"):
        network("model.cmgi.limit_gib=0.00001")(hour(20))


@pytest.mark.parametrize("time", ["none", "relative"])
def test_an_hour_in_a_window_answers_and_trains(time: str):
    model = network("model.cmgi.topology=window", "model.cmgi.window=3", f"model.time_encoding={time}").float()
    batch = hour()
    batch["audio"].x, batch["visual"].x = batch["audio"].x.float(), batch["visual"].x.float()
    answer = model(batch)
    answer.relevance.square().sum().backward()
    assert answer.relevance.shape == (1, 3600) and answer.adjacency["av"][0].is_sparse
    assert answer.adjacency["av"][0].values().numel() < 4 * 3600 * 7
    assert all(p.grad.isfinite().all() for p in model.parameters() if p.grad is not None)


#: A step on an hour in a process of its own, which prints its peak in GiB.
HOUR = r"""
import re, sys, torch
from avsgn_pyg.config import load_config
from avsgn_pyg.graph.build import build_batch
from avsgn_pyg.zoo import Shape, build_model
config = load_config(None, ["model.cmgi.topology=window", "model.text.slots=per_class", *sys.argv[1:]])
none, ones = torch.zeros(1, dtype=torch.int64), torch.ones(1, 3600)
streams = [torch.randn(1, 3600, 128) for _ in range(2)]
model = build_model(config.model, Shape(128, 128, 3600, 28))
batch = build_batch(*streams, text_nodes=56, edges=False, category=none, relevance=ones, row=none)
model(batch).relevance.sum().backward()
# Not ru_maxrss, which begins at what the parent held when it started this process.
print(int(re.search(r"VmHWM:\s+(\d+)", open("/proc/self/status").read())[1]) / 2**20)
"""


@pytest.mark.slow
@pytest.mark.parametrize(("conv", "dim", "gib"), [("gcn", 256, 2.4), ("transformer", 64, 1.6)])
def test_an_hour_in_a_window_trains_in_less_than_four_gib(conv: str, dim: int, gib: float):
    """The bounds are below what whole layers of messages would take at these widths."""
    given = [f"model.cmgi.conv={conv}", f"model.dim={dim}"]
    done = subprocess.run([sys.executable, "-c", HOUR, *given], capture_output=True, text=True, check=True,
                          env=os.environ | {"OMP_NUM_THREADS": "1"})
    assert 0.3 < float(done.stdout) < gib


def test_decoding_by_a_mask_calls_filling_background():
    answer = network()(batch_of(videos_of(), CATEGORY))
    labels = decode(answer.category, answer.relevance + 99, 0.5, answer.mask)
    assert torch.equal(labels == C, ~answer.mask)
