"""From a config to a model: what fits is built, what does not is refused by name."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
import torch

from avsgn_pyg.config import ConfigError, load_config
from avsgn_pyg.graph.build import build_batch
from avsgn_pyg.model.convs import CONVS, ConvRow
from avsgn_pyg.zoo import Shape, build_model, build_objective, text_nodes

B, T, C = 2, 5, 3
SHAPE = Shape(audio_width=16, visual_width=16, segments=T, classes=C)


def bank(audio: int = 16, visual: int = 16) -> SimpleNamespace:
    return SimpleNamespace(audio=torch.randn(C, audio), visual=torch.randn(C, visual))


def batch(text: int, audio: int = 16, visual: int = 16):
    return build_batch(torch.randn(B, T, audio), torch.randn(B, T, visual), text_nodes=text,
                       category=torch.zeros(B, dtype=torch.int64), relevance=torch.ones(B, T), row=torch.arange(B))


def test_the_same_seed_builds_the_same_model():
    config, banks = load_config().model, bank()
    states = []
    for _ in range(2):
        torch.manual_seed(7)
        states.append(build_model(config, SHAPE, banks).state_dict())
    assert all(torch.equal(states[0][key], states[1][key]) for key in states[0])


def test_a_label_bank_is_part_of_the_model_but_not_trained():
    banks = bank()
    model = build_model(load_config().model, SHAPE, banks)
    assert torch.equal(model.state_dict()["label_text.audio"], banks.audio)
    assert "label_text.audio" not in dict(model.named_parameters())
    learned = build_model(load_config(None, ["model.text.bank=learned"]).model, SHAPE)
    assert "label_text.audio" in dict(learned.named_parameters())


def test_widths_that_differ_need_an_adapter():
    shape = Shape(audio_width=12, visual_width=20, segments=T, classes=C)
    with pytest.raises(ConfigError, match=r"12 wide and visual ones 20; set model\.width"):
        build_model(load_config().model, shape, bank(12, 20))
    config = load_config(None, ["model.width=16"]).model
    model = build_model(config, shape, bank(12, 20))
    assert model(batch(T, 12, 20)).category.shape == (B, C)


def test_a_label_bank_of_another_encoder_is_refused():
    with pytest.raises(ConfigError, match=r"visual label bank: \(3, 8\) came, the data need \(3, 16\)"):
        build_model(load_config().model, SHAPE, bank(visual=8))


def test_a_batch_with_other_text_nodes_is_refused():
    model = build_model(load_config().model, SHAPE, bank())
    with pytest.raises(ValueError, match="has 9 text nodes a video, this model makes 5"):
        model(batch(9))


@pytest.mark.parametrize(("slots", "rows"), [("segments", T), ("per_class", 2 * C)])
def test_text_nodes_follow_the_slots(slots: str, rows: int):
    config = load_config(None, [f"model.text.slots={slots}"]).model
    assert text_nodes(config, SHAPE) == rows
    assert build_model(config, SHAPE, bank())(batch(rows)).stages["cmgi"]["text"].shape[1] == rows


@pytest.mark.parametrize(("override", "words"), [
    ("model.name=avsng", "choose one of"), ("model.cmgi.conv=sagittal", "not in the table"),
    ("model.cmsa.heads=5", "not a multiple of heads=5"), ("model.cmgi.conv_options={depth: 2}", "no option 'depth'"),
])
def test_what_cannot_be_built_is_refused_before_training(override: str, words: str):
    with pytest.raises(ConfigError, match=words):
        build_model(load_config(None, [override]).model, SHAPE, bank())


@pytest.mark.parametrize(("options", "words"), [
    ("{heads: two}", "heads='two' must be a whole number of at least 1"),
    ("{heads: 0}", "heads=0 must be a whole number of at least 1"),
    ("{dropout: 2}", r"dropout=2 must be a number in \[0, 1\)"),
    ("{dropout: half}", "dropout='half' must be a number"),
])
def test_an_option_of_a_layer_that_cannot_be_used_is_named_with_its_value(options: str, words: str):
    config = load_config(None, ["model.cmgi.conv=gat", f"model.cmgi.conv_options={options}"])
    with pytest.raises(ConfigError, match=f"^model: conv=gat: {words}"):
        build_model(config.model, SHAPE, bank())


def test_an_option_of_the_wrong_type_in_a_layer_of_your_own_is_a_config_error(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setitem(CONVS, "mine", ConvRow(lambda dim, *, depth: range(depth), "edge_weight"))
    config = load_config(None, ["model.cmgi.conv=mine", "model.cmgi.conv_options={depth: two}"])
    with pytest.raises(ConfigError, match=r"^model: 'str' object cannot be interpreted"):
        build_model(config.model, SHAPE, bank())


def test_the_objective_carries_its_config():
    objective = build_objective(load_config(None, ["objective.relevance_weight=10", "objective.margin=0.5"]).objective)
    assert objective.relevance_weight == 10 and objective.margin == 0.5
    losses = {"relevance": torch.tensor(2.0), "category": torch.tensor(3.0), "consistency": torch.tensor(5.0)}
    assert objective.total(losses).item() == pytest.approx(10 * 2 + 3 + 0.01 * 5)


def test_stages_name_every_station_of_the_way():
    answer = build_model(load_config().model, SHAPE, bank())(batch(T))
    assert set(answer.stages) == {"encoder", "cmsa", "cmgi"}
    assert answer.stages["encoder"]["audio"].shape == (B, T, 16) and answer.stages["cmsa"]["text"].shape == (B, T, 256)
