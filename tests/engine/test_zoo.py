"""From a config to a model: settings that fit build a model, others are an error with their name."""

from __future__ import annotations

import importlib
import inspect
import json
from types import SimpleNamespace
from typing import Any, Literal, get_args, get_origin, get_type_hints

import pytest
import torch

from avsgn_pyg.common.config import ConfigError, load_config
from avsgn_pyg.engine.zoo import DENSE, MODELS, Shape, build_model, build_objective, scores_segments, text_nodes
from avsgn_pyg.graph.build import build_batch
from avsgn_pyg.layers.convs import CONVS, ConvRow

B, T, C = 2, 5, 3
SHAPE = Shape(audio_width=16, visual_width=16, segments=T, classes=C)


def bank(audio: int = 16, visual: int = 16) -> SimpleNamespace:
    return SimpleNamespace(audio=torch.randn(C, audio), visual=torch.randn(C, visual))


def batch(text: int, audio: int = 16, visual: int = 16):
    return build_batch(torch.randn(B, T, audio), torch.randn(B, T, visual), text_nodes=text)


def test_the_same_seed_builds_the_same_model():
    config, banks = load_config().model, bank()
    states = []
    for _ in range(2):
        torch.manual_seed(7)
        states.append(build_model(config, SHAPE, banks).state_dict())
    assert all(torch.equal(states[0][key], states[1][key]) for key in states[0])


def test_a_label_bank_is_saved_and_trained_only_where_it_is_learned():
    banks = bank()
    model = build_model(load_config().model, SHAPE, banks)
    assert torch.equal(model.state_dict()["label_text.audio"], banks.audio)
    assert "label_text.audio" not in dict(model.named_parameters())
    learned = build_model(load_config(None, ["model.text.bank=learned"]).model, SHAPE)
    assert "label_text.audio" in dict(learned.named_parameters())


def test_features_of_two_widths_need_an_adapter():
    shape = Shape(audio_width=12, visual_width=20, segments=T, classes=C)
    with pytest.raises(ConfigError, match=r"12 wide.* 20; set model\.width"):
        build_model(load_config().model, shape, bank(12, 20))
    model = build_model(load_config(None, ["model.width=16"]).model, shape, bank(12, 20))
    assert model(batch(T, 12, 20)).category.shape == (B, C)


def test_a_label_bank_of_another_encoder_is_an_error():
    with pytest.raises(ConfigError, match=r"visual label bank.*\(3, 16\).*\(3, 8\)"):
        build_model(load_config().model, SHAPE, bank(visual=8))


@pytest.mark.parametrize(("slots", "rows"), [("segments", T), ("per_class", 2 * C)])
def test_text_nodes_follow_the_slots(slots: str, rows: int):
    config = load_config(None, [f"model.text.slots={slots}"]).model
    assert text_nodes(config, SHAPE) == rows
    assert build_model(config, SHAPE, bank())(batch(rows)).stages["cmgi"]["text"].shape[1] == rows


@pytest.mark.parametrize(("overrides", "words"), [
    (["model.name=avsng"], "choose one of"), (["model.cmgi.conv=sagittal"], "not in the table"),
    (["model.cmsa.heads=5"], "not a multiple of heads=5"),
    (["model.cmgi.conv_options={depth: 2}"], "no option 'depth'"),
    (["model.cmgi.conv=gat", "model.cmgi.conv_options={heads: two}"], "^model: conv=gat: heads='two'"),
])
def test_a_setting_that_cannot_be_built_is_named(overrides: list[str], words: str):
    with pytest.raises(ConfigError, match=words):
        build_model(load_config(None, overrides).model, SHAPE, bank())


def test_a_wrong_option_of_a_user_s_layer_is_a_config_error(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setitem(CONVS, "mine", ConvRow(lambda dim, *, depth: range(depth), "edge_weight"))
    config = load_config(None, ["model.cmgi.conv=mine", "model.cmgi.conv_options={depth: two}"])
    with pytest.raises(ConfigError, match=r"^model: 'str' object cannot be interpreted"):
        build_model(config.model, SHAPE, bank())


def test_avsgn_scores_segments_where_its_config_requires_it():
    config = load_config(None, ["model.head.segment_scores=true", "objective.losses=[segment]"]).model
    assert scores_segments(config) and build_model(config, SHAPE, bank())(batch(T)).segment_scores is not None
    assert not scores_segments(load_config().model)


# --- Baselines -----------------------------------------------------------------------------------

BASELINES = sorted(set(MODELS) - {"avsgn"})
SETTINGS = [(name, supervision) for name in BASELINES for supervision in ("full", "weak")]


def classes_of(name: str) -> tuple[type, type]:
    """Model and objective of a baseline."""
    module = importlib.import_module(f"avsgn_pyg.baselines.{name}")
    classes = {each.__name__.lower(): each for each in vars(module).values() if inspect.isclass(each)}
    key = name.replace("_", "")
    return classes[key], classes[f"{key}objective"]


#: Above it, a whole number among the options is a width.
WIDE = 32


def small(name: str) -> str:
    """The setting of small widths of a baseline."""
    model, _ = classes_of(name)
    defaults = {option: each.default for option, each in inspect.signature(model).parameters.items()}
    widths = {option: 16 for option, default in defaults.items()
              if type(default) is int and default > WIDE and option not in getattr(model, "only", {})}
    return f"model.options={json.dumps(widths)}"


def of_a_baseline(name: str, supervision: str = "full", *overrides: str):
    """Config, model and objective."""
    config = load_config(None, [f"model.name={name}", f"objective.supervision={supervision}", *overrides])
    model = build_model(config.model, SHAPE, None, supervision)
    return config, model, build_objective(config.objective, name)


@pytest.mark.parametrize(("name", "supervision"), SETTINGS)
def test_a_baseline_returns_a_localization_and_trains_every_weight(name: str, supervision: str):
    config, model, objective = of_a_baseline(name, supervision, small(name))
    output = model(batch(text_nodes(config.model, SHAPE)))
    assert output.category.shape == (B, C) and output.relevance.shape == (B, T)
    assert scores_segments(config.model) == (output.segment_scores is not None)
    assert output.segment_scores is None or output.segment_scores.shape == (B, T, C + 1)
    losses = objective(output, torch.tensor([0, 2]), (torch.rand(B, T) < 0.5).float())
    assert tuple(losses) == objective.names
    objective.total(losses).backward()
    assert not {key for key, weight in model.named_parameters() if weight.grad is None}


@pytest.mark.parametrize("name", BASELINES)
def test_a_weak_objective_uses_no_segment_labels(name: str):
    _, model, objective = of_a_baseline(name, "weak", small(name))
    output, category = model(batch(T)), torch.tensor([0, 2])
    without = objective(output, category)
    with_nan = objective(output, category, torch.full((B, T), float("nan")))
    assert without == with_nan and objective.total(without).isfinite()


@pytest.mark.parametrize(("name", "supervision"), SETTINGS)
def test_a_baseline_accepts_videos_of_another_length(name: str, supervision: str):
    _, model, _ = of_a_baseline(name, supervision, small(name))
    longer = build_batch(torch.randn(B, T + 3, 16), torch.randn(B, T + 3, 16), text_nodes=T)
    assert model(longer).relevance.shape == (B, T + 3)


@pytest.mark.parametrize(("overrides", "words"), [
    (["model.name=cmbs", "model.cmsa.heads=2"], r"cmsa\.heads is a setting of avsgn, and .*cmbs has model\.options"),
    (["model.name=psp", "objective.margin=0.3"], r"objective\.margin is a setting of avsgn, .* objective\.options"),
    (["model.options={dim: 8}"], r"avsgn has its own settings"),
    (["objective.options={pair_weight: 1}"], r"objective\.options=.*avsgn's objective has its own settings"),
])
def test_settings_of_another_model_are_an_error(overrides: list[str], words: str):
    with pytest.raises(ConfigError, match=words):
        load_config(None, overrides)


@pytest.mark.parametrize(("overrides", "words"), [
    (["model.options={depth: 2}"], "^model: options: CMBS has no option 'depth'; it has .*'alpha'"),
    (["model.options={dim: 6}"], "^model: dim=6 is not a multiple of heads=4"),
    (["objective.options={gate: 2}"], "^objective: options: CMBSObjective has no option 'gate'; it has .*gate_weight"),
])
def test_an_option_that_a_baseline_cannot_use_is_named(overrides: list[str], words: str):
    with pytest.raises(ConfigError, match=words):
        of_a_baseline("cmbs", "full", *overrides)


def changed(build: type) -> dict[str, Any]:
    """Another value for every option of a model or an objective."""
    given = {"audio_width", "visual_width", "segments", "classes", "supervision", "regions", "self"}
    hints, found = get_type_hints(build.__init__), {}
    for option, parameter in inspect.signature(build).parameters.items():
        default, kind = parameter.default, hints[option]
        if option in given:
            continue
        if get_origin(kind) is Literal:
            found[option] = next(value for value in get_args(kind) if value != default)
        elif isinstance(default, bool):
            found[option] = not default
        elif isinstance(default, int):
            found[option] = 8 if default > WIDE else default // 2 or 2
        else:
            found[option] = 0.9 if default is None else 2 * default + 0.1
    return found


def outcome(name: str, supervision: str, *overrides: str) -> tuple[dict[str, torch.Size], float]:
    """Shapes of the weights, and the loss of a batch that is the same for all of a model's options."""
    torch.manual_seed(3)
    _, model, objective = of_a_baseline(name, supervision, small(name), *overrides)
    objective.begin(0.2)
    torch.manual_seed(4)
    six = build_batch(torch.randn(6, T, 16), torch.randn(6, T, 16), text_nodes=T)
    with torch.no_grad():
        losses = objective(model(six), torch.tensor([0, 1, 2, 0, 1, 2]), (torch.rand(6, T) < 0.5).float())
    return {key: weight.shape for key, weight in model.named_parameters()}, objective.total(losses).item()


@pytest.mark.slow
@pytest.mark.parametrize(("name", "supervision"), SETTINGS)
def test_an_option_of_a_baseline_changes_the_result_or_is_an_error(name: str, supervision: str):
    plain = outcome(name, supervision)
    for section, build in zip(("model", "objective"), classes_of(name), strict=True):
        for option, value in changed(build).items():
            setting = f"{section}.options.{option}={json.dumps(value)}"
            keyword, under = getattr(build, "only", {}).get(option, ("supervision", supervision))
            if under in (supervision, "dmrn"):
                assert outcome(name, supervision, setting) != plain, option
            else:
                with pytest.raises(ConfigError, match=f"{option}={value!r} .*{keyword}={under} only"):
                    outcome(name, supervision, setting)


@pytest.mark.parametrize("name", sorted({*DENSE} - {"avsgn"}))
def test_a_baseline_of_several_events_refuses_what_it_does_not_read(name: str):
    base = ["data.kind=dense", "data.name=d", "data.features=f.h5", f"model.name={name}"]
    plain, other = (load_config(None, [*base, *more]) for more in ([], ["dense.layers=3"]))
    built = build_model(load_config(None, [*base, "model.options={dim: 8}"]).model, SHAPE, dense=plain.dense)
    assert sum(p.numel() for p in built.parameters()) < sum(
        p.numel() for p in build_model(plain.model, SHAPE, dense=plain.dense).parameters())
    with pytest.raises(ConfigError, match=rf"dense\.layers: model\.name={name}"):
        build_model(other.model, SHAPE, dense=other.dense)
    with pytest.raises(ConfigError, match="no option 'depth'"):
        build_model(load_config(None, [*base, "model.options={depth: 8}"]).model, SHAPE, dense=plain.dense)
