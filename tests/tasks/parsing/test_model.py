"""The parsing head and its objective against their formulas, one second and one class at a time."""

from __future__ import annotations

import dataclasses

import pytest
import torch
import torch.nn.functional as F

from avsgn_pyg.common.config import ConfigError, load_config
from avsgn_pyg.engine import zoo
from avsgn_pyg.graph.build import build_batch
from avsgn_pyg.tasks.parsing.model import Parsing, ParsingHead, ParsingObjective, decode_parsing
from avsgn_pyg.tasks.parsing.training import build_parser

B, T, C, D = 3, 5, 4, 8


@pytest.fixture
def head() -> ParsingHead:
    return ParsingHead(D, C).eval()


def test_the_head_is_its_formula(head: ParsingHead):
    audio, visual = torch.randn(B, T, D), torch.randn(B, T, D)
    found = head(audio, visual)
    rows = {"a": audio, "v": visual}
    p = {m: head.event(x).sigmoid() for m, x in rows.items()}
    time = {m: head.time(x).exp() / head.time(x).exp().sum(1, keepdim=True) for m, x in rows.items()}
    both = sum(head.modality(x).exp() for x in rows.values())
    video = torch.zeros(B, C)
    for b in range(B):
        for t in range(T):
            for m, x in rows.items():
                video[b] += time[m][b, t] * head.modality(x)[b, t].exp() / both[b, t] * p[m][b, t]
    torch.testing.assert_close(found.video, video)
    torch.testing.assert_close(found.audio.sigmoid(), p["a"])
    torch.testing.assert_close(found.video_visual, (time["v"] * p["v"]).sum(1))
    torch.testing.assert_close(found.video_audio, (time["a"] * p["a"]).sum(1))


def test_padding_changes_nothing(head: ParsingHead):
    audio, visual = torch.randn(B, T, D), torch.randn(B, T, D)
    mask = torch.ones(B, T, dtype=torch.bool)
    mask[:, 3:] = False
    padded, short = head(audio, visual, mask), head(audio[:, :3], visual[:, :3])
    for name in ("video", "video_audio", "video_visual"):
        torch.testing.assert_close(getattr(padded, name), getattr(short, name))


def test_losses_are_binary_cross_entropies_with_smoothed_targets():
    p, segment, labels = torch.rand(B, C), torch.zeros(B, T, C), (torch.rand(B, C) < 0.5).float()
    parsing = Parsing(segment, segment, video=p, video_audio=p, video_visual=p)
    losses = ParsingObjective(audio_smoothing=0.2, visual_smoothing=0.1)(parsing, labels)
    assert list(losses) == ["video", "audio", "visual"]
    for name, smoothing in (("video", 0.0), ("audio", 0.2), ("visual", 0.1)):
        # The published form: v y + (1 - v) / 2, with v the share that is kept.
        target = (1 - smoothing) * labels + smoothing * 0.5
        torch.testing.assert_close(losses[name], F.binary_cross_entropy(p, target))
    torch.testing.assert_close(ParsingObjective().total(losses), sum(losses.values()))
    above_one = dataclasses.replace(parsing, video=torch.full((B, C), 1.9))  # evidence of a video may exceed one
    losses = ParsingObjective(guided=False)(above_one, torch.ones(B, C))
    assert list(losses) == ["video"] and losses["video"] < 1e-5


def test_an_event_counts_where_second_and_video_both_reach_the_threshold():
    segments = torch.tensor([[[0.0, 3.0, -0.1], [9.0, 9.0, 9.0]]])
    marks = decode_parsing(segments, torch.tensor([[0.5, 0.49, 1.7]]))
    assert marks.tolist() == [[[True, False, False], [True, False, True]]]


# The whole parser.

SHAPE = zoo.Shape(audio_width=D, visual_width=D, segments=T, classes=C)


def parser(*settings: str, evidence: str = "interaction"):
    torch.manual_seed(0)
    small = ["model.dim=8", "model.cmsa.heads=2", "model.text.bank=learned"]
    config = load_config(None, [*settings] if "model.name=cmbs" in settings else [*small, *settings])
    return build_parser(config.model, SHAPE, evidence=evidence)


def test_the_parser_scores_every_second_of_both_modalities_and_learns():
    model = parser()
    found = model(build_batch(torch.randn(B, T, D), torch.randn(B, T, D), text_nodes=T))
    assert found.audio.shape == found.visual.shape == (B, T, C) and found.video.shape == (B, C)
    assert set(found.stages) == {"encoder", "cmsa", "cmgi"} and set(found.adjacency) == {"av", "vt", "at"}
    objective = ParsingObjective()
    objective.total(objective(found, torch.ones(B, C))).backward()
    assert all(p.grad is not None and p.grad.isfinite().all() for p in model.head.parameters())
    assert any(p.grad is not None and p.grad.any() for p in model.cmgi.parameters())


@pytest.mark.parametrize(("evidence", "audible", "visible"), [
    ("seconds", [False, True, False, False, False], False), ("interaction", [True] * T, True),
])
def test_events_read_from_seconds_alone_depend_on_no_other_second(evidence: str, audible: list[bool], visible: bool):
    """A change of the sound in second 1 changes the events of that second alone, and the video's evidence."""
    audio, visual = torch.randn(B, T, D), torch.randn(B, T, D)
    changed = audio.clone()
    changed[:, 1] += 1.0
    model = parser(evidence=evidence).eval()
    one, two = (model(build_batch(sound, visual, text_nodes=T)) for sound in (audio, changed))
    assert (one.audio != two.audio).flatten(2).any(-1).any(0).tolist() == audible
    assert bool((one.visual != two.visual).any()) is visible and (one.video != two.video).any()


@pytest.mark.parametrize(("setting", "words"), [
    ("model.head.gates=vector", "model.head"), ("model.name=cmbs", "model.name=cmbs"),
    ("model.cmsa.heads=5", "not a multiple of heads=5"),
])
def test_settings_without_meaning_are_refused(setting: str, words: str):
    with pytest.raises(ConfigError, match=words):
        parser(setting)
