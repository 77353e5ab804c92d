"""Every shipped YAML and every value of every setting: it builds, trains a batch and changes the result.

The cases are those of the schema: a new setting without a value to try here fails a test.
"""

from __future__ import annotations

import dataclasses
import inspect
import json
import re
import types
from collections.abc import Iterator
from functools import cache, reduce
from pathlib import Path
from types import SimpleNamespace
from typing import Annotated, Any, Literal, NamedTuple, Union, get_args, get_origin

import h5py
import numpy as np
import pytest
import torch
import yaml
from pydantic import BaseModel

from avsgn_pyg.common.config import Config, ConfigError, load_config
from avsgn_pyg.common.settings import Loss, ObjectiveConfig, Subgraph
from avsgn_pyg.data.feature_store import Features, LabelText, write_store
from avsgn_pyg.engine import recipes
from avsgn_pyg.engine.checkpoint import CheckpointError
from avsgn_pyg.engine.zoo import MODELS, Shape, build_model, build_objective, text_nodes, topology
from avsgn_pyg.graph.build import build_batch
from avsgn_pyg.graph.schema import NO_EVENT, SUBGRAPHS
from avsgn_pyg.graph.topology import TOPOLOGIES
from avsgn_pyg.layers.convs import CONVS
from avsgn_pyg.model.losses import DEFAULT_LOSSES, POOLING, AVSGNObjective
from avsgn_pyg.tasks.parsing.model import ParsingObjective
from avsgn_pyg.tasks.parsing.training import build_parser

CONFIGS = Path(__file__).resolve().parent.parent / "configs"
# A suite is no experiment but rows of them: tests/experiments/suites/test_suite.py.
YAMLS = [pytest.param(path, id=path.stem) for path in sorted(CONFIGS.rglob("*.yaml")) if path.parent.name != "suites"]
B, T, C, WIDTH = 4, 6, 3, 16
SHAPE = Shape(audio_width=WIDTH, visual_width=WIDTH, segments=T, classes=C)


# --- The schema ----------------------------------------------------------------------------------


def leaves(section: type[BaseModel], at: str = "") -> Iterator[tuple[str, Any]]:
    """Every dotted key of the schema with its annotation."""
    for name, field in section.model_fields.items():
        if isinstance(field.annotation, type) and issubclass(field.annotation, BaseModel):
            yield from leaves(field.annotation, f"{at}{name}.")
        else:
            yield f"{at}{name}", field.annotation


def choices(annotation: Any) -> list[Any]:
    """The values that an annotation lists: literals, both bools, tuples of one listed member each."""
    origin, members = get_origin(annotation), get_args(annotation)
    if annotation is bool:
        return [False, True]
    if origin is Literal:
        return list(members)
    if origin is Annotated:
        return choices(members[0])
    if origin is tuple:
        return [[value] for value in choices(members[0])]
    if origin in (Union, types.UnionType):
        return [value for member in members for value in choices(member)]
    return []


def value_at(config: Config, key: str) -> Any:
    """The JSON form of a setting."""
    return reduce(lambda tree, part: tree[part], key.split("."), config.model_dump(mode="json"))


def override(key: str, value: Any) -> str:
    return f"{key}={json.dumps(value)}"


SCHEMA = dict(leaves(Config))
LISTED = {key: choices(annotation) for key, annotation in SCHEMA.items() if choices(annotation)}
BUILDING = ("model.", "objective.")


# --- Shipped experiments -------------------------------------------------------------------------


def test_base_yaml_holds_every_default_with_a_comment():
    text = (CONFIGS / "base.yaml").read_text()
    written = yaml.safe_load(text)
    for key in SCHEMA:
        reduce(lambda tree, part: tree[part], key.split("."), written)
    assert load_config(CONFIGS / "base.yaml") == Config()
    lines = [line for line in text.splitlines() if re.match(r" *\w+: *[^ #]", line)]
    assert len(lines) == len(SCHEMA) and all(re.search(r" # \S.{4,}", line) for line in lines)


@pytest.mark.slow
@pytest.mark.parametrize("path", YAMLS)
def test_a_shipped_config_names_its_command_and_trains_a_batch(path: Path):
    config = load_config(path)
    tool = "train_parsing" if config.data.kind == "llp" else "train"
    head = "".join(line for line in path.read_text().splitlines(True)[:8] if line.startswith("#"))
    assert f"tools/{tool}.py configs/{path.relative_to(CONFIGS)}" in head
    assert train_a_batch(config).losses


def test_shipped_configs_have_different_names():
    names = [load_config(param.values[0]).name for param in YAMLS]
    assert len(set(names)) == len(names)


@pytest.mark.parametrize("names", [
    ("avsgn_full", "avsgn_weak"), ("avsgn_plus", "avsgn_weak_plus"), ("avsgn_printed_full", "avsgn_printed_weak"),
    ("ave_composite_full", "ave_composite_weak_plus")], ids=lambda names: names[0])
def test_the_full_and_the_weak_config_differ_in_supervision(names: tuple[str, str]):
    full, weak = (load_config(CONFIGS / f"{name}.yaml") for name in names)
    assert full.objective.supervision == "full" and weak.objective.supervision == "weak"
    assert full.model == weak.model and full.data == weak.data
    if "ave_composite" in names[0]:  # the split of the report must not select the epoch
        assert {(one.train.select, one.evaluate.split) for one in (full, weak)} == {("last", "val")}


@pytest.mark.parametrize("setting", ["full", "weak"])
def test_the_printed_recipe_is_that_of_the_paper(setting: str):
    config = load_config(CONFIGS / f"avsgn_printed_{setting}.yaml")
    recipe, cmgi = config.train, config.model.cmgi
    assert (recipe.learning_rate, recipe.milestones, recipe.gamma) == (3e-4, (10, 20, 30), 0.5)
    assert (recipe.batch_size, recipe.epochs, recipe.clip_norm, config.evaluate.tau) == (64, 200, 0.5, 0.6)
    assert (cmgi.residual, cmgi.norm, cmgi.layers, config.model.head.gates) == (False, "none", 2, "scalar")
    assert (config.objective.supervision, config.objective.consistency_weight) == (setting, 0.01)
    assert build_objective(config.objective).names == DEFAULT_LOSSES[setting]
    assert recipe == load_config(CONFIGS / "avsgn_printed_full.yaml").train


# --- Every option of model and objective ---------------------------------------------------------

#: Values to try for settings whose values the schema does not list.
TRIED: dict[str, list[Any]] = {
    "model.name": sorted(MODELS),
    "model.options": [{"dim": 8}],
    "model.width": [8],
    "model.dim": [8],
    "model.time_slope": [0.5],
    "model.cmsa.heads": [2],
    "model.cmsa.inter_heads": [1],
    "model.cmgi.conv": [*sorted(CONVS), {"av": "gat", "vt": "gcn", "at": "graph"}],
    "model.cmgi.conv_options": [{"bias": False}],
    "model.cmgi.layers": [1],
    "model.cmgi.window": [2],
    "model.cmgi.topk": [3],
    **{f"model.dropout.{place}": [0.5] for place in ("input", "attention", "features", "graph", "head")},
    "objective.options": [{"relevance_weight": 10.0}],
    "objective.relevance_weight": [10.0],
    "objective.pasted_weight": [1.0],
    "objective.consistency_weight": [1.0],
    "objective.margin": [1.9],
    "objective.mil_topk": [2],
    "objective.label_smoothing": [0.1],
}

#: Further settings that a setting, or one of its values, needs to be valid or to have an effect.
COMPANIONS: dict[str, list[str]] = {
    "model.head.segment_scores=true": ["objective.losses=[segment]"],
    'objective.losses=["segment"]': ["model.head.segment_scores=true"],
    'objective.losses=["mil"]': ["objective.supervision=weak"],
    'objective.losses=["pasted"]': ["objective.supervision=weak", "train.augment.boundary=0.9"],
    "objective.pasted_weight": ["objective.supervision=weak", "objective.losses=[mil,pasted]",
                                "train.augment.boundary=0.9"],
    "model.cmgi.backend": ["model.dropout.graph=0"],  # in another order of nodes, dropout differs
    "model.options": ["model.name=late_fusion"],
    "objective.options": ["model.name=late_fusion"],
    "objective.mil_pooling": ["objective.supervision=weak"],
    "objective.mil_topk": ["objective.supervision=weak", "objective.mil_pooling=topk"],
    "objective.mil_scores": ["objective.supervision=weak"],
    "model.time_slope": ["model.time_encoding=relative"],
    "model.cmgi.window": ["model.cmgi.topology=window"],
    'model.cmgi.topology="window"': ["model.cmgi.window=2"],
    'model.head.classifier="text"': ["model.text.slots=per_class"],
}

#: Settings of models that have no ``model.dim``.
OF_ANY_MODEL = {"model.name", "model.options", "objective.options"}

#: Settings that choose how the same numbers are computed.
SAME_NUMBERS = {"model.cmgi.backend"}

OPTIONS = {key: values for key, values in (LISTED | TRIED).items() if key.startswith(BUILDING)}


class Trained(NamedTuple):
    """Shapes of the parameters, and losses of one batch."""

    parameters: dict[str, tuple[int, ...]]
    losses: dict[str, float]


def build(config: Config, bank: Any) -> tuple[Any, Any]:
    """Model and objective of localization, of several events, or of parsing."""
    if config.data.kind == "llp":
        return (build_parser(config.model, SHAPE, bank, config.parsing.evidence),
                ParsingObjective(**config.parsing.model_dump(exclude={"evidence"})))
    return (build_model(config.model, SHAPE, bank, config.objective.supervision, config.events),
            build_objective(config.events or config.objective, config.model.name))


def train_a_batch(config: Config) -> Trained:
    """Run one random batch forward and backward; all numbers must be finite."""
    torch.manual_seed(5)
    bank = SimpleNamespace(audio=torch.randn(C, WIDTH), visual=torch.randn(C, WIDTH))
    relevance = (torch.rand(B, T) < 0.6).float()
    relevance[1] = 0
    category = torch.tensor([0, NO_EVENT, 2, 1])
    rows = text_nodes(config.model, SHAPE)
    batch = build_batch(torch.randn(B, T, WIDTH), torch.randn(B, T, WIDTH), text_nodes=rows,
                        category=category, relevance=relevance, row=torch.arange(B),
                        topology=topology(config.model))
    model, objective = build(config, bank)
    if config.data.kind == "llp":
        losses = objective(model(batch), torch.eye(B, C))
    elif config.events is not None:
        events = torch.tensor([[[0, 0.3, 2.4], [1, 1.0, 5.9]], [[2, 0.0, 6.0], [-1, -1, -1]]])
        losses = objective(model(batch), events.repeat(2, 1, 1))
    else:
        pasted = {"pasted": (torch.arange(T) < 2).float().expand(B, T)} if "pasted" in objective.names else {}
        losses = objective(model(batch), category, relevance, **pasted)
    total = objective.total(losses)
    total.backward()
    gradients = [p.grad for p in model.parameters() if p.grad is not None]
    assert gradients and all(g.isfinite().all() for g in gradients) and any(g.any() for g in gradients)
    assert all(loss.isfinite() for loss in losses.values())
    trainable = {name: tuple(p.shape) for name, p in model.named_parameters()}
    return Trained(trainable, {name: loss.item() for name, loss in losses.items()} | {"total": total.item()})


@cache
def outcome(key: str, spelled: str) -> Trained:
    """One value of a setting, everything else at a small default."""
    given = COMPANIONS.get(key, []) + COMPANIONS.get(f"{key}={spelled}", [])
    small = [] if key in OF_ANY_MODEL else ["model.dim=16"]
    return train_a_batch(load_config(None, [*small, *given, f"{key}={spelled}"]))


@pytest.mark.slow
@pytest.mark.parametrize("key", sorted(key for key in SCHEMA if key.startswith(BUILDING)))
def test_every_value_of_a_setting_trains_a_batch_and_changes_the_result(key: str):
    spelled = {json.dumps(value) for value in [value_at(Config(), key), *OPTIONS[key]]}
    found = [outcome(key, value) for value in sorted(spelled)]
    if key in SAME_NUMBERS:
        assert all(one.losses == pytest.approx(found[0].losses, rel=1e-4) for one in found)
    else:
        assert all(one != two for number, one in enumerate(found) for two in found[:number])


def test_the_schema_lists_the_names_of_the_tables():
    assert AVSGNObjective(losses=get_args(Loss)).names == get_args(Loss)
    assert {name for names in DEFAULT_LOSSES.values() for name in names} <= set(get_args(Loss))
    assert set(get_args(Subgraph)) == set(SUBGRAPHS)
    assert set(LISTED["objective.mil_pooling"]) == set(POOLING)
    assert set(LISTED["model.cmgi.topology"]) == set(TOPOLOGIES)
    assert set(LISTED["objective.supervision"]) == set(DEFAULT_LOSSES)
    assert OPTIONS.keys() == {key for key in SCHEMA if key.startswith(BUILDING)}
    assert set(ObjectiveConfig.model_fields) == {*inspect.signature(AVSGNObjective).parameters, "options"}


# --- Every setting of data, training and evaluation ----------------------------------------------

#: Runs that together have every listed value, and a value other than the default of all other settings.
RUNS = {
    "synthetic": [
        "name=other", "data.kind=synthetic", "data.name=other", "data.synthetic.videos=24",
        "data.synthetic.classes=3", "data.synthetic.segments=5", "data.synthetic.width=16",
        "data.synthetic.seed=1", "train.schedule=constant", "train.augment.boundary=0.5", "train.augment.recombine=0.5",
        "train.device=cpu", "train.precision=bf16", "train.weight_decay=0.01", "train.warmup_epochs=0.5",
        "train.decayed=matrices", "train.clip_norm=null", "train.ema=0.5", "train.augment.time_flip=0.5",
        "train.augment.noise=0.1", "train.augment.flicker=0.5", "train.augment.inside=0.5",
        "train.augment.modality_drop=0.1", "train.threads=1", "train.seeds=[4,5]",
        "train.select=test", "evaluate.tau=0.4", "train.epochs=1",
    ],
    "legacy": [
        "data.annotations=other.txt", "data.splits=txt", "data.audio_features=a.h5",
        "data.visual_features=v.h5", "data.audio_labels=a.npy", "data.visual_labels=v.npy",
        "data.drop_leaking=true", "train.schedule=step", "train.milestones=[1]", "train.gamma=0.3",
        "train.learning_rate=1e-3", "train.seed=3", "train.select=last", "train.accumulate=2",
        "train.checkpoint_every=2", "evaluate.split=train", "evaluate.every=2", "data.recompose=seconds",
    ],
    "maps": [
        "model.dim=256", "model.name=avel", "model.options={hidden: 8}", "data.regions=keep",
        "data.audio_features=a.h5", "data.visual_features=maps.h5",
    ],
    "store": [
        "data.features=store.h5", "data.missing=drop", "data.padded_events=drop", "data.held_out=[class 1]",
        "train.schedule=cosine", "train.early_stop=1", "train.select=val", "evaluate.split=val", "data.recompose=runs",
        "train.batch_size=32", "model.cmgi.subgraphs=[av]", "model.cmgi.layers=1",
    ],
    "padded": ["data.features=store.h5", "data.padded_events=background", "data.limit=9", "train.epochs=1",
               "train.trackers=[]"],
    "ov-ave": ["data.kind=ov-ave", "data.name=OV-AVE", "data.features=by_id.h5", "train.epochs=1"],
    "ave-pm": ["data.kind=ave-pm", "data.name=AVE-PM", "data.features=by_id.h5", "train.epochs=1"],
}
SMALL = ["model.dim=16", "train.epochs=2", "train.batch_size=8", "evaluate.bootstrap=20"]

#: Parsing is trained in tests/tasks/parsing/test_training.py; its settings train a batch below.
PARSED = ["data.kind=llp", "parsing.audio_smoothing=0.2", "parsing.visual_smoothing=0.2", "parsing.guided=false",
          "parsing.evidence=seconds"]

#: Several events are trained in tests/engine/recipes/test_dense.py; these settings train a batch below.
DENSE = ["data.kind=dense", "data.name=other", "data.features=f.h5", "model.text.slots=per_class", "dense.levels=2",
         "dense.reach=1.5", "dense.layers=1", "dense.kernel=5", "dense.interval_weight=2", "dense.alpha=0.5",
         "dense.gamma=1"]
#: Settings of decoding, which changes no loss: tests/engine/recipes/test_dense.py.
DECODED = ["dense.limit=3", "dense.threshold=0.2", "dense.sigma=0.9"]

#: Starting from the weights of another run is trained in tests/engine/recipes/test_training.py.
STARTED = ["train.init=runs/other", "train.init_strict=false", "train.freeze=[cmsa]"]

#: Hardware that not every machine has.
HARDWARE = {("train.device", "cuda"), ("train.device", "mps"), ("train.precision", "fp16")}


@pytest.fixture(scope="module")
def ave_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of 30 videos of 3 classes, in every supported file format."""
    root, draw, videos = tmp_path_factory.mktemp("ave"), np.random.default_rng(0), 30
    ids = tuple("id 00" if video == 20 else f"id {video:02}" for video in range(videos))  # 0 leaks into val
    lines = [f"class {video % C}&{ids[video]}&good&{video % 4}&{4 + video % 7}\n" for video in range(videos)]
    parts = {"train": range(20), "val": range(20, 25), "test": range(25, 30)}
    for name in ("Annotations.txt", "other.txt"):
        (root / name).write_text("".join(lines))
    for split, rows in parts.items():
        (root / f"{split}Set.txt").write_text("".join(lines[row] for row in rows))
        with h5py.File(root / f"{split}_order.h5", "w") as file:
            file["order"] = np.array(rows)
    streams = [draw.normal(size=(videos, 10, WIDTH)).astype("float32") for _ in range(2)]
    labels = [draw.normal(size=(C, WIDTH)).astype("float32") for _ in range(2)]
    for name, stream, label in zip("av", streams, labels, strict=True):
        np.save(root / f"{name}.npy", label)
        with h5py.File(root / f"{name}.h5", "w") as file:
            file["avadataset"] = stream
    audio, visual, *text = map(torch.from_numpy, (*streams, *labels))
    with h5py.File(root / "maps.h5", "w") as file:
        file["avadataset"] = draw.normal(size=(videos, 10, 7, 7, WIDTH))
    names = tuple(f"class {c}" for c in range(C))
    record = {"made by": "avsgn_pyg.features", "label_text": {},
              "incomplete": [{"id": "id 03", "unheard": 2, "unseen": 2, "padded": 2}]}
    features = Features(audio, visual, ids, categories=names, label_text=LabelText(*text), provenance=record)
    write_store(root / "store.h5", features)
    write_by_id(root, parts, features)
    return root


def write_by_id(root: Path, parts: dict[str, range], features: Features) -> None:
    """Write the same videos in the forms of OV-AVE and AVE-PM, with a store that has other ids and label text."""
    labels = {f"v{row}": {"category": f"class {row % C}", "label": str([row % 2, 1] * 5)} for row in range(30)}
    (root / "released_ovavel_dataset_anno.json").write_text(json.dumps(labels))
    rows = [f"{split},class {row % C},close,v{row}" for split in parts for row in parts[split]]
    (root / "ovave_dataset_meta.csv").write_text("\n".join(["split,cls_name,cls_type,vid_name", *rows]))
    for split in parts:
        rows = [f"v{row},{row % 4}.4,{5 + row % 5}.5,{row % C}" for row in parts[split]]
        (root / f"{split}.csv").write_text("\n".join(["sample_id,onset,offset,label", *rows]))
    write_store(root / "by_id.h5", dataclasses.replace(features, video_ids=tuple(labels), provenance={}))


@pytest.mark.slow
@pytest.mark.parametrize("run", RUNS)
@pytest.mark.filterwarnings("ignore:train.select=test")
def test_runs_with_every_setting_of_data_and_training(run: str, ave_folder: Path, tmp_path: Path, monkeypatch):
    config = load_config(None, [*SMALL, f"data.root={ave_folder}", f"run_dir={tmp_path}", *RUNS[run]])
    result = recipes.train(config, progress=False)
    assert len(result.evaluations) == len(config.train.seeds or [0])
    for evaluation in result.evaluations:
        assert result.split == config.evaluate.split and 0 <= evaluation.report.segment_accuracy <= 100


@pytest.mark.slow
def test_a_model_trained_on_maps_cannot_be_evaluated_on_vectors(ave_folder: Path, tmp_path: Path):
    given = [*SMALL, f"data.root={ave_folder}", f"run_dir={tmp_path}", *RUNS["maps"], "train.epochs=1"]
    first = recipes.train(load_config(None, given), progress=False).evaluations[0].report.segment_accuracy
    again = recipes.evaluate_run(tmp_path / "avsgn", progress=False)
    assert again.evaluations[0].report.segment_accuracy == first
    with pytest.raises(CheckpointError, match=r"trained with data\.regions=keep, the data were opened with pool"):
        recipes.evaluate_run(tmp_path / "avsgn", overrides=["data.regions=pool"], progress=False)


@pytest.mark.parametrize("name", ["avsgn", "late_fusion"])
def test_maps_are_an_error_for_models_of_vectors(name: str, ave_folder: Path):
    with pytest.raises(ConfigError, match=rf"model\.name={name} .* choose one of \['avel', 'avsdn'"):
        recipes.train(load_config(None, [f"model.name={name}", "data.regions=keep", f"data.root={ave_folder}",
                                         "data.audio_features=a.h5", "data.visual_features=maps.h5"]))


def test_every_setting_of_parsing_changes_the_result():
    plain, *tried = (train_a_batch(load_config(None, ["data.kind=llp", "model.dim=16", *setting]))
                     for setting in ([], *([text] for text in PARSED[1:])))
    assert len(tried) == 4 and all(plain != one for one in tried)
    with pytest.raises(ConfigError, match=r"parsing is read with data\.kind=llp"):
        load_config(None, PARSED[1:])


def test_every_setting_of_several_events_changes_the_result():
    *base, levels, reach = DENSE[:6]
    found = [train_a_batch(load_config(None, [*base, "model.dim=16", *settings]))
                     for settings in ([], [levels], [levels, reach], *([text] for text in DENSE[6:]))]
    assert len(found) == 8 and all(one != two for number, one in enumerate(found) for two in found[:number])


@pytest.mark.parametrize(("settings", "word"), [
    (DENSE[1:3] + DENSE[6:], "dense is read with"), ([*DENSE[:3]], r"text\.slots"), ([*DENSE[:4], DENSE[5]], "reach"),
    ([*DENSE, "dense.kernel=4"], "odd"), ([*DENSE, "data.held_out=[a]"], "held_out"),
    ([*DENSE, "data.splits=txt", "data.annotations=a.json"], "splits"), ([*DENSE, "model.name=avel"], "default"),
])
def test_settings_that_contradict_several_events_are_errors(settings: list[str], word: str):
    with pytest.raises(ConfigError, match=word):
        load_config(None, settings)


def test_every_setting_of_data_and_training_is_in_a_run():
    given = [*RUNS.values(), PARSED, DENSE + DECODED, STARTED]
    configs = [load_config(None, [*SMALL, "data.root=.", "run_dir=.", *settings]) for settings in given]
    keys = [key for key in SCHEMA if not key.startswith(BUILDING)]
    taken = {key: [value_at(config, key) for config in configs] for key in keys}
    missed = {override(key, value) for key in keys for value in LISTED.get(key, [])
              if value not in taken[key] and (key, value) not in HARDWARE}
    untried = {key for key in keys if all(value == value_at(Config(), key) for value in taken[key])}
    assert not missed and not untried


@pytest.mark.parametrize(("key", "value"), sorted(HARDWARE))
def test_missing_hardware_is_an_error(key: str, value: str, ave_folder: Path, tmp_path: Path):
    if torch.cuda.is_available() or torch.backends.mps.is_available():
        pytest.skip("this machine has a GPU")
    given = [*SMALL, *RUNS["store"], f"data.root={ave_folder}", f"run_dir={tmp_path}", f"{key}={value}"]
    config = load_config(None, given)
    with pytest.raises(ConfigError, match=f"{key}={value}"):
        recipes.train(config, progress=False)
    assert not list(tmp_path.iterdir())
