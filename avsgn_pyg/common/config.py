"""The configuration of an experiment: typed, frozen and strict, read from YAML.

A YAML file may name another as ``base:`` and give only what differs. Command-line overrides are dotted
(``model.cmgi.layers=3``) and take precedence. An unknown key or a value of the wrong type raises a
:class:`ConfigError` that names the file, the key, the value and the closest match. ``configs/base.yaml`` lists every
default.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal, get_args

import yaml
from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    ValidationError,
    field_validator,
    model_validator,
)

from avsgn_pyg.common.errors import ConfigError, did_you_mean


def _not_a_bool(value: Any) -> Any:
    if isinstance(value, bool):
        raise ValueError("Input should be a number, not a bool")
    return value


def _name_or_names(value: Any) -> Any:
    by_subgraph = isinstance(value, dict) and all(isinstance(part, str) for pair in value.items() for part in pair)
    if not (isinstance(value, str) or by_subgraph):
        raise ValueError("Input should be a layer's name, or one for each subgraph ({av: gat, vt: gcn, at: gcn})")
    return value


def _length_or_range(value: Any) -> Any:
    ends = value if isinstance(value, (list, tuple)) else (value, value)
    if len(ends) != 2 or not all(type(end) is int and end >= 1 for end in ends) or ends[0] > ends[1]:
        raise ValueError("Input should be seconds per video, or the shortest and the longest length, such as [6, 14]")
    return value


# Floats may be given as text, since YAML 1.1 reads 3e-4 as a string; integers and booleans are strict.
NUMBER = BeforeValidator(_not_a_bool)
Fraction = Annotated[float, Field(ge=0.0, le=1.0), NUMBER]
BelowOne = Annotated[float, Field(ge=0.0, lt=1.0), NUMBER]
Positive = Annotated[float, Field(gt=0.0), NUMBER]
NonNegative = Annotated[float, Field(ge=0.0), NUMBER]
Integer = Annotated[int, Field(strict=True)]
Count = Annotated[Integer, Field(ge=1)]
Switch = Annotated[bool, Field(strict=True)]
#: A path, in which ~ is the home folder.
Place = Annotated[Path, AfterValidator(Path.expanduser)]
Subgraph = Literal["av", "vt", "at"]
Loss = Literal["category", "relevance", "gate", "consistency", "mil", "pasted", "segment"]

#: The model with a section for each of its parts; every other model takes ``options``.
AVSGN = "avsgn"
#: Mappings with free keys: a later one replaces an earlier one as a whole.
FREE_FORM = {"conv_options", "options"}
#: The losses that each supervision allows.
LOSSES = {"full": ("category", "relevance", "gate", "consistency", "segment"), "weak": ("mil", "gate", "pasted")}


class Section(BaseModel):
    """A frozen group of settings that rejects unknown keys."""

    model_config = ConfigDict(extra="forbid", frozen=True, validate_default=True, allow_inf_nan=False)

    @classmethod
    def default(cls, name: str) -> Any:
        """The default value of the setting `name`."""
        return cls.model_fields[name].default


def _require_defaults(section: Section, used: set[str], instead: str, at: str = "") -> None:
    """Reject settings of avsgn under another model, which does not use them."""
    for name in type(section).model_fields.keys() - used:
        value = getattr(section, name)
        if isinstance(value, Section):
            _require_defaults(value, set(), instead, f"{at}{name}.")
        elif value != section.default(name):
            raise ValueError(f"{at}{name} is a setting of avsgn, and {instead}; leave {at}{name} at its default")


def _require_unique(name: str, values: Sequence[Any] | None) -> None:
    if values is not None and len(set(values)) != len(values):
        raise ValueError(f"{name}={list(values)} names one twice")


class SyntheticConfig(Section):
    """Size and difficulty of the synthetic AVE-like dataset (:mod:`avsgn_pyg.data.synthetic`)."""

    videos: Annotated[Integer, Field(ge=20)] = 1200
    classes: Annotated[Integer, Field(ge=2)] = 12
    segments: Annotated[int | tuple[int, int], BeforeValidator(_length_or_range)] = 10
    width: Annotated[Integer, Field(ge=8)] = 128
    seed: Integer = 0


class DataConfig(Section):
    """The files of annotations and features."""

    kind: Literal["ave", "ov-ave", "ave-pm", "dense", "synthetic", "llp"] = "ave"
    name: str = "AVE"
    root: Place | None = None
    annotations: str = "Annotations.txt"
    splits: Literal["order", "txt"] = "order"
    features: str | None = None
    audio_features: str = "audio_feature.h5"
    visual_features: str = "visual_feature.h5"
    audio_labels: str | None = None
    visual_labels: str | None = None
    drop_leaking: Switch = False
    held_out: tuple[str, ...] = ()
    limit: Count | None = None
    recompose: Literal["none", "runs", "seconds"] = "none"
    missing: Literal["refuse", "drop"] = "refuse"
    padded_events: Literal["keep", "background", "drop"] = "keep"
    regions: Literal["pool", "keep"] = "pool"
    synthetic: SyntheticConfig = SyntheticConfig()

    @field_validator("held_out")
    @classmethod
    def _sorted(cls, names: tuple[str, ...]) -> tuple[str, ...]:
        if len(set(names)) < len(names):
            raise ValueError("names a class twice")
        return tuple(sorted(names))

    @model_validator(mode="after")
    def _check(self) -> DataConfig:
        if self.held_out and self.kind in ("llp", "dense"):
            raise ValueError(f"held_out={list(self.held_out)} leaves out videos by their one class, and "
                             f"kind={self.kind} has several per video: set held_out=[]")
        if self.kind in ("ov-ave", "ave-pm", "dense"):
            self._check_by_id()
        if self.limit is not None and self.kind == "llp":
            raise ValueError(f"limit={self.limit} is not for kind=llp: set limit=null")
        if self.recompose != "none" and self.kind in ("llp", "dense"):
            raise ValueError(f"recompose={self.recompose} needs one event per video, and kind={self.kind} has several: "
                             "set recompose=none")
        if self.padded_events != "keep" and self.kind != "ave":
            raise ValueError(f"padded_events={self.padded_events} needs kind=ave, got kind={self.kind}; leave it out")
        if self.regions == "keep" and (self.kind != "ave" or self.features is not None):
            raise ValueError(f"regions=keep reads the maps in visual_features; kind={self.kind} with features="
                             f"{self.features} has one vector per second: set regions=pool, or kind=ave, features=null")
        return self

    def _check_by_id(self) -> None:
        """Raise ValueError for settings that data found by id need, or would ignore."""
        if self.features is None or self.name == "AVE":
            raise ValueError(f"kind={self.kind} needs features=FILE.h5, a feature store, and its own name, such as "
                             f"name={self.kind.upper()}; got features={self.features}, name={self.name}")
        read = () if self.kind != "dense" else ("annotations",) if self.annotations.endswith(".json") else (
            "annotations", "splits")
        for key in ("annotations", "splits", "drop_leaking"):
            if key not in read and getattr(self, key) != type(self).model_fields[key].default:
                raise ValueError(f"{key}={getattr(self, key)} is not read with kind={self.kind}; leave it out")


class TextConfig(Section):
    """Section 3.2: the label text and its projection onto text nodes."""

    slots: Literal["segments", "per_class"] = "segments"
    bank: Literal["frozen", "learned"] = "frozen"


class CMSAConfig(Section):
    """Section 3.3: cross-modal semantic alignment (Table 2's switches)."""

    heads: Count = 4
    inter_heads: Count | None = None
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
    topology: Literal["complete", "window", "cross_modal_only"] = "complete"
    window: Count = 10
    topk: Count | None = None
    backend: Literal["auto", "blocks", "native"] = "auto"

    @property
    def sparse(self) -> list[str]:
        """The settings under which a subgraph is not complete."""
        settings = {"topology": self.topology, "relations": self.relations, "topk": self.topk}
        return [f"{name}={value}" for name, value in settings.items() if value != self.default(name)]

    @model_validator(mode="after")
    def _check(self) -> CMGIConfig:
        if len(set(self.subgraphs)) < len(self.subgraphs):
            raise ValueError(f"subgraphs={list(self.subgraphs)} names one twice; give any subset of [av, vt, at]")
        if self.topology != "window" and self.window != self.default("window"):
            raise ValueError(f"window={self.window} is used with topology=window only, and this is "
                             f"topology={self.topology}; set that or leave window out")
        if self.backend == "blocks" and self.sparse:
            raise ValueError(f"backend=blocks needs complete graphs, and {', '.join(self.sparse)} has fewer edges; "
                             "use backend=auto")
        if isinstance(self.conv, dict):
            self._check_conv_per_subgraph()
        return self

    def _check_conv_per_subgraph(self) -> None:
        known, wanted = get_args(Subgraph), set(self.subgraphs)
        if not wanted <= set(self.conv) <= set(known):
            raise ValueError(f"conv={self.conv} needs a layer for each of {sorted(wanted)}; known: {list(known)}")
        for name, options in self.conv_options.items():
            if name not in self.conv or not isinstance(options, dict):
                raise ValueError(f"conv_options={self.conv_options}: with a conv per subgraph, options are given "
                                 f"per subgraph too, such as {{{sorted(self.conv)[0]}: {{bias: false}}}}")


class HeadConfig(Section):
    """Section 3.5: gates and classifiers."""

    classifier: Literal["linear", "text"] = "linear"
    gates: Literal["scalar", "vector"] = "scalar"
    bias: Switch = True
    segment_scores: Switch = False

    @model_validator(mode="after")
    def _check(self) -> HeadConfig:
        if self.classifier == "text" and self.segment_scores:
            raise ValueError("segment_scores=true has a layer over the trained classes, and classifier=text has none; "
                             "set segment_scores=false")
        return self


class DropoutConfig(Section):
    """Dropout rates by place; the paper gives one rate and no place."""

    input: Fraction = 0.0
    attention: Fraction = 0.1
    features: Fraction = 0.1
    graph: Fraction = 0.1
    head: Fraction = 0.1


class ModelConfig(Section):
    """The network: a row of :data:`avsgn_pyg.engine.zoo.MODELS` and its settings."""

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
    def _check(self) -> ModelConfig:
        if self.time_encoding != "relative" and self.time_slope != self.default("time_slope"):
            raise ValueError(f"time_slope={self.time_slope:g} is used with time_encoding=relative only, and this is "
                             f"time_encoding={self.time_encoding}; set that or leave time_slope out")
        if self.head.classifier == "text" and self.text != TextConfig(slots="per_class"):
            raise ValueError(f"head.classifier=text needs a text node for each label: set text.slots=per_class and "
                             f"text.bank=frozen; got {self.text.slots} and {self.text.bank}")
        if self.name != AVSGN:
            _require_defaults(self, {"name", "options"}, f"model.name={self.name} has model.options instead"
                              f"{did_you_mean(self.name, [AVSGN])}")
        elif self.options:
            raise ValueError(f"options={self.options}: avsgn has its own settings (width, cmsa, cmgi, ...); "
                             "options are for baselines")
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
    mil_scores: Literal["logits", "softmax"] = "logits"
    label_smoothing: Fraction = 0.0

    @model_validator(mode="after")
    def _check(self) -> ObjectiveConfig:
        allowed = LOSSES[self.supervision]
        for loss in self.losses or ():
            if loss not in allowed:
                raise ValueError(f"loss {loss!r} is not available under {self.supervision} supervision; "
                                 f"choose from {list(allowed)}")
        if self.losses == ():
            raise ValueError("losses=[] must name at least one loss")
        _require_unique("losses", self.losses)
        if self.mil_scores == "softmax" and self.label_smoothing:
            raise ValueError("mil_scores=softmax takes no label_smoothing, which is defined for logits; "
                             "set label_smoothing=0")
        return self


class ParsingConfig(Section):
    """Head and objective of audio-visual video parsing (:mod:`avsgn_pyg.tasks.parsing.model`), kind ``llp``."""

    evidence: Literal["interaction", "seconds"] = "interaction"
    audio_smoothing: Fraction = 0.0
    visual_smoothing: Fraction = 0.1
    guided: Switch = True


class DenseConfig(Section):
    """Head, objective and decoding of several events a video (:mod:`avsgn_pyg.model.dense`), kind ``dense``."""

    levels: Count = 1
    reach: Positive = 4.0
    layers: Annotated[Integer, Field(ge=0)] = 2
    kernel: Count = 3
    interval_weight: Positive = 1.0
    alpha: Fraction = 0.25
    gamma: NonNegative = 2.0
    limit: Count = 100
    threshold: BelowOne = 0.01
    sigma: Positive = 0.5

    @model_validator(mode="after")
    def _check(self) -> DenseConfig:
        if self.kernel % 2 == 0:
            raise ValueError(f"kernel={self.kernel} must be odd, so that it has a middle")
        if self.levels == 1 and self.reach != self.default("reach"):
            raise ValueError(f"reach={self.reach:g} is used with levels above 1 only; set levels or leave reach out")
        return self


class AugmentConfig(Section):
    """Augmentation of training batches; rates are probabilities per video."""

    recombine: Fraction = 0.0
    boundary: Fraction = 0.0
    flicker: Fraction = 0.0
    inside: Fraction = 0.0
    modality_drop: Fraction = 0.0
    time_flip: Fraction = 0.0
    noise: NonNegative = 0.0


class TrainConfig(Section):
    """The recipe: optimizer, schedule, clipping, seeds and checkpoints."""

    epochs: Count = 200
    batch_size: Count = 64
    learning_rate: Positive = 3e-4
    weight_decay: NonNegative = 0.0
    decayed: Literal["weights", "matrices"] = "weights"
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
    trackers: tuple[str, ...] = ("tensorboard",)
    init: str | None = None
    init_strict: Switch = True
    freeze: tuple[str, ...] = ()

    @field_validator("precision", mode="before")
    @classmethod
    def _no_without_quotes(cls, value: Any) -> Any:
        return "no" if value is False else value  # YAML 1.1 reads a bare no as false

    @model_validator(mode="after")
    def _check(self) -> TrainConfig:
        if self.seeds == ():
            raise ValueError("seeds=[] must name at least one seed")
        _require_unique("seeds", self.seeds)
        _require_unique("trackers", self.trackers)
        _require_unique("freeze", self.freeze)
        if self.init is None and not self.init_strict:
            raise ValueError("init_strict=false is used with init only, and there is none; give init or leave "
                             "init_strict out")
        return self


class EvaluateConfig(Section):
    """Validation during training, decoding and bootstrap intervals."""

    every: Annotated[Integer, Field(ge=0)] = 1
    tau: BelowOne = 0.6
    split: Literal["train", "val", "test"] = "test"
    bootstrap: Annotated[Integer, Field(ge=0)] = 2000


class Config(Section):
    """One experiment."""

    name: str = "avsgn"
    run_dir: Place = Path("runs")
    data: DataConfig = DataConfig()
    model: ModelConfig = ModelConfig()
    objective: ObjectiveConfig = ObjectiveConfig()
    parsing: ParsingConfig = ParsingConfig()
    dense: DenseConfig = DenseConfig()
    train: TrainConfig = TrainConfig()
    evaluate: EvaluateConfig = EvaluateConfig()

    @property
    def events(self) -> DenseConfig | None:
        """The section ``dense`` where a video has several events with float times, else ``None``."""
        return self.dense if self.data.kind == "dense" else None

    @model_validator(mode="after")
    def _check(self) -> Config:
        self._check_objective()
        if self.data.kind != "llp" and self.parsing != ParsingConfig():
            raise ValueError(f"parsing is the objective of data.kind=llp; data.kind={self.data.kind} has objective")
        if self.data.kind != "dense" and self.dense != DenseConfig():
            raise ValueError(f"dense is read with data.kind=dense; data.kind={self.data.kind} has objective")
        if self.data.kind == "dense" and self.model.name == AVSGN and self.model.text.slots != "per_class":
            raise ValueError("data.kind=dense scores classes by their text nodes: it needs "
                             f"model.text.slots=per_class, got {self.model.text.slots}")
        if self.model.head.classifier == "text" and self.data.kind in ("llp", "dense"):
            raise ValueError(f"head.classifier=text is for one event a video; data.kind={self.data.kind} has another "
                             "head: set classifier=linear")
        if self.data.regions == "keep" and self.train.augment != AugmentConfig():
            raise ValueError("train.augment changes one vector per second and not the regions of "
                             "data.regions=keep; leave train.augment at its defaults, or set data.regions=pool")
        cmgi = self.model.cmgi
        if self.train.compile and (self.model.name != AVSGN or cmgi.sparse or cmgi.backend == "native"):
            raise ValueError("train.compile=true compiles avsgn on complete subgraphs: it needs model.name=avsgn, "
                             "model.cmgi.topology=complete, topk=null, relations=shared, and backend=auto or blocks")
        if self.train.select == "test" and self.evaluate.split != "test":
            raise ValueError("train.select=test needs evaluate.split=test, "
                             "so that the table shows what was selected on")
        if not self.evaluate.every and self.train.select != "last":
            raise ValueError(f"train.select={self.train.select} chooses among the epochs that evaluate.every scores, "
                             "and evaluate.every=0 scores none; set it to 1, or train.select=last")
        return self

    def _check_objective(self) -> None:
        losses = self.objective.losses or ()
        if self.model.name != AVSGN:
            _require_defaults(self.objective, {"supervision", "options"},
                              f"model.name={self.model.name} has objective.options instead", "objective.")
        elif self.objective.options:
            raise ValueError(f"objective.options={self.objective.options}: avsgn's objective has its own settings "
                             "(losses, margin, ...); options are for baselines")
        if ("segment" in losses) != self.model.head.segment_scores:
            raise ValueError("the loss 'segment' trains the 29-way scores of model.head.segment_scores=true: "
                             "set both or neither")
        if "pasted" in losses and not self.train.augment.boundary:
            raise ValueError("the loss 'pasted' needs pasted seconds; set train.augment.boundary to the share of "
                             "videos to paste into, such as 0.9")


def load_config(path: str | Path | None = None, overrides: Sequence[str] = ()) -> Config:
    """Read a YAML file with its bases, apply ``key.path=value`` overrides, and validate.

    Args:
        path: a YAML file; ``None`` starts from the defaults.
        overrides: dotted settings; values are parsed as YAML (``train.seeds=[0,1]``, ``train.ema=0.99``).

    Raises:
        ConfigError: names the file (or ``command line``), the key, the value, and the closest valid key.
    """
    layers = [] if path is None else _read_layers(Path(path))
    tree: dict[str, Any] = {}
    for _, layer in layers:
        _merge(tree, layer)
    for text in overrides:
        key, value = _parse_override(text)
        _override(tree, key, value)
        layers.append(("command line", _override({}, key, value)))
    try:
        return Config.model_validate(tree)
    except ValidationError as error:
        raise ConfigError("\n".join(_explain(problem, layers, str(path or "defaults"))
                                    for problem in error.errors())) from None


def check_keys(overrides: Sequence[str]) -> None:
    """Raise ConfigError for a dotted setting that no config has; values are not checked."""
    for text in overrides:
        key, value = _parse_override(text)
        try:
            Config.model_validate(_override({}, key, value))
        except ValidationError as error:
            for problem in error.errors():
                if problem["type"] == "extra_forbidden":
                    raise ConfigError(_explain(problem, [], "command line")) from None


def save_config(config: Config, path: str | Path) -> None:
    """Write the resolved config with every key, ready to train from."""
    Path(path).write_text(dump_config(config), encoding="utf-8")


def dump_config(config: Config) -> str:
    """Return the resolved config as YAML text."""
    return yaml.safe_dump(config.model_dump(mode="json"), sort_keys=False, allow_unicode=True)


def read_tree(path: Path) -> dict[str, Any]:
    """Read a YAML file as a mapping; an empty file is an empty mapping.

    Raises:
        ConfigError: no such file (suggests the closest name), not readable, not YAML, or not a mapping.
    """
    try:
        tree = yaml.safe_load(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        near = did_you_mean(str(path), map(str, path.parent.glob("*.yaml")))
        raise ConfigError(f"{path}: no such file{near}") from None
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path}: cannot be read ({error})") from None
    except yaml.YAMLError as error:
        raise ConfigError(f"{path}: not valid YAML: {' '.join(str(error).split())}") from None
    if not isinstance(tree, dict | None):
        raise ConfigError(f"{path}: a config is a mapping of keys, got {type(tree).__name__}")
    return tree or {}


def _read_layers(path: Path, seen: tuple[Path, ...] = ()) -> list[tuple[str, dict[str, Any]]]:
    """The trees of a file's bases and its own, each with its file's name, the file last."""
    where = path.resolve()
    if where in seen:
        raise ConfigError(f"{path}: base: goes in a circle ({' -> '.join(p.name for p in (*seen, where))})")
    tree = read_tree(path)
    base = tree.pop("base", None)
    below = [] if base is None else _read_layers(path.parent / str(base), (*seen, where))
    return [*below, (str(path), tree)]


def _merge(into: dict[str, Any], new: dict[str, Any]) -> None:
    """Merge mappings; anything else, and a free-form mapping, replaces the earlier value."""
    for key, value in new.items():
        key = str(key)
        if isinstance(value, dict) and key not in FREE_FORM:
            into[key] = into[key] if isinstance(into.get(key), dict) else {}
            _merge(into[key], value)
        else:
            into[key] = value


def _override(tree: dict[str, Any], key: list[str], value: Any) -> dict[str, Any]:
    """Set one dotted key in `tree`; mappings above it keep their other keys, free-form ones too."""
    inner = tree
    for part in key[:-1]:
        inner[part] = inner = dict(inner[part]) if isinstance(inner.get(part), dict) else {}
    _merge(inner, {key[-1]: value})
    return tree


def _parse_override(text: str) -> tuple[list[str], Any]:
    key, found, value = text.partition("=")
    if not found or not key:
        raise ConfigError(f"command line: {text!r} is not key.path=value (for example train.seed=1)")
    try:
        return key.strip().split("."), yaml.safe_load(value)
    except yaml.YAMLError as error:
        raise ConfigError(f"command line: {key}: {value!r} is not valid YAML: {' '.join(str(error).split())}") from None


def _explain(problem: Any, layers: list[tuple[str, dict[str, Any]]], default: str) -> str:
    """One problem that pydantic found, with its file, dotted key, and the closest valid key or the value."""
    location = tuple(str(part) for part in problem["loc"])
    message, key = problem["msg"].removeprefix("Value error, "), ".".join(location)
    of_section = isinstance(problem["input"], (dict, BaseModel))
    # A check of a section names the keys that exclude each other: the last file that sets one of them is at fault.
    named = [(*location, *word.split(".")) for word in re.findall(r"[a-z_]+(?:\.[a-z_]+)*", message)]
    mentioned = [path for path in named if of_section and ".".join(path) in _paths(Config)]
    source = next((layer for layer, tree in reversed(layers) if any(_sets(tree, path) for path in mentioned)), None)
    above = (location[:depth] for depth in range(len(location), 0, -1))
    source = source or next((layer for path in above for layer, tree in reversed(layers) if _sets(tree, path)), default)
    if problem["type"] == "extra_forbidden":
        return f"{source}: {key}: no such setting{_suggest(location)}"
    came = "" if of_section else f" (got {problem['input']!r})"
    if problem["type"] == "literal_error":
        came += did_you_mean(str(problem["input"]), re.findall(r"'([^']*)'", problem["ctx"]["expected"]))
    return f"{source}: {key}{': ' if location else ''}{message}{came}"


def _sets(tree: Any, path: tuple[str, ...]) -> bool:
    """Whether a file's mapping has a value at `path`."""
    for part in path:
        if not isinstance(tree, dict) or part not in tree:
            return False
        tree = tree[part]
    return True


def _suggest(location: tuple[str, ...]) -> str:
    section: Any = Config
    for part in location[:-1]:
        section = section.model_fields[part].annotation
    near = did_you_mean(location[-1], section.model_fields)
    if near:
        return near.replace("mean ", "mean " + "".join(f"{part}." for part in location[:-1]))
    same_name = [path for path in _paths(Config) if path.split(".")[-1] == location[-1]]
    return f"; did you mean {same_name[0]}?" if same_name else f"; there are: {', '.join(section.model_fields)}"


def _paths(section: type[Section], at: str = "") -> Iterator[str]:
    """Every dotted key of the schema, leaves only."""
    for name, field in section.model_fields.items():
        if isinstance(field.annotation, type) and issubclass(field.annotation, Section):
            yield from _paths(field.annotation, f"{at}{name}.")
        else:
            yield f"{at}{name}"
