"""From a config to a model: what fits is built, what does not is refused by name."""

from __future__ import annotations

import importlib
import inspect
import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any, Literal, get_args, get_origin, get_type_hints

import pytest
import torch

from avsgn_pyg.config import ConfigError, load_config, save_config
from avsgn_pyg.graph.build import build_batch
from avsgn_pyg.layers.convs import CONVS, ConvRow
from avsgn_pyg.zoo import MODELS, Shape, build_model, build_objective, scores_segments, text_nodes

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
    with pytest.raises(ConfigError, match=r"visual label bank.*\(3, 16\).*\(3, 8\)"):
        build_model(load_config().model, SHAPE, bank(visual=8))


def test_a_batch_with_other_text_nodes_is_refused():
    model = build_model(load_config().model, SHAPE, bank())
    with pytest.raises(ValueError, match=r"makes 5 text rows .*9\] text nodes"):
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
    ("{heads: two}", "heads='two' must be an integer of at least 1"),
    ("{heads: 0}", "heads=0 must be an integer of at least 1"),
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
    objective = build_objective(load_config(None, ["objective.relevance_weight=10"]).objective)
    losses = {"relevance": torch.tensor(2.0), "category": torch.tensor(3.0), "consistency": torch.tensor(5.0)}
    assert objective.total(losses).item() == pytest.approx(10 * 2 + 3 + 0.01 * 5)


def test_stages_name_every_station_of_the_way():
    answer = build_model(load_config().model, SHAPE, bank())(batch(T))
    assert set(answer.stages) == {"encoder", "cmsa", "cmgi"}
    assert answer.stages["encoder"]["audio"].shape == (B, T, 16) and answer.stages["cmsa"]["text"].shape == (B, T, 256)


# --- Baselines -----------------------------------------------------------------------------------

BASELINES = sorted(set(MODELS) - {"avsgn"})
SETTINGS = [(name, supervision) for name in BASELINES for supervision in ("full", "weak")]


def of_a_baseline(name: str, supervision: str = "full", *overrides: str):
    """Config, model and objective."""
    config = load_config(None, [f"model.name={name}", f"objective.supervision={supervision}", *overrides])
    model = build_model(config.model, SHAPE, None, supervision)
    return config, model, build_objective(config.objective, name)


@pytest.mark.parametrize(("name", "supervision"), SETTINGS)
def test_a_baseline_answers_as_a_localization(name: str, supervision: str):
    config, model, _ = of_a_baseline(name, supervision)
    answer = model(batch(text_nodes(config.model, SHAPE)))
    assert answer.category.shape == (B, C) and answer.relevance.shape == (B, T)
    assert answer.segment_scores is None or answer.segment_scores.shape == (B, T, C + 1)


@pytest.mark.parametrize(("name", "supervision"), [*SETTINGS, ("avsgn", "full"), ("avsgn", "weak")])
def test_the_table_says_whether_a_model_scores_every_second_over_all_classes(name: str, supervision: str):
    config, model, _ = of_a_baseline(name, supervision)
    assert scores_segments(config.model) == (model(batch(T)).segment_scores is not None)


def test_avsgn_scores_every_second_where_its_config_says_so():
    config = load_config(None, ["model.head.segment_scores=true", "objective.losses=[segment]"]).model
    assert scores_segments(config) and build_model(config, SHAPE, bank())(batch(T)).segment_scores is not None


@pytest.mark.parametrize("name", BASELINES)
def test_a_weak_objective_reads_no_second_s_label(name: str):
    _, model, objective = of_a_baseline(name, "weak")
    answer, category = model(batch(T)), torch.tensor([0, 2])
    without = objective(answer, category)
    poisoned = objective(answer, category, torch.full((B, T), float("nan")))
    assert without == poisoned and objective.total(without).isfinite()


@pytest.mark.parametrize(("name", "supervision"), SETTINGS)
def test_every_weight_of_a_baseline_is_trained(name: str, supervision: str):
    _, model, objective = of_a_baseline(name, supervision)
    losses = objective(model(batch(T)), torch.tensor([0, 2]), (torch.rand(B, T) < 0.5).float())
    assert tuple(losses) == objective.names
    objective.total(losses).backward()
    idle = {key for key, weight in model.named_parameters() if weight.grad is None}
    assert not idle, idle


@pytest.mark.parametrize(("name", "supervision"), SETTINGS)
def test_videos_of_another_length_are_taken(name: str, supervision: str):
    _, model, _ = of_a_baseline(name, supervision)
    longer = build_batch(torch.randn(B, T + 3, 16), torch.randn(B, T + 3, 16), text_nodes=T,
                         category=torch.zeros(B, dtype=torch.int64), relevance=torch.ones(B, T + 3),
                         row=torch.arange(B))
    assert model(longer).relevance.shape == (B, T + 3)


@pytest.mark.parametrize(("overrides", "words"), [
    (["model.name=cmbs", "model.cmsa.heads=2"], r"cmsa\.heads is a setting of avsgn, and .*cmbs has model\.options"),
    (["model.name=cmbs", "model.dim=8"], "dim is a setting of avsgn"),
    (["model.name=psp", "objective.margin=0.3"], r"objective\.margin is a setting of avsgn, .* objective\.options"),
    (["model.name=psp", "objective.losses=[category]"], r"objective\.losses is a setting of avsgn"),
    (["model.options={dim: 8}"], r"avsgn has settings of its own"),
    (["objective.options={pair_weight: 1}"], r"objective\.options=.*avsgn's objective has settings of its own"),
])
def test_settings_of_another_model_are_refused_by_name(overrides: list[str], words: str):
    with pytest.raises(ConfigError, match=words):
        load_config(None, overrides)


@pytest.mark.parametrize(("overrides", "words"), [
    (["model.options={depth: 2}"], "^model: options: CMBS has no option 'depth'; it has .*'alpha'"),
    (["model.options={dim: wide}"], "^model: options: dim='wide' of CMBS must be an integer"),
    (["model.options={dim: 6}"], "^model: dim=6 is not a multiple of heads=4"),
    (["objective.options={gate: 2}"], "^objective: options: CMBSObjective has no option 'gate'; it has .*gate_weight"),
    (["objective.options={double_sigmoid: 1}"], "double_sigmoid=1 of CMBSObjective must be true or false"),
])
def test_an_option_that_a_baseline_cannot_use_is_refused_before_training(overrides: list[str], words: str):
    with pytest.raises(ConfigError, match=words):
        of_a_baseline("cmbs", "full", *overrides)


def changed(build: type) -> dict[str, Any]:
    """Another value for every option of a model or an objective, beside the defaults and :func:`small` widths."""
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


#: Above it, a whole number among the options is a width.
WIDE = 32


def small(model: type) -> dict[str, int]:
    """Widths of a model at which a step takes no time."""
    defaults = {name: each.default for name, each in inspect.signature(model).parameters.items()}
    return {option: 16 for option, default in defaults.items()
            if type(default) is int and default > WIDE and option not in getattr(model, "only", {})}


def outcome(name: str, supervision: str, *overrides: str) -> tuple[dict[str, torch.Size], dict[str, float]]:
    """Shapes of the weights, and the losses of a batch that is the same for all of a model's options."""
    torch.manual_seed(3)
    _, model, objective = of_a_baseline(name, supervision, *overrides)
    objective.begin(0.2)
    torch.manual_seed(4)
    six = build_batch(torch.randn(6, T, 16), torch.randn(6, T, 16), text_nodes=T, category=torch.zeros(6).long(),
                      relevance=torch.ones(6, T), row=torch.arange(6))
    relevance = (torch.rand(6, T) < 0.5).float()
    losses = objective(model(six), torch.tensor([0, 1, 2, 0, 1, 2]), relevance)
    total = objective.total(losses).item()
    return {key: weight.shape for key, weight in model.named_parameters()}, {"total": total}


@pytest.mark.parametrize(("name", "supervision"), SETTINGS)
def test_an_option_of_a_baseline_changes_something_or_is_refused(name: str, supervision: str):
    module = importlib.import_module(f"avsgn_pyg.baselines.{name}")
    classes = {each.__name__.lower(): each for each in vars(module).values() if inspect.isclass(each)}
    key = name.replace("_", "")
    model, objective = classes[key], classes[f"{key}objective"]
    widths = f"model.options={json.dumps(small(model))}"
    plain = outcome(name, supervision, widths)
    for section, build in (("model", model), ("objective", objective)):
        for option, value in changed(build).items():
            setting = f"{section}.options.{option}={json.dumps(value)}"
            keyword, under = getattr(build, "only", {}).get(option, ("supervision", supervision))
            if under in (supervision, "dmrn"):
                assert outcome(name, supervision, widths, setting) != plain, option
            else:
                words = f"{option}={value!r} of {build.__name__} is used with {keyword}={under} only"
                with pytest.raises(ConfigError, match=words):
                    outcome(name, supervision, widths, setting)


def test_options_reach_model_and_objective():
    _, model, objective = of_a_baseline("cmbs", "full", "model.options={alpha: 1, dim: 8}",
                                        "objective.options={gate_weight: 3}")
    assert model.alpha == 1.0 and model.gates["audio"].in_features == 8
    assert objective.total({"gate": torch.tensor(2.0)}) == 6


def test_an_unknown_objective_s_model_is_refused():
    with pytest.raises(ConfigError, match="'avsng' is not a model; choose one of"):
        build_objective(load_config().objective, "avsng")


def test_options_of_a_yaml_are_replaced_whole_and_dotted_ones_keep_the_others(tmp_path: Path):
    (tmp_path / "base.yaml").write_text("model: {name: cmbs, options: {alpha: 0.2, dim: 8}}\n")
    (tmp_path / "child.yaml").write_text("base: base.yaml\nmodel: {options: {beta: 0.1}}\n")
    assert load_config(tmp_path / "child.yaml").model.options == {"beta": 0.1}
    dotted = load_config(tmp_path / "base.yaml", ["model.options.beta=0.1"])
    assert dotted.model.options == {"alpha": 0.2, "dim": 8, "beta": 0.1}
    save_config(dotted, tmp_path / "saved.yaml")
    assert load_config(tmp_path / "saved.yaml") == dotted
