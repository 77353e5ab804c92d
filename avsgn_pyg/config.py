"""What an experiment is: typed, frozen and strict, read from YAML.

A YAML may name another as ``base:`` and give only what differs. Command-line overrides are dotted
(``model.cmgi.layers=3``) and come last. An unknown key or a wrong type is a :class:`ConfigError` that
names the file, the key, what came and what would work. ``configs/base.yaml`` shows every default.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal, get_args

import yaml
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError, field_validator, model_validator

from avsgn_pyg.errors import ConfigError


def _no_bool(value: Any) -> Any:
    if isinstance(value, bool):
        raise ValueError("Input should be a number, not a bool")
    return value


def _name_or_names(value: Any) -> Any:
    by_subgraph = isinstance(value, dict) and all(isinstance(part, str) for pair in value.items() for part in pair)
    if not (isinstance(value, str) or by_subgraph):
        raise ValueError("Input should be a layer's name, or one for each subgraph ({av: gat, vt: gcn, at: gcn})")
    return value


def _topk_is_no_topology(value: Any) -> Any:
    if value == "topk":
        raise ValueError("topk is a setting of its own now, such as model.cmgi.topk=8, beside any topology")
    return value


def _length_or_range(value: Any) -> Any:
    ends = value if isinstance(value, (list, tuple)) else (value, value)
    if len(ends) != 2 or not all(type(end) is int and end >= 1 for end in ends) or ends[0] > ends[1]:
        raise ValueError("Input should be a video's seconds, or the shortest's and the longest's, such as [6, 14]")
    return value


# A float may come as text, for YAML 1.1 reads 3e-4 as a string; whole numbers and switches come as what they are.
NUMBER = BeforeValidator(_no_bool)
Fraction = Annotated[float, Field(ge=0.0, le=1.0), NUMBER]
BelowOne = Annotated[float, Field(ge=0.0, lt=1.0), NUMBER]
Positive = Annotated[float, Field(gt=0.0), NUMBER]
NonNegative = Annotated[float, Field(ge=0.0), NUMBER]
Integer = Annotated[int, Field(strict=True)]
Count = Annotated[Integer, Field(ge=1)]
Switch = Annotated[bool, Field(strict=True)]
Subgraph = Literal["av", "vt", "at"]
Loss = Literal["category", "relevance", "gate", "consistency", "mil", "pasted", "segment"]

#: The model that has a section for each of its parts; every other takes ``options``.
AVSGN = "avsgn"
#: Free-form mappings: a later one replaces an earlier one whole.
FREE_FORM = {"conv_options", "options"}


class Section(BaseModel):
    """A frozen group of settings that refuses unknown keys."""

    model_config = ConfigDict(extra="forbid", frozen=True, validate_default=True, allow_inf_nan=False)


def _refuse_other_than_defaults(section: Section, free: set[str], instead: str, at: str = "") -> None:
    """Refuse settings of avsgn under another model, which would not read them."""
    for name, field in type(section).model_fields.items():
        value = getattr(section, name)
        if isinstance(value, Section):
            _refuse_other_than_defaults(value, set(), instead, f"{at}{name}.")
        elif name not in free and value != field.default:
            raise ValueError(f"{at}{name} is a setting of avsgn, and {instead}; leave {at}{name} at its default")


class SyntheticConfig(Section):
    """Size and difficulty of the made AVE (:mod:`avsgn_pyg.data.synthetic`)."""

    videos: Annotated[Integer, Field(ge=20)] = 1200
    classes: Annotated[Integer, Field(ge=2)] = 12
    segments: Annotated[int | tuple[int, int], BeforeValidator(_length_or_range)] = 10
    width: Annotated[Integer, Field(ge=8)] = 128
    seed: Integer = 0


class DataConfig(Section):
    """Where the videos' annotations and features come from."""

    kind: Literal["ave", "synthetic", "llp"] = "ave"
    name: str = "AVE"
    root: Path | None = None
    annotations: str = "Annotations.txt"
    splits: Literal["order", "txt"] = "order"
    features: str | None = None
    audio_features: str = "audio_feature.h5"
    visual_features: str = "visual_feature.h5"
    audio_labels: str | None = None
    visual_labels: str | None = None
    drop_leaking: Switch = False
    held_out: tuple[str, ...] = ()
    missing: Literal["refuse", "drop"] = "refuse"
    regions: Literal["pool", "keep"] = "pool"
    synthetic: SyntheticConfig = SyntheticConfig()

    @field_validator("held_out")
    @classmethod
    def _held_out_has_no_order(cls, names: tuple[str, ...]) -> tuple[str, ...]:
        if len(set(names)) < len(names):
            raise ValueError(f"{list(names)} names a class twice")
        return tuple(sorted(names))

    @model_validator(mode="after")
    def _classes_are_held_out_of_one_class_a_video(self) -> DataConfig:
        if self.held_out and self.kind == "llp":
            raise ValueError(f"held_out={list(self.held_out)} leaves out videos by their one class, and kind=llp has "
                             "several a video: set held_out=[]")
        return self

    @model_validator(mode="after")
    def _regions_are_in_the_release_s_file(self) -> DataConfig:
        if self.regions == "keep" and (self.kind != "ave" or self.features is not None):
            raise ValueError(f"regions=keep reads the maps in visual_features; kind={self.kind} with features="
                             f"{self.features} has one vector a second: set regions=pool, or kind=ave, features=null")
        return self


class TextConfig(Section):
    """Section 3.2: the label text and its projection onto text nodes."""

    slots: Literal["segments", "per_class"] = "segments"
    bank: Literal["frozen", "learned"] = "frozen"


class CMSAConfig(Section):
    """Section 3.3: cross-modal semantic alignment (Table 2's switches)."""

    heads: Count = 4
    residual: Literal["both", "intra", "inter", "none"] = "both"
    intra_clip: Switch = True
    intra_clap: Switch = True
    inter_visual: Switch = True
    inter_audio: Switch = True
    inter_text: Switch = True


class CMGIConfig(Section):
    """Section 3.4: cross-modal graph interaction (Table 3's switches)."""

    subgraphs: tuple[Subgraph, ...] = ("av", "vt", "at")
    conv: Annotated[str | dict[str, str], BeforeValidator(_name_or_names)] = "gcn"
    conv_options: dict[str, Any] = {}
    layers: Count = 2
    residual: Switch = True
    norm: Literal["none", "layer"] = "layer"
    adjacency: Literal["shared", "per_layer"] = "shared"
    relations: Literal["shared", "typed"] = "shared"
    topology: Annotated[Literal["complete", "window", "cross_modal_only"],
                        BeforeValidator(_topk_is_no_topology)] = "complete"
    window: Count = 10
    topk: Count | None = None
    backend: Literal["auto", "blocks", "native"] = "auto"

    @model_validator(mode="after")
    def _subgraphs_once(self) -> CMGIConfig:
        if len(set(self.subgraphs)) != len(self.subgraphs):
            raise ValueError(f"subgraphs={list(self.subgraphs)} names one twice; give any subset of [av, vt, at]")
        return self

    @model_validator(mode="after")
    def _window_of_this_topology(self) -> CMGIConfig:
        if self.topology != "window" and self.window != type(self).model_fields["window"].default:
            raise ValueError(f"window={self.window} is read by topology=window alone, and this is "
                             f"topology={self.topology}; set that or leave window out")
        return self

    @model_validator(mode="after")
    def _blocks_need_complete_graphs(self) -> CMGIConfig:
        sparse = [f"topology={self.topology}"] if self.topology != "complete" else []
        sparse += ["relations=typed"] if self.relations == "typed" else []
        sparse += [f"topk={self.topk}"] if self.topk is not None else []
        if self.backend == "blocks" and sparse:
            raise ValueError(f"backend=blocks needs complete graphs, and {', '.join(sparse)} has fewer edges; "
                             "use backend=auto")
        return self

    @model_validator(mode="after")
    def _one_conv_a_subgraph(self) -> CMGIConfig:
        if isinstance(self.conv, str):
            return self
        known, wanted = get_args(Subgraph), set(self.subgraphs)
        if not wanted <= set(self.conv) <= set(known):
            raise ValueError(f"conv={self.conv} needs a layer for each of {sorted(wanted)}, and none but {list(known)}")
        for name, options in self.conv_options.items():
            if name not in self.conv or not isinstance(options, dict):
                raise ValueError(f"conv_options={self.conv_options}: with a conv for each subgraph, options are given "
                                 f"likewise, such as {{{sorted(self.conv)[0]}: {{bias: false}}}}")
        return self


class HeadConfig(Section):
    """Section 3.5: gates and classifiers."""

    gates: Literal["scalar", "vector"] = "scalar"
    segment_scores: Switch = False


class DropoutConfig(Section):
    """Where values are dropped in training; the paper gives one rate and no place."""

    input: Fraction = 0.0
    attention: Fraction = 0.1
    features: Fraction = 0.1
    graph: Fraction = 0.1
    head: Fraction = 0.1


class ModelConfig(Section):
    """The network: a row of :data:`avsgn_pyg.zoo.MODELS` and its settings."""

    name: str = "avsgn"
    options: dict[str, Any] = {}
    width: Count | None = None
    dim: Count = 256
    input_norm: Switch = False
    time_encoding: Literal["none", "learned", "sinusoidal", "relative"] = "none"
    time_slope: NonNegative = 1.5
    text: TextConfig = TextConfig()
    cmsa: CMSAConfig = CMSAConfig()
    cmgi: CMGIConfig = CMGIConfig()
    head: HeadConfig = HeadConfig()
    dropout: DropoutConfig = DropoutConfig()

    @model_validator(mode="after")
    def _slope_of_relative_time(self) -> ModelConfig:
        if self.time_encoding != "relative" and self.time_slope != type(self).model_fields["time_slope"].default:
            raise ValueError(f"time_slope={self.time_slope:g} is read by time_encoding=relative alone, and this is "
                             f"time_encoding={self.time_encoding}; set that or leave time_slope out")
        return self

    @model_validator(mode="after")
    def _settings_are_this_model_s(self) -> ModelConfig:
        if self.name == AVSGN and self.options:
            raise ValueError(f"options={self.options}: avsgn has settings of its own (width, cmsa, cmgi, ...); "
                             "options are a baseline's")
        if self.name != AVSGN:
            _refuse_other_than_defaults(self, {"name", "options"}, f"model.name={self.name} has model.options instead")
        return self


class ObjectiveConfig(Section):
    """Eq. 12-18: which named losses are summed, and how (Table 4's switches)."""

    supervision: Literal["full", "weak"] = "full"
    options: dict[str, Any] = {}
    losses: tuple[Loss, ...] | None = None
    relevance_weight: Positive = 1.0
    pasted_weight: Positive = 3.0
    consistency_weight: NonNegative = 0.01
    margin: Positive = 1.0
    mil_pooling: Literal["max", "mean", "topk", "attention"] = "max"
    mil_topk: Count = 4
    label_smoothing: Fraction = 0.0

    @model_validator(mode="after")
    def _losses_fit_the_supervision(self) -> ObjectiveConfig:
        allowed = {"full": ("category", "relevance", "gate", "consistency", "segment"),
                   "weak": ("mil", "gate", "pasted")}
        for loss in self.losses or ():
            if loss not in allowed[self.supervision]:
                raise ValueError(f"loss {loss!r} cannot be had under {self.supervision} supervision; "
                                 f"choose from {list(allowed[self.supervision])}")
        if self.losses is not None and (not self.losses or len(set(self.losses)) != len(self.losses)):
            raise ValueError(f"losses={list(self.losses)} must name at least one loss, each once")
        return self


class ParsingConfig(Section):
    """Head and objective of audio-visual video parsing (:mod:`avsgn_pyg.parsing.model`), for ``data.kind`` ``llp``."""

    evidence: Literal["interaction", "seconds"] = "interaction"
    audio_smoothing: Fraction = 0.0
    visual_smoothing: Fraction = 0.1
    guided: Switch = True


class AugmentConfig(Section):
    """What training does to a batch before the model sees it; rates are probabilities for each video."""

    recombine: Fraction = 0.0
    boundary: Fraction = 0.0
    time_flip: Fraction = 0.0
    noise: NonNegative = 0.0


class TrainConfig(Section):
    """The recipe: Adam, step-wise halving, clipping; and what a run keeps."""

    epochs: Count = 200
    batch_size: Count = 64
    learning_rate: Positive = 3e-4
    weight_decay: NonNegative = 0.0
    schedule: Literal["step", "cosine", "constant"] = "step"
    milestones: tuple[Integer, ...] = (10, 20, 30)
    gamma: Positive = 0.5
    warmup_epochs: NonNegative = 0.0
    clip_norm: Positive | None = 0.5
    accumulate: Count = 1
    ema: BelowOne = 0.0
    augment: AugmentConfig = AugmentConfig()
    precision: Literal["no", "fp16", "bf16"] = "no"
    compile: Switch = False
    device: Literal["auto", "cpu", "cuda", "mps"] = "auto"
    threads: Count | None = None
    seed: Integer = 0
    seeds: tuple[Integer, ...] | None = None
    select: Literal["val", "test", "last"] = "val"
    early_stop: Count | None = None
    checkpoint_every: Count = 1

    @field_validator("precision", mode="before")
    @classmethod
    def _no_without_quotes(cls, value: Any) -> Any:
        return "no" if value is False else value  # YAML 1.1 reads a bare no as false

    @model_validator(mode="after")
    def _seeds_once(self) -> TrainConfig:
        if self.seeds is not None and (not self.seeds or len(set(self.seeds)) != len(self.seeds)):
            raise ValueError(f"seeds={list(self.seeds)} must name at least one seed, each once")
        return self


class EvaluateConfig(Section):
    """Decoding and the interval beside every number."""

    tau: BelowOne = 0.6
    split: Literal["train", "val", "test"] = "test"
    bootstrap: Annotated[Integer, Field(ge=0)] = 2000


class Config(Section):
    """One experiment."""

    name: str = "avsgn"
    run_dir: Path = Path("runs")
    data: DataConfig = DataConfig()
    model: ModelConfig = ModelConfig()
    objective: ObjectiveConfig = ObjectiveConfig()
    parsing: ParsingConfig = ParsingConfig()
    train: TrainConfig = TrainConfig()
    evaluate: EvaluateConfig = EvaluateConfig()

    @model_validator(mode="after")
    def _parts_fit(self) -> Config:
        losses = self.objective.losses or ()
        if self.model.name != AVSGN:
            _refuse_other_than_defaults(self.objective, {"supervision", "options"},
                                        f"model.name={self.model.name} has objective.options instead", "objective.")
        elif self.objective.options:
            raise ValueError(f"objective.options={self.objective.options}: avsgn's objective has settings of its own "
                             "(losses, margin, ...); options are a baseline's")
        if ("segment" in losses) != self.model.head.segment_scores:
            raise ValueError("the loss 'segment' and model.head.segment_scores=true come together: "
                             "the 29-way scores are what that loss trains")
        if self.data.kind != "llp" and self.parsing != ParsingConfig():
            raise ValueError(f"parsing is the objective of data.kind=llp; data.kind={self.data.kind} has objective")
        if self.data.regions == "keep" and self.train.augment != AugmentConfig():
            raise ValueError("train.augment changes one vector a second and would not change the regions that "
                             "data.regions=keep reads; leave train.augment at its defaults, or set data.regions=pool")
        if "pasted" in losses and not self.train.augment.boundary:
            raise ValueError("the loss 'pasted' reads what train.augment.boundary pastes; "
                             "set that to the share of videos, such as 0.9")
        cmgi = self.model.cmgi
        if self.train.compile and (self.model.name != AVSGN or cmgi.topology != "complete" or cmgi.topk is not None
                                   or cmgi.relations == "typed" or cmgi.backend == "native"):
            raise ValueError("train.compile=true compiles avsgn on complete subgraphs: it needs model.name=avsgn, "
                             "model.cmgi.topology=complete, topk=null, relations=shared, and backend=auto or blocks")
        if self.train.select == "test" and self.evaluate.split != "test":
            raise ValueError("train.select=test needs evaluate.split=test, "
                             "so that the table shows what was selected on")
        return self


def load_config(path: str | Path | None = None, overrides: Sequence[str] = ()) -> Config:
    """Read a YAML (following ``base:``), apply ``key.path=value`` overrides, validate.

    Args:
        path: a YAML file; ``None`` starts from the defaults.
        overrides: dotted settings; values are read as YAML (``train.seeds=[0,1]``, ``train.ema=0.99``).

    Raises:
        ConfigError: names the file (or ``command line``), the key, what came, and the nearest right key.
    """
    tree, origin = ({}, {}) if path is None else _read(Path(path), ())
    for text in overrides:
        key, value = _parse_override(text)
        _override(tree, key, value, origin)
    try:
        return Config.model_validate(tree)
    except ValidationError as error:
        raise ConfigError(_explain(error, origin, str(path or "defaults"))) from None


def save_config(config: Config, path: str | Path) -> None:
    """Write the resolved config, every key, so that it can be trained from again."""
    Path(path).write_text(dump_config(config), encoding="utf-8")


def dump_config(config: Config) -> str:
    """The resolved config as YAML text."""
    return yaml.safe_dump(config.model_dump(mode="json"), sort_keys=False, allow_unicode=True)


def read_tree(path: Path) -> dict[str, Any]:
    """A YAML file's mapping, as it stands there; an empty file is an empty one.

    Raises:
        ConfigError: no such file (names the nearest), not readable, not YAML, or not a mapping.
    """
    try:
        tree = yaml.safe_load(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        near = difflib.get_close_matches(path.name, [p.name for p in path.parent.glob("*.yaml")], n=1)
        hint = f"; did you mean {path.parent / near[0]}?" if near else ""
        raise ConfigError(f"{path}: no such file{hint}") from None
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path}: cannot be read ({error})") from None
    except yaml.YAMLError as error:
        raise ConfigError(f"{path}: not valid YAML: {' '.join(str(error).split())}") from None
    if tree is None:
        tree = {}
    if not isinstance(tree, dict):
        raise ConfigError(f"{path}: a config is a mapping of keys, got {type(tree).__name__}")
    return tree


def _read(path: Path, seen: tuple[Path, ...]) -> tuple[dict[str, Any], dict[tuple[str, ...], str]]:
    """The YAML's tree merged over its bases', and which file each leaf came from."""
    where = path.resolve()
    if where in seen:
        raise ConfigError(f"{path}: base: goes in a circle ({' -> '.join(p.name for p in (*seen, where))})")
    tree = read_tree(path)
    base = tree.pop("base", None)
    merged, origin = ({}, {}) if base is None else _read(path.parent / str(base), (*seen, where))
    _merge(merged, tree, origin, str(path))
    return merged, origin


def _merge(into: dict, new: dict, origin: dict, source: str, at: tuple[str, ...] = ()) -> None:
    """Lay `new` over `into`; mappings merge, anything else replaces. Free-form mappings replace whole."""
    for key, value in new.items():
        key = str(key)
        here = (*at, key)
        if isinstance(value, dict) and isinstance(into.get(key), dict) and key not in FREE_FORM:
            _merge(into[key], value, origin, source, here)
        elif isinstance(value, dict) and key not in FREE_FORM:
            into[key] = {}
            _merge(into[key], value, origin, source, here)
            origin[here] = source
        else:
            into[key] = value
            origin[here] = source


def _override(tree: dict, key: list[str], value: Any, origin: dict) -> None:
    """Lay one dotted setting over `tree`. Mappings on its way keep their other keys, free-form ones too."""
    *way, last = key
    for depth, part in enumerate(way, 1):
        if not isinstance(tree.get(part), dict):
            tree[part] = {}
            origin[tuple(way[:depth])] = "command line"
        tree = tree[part]
    _merge(tree, {last: value}, origin, "command line", tuple(way))


def _parse_override(text: str) -> tuple[list[str], Any]:
    key, found, value = text.partition("=")
    if not found or not key:
        raise ConfigError(f"command line: {text!r} is not key.path=value (for example train.seed=1)")
    try:
        return key.strip().split("."), yaml.safe_load(value)
    except yaml.YAMLError as error:
        raise ConfigError(f"command line: {key}: {value!r} is not valid YAML: {' '.join(str(error).split())}") from None


def check_keys(overrides: Sequence[str]) -> None:
    """ConfigError for a dotted setting that no config has; its value is checked with the rest of a config."""
    for text in overrides:
        key, _ = _parse_override(text)
        section: Any = Config
        for depth, part in enumerate(key, 1):
            if part not in section.model_fields:
                at = tuple(key[:depth])
                raise ConfigError(f"command line: {'.'.join(at)}: no such setting{_nearest(at)}")
            section = section.model_fields[part].annotation
            if not (isinstance(section, type) and issubclass(section, Section)):
                break


def _explain(error: ValidationError, origin: dict[tuple[str, ...], str], default: str) -> str:
    """Pydantic's findings, one line each, with file, dotted key and the nearest right key."""
    lines = []
    for problem in error.errors():
        location = tuple(str(part) for part in problem["loc"])
        source = next((origin[location[:n]] for n in range(len(location), 0, -1) if location[:n] in origin), default)
        key = ".".join(location)
        if problem["type"] == "extra_forbidden":
            lines.append(f"{source}: {key}: no such setting{_nearest(location)}")
        else:
            message = problem["msg"].removeprefix("Value error, ")
            came = "" if isinstance(problem["input"], (dict, BaseModel)) else f" (got {problem['input']!r})"
            lines.append(f"{source}: {key + ': ' if key else ''}{message}{came}")
    return "\n".join(lines)


def _nearest(location: tuple[str, ...]) -> str:
    section: type[BaseModel] = Config
    for part in location[:-1]:
        section = section.model_fields[part].annotation  # type: ignore[assignment]
    siblings = list(section.model_fields)
    everywhere = [".".join(path) for path in _paths(Config)]
    near = difflib.get_close_matches(location[-1], siblings, n=1, cutoff=0.6)
    if near:
        return f"; did you mean {'.'.join((*location[:-1], near[0]))}?"
    homes = [path for path in everywhere if path.split(".")[-1] == location[-1]]
    if homes:
        return f"; did you mean {homes[0]}?"
    return f"; there are: {', '.join(siblings)}"


def _paths(section: type[BaseModel], at: tuple[str, ...] = ()) -> Iterable[tuple[str, ...]]:
    """Every dotted path of the schema, leaves only."""
    for name, field in section.model_fields.items():
        if isinstance(field.annotation, type) and issubclass(field.annotation, BaseModel):
            yield from _paths(field.annotation, (*at, name))
        else:
            yield (*at, name)
