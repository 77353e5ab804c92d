"""CMBS: the full and the weak model equal their equations."""

from __future__ import annotations

import pytest
import torch

from avsgn_pyg.baselines.cmbs import CMBS
from avsgn_pyg.baselines.suppression import highest

SMALL = {"dim": 8, "heads": 2, "heads_interaction": 2, "hidden": 8, "hidden_across": 8, "visual_dim": 12}
AUDIO, VISUAL = "audio", "visual"


@pytest.mark.parametrize("recurrent", [True, False])
def test_the_weak_model_is_its_equations(recurrent: bool, shape, make_batch):
    """Each stream is weighed by the gate of the other one."""
    alpha, gamma = 0.3, 0.7
    model = CMBS(**shape, supervision="weak", alpha=alpha, gamma=gamma, recurrent=recurrent, **SMALL).eval()
    audio, visual = torch.randn(4, 6, 10), torch.randn(4, 6, 14)
    output = model(make_batch(audio, visual))
    audio, visual = model.over_time(audio, model.guide(audio, model.regions(visual[:, :, None])))
    within = {AUDIO: model.within[AUDIO](audio), VISUAL: model.within[VISUAL](visual)}
    gates = {name: torch.sigmoid(model.gates[name](rows)) for name, rows in within.items()}
    audio = (1 - alpha + alpha * gates[VISUAL]) * model.across[AUDIO](audio, within[VISUAL])
    visual = (1 - alpha + alpha * gates[AUDIO]) * model.across[VISUAL](visual, within[AUDIO])
    both = model.interact[VISUAL](visual, audio)
    fused = (both + model.interact[AUDIO](audio, both)) / 2
    weight = gamma * (model.localize.audio(audio).sigmoid() + model.localize.visual(visual).sigmoid())
    mean = (gates[AUDIO] + gates[VISUAL])[..., 0] / 2
    assert torch.allclose(output.category, highest(weight * model.localize.fused(fused)), atol=1e-5)
    assert torch.allclose(output.relevance, torch.log(mean / (1 - mean)), atol=1e-5)


def linear(layer, rows):
    return rows @ layer.weight.T + layer.bias


def norm(layer, rows):
    centred = rows - rows.mean(-1, keepdim=True)
    return layer.weight * centred / (centred.square().mean(-1, keepdim=True) + layer.eps).sqrt() + layer.bias


def attend(layer, rows, memory):
    """Head by head: softmax(q k / sqrt(width of a head)) v."""
    width = rows.shape[-1] // layer.num_heads
    weights, biases = layer.in_proj_weight.chunk(3), layer.in_proj_bias.chunk(3)
    projected = [source @ weights[part].T + biases[part] for part, source in enumerate((rows, memory, memory))]
    heads = zip(*(values.split(width, -1) for values in projected), strict=True)
    found = [(query @ key.mT / width**0.5).softmax(-1) @ value for query, key, value in heads]
    return linear(layer.out_proj, torch.cat(found, -1))


def lstm(layer, rows):
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
    visual_rows = linear(model.regions[0], visual).relu()
    guide, channels = model.guide, model.guide.channels
    aware = norm(guide.norm, visual_rows + linear(guide.value, visual_rows))
    similarity = linear(channels.ask_audio, audio).relu() * linear(channels.ask_visual, aware).relu()
    chosen = visual_rows * (1 + linear(channels.weigh[2], linear(channels.weigh[0], similarity).relu()).sigmoid())
    chosen = chosen + beta * aware.sigmoid() * chosen
    streams = {AUDIO: lstm(model.over_time.audio, audio), VISUAL: lstm(model.over_time.visual, chosen)}
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
    into_visual, into_audio = model.interact[VISUAL], model.interact[AUDIO]
    product = held[VISUAL] * held[AUDIO]
    memory = torch.cat((held[AUDIO], held[VISUAL]), 1)
    both = norm(into_visual.norm, product + attend(into_visual.attention, product, memory))
    product = held[AUDIO] * both
    memory = torch.cat((both, held[AUDIO]), 1)
    last_audio = norm(into_audio.norm, product + attend(into_audio.attention, product, memory))
    fused, last = (both + last_audio) / 2, model.localize
    highest_four = [linear(layer, rows).sort(1, descending=True).values[:, :4].mean(1)
                    for layer, rows in ((last.audio, held[AUDIO]), (last.visual, held[VISUAL]))]
    activation = sum(highest_four) / 2
    category = linear(last.heads.category, fused.max(1).values) + gamma * activation
    return category, linear(last.heads.relevance, fused)[..., 0], activation, gates


def test_the_full_model_is_its_equations(shape, make_batch):
    model = CMBS(**shape, supervision="full", alpha=0.1, beta=0.4, gamma=0.3, **SMALL).double().eval()
    audio, visual = torch.randn(4, 6, 10).double(), torch.randn(4, 6, 14).double()
    output = model(make_batch(audio, visual))
    category, relevance, activation, gates = written_out(model, audio, visual, 0.1, 0.4, 0.3)
    torch.testing.assert_close(output.category, category, rtol=1e-12, atol=1e-12)
    torch.testing.assert_close(output.relevance, relevance, rtol=1e-12, atol=1e-12)
    torch.testing.assert_close(output.gate_category, activation, rtol=1e-12, atol=1e-12)
    for name, gate in gates.items():
        torch.testing.assert_close(output.gates[name], gate, rtol=1e-12, atol=1e-12)
