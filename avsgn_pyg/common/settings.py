"""The settings of an experiment: typed, frozen and strict; ``configs/base.yaml`` explains each of them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any, Literal, get_args

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, model_validator

from avsgn_pyg.common.errors import did_you_mean


def _not_a_bool(value: Any) -> Any:
    if isinstance(value, bool):
        raise ValueError("Input should be a number, not a bool")
    return value


def _name_or_names(value: Any) -> Any:
    by_subgraph = isinstance(value, dict) and all(isinstance(part, str) for pair in value.items() for part in pair)
    if not (isinstance(value, str) or by_subgraph):
        raise ValueError("Input should be a layer's name, or one for each subgraph ({av: gat, vt: gcn, at: gcn})")
    return value


def _unique(values: tuple[Any, ...] | None) -> tuple[Any, ...] | None:
    if values is not None and len(set(values)) < len(values):
        raise ValueError("names one twice")
    return values


def _length_or_range(value: Any) -> Any:
    ends = value if isinstance(value, (list, tuple)) else (value, value)
    if len(ends) != 2 or not all(type(end) is int and end >= 1 for end in ends) or ends[0] > ends[1]:
        raise ValueError("Input should be seconds per video, or the shortest and the longest length, such as [6, 14]")
    return value


# YAML 1.1 reads 3e-4 as a string, so floats may be text, and a bare no as false; integers and booleans are strict.
NUMBER = BeforeValidator(_not_a_bool)
Fraction = Annotated[float, Field(ge=0.0, le=1.0), NUMBER]
BelowOne = Annotated[float, Field(ge=0.0, lt=1.0), NUMBER]
Positive = Annotated[float, Field(gt=0.0), NUMBER]
NonNegative = Annotated[float, Field(ge=0.0), NUMBER]
Integer = Annotated[int, Field(strict=True)]
Count = Annotated[Integer, Field(ge=1)]
Switch = Annotated[bool, Field(strict=True)]
Unique = AfterValidator(_unique)
#: A path, in which ~ is the home folder.
Place = Annotated[Path, AfterValidator(Path.expanduser)]
Subgraph = Literal["av", "vt", "at"]
Loss = Literal["category", "relevance", "gate", "consistency", "mil", "pasted", "segment"]

#: The model with a section for each of its parts; every other model takes ``options``.
AVSGN = "avsgn"
#: The losses that each supervision allows.
LOSSES = {"full": ("category", "relevance", "gate", "consistency", "segment"), "weak": ("mil", "gate", "pasted")}


class Section(BaseModel):
    """A frozen group of settings that rejects unknown keys."""

    model_config = ConfigDict(extra="forbid", frozen=True, validate_default=True, allow_inf_nan=False)

    @classmethod
    def default(cls, name: str) -> Any:
        """The default value of the setting `name`."""
        return cls.model_fields[name].default

    @model_validator(mode="after")
    def _checked(self) -> Any:
        self.check()
        return self

    def check(self) -> None:
        """Raise ValueError for settings that exclude each other."""


def _require(holds: bool, otherwise: str) -> None:
    if not holds:
        raise ValueError(otherwise)


def _require_defaults(section: Section, used: set[str], instead: str, at: str = "") -> None:
    """Reject settings of avsgn under another model, which does not use them."""
    for name in type(section).model_fields.keys() - used:
        value = getattr(section, name)
        if isinstance(value, Section):
            _require_defaults(value, set(), instead, f"{at}{name}.")
        else:
            _require(value == section.default(name),
                     f"{at}{name} is a setting of avsgn, and {instead}; leave {at}{name} at its default")


def _only_with(section: Section, name: str, used: bool, needs: str) -> None:
    """Reject a setting that is not at its default where it is not used."""
    value, default = (one if isinstance(one, str) else json.dumps(one) for one in (
        getattr(section, name), section.default(name)))
    _require(used or value == default, f"{name}={value} is used with {needs} only; set that, or {name}={default}")


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
    held_out: Annotated[tuple[str, ...], Unique, AfterValidator(lambda names: tuple(sorted(names)))] = ()
    limit: Count | None = None
    recompose: Literal["none", "runs", "seconds"] = "none"
    missing: Literal["refuse", "drop"] = "refuse"
    padded_events: Literal["keep", "background", "drop"] = "keep"
    regions: Literal["pool", "keep"] = "pool"
    synthetic: SyntheticConfig = SyntheticConfig()

    def check(self) -> None:
        for key in ("held_out", "recompose"):
            _only_with(self, key, self.kind not in ("llp", "dense"), f"one event per video, and not kind={self.kind},")
        _require(self.limit is None or self.kind != "llp", f"limit={self.limit} is not for kind=llp: set limit=null")
        _only_with(self, "padded_events", self.kind == "ave", "kind=ave")
        _only_with(self, "regions", self.kind == "ave" and self.features is None,
                   "kind=ave and features=null (which have maps of regions)")
        if self.kind in ("ov-ave", "ave-pm", "dense"):  # found by id
            _require(self.features is not None and self.name != "AVE", f"kind={self.kind} needs features=STORE.h5 and "
                     f"a name, such as name={self.kind.upper()}; got features={self.features}, name={self.name}")
            dense = self.kind == "dense"  # whose annotations may be the rows of AVE
            read = {"annotations": dense, "splits": dense and not self.annotations.endswith(".json")}
            for key in ("annotations", "splits", "drop_leaking"):
                _only_with(self, key, read.get(key, False), "other kinds of data")


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

    subgraphs: Annotated[tuple[Subgraph, ...], Unique] = ("av", "vt", "at")
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

    def check(self) -> None:
        _only_with(self, "window", self.topology == "window", "topology=window")
        for name in ("topology", "relations", "topk"):  # any other than the default has fewer edges
            _only_with(self, name, self.backend != "blocks", "backend=auto or native (blocks needs complete graphs)")
        if isinstance(self.conv, dict):
            known, wanted = get_args(Subgraph), set(self.subgraphs)
            _require(wanted <= set(self.conv) <= set(known),
                     f"conv={self.conv} needs a layer for each of {sorted(wanted)}; known: {list(known)}")
            _require(all(name in self.conv and isinstance(one, dict) for name, one in self.conv_options.items()),
                     f"conv_options={self.conv_options}: with a conv per subgraph, options are given per subgraph too, "
                     "such as {av: {bias: false}}")


class HeadConfig(Section):
    """Section 3.5: gates and classifiers."""

    classifier: Literal["linear", "text"] = "linear"
    gates: Literal["scalar", "vector"] = "scalar"
    bias: Switch = True
    segment_scores: Switch = False

    def check(self) -> None:
        _only_with(self, "segment_scores", self.classifier == "linear", "classifier=linear")


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

    def check(self) -> None:
        _only_with(self, "time_slope", self.time_encoding == "relative", "time_encoding=relative")
        _require(self.head.classifier != "text" or self.text == TextConfig(slots="per_class"),
                 "head.classifier=text needs a text node for each label: set text.slots=per_class and "
                 f"text.bank=frozen; got {self.text.slots} and {self.text.bank}")
        if self.name != AVSGN:
            _require_defaults(self, {"name", "options"}, f"model.name={self.name} has model.options instead"
                              f"{did_you_mean(self.name, [AVSGN])}")
        _require(self.name != AVSGN or not self.options,
                 f"options={self.options} are for baselines; avsgn has its own settings (width, cmsa, cmgi, ...)")


class ObjectiveConfig(Section):
    """Eq. 12-18: which named losses are summed, and how (Table 4's switches)."""

    supervision: Literal["full", "weak"] = "full"
    options: dict[str, Any] = {}
    losses: Annotated[tuple[Loss, ...], Field(min_length=1), Unique] | None = None
    relevance_weight: Positive = 1.0
    pasted_weight: Positive = 3.0
    consistency_weight: NonNegative = 0.01
    margin: Positive = 1.0
    mil_pooling: Literal["max", "mean", "topk", "attention"] = "max"
    mil_topk: Count = 4
    mil_scores: Literal["logits", "softmax"] = "logits"
    label_smoothing: Fraction = 0.0

    def check(self) -> None:
        for loss in self.losses or ():
            _require(loss in LOSSES[self.supervision], f"loss {loss!r} is not available under {self.supervision} "
                     f"supervision; choose from {list(LOSSES[self.supervision])}")
        _only_with(self, "label_smoothing", self.mil_scores == "logits", "mil_scores=logits")


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

    def check(self) -> None:
        _require(self.kernel % 2 == 1, f"kernel={self.kernel} must be odd, so that it has a middle")
        _only_with(self, "reach", self.levels > 1, "levels above 1")


class AugmentConfig(Section):
    """Augmentation of training batches; rates are probabilities per video."""

    recombine: Fraction = 0.0
    boundary: Fraction = 0.0
    flicker: Fraction = 0.0
    inside: Fraction = 0.0
    modality_drop: Fraction = 0.0
    time_flip: Fraction = 0.0
    noise: NonNegative = 0.0

    def check(self) -> None:
        for name in ("flicker", "inside"):  # shares of the pasted runs
            _only_with(self, name, self.boundary > 0, "boundary above 0 (such as boundary=0.5)")


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
    precision: Annotated[Literal["no", "fp16", "bf16"], BeforeValidator(lambda v: "no" if v is False else v)] = "no"
    device: Literal["auto", "cpu", "cuda", "mps"] = "auto"
    threads: Count | None = None
    seed: Integer = 0
    seeds: Annotated[tuple[Integer, ...], Field(min_length=1), Unique] | None = None
    select: Literal["val", "test", "last"] = "val"
    early_stop: Count | None = None
    checkpoint_every: Count = 1
    trackers: Annotated[tuple[str, ...], Unique] = ("tensorboard",)
    init: str | None = None
    init_strict: Switch = True
    freeze: Annotated[tuple[str, ...], Unique] = ()

    def check(self) -> None:
        _only_with(self, "init_strict", self.init is not None, "init")
        _only_with(self, "early_stop", self.select != "last", "select=val or test (a split to watch)")


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

    def check(self) -> None:
        kind, model, train, losses = self.data.kind, self.model, self.train, self.objective.losses or ()
        if model.name != AVSGN:
            _require_defaults(self.objective, {"supervision", "options"},
                              f"model.name={model.name} has objective.options instead", "objective.")
        _require(model.name != AVSGN or not self.objective.options,
                 f"objective.options={self.objective.options}: for baselines; avsgn's objective has its own settings")
        _require(("segment" in losses) == model.head.segment_scores,
                 "the loss 'segment' trains the 29-way scores of model.head.segment_scores=true: set both or neither")
        _require("pasted" not in losses or train.augment.boundary > 0,
                 "the loss 'pasted' needs pasted seconds; set train.augment.boundary to a share of videos, such as 0.9")
        for name, own in (("parsing", "llp"), ("dense", "dense")):
            _require(kind == own or getattr(self, name) == self.default(name),
                     f"{name} is read with data.kind={own}; data.kind={kind} has objective")
        _require(kind != "dense" or model.name != AVSGN or model.text.slots == "per_class",
                 f"data.kind=dense scores text nodes: it needs model.text.slots=per_class, got {model.text.slots}")
        _require(kind not in ("llp", "dense") or model.head.classifier != "text",
                 f"head.classifier=text is for one event a video, and data.kind={kind} has several: set linear")
        _require(self.data.regions == "pool" or train.augment == AugmentConfig(),
                 "train.augment changes no regions: leave it at its defaults, or set data.regions=pool")
        _require(train.select != "test" or self.evaluate.split == "test",
                 "train.select=test needs evaluate.split=test, so that the table shows what was selected on")
        _require(self.evaluate.every > 0 or train.select == "last",
                 "train.select chooses a scored epoch, and evaluate.every=0 scores none: set 1, or train.select=last")
