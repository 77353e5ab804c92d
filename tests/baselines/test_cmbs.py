"""CMBS: background suppression at the time and event level, by its formulas."""

from __future__ import annotations

import pytest
import torch

from avsgn_pyg.baselines.cmbs import CMBS, CMBSObjective
from avsgn_pyg.baselines.suppression import highest
from avsgn_pyg.localization import decode

SMALL = {"dim": 8, "heads": 2, "heads_interaction": 2, "hidden": 8, "hidden_across": 8, "visual_dim": 12}
AUDIO, VISUAL = "audio", "visual"


def inside(model: CMBS, audio: torch.Tensor, visual: torch.Tensor):
    """Queried streams and gates before any suppression."""
    audio, visual = model.over_time(audio, model.guide(audio, model.regions(visual[:, :, None])))
    within = {AUDIO: model.within[AUDIO](audio), VISUAL: model.within[VISUAL](visual)}
    gates = {name: torch.sigmoid(model.gates[name](rows)) for name, rows in within.items()}
    return (model.across[AUDIO](audio, within[VISUAL]), model.across[VISUAL](visual, within[AUDIO])), gates


@pytest.mark.parametrize(("supervision", "recurrent"), [("full", True), ("full", False), ("weak", False)])
def test_each_stream_is_held_down_by_the_other_s_gate(supervision: str, recurrent: bool, shape, make_batch):
    alpha, gamma = 0.3, 0.7
    model = CMBS(**shape, supervision=supervision, alpha=alpha, gamma=gamma, recurrent=recurrent, **SMALL).eval()
    audio, visual = torch.randn(4, 6, 10), torch.randn(4, 6, 14)
    answer = model(make_batch(audio, visual))
    (heard, seen), gates = inside(model, audio, visual)
    base = 1.0 if supervision == "full" else 1 - alpha
    heard, seen = base * heard + alpha * gates[VISUAL] * heard, base * seen + alpha * gates[AUDIO] * seen
    both = model.interact[VISUAL](seen, heard)
    fused = (both + model.interact[AUDIO](heard, both)) / 2
    of_audio, of_visual = model.localize.audio(heard), model.localize.visual(seen)
    if supervision == "full":
        activation = (highest(of_audio) + highest(of_visual)) / 2
        category, relevance = model.localize.heads(fused)
        category = category + gamma * activation
        assert torch.allclose(answer.gate_category, activation, atol=1e-6)
    else:
        weighted = gamma * (of_audio.sigmoid() + of_visual.sigmoid()) * model.localize.fused(fused)
        category, mean = highest(weighted), (gates[AUDIO] + gates[VISUAL])[..., 0] / 2
        relevance = torch.log(mean / (1 - mean))
    assert torch.allclose(answer.category, category, atol=1e-5)
    assert torch.allclose(answer.relevance, relevance, atol=1e-5)


def linear(layer, rows):
    return rows @ layer.weight.T + layer.bias


def norm(layer, rows):
    centred = rows - rows.mean(-1, keepdim=True)
    return layer.weight * centred / (centred.square().mean(-1, keepdim=True) + layer.eps).sqrt() + layer.bias


def attend(layer, rows, memory):
    """Head by head: softmax(q k / sqrt(width of a head)) v."""
    width = rows.shape[-1] // layer.num_heads
    weights, biases = layer.in_proj_weight.chunk(3), layer.in_proj_bias.chunk(3)
    asked = [source @ weights[part].T + biases[part] for part, source in enumerate((rows, memory, memory))]
    heads = zip(*(values.split(width, -1) for values in asked), strict=True)
    found = [(query @ key.mT / width**0.5).softmax(-1) @ value for query, key, value in heads]
    return linear(layer.out_proj, torch.cat(found, -1))


def read(layer, rows):
    """A bidirectional LSTM, second by second."""
    both = []
    for direction, step in (("", 1), ("_reverse", -1)):
        into, again, bias, more = (getattr(layer, f"{name}_l0{direction}")
                                   for name in ("weight_ih", "weight_hh", "bias_ih", "bias_hh"))
        state = cell = rows.new_zeros(len(rows), layer.hidden_size)
        states = []
        for row in list(rows.unbind(1))[::step]:
            enter, forget, new, out = (row @ into.T + bias + state @ again.T + more).chunk(4, -1)
            cell = forget.sigmoid() * cell + enter.sigmoid() * new.tanh()
            state = out.sigmoid() * cell.tanh()
            states.append(state)
        both.append(torch.stack(states[::step], 1))
    return torch.cat(both, -1)


def relate(layer, rows, memory):
    rows = norm(layer.after_attention, rows + attend(layer.attention, rows, memory))
    first, last = layer.feed_forward[0], layer.feed_forward[-1]
    return norm(layer.after_feed_forward, rows + linear(last, linear(first, rows).relu()))


def written_out(model: CMBS, audio: torch.Tensor, visual: torch.Tensor, alpha: float, beta: float, gamma: float):
    """The full network on vectors, from matrix products alone: class, relevance, class activations, gates."""
    sight = linear(model.regions[0], visual).relu()
    guide, channels = model.guide, model.guide.channels
    aware = norm(guide.norm, sight + linear(guide.value, sight))
    alike = linear(channels.ask_audio, audio).relu() * linear(channels.ask_visual, aware).relu()
    chosen = sight * (1 + linear(channels.weigh[2], linear(channels.weigh[0], alike).relu()).sigmoid())
    chosen = chosen + beta * aware.sigmoid() * chosen
    streams = {AUDIO: read(model.over_time.audio, audio), VISUAL: read(model.over_time.visual, chosen)}
    within, gates, held = {}, {}, {}
    for name, rows in streams.items():
        rows = linear(model.within[name].enter, rows)
        for layer in model.within[name].layers:
            rows = relate(layer, rows, rows)
        within[name], gates[name] = rows, linear(model.gates[name], rows).sigmoid()
    for name, other in ((AUDIO, VISUAL), (VISUAL, AUDIO)):
        rows = linear(model.across[name].enter, streams[name])
        rows = relate(model.across[name].layer, rows, torch.cat((within[other], rows), 1))
        held[name] = rows + alpha * gates[other] * rows
    sees, hears = model.interact[VISUAL], model.interact[AUDIO]
    product = held[VISUAL] * held[AUDIO]
    both = norm(sees.norm, product + attend(sees.attention, product, torch.cat((held[AUDIO], held[VISUAL]), 1)))
    product = held[AUDIO] * both
    heard = norm(hears.norm, product + attend(hears.attention, product, torch.cat((both, held[AUDIO]), 1)))
    fused, last = (both + heard) / 2, model.localize
    highest_four = [linear(layer, rows).sort(1, descending=True).values[:, :4].mean(1)
                    for layer, rows in ((last.audio, held[AUDIO]), (last.visual, held[VISUAL]))]
    activation = sum(highest_four) / 2
    category = linear(last.heads.category, fused.max(1).values) + gamma * activation
    return category, linear(last.heads.relevance, fused)[..., 0], activation, gates


def test_the_full_network_is_its_equations_written_out(shape, make_batch):
    model = CMBS(**shape, supervision="full", alpha=0.1, beta=0.4, gamma=0.3, **SMALL).double().eval()
    audio, visual = torch.randn(4, 6, 10).double(), torch.randn(4, 6, 14).double()
    answer = model(make_batch(audio, visual))
    category, relevance, activation, gates = written_out(model, audio, visual, 0.1, 0.4, 0.3)
    torch.testing.assert_close(answer.category, category, rtol=1e-12, atol=1e-12)
    torch.testing.assert_close(answer.relevance, relevance, rtol=1e-12, atol=1e-12)
    torch.testing.assert_close(answer.gate_category, activation, rtol=1e-12, atol=1e-12)
    for name, gate in gates.items():
        torch.testing.assert_close(answer.gates[name], gate, rtol=1e-12, atol=1e-12)


def test_a_second_sigmoid_on_a_gate_never_calls_a_second_background():
    """Why the published weak decoding finds no background, and how ``tau=0`` reproduces it."""
    gates = torch.rand(1, 50)
    assert (gates.sigmoid() > 0.5).all() and not (gates > 0.5).all()
    category = torch.tensor([[0.0, 1.0]])
    assert (decode(category, gates.logit(), 0.0) == 1).all()


def test_losses_by_supervision(shape, make_batch, category, relevance):
    full, weak = (CMBSObjective(supervision=name) for name in ("full", "weak"))
    answer = CMBS(**shape, supervision="full", **SMALL)(make_batch())
    losses = full(answer, category, relevance)
    assert tuple(losses) == full.names == ("relevance", "category", "gate", "activation")
    assert full.total(losses).item() == pytest.approx(sum(loss.item() for loss in losses.values()), rel=1e-5)
    answer = CMBS(**shape, supervision="weak", **SMALL)(make_batch())
    assert weak(answer, category)["mil"] == weak(answer, category, relevance)["mil"] and weak.names == ("mil",)
