"""Reading experiments: inheritance, overrides, and messages that name file, key and remedy."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from pydantic import ValidationError

from avsgn_pyg.common.config import Config, ConfigError, check_keys, dump_config, load_config


@pytest.fixture
def write(tmp_path: Path):
    def make(name: str, text: str) -> Path:
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
        return path

    return make


# --- Errors --------------------------------------------------------------------------------------


@pytest.mark.parametrize(("yaml", "words"), [
    ("model: {cmgi: {layer: 3}}", "model.cmgi.layer: .*did you mean model.cmgi.layers"),
    ("batch_size: 8", "batch_size: .*did you mean train.batch_size"),
    ("train: {lr: 0.1}", "train.lr: .*did you mean train.learning_rate"),
    ("model: {cmgi: {topology: complet}}", "model.cmgi.topology: .*did you mean complete"),
    ("zzz: 1", "zzz: .*name, run_dir, data, model"),
    ("model: {dim: wide}", "model.dim: .*'wide'"),
    ("train: {epochs: 0}", "train.epochs: .*greater than or equal to 1"),
    ("train: {epochs: 2.5}", "train.epochs: .*2.5"),
    ("objective: {supervision: ful}", "objective.supervision: .*'full' or 'weak'.*'ful'"),
    ("model: {cmgi: {subgraphs: [av, va]}}", "model.cmgi.subgraphs.*'va'"),
    ("model: {cmgi: {subgraphs: [av, av]}}", "twice"),
    ("model: 3", "model: .*3"), ("train:\n", "train: "),
    ("evaluate: {tau: 1.0}", "evaluate.tau: .*less than 1"),
    ("train: {learning_rate: .inf}", "train.learning_rate: .*finite"),
    ("train: {seeds: [1, 1]}", "train.seeds: names one twice .*1, 1"),
    ("objective: {losses: []}", "objective.losses: .*at least 1"),
    ("objective: {losses: [mil]}", "'mil'.*full supervision.*category"),
    ("objective: {losses: [segment]}", "model.head.segment_scores=true"),
    ("model: {head: {segment_scores: true}}", "loss 'segment'"),
    ("model: {head: {classifier: text}}", "text.slots=per_class"),
    ("model: {text: {slots: per_class}, head: {classifier: text, segment_scores: true}}", "classifier=linear"),
    ("{data: {kind: llp}, model: {text: {slots: per_class}, head: {classifier: text}}}", "data.kind=llp has several"),
    ("{train: {select: test}, evaluate: {split: val}}", "train.select=test needs evaluate.split=test"),
    ("{evaluate: {every: 0}}", "evaluate.every=0 scores none"),
    ("{train: {init_strict: false}}", "init_strict=false is used with init only"),
    ("{train: {select: last, early_stop: 2}}", "early_stop=2 .*a split to watch"),
    ("{train: {augment: {flicker: 0.5}}}", "flicker=0.5 .* boundary above 0"),
    ("{train: {augment: {inside: 0.5}}}", "inside=0.5 .* boundary above 0"),
    ("model: {dim: [", "not valid YAML"), ("- 1", "got list"), ("just words", "got str"),
])
def test_an_error_names_the_file_the_key_and_the_value(write, yaml, words):
    path = write("wrong.yaml", yaml)
    with pytest.raises(ConfigError, match=rf"(?s)^{re.escape(str(path))}: .*{words}"):
        load_config(path)


@pytest.mark.parametrize(("override", "words"), [
    *((f"{key}=true", "got True") for key in ("train.epochs", "train.early_stop", "train.learning_rate")),
    ("train.ema=false", "got False"), ("model.dim='256'", "got '256'"), ("train.seeds=[0, true]", "got True"),
    *((f"data.drop_leaking={value}", "valid boolean") for value in ("1", "'yes'")),
])
def test_a_value_of_another_type_is_not_converted(override, words):
    key = override.partition("=")[0]
    with pytest.raises(ConfigError, match=rf"^command line: {key}\S*: .*{words}"):
        load_config(None, [override])


def test_every_mistake_of_a_chain_is_reported_with_its_file(write):
    base = write("base.yaml", "model: {dim: wide}\ntrain: {epochs: 3}")
    child = write("child.yaml", "base: base.yaml\ntrain: {epoch: 4}")
    with pytest.raises(ConfigError) as error:
        load_config(child, ["train.seed=one"])
    message = str(error.value)
    assert len(message.splitlines()) == 3
    assert f"{base}: model.dim" in message and f"{child}: train.epoch" in message
    assert "command line: train.seed" in message


def test_a_missing_file_names_the_closest_one(write):
    right = write("avsgn_full.yaml", "name: x")
    with pytest.raises(ConfigError, match=f"no such file.*did you mean {right}"):
        load_config(right.with_name("avsgn_ful.yaml"))


def test_a_binary_file_is_an_error(tmp_path):
    path = tmp_path / "bytes.yaml"
    path.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(ConfigError, match="cannot be read"):
        load_config(path)


# --- Inheritance ---------------------------------------------------------------------------------


def test_a_chain_of_bases_merges_mappings_and_replaces_lists(write):
    write("a.yaml", "name: a\nmodel: {dim: 32, cmgi: {layers: 3, subgraphs: [av, vt]}}\ntrain: {epochs: 9}")
    write("mid/b.yaml", "base: ../a.yaml\nname: b\nmodel: {cmgi: {subgraphs: [at]}}")
    config = load_config(write("c.yaml", "base: mid/b.yaml\ntrain: {milestones: [5]}"))
    assert (config.name, config.model.dim, config.model.cmgi.layers) == ("b", 32, 3)
    assert (config.model.cmgi.subgraphs, config.train.milestones, config.train.epochs) == (("at",), (5,), 9)


def test_free_form_settings_are_replaced_as_a_whole(write):
    write("gat.yaml", "model: {cmgi: {conv: gat, conv_options: {heads: 2, bias: false}}}")
    config = load_config(write("graph.yaml", "base: gat.yaml\nmodel: {cmgi: {conv_options: {heads: 4}}}"))
    assert config.model.cmgi.conv_options == {"heads": 4}


@pytest.mark.parametrize(("base", "words"), [
    ("two.yaml", r"circle \(two.yaml -> one.yaml -> two.yaml\)"), ("gone.yaml", r"gone\.yaml: no such file"),
])
def test_a_base_that_cannot_be_used_is_named(write, base, words):
    write("one.yaml", f"base: {base}")
    with pytest.raises(ConfigError, match=words):
        load_config(write("two.yaml", "base: one.yaml"))


def test_an_empty_file_is_the_defaults(write):
    assert load_config(write("empty.yaml", "")) == load_config() == Config()


# --- Overrides -----------------------------------------------------------------------------------


@pytest.mark.parametrize(("override", "found", "expected"), [
    ("train.learning_rate=3e-4", lambda c: c.train.learning_rate, 3e-4),
    ("train.seeds=[0,1]", lambda c: c.train.seeds, (0, 1)),
    ("train.clip_norm=null", lambda c: c.train.clip_norm, None),
    ("data.root=/data/my ave", lambda c: c.data.root, Path("/data/my ave")),
    ("model.cmgi.conv_options={heads: 2}", lambda c: c.model.cmgi.conv_options, {"heads": 2}),
    ("model.cmgi={layers: 1}", lambda c: (c.model.cmgi.layers, c.model.cmgi.conv), (1, "gcn")),
    ("model.cmgi.conv={av: gat, vt: sg, at: sg}", lambda c: c.model.cmgi.conv, {"av": "gat", "vt": "sg", "at": "sg"}),
    ("name=a=b", lambda c: c.name, "a=b"),
])
def test_an_override_is_read_as_yaml(override, found, expected):
    assert found(load_config(None, [override])) == expected


def test_overrides_come_after_files_and_the_last_one_wins(write):
    path = write("some.yaml", "train: {epochs: 5, seed: 1}")
    config = load_config(path, ["train.epochs=6", "train.epochs=7"])
    assert (config.train.epochs, config.train.seed) == (7, 1)


@pytest.mark.parametrize(("overrides", "expected"), [
    (["conv_options.heads=4"], {"heads": 4, "bias": False}),
    (["conv_options.dropout=0.1", "conv_options.heads=4"], {"heads": 4, "bias": False, "dropout": 0.1}),
    (["conv_options={heads: 4}"], {"heads": 4}),
    (["conv_options={heads: 4}", "conv_options.dropout=0.1"], {"heads": 4, "dropout": 0.1}),
])
def test_a_dotted_override_keeps_a_layer_s_other_settings_and_a_mapping_replaces_them(write, overrides, expected):
    path = write("gat.yaml", "model: {cmgi: {conv: gat, conv_options: {heads: 2, bias: false}}}")
    config = load_config(path, [f"model.cmgi.{override}" for override in overrides])
    assert config.model.cmgi.conv_options == expected


@pytest.mark.parametrize("override", ["train.epochs", "=3", "train.epochs=[1", "", "train.epochs.more=3"])
def test_an_override_must_be_key_value(override):
    with pytest.raises(ConfigError, match=r"^command line: "):
        load_config(None, [override])


@pytest.mark.parametrize("text", ["3e-4", "0.0003", "'3e-4'"])
def test_a_rate_in_any_notation_is_a_float(write, text):
    """YAML 1.1 reads 3e-4 as a string."""
    rate = load_config(write("rate.yaml", f"train: {{learning_rate: {text}}}")).train.learning_rate
    assert isinstance(rate, float) and rate == 3e-4


def test_precision_no_needs_no_quotes():
    """YAML 1.1 reads a bare no as false."""
    assert load_config(None, ["train.precision=no"]).train.precision == "no"
    with pytest.raises(ConfigError, match=r"train\.precision: .*'no', 'fp16' or 'bf16'"):
        load_config(None, ["train.precision=yes"])


# --- The resolved config -------------------------------------------------------------------------


def test_a_saved_config_reloads_equal(write):
    write("base.yaml", "model: {dim: 32, cmgi: {conv: gat, conv_options: {heads: 2}, subgraphs: []}}")
    config = load_config(write("child.yaml", "base: base.yaml\ntrain: {precision: 'no', seeds: [3, 4]}"),
                         ["data.root=/somewhere", "objective.losses=[category, gate]", "run_dir=out/Zürich"])
    again = load_config(write("resolved.yaml", dump_config(config)))
    assert again == config and dump_config(again) == dump_config(config)


def test_a_saved_run_is_read_without_former_settings_that_had_no_effect(write):
    path = write("config.yaml", "train: {compile: false, augment: {boundary: 0.0, flicker: 0.5, inside: 0.1}}")
    assert load_config(path, saved=True) == Config()
    pasted = write("pasted.yaml", "train: {augment: {boundary: 0.5, flicker: 0.5}}")
    assert load_config(pasted, saved=True) == load_config(pasted)
    assert load_config(write("again.yaml", "train: {compile: false}")) == Config()
    with pytest.raises(ConfigError, match=r"train\.compile"):  # which drew other dropout
        load_config(write("config.yaml", "train: {compile: true}"), saved=True)


def test_a_config_cannot_be_changed():
    config = load_config()
    with pytest.raises(ValidationError, match="frozen"):
        config.train.epochs = 3
    with pytest.raises(ValidationError, match="frozen"):
        config.name = "other"


@pytest.mark.parametrize(("overrides", "words"), [
    (["model.cmgi.conv=3"], r"model\.cmgi\.conv: .*got 3"),
    (["model.cmgi.conv={av: gat}"], r"needs a layer for each of \['at', 'av', 'vt'\]"),
    (["model.cmgi.conv={av: gat, vt: gcn, at: gcn, xy: gcn}"], r"known: \['av', 'vt', 'at'\]"),
    (["model.cmgi.conv={av: gat, vt: gcn, at: gcn}", "model.cmgi.conv_options={heads: 2}"], "per subgraph"),
    (["data.regions=keep", "data.features=store.h5"], "features=null.*regions=pool"),
    (["data.regions=keep", "data.kind=synthetic"], "kind=ave.*regions=pool"),
    (["data.regions=keep", "train.augment.noise=0.1"], "regions=pool"),
    (["model.cmgi.window=3"], "topology=window"),
    (["model.time_slope=0.5"], "time_encoding=relative"),
    *((["model.cmgi.backend=blocks", f"model.cmgi.{setting}"], f"{setting}.*complete graphs")
      for setting in ("topology=window", "topology=cross_modal_only", "relations=typed", "topk=3")),
    (["data.held_out=[Bark, Bark]"], "twice"),
    (["data.kind=llp", "data.held_out=[Bark]"], "held_out"),
    (["data.kind=dense", "data.name=d", "data.features=f.h5", "model.text.slots=per_class", "data.recompose=runs"],
     "one event per video, and not kind=dense"),
    (["data.kind=synthetic", "data.padded_events=drop"], "kind=ave"),
    (["data.kind=ov-ave", "data.name=OV-AVE"], "features=None"),
    (["data.kind=ave-pm", "data.features=f.h5"], "name=AVE-PM; got .*name=AVE$"),
    (["data.kind=ave-pm", "data.name=PM", "data.features=f.h5", "data.splits=txt"], "splits=txt is used with"),
])
def test_settings_that_contradict_each_other_are_an_error(overrides: list[str], words: str):
    with pytest.raises(ConfigError, match=words):
        load_config(None, overrides)


def test_synthetic_videos_have_one_length_or_a_range_of_lengths() -> None:
    assert load_config(None, ["data.synthetic.segments=7"]).data.synthetic.segments == 7
    assert load_config(None, ["data.synthetic.segments=[6, 14]"]).data.synthetic.segments == (6, 14)
    for wrong in ("0", "[6]", "[14, 6]", "true", "[0, 3]", "long"):
        with pytest.raises(ConfigError, match=r"data\.synthetic\.segments"):
            load_config(None, [f"data.synthetic.segments={wrong}"])


@pytest.mark.parametrize(("setting", "words"), [
    ("train.epoch=3", "train.epoch: no such setting; did you mean train.epochs?"),
    ("epochs=3", "did you mean train.epochs?"),
    ("model.cmgi.cnv.heads=3", "model.cmgi.cnv: no such setting"), ("train.epochs", "is not key.path=value"),
])
def test_check_keys_suggests_the_closest_key(setting: str, words: str) -> None:
    with pytest.raises(ConfigError, match=re.escape(words)):
        check_keys(["train.epochs=2", setting])


def test_check_keys_accepts_any_key_of_a_free_form_mapping() -> None:
    check_keys(["model.cmgi.conv_options.heads=2", "model.options={depth: 2}", "data.synthetic.videos=0"])


def test_a_conflict_of_settings_names_the_file_that_sets_one_of_them(write):
    base = write("base.yaml", "model: {dim: 16}")
    child = write("child.yaml", "base: base.yaml\nmodel: {name: cmbs}")
    with pytest.raises(ConfigError) as error:
        load_config(child, ["model.options.hidden=7", "train.seed=1"])
    assert str(error.value).startswith(f"{base}: model: dim ")


def test_home_is_expanded_in_the_folders_of_a_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", "/home/u")
    (tmp_path / "a.yaml").write_text("run_dir: ~/runs\ndata: {root: ~/AVE}\n")
    config = load_config(tmp_path / "a.yaml")
    assert (config.run_dir, config.data.root) == (Path("/home/u/runs"), Path("/home/u/AVE"))
