"""Localize the events of a clip with a trained model and the encoders of its training features.

    >>> from avsgn_pyg import Predictor
    >>> print(Predictor.from_checkpoint("runs/demo")("clip.mp4").table())

Shapes: S seconds of the video, T segments of the model's window, W windows.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch_geometric.data import Batch

from avsgn_pyg.common.errors import ConfigError
from avsgn_pyg.engine import zoo
from avsgn_pyg.engine.checkpoint import Checkpoint, load_checkpoints, read_folder
from avsgn_pyg.engine.files import is_saved
from avsgn_pyg.engine.run_folder import find_checkpoints
from avsgn_pyg.features.encoder import PROMPTS, choose_device, label_text
from avsgn_pyg.features.limits import Limits
from avsgn_pyg.graph.build import build_batch
from avsgn_pyg.graph.localization import Localization
from avsgn_pyg.graph.open_vocabulary import Temperatures
from avsgn_pyg.predictor import dense
from avsgn_pyg.predictor.encoders import Encoders, GivenEncoders, feature_record, load_encoders
from avsgn_pyg.predictor.inputs import check_config, check_no_seeds, read_label_list
from avsgn_pyg.predictor.localizer import ClipLocalizer
from avsgn_pyg.predictor.prediction import Prediction
from avsgn_pyg.predictor.pretrained import is_repository, join_weights
from avsgn_pyg.predictor.training_free import TrainingFree, repeat_last_second
from avsgn_pyg.predictor.vocabulary import Vocabulary, check_temperatures


class Predictor(ClipLocalizer):
    """A trained model that localizes the events of videos.

    Attributes:
        segments: T, the seconds of a window.

    Args:
        checkpoint: weights, config and meta; of several seeds of a run: an ensemble, which answers with the mean of
            their probabilities.
        device: of model and encoders: ``auto``, ``cpu``, ``cuda`` or ``mps``.
        precision: of the encoders: ``fp32``, ``bf16`` or ``fp16``; the model computes in fp32.
        encoders: ``visual`` and ``audio`` -> an encoder or a choice of one, instead of the recorded ones: see
            :func:`.encoders.load_encoders`. They are loaded for the first clip; features do not need them.
        download: whether missing weights of the encoders may be downloaded.
        batch_size: number of windows per batch, and of frames or sounds per batch of an encoder.
        labels: two or more labels, the path of a file with one label per line, or a :class:`.vocabulary.Vocabulary`;
            they replace the trained classes.
        temperatures: of the labels' scores; ``None``: the default. A vocabulary has its own.
        limits: on reading one media file; a clip that exceeds one is refused.

    Raises:
        ConfigError: invalid labels or temperatures, or a model that does not localize one event.
        CheckpointError: weights, config and classes do not belong together.
        EncoderError: the device or the precision is not available.
    """

    def __init__(
        self, checkpoint: Checkpoint | Sequence[Checkpoint], *, device: str = "auto", precision: str = "fp32",
        encoders: GivenEncoders | None = None, download: bool = False, batch_size: int = 64,
        labels: Sequence[str] | str | Path | Vocabulary | None = None, temperatures: Temperatures | None = None,
        limits: Limits = Limits(),  # noqa: B008
    ) -> None:
        self.checkpoints = (checkpoint,) if isinstance(checkpoint, Checkpoint) else tuple(checkpoint)
        self.checkpoint = checkpoint = self.checkpoints[0]
        check_config(checkpoint.config, checkpoint.path)
        self.meta, self.config = checkpoint.meta, checkpoint.config
        self.device = choose_device(device, precision)
        self._batch_size, self._given_encoders, self._download, self.limits = batch_size, encoders, download, limits
        self._placement = {"device": str(self.device), "precision": precision, "batch_size": batch_size}
        self._labels = labels if labels is None or isinstance(labels, Vocabulary) else read_label_list(labels)
        if temperatures is not None and self._text_classifies:
            raise ConfigError(f"temperatures={tuple(temperatures)}: a model with head.classifier=text calibrates its "
                              "labels itself; leave them out")
        self._temperatures = check_temperatures(temperatures, with_labels=isinstance(self._labels, tuple))
        if self._labels is not None and self.finds_several:
            raise ConfigError(f"{checkpoint.path}: finds events of its trained classes (data.kind=dense); leave labels "
                              "out")
        if isinstance(self._labels, Vocabulary):
            self._labels.check_widths(self.meta.audio_width, self.meta.visual_width)
        shape = zoo.Shape(self.meta.audio_width, self.meta.visual_width, self.meta.segments, len(self.meta.categories),
                          rate=self.meta.rate)
        self.rate, self.padded = shape.rate, not self.finds_several
        self.segments, self._text_nodes = shape.segments // shape.rate, zoo.text_nodes(self.config.model, shape)
        self.model = zoo.load_models(self.checkpoints, shape).to(self.device)

    @classmethod
    def from_checkpoint(
        cls, path: str | Path, *, seeds: Sequence[int] | int | None = None, **options: Any
    ) -> Predictor:
        """Load a run's selected checkpoint, a checkpoint's folder, or one of :meth:`save_pretrained`.

        A run of several seeds becomes an ensemble.

        Args:
            seeds: of a run of several; a number takes the first ones, ``None`` all.
            options: those of the class.

        Raises:
            CheckpointError: no checkpoint, a damaged one, or no such seed.
        """
        path = Path(path)
        if not is_saved(path):
            return cls(load_checkpoints([*find_checkpoints(path, seeds).values()]), **options)
        check_no_seeds(path, seeds)
        return cls(read_folder(path), **options)

    @classmethod
    def from_pretrained(
        cls, where: str | Path, *, revision: str | None = None, seeds: Sequence[int] | int | None = None, **options: Any
    ) -> Predictor:
        """Load a folder of :meth:`save_pretrained` or of a run, or a repository ``owner/name`` of the Hugging Face hub.

        `revision` is a branch, tag or commit; `seeds` and `options` are those of :meth:`from_checkpoint`.
        CheckpointError for no such folder or repository, no network, or files that cannot be used.
        """
        if not is_repository(where, revision):
            return cls.from_checkpoint(where, seeds=seeds, **options)
        check_no_seeds(where, seeds)
        from avsgn_pyg.predictor import hub  # its client is slow to load

        return cls(hub.download(where, revision), **options)

    @staticmethod
    def training_free(labels: Sequence[str] | str | Path, **options: Any) -> TrainingFree:
        """Return a predictor of any labels that needs no trained model: :class:`.training_free.TrainingFree`."""
        return TrainingFree(labels, **options)

    def save_pretrained(self, folder: str | Path, *, license: str = "unknown") -> Path:
        """Write ``model.safetensors``, ``config.json`` and the model card ``README.md`` into a new folder.

        `license` is that of these weights, as the hub spells it (``mit``, ``cc-by-4.0``). CheckpointError for a folder
        that is not empty or cannot be written.
        """
        from avsgn_pyg.predictor import hub

        return hub.save(self.checkpoints, Path(folder), license)

    def push_to_hub(self, repo_id: str, *, license: str = "unknown", private: bool | None = None,
                    token: str | None = None) -> str:
        """Upload the files of :meth:`save_pretrained`; return the repository's address. CheckpointError if it fails."""
        from avsgn_pyg.predictor import hub

        return hub.push(self.checkpoints, repo_id, license, private=private, token=token)

    @property
    def source(self) -> Path:
        """The folder of the checkpoint, or of the run whose seeds answer."""
        return Path(os.path.commonpath([checkpoint.path for checkpoint in self.checkpoints]))

    @property
    def categories(self) -> tuple[str, ...]:
        """Class names in index order: the trained ones, or the labels given."""
        given = self._labels.labels if isinstance(self._labels, Vocabulary) else self._labels
        return self.meta.categories if given is None else given

    @property
    def widths(self) -> tuple[int, int]:
        """Widths of audio and of visual features."""
        return self.meta.audio_width, self.meta.visual_width

    @property
    def finds_several(self) -> bool:
        """Whether this is a dense model (``data.kind=dense``)."""
        return self.config.events is not None

    @property
    def default_tau(self) -> float:
        """The config's ``evaluate.tau``; of a model of several events, the score of those that are shown."""
        return dense.ABOVE if self.finds_several else self.config.evaluate.tau

    @cached_property
    def encoders(self) -> Encoders:
        """The encoders of clips, loaded at first use; errors are :func:`.encoders.load_encoders`'s."""
        return load_encoders(self.checkpoint, self._given_encoders, download=self._download, **self._placement)

    @cached_property
    def vocabulary(self) -> Vocabulary | None:
        """The labels, with text in the prompts of the training, encoded at first use; ``None``: the trained classes."""
        if not isinstance(self._labels, tuple):
            return self._labels
        prompts = feature_record(self.checkpoint).get("prompts")
        text = label_text(self.encoders.visual, self.encoders.audio, self._labels,
                          prompts if isinstance(prompts, dict) else PROMPTS)
        return Vocabulary(self._labels, text, self._temperatures)

    def load(self) -> None:
        """Load the encoders, and encode the text of labels that replace the classes."""
        _ = self.encoders, self.vocabulary

    def identity(self) -> dict[str, Any]:
        """Return everything besides tau that determines a clip's prediction, JSON-ready; loads the encoders."""
        from avsgn_pyg.features.weights import fingerprint  # the hub's client in it is slow to load

        settings = {"model": self.config.model.model_dump(mode="json"), "segments": self.segments}
        if self.finds_several:
            settings["dense"] = self.config.events.model_dump(mode="json")
        found = {"model": fingerprint(join_weights(self.checkpoints), settings), "labels": self.categories,
                 "encoders": [self.encoders.visual.revision, self.encoders.audio.revision],
                 "precision": self._placement["precision"]}
        if self.vocabulary is not None:
            text = {"audio": self.vocabulary.text.audio, "visual": self.vocabulary.text.visual}
            found["label text"] = fingerprint(text, {"temperatures": self.vocabulary.temperatures})
        return found

    @torch.inference_mode()
    def localize_windows(
        self, audio: Float[Tensor, "W T da"], visual: Float[Tensor, "W T dv"], seconds: int
    ) -> Localization:
        """Return the model's logits and gates for every window, and the scores of labels that replace its classes."""
        if self.vocabulary is not None and self._text_classifies:
            model = zoo.with_labels(self.model, self.vocabulary.text)
            found = self._run(model, audio[:, :seconds], visual[:, :seconds], 2 * len(self.categories))
            return repeat_last_second(found, audio.shape[1])
        output = self._run(self.model, audio, visual, self._text_nodes)
        return output if self.vocabulary is None else self.vocabulary.rescore(output, audio, visual, seconds)

    @property
    def _text_classifies(self) -> bool:
        """Whether labels replace the text nodes of the model, instead of its scores."""
        return self.config.model.head.classifier == "text"

    def _run(self, model: nn.Module, audio: Float[Tensor, "W t da"], visual: Float[Tensor, "W t dv"],
             text_nodes: int) -> Localization:
        parts = []
        for batch in zip(audio.split(self._batch_size), visual.split(self._batch_size), strict=True):
            parts.append(replace(model(self.graph(*batch, text_nodes=text_nodes)), adjacency={}, stages={}))  # large
        every_second = parts[0].segment_scores is not None
        return Localization(
            category=_join(part.category for part in parts),
            relevance=_join(part.relevance for part in parts),
            gates={name: _join(part.gates[name] for part in parts) for name in parts[0].gates},
            segment_scores=_join(part.segment_scores for part in parts) if every_second else None,
        )

    def graph(self, audio: Float[Tensor, "W T da"], visual: Float[Tensor, "W T dv"], *,
              text_nodes: int | None = None) -> Batch:
        """Return windows as a batch of the model, on its device; `text_nodes`: of labels that replace its classes."""
        return build_batch(audio.to(self.device), visual.to(self.device), text_nodes=text_nodes or self._text_nodes,
                           topology=zoo.topology(self.config.model))

    def check_tau(self, tau: float | None) -> float | None:
        """Return the threshold in use: the one given, or the config's; ConfigError for one that cannot be used."""
        if not self.finds_several and zoo.scores_segments(self.config.model) and self._labels is None:
            if tau is not None:
                raise ConfigError(f"tau={tau}: {self.checkpoint.path} scores every segment over "
                                  f"{len(self.categories) + 1} classes, which is decoded without tau; leave it out")
            return None
        return super().check_tau(tau)


    def _predict(
        self, name: str, audio: Float[Tensor, "W TR da"], visual: Float[Tensor, "W TR dv"], seconds: int,
        tau: float | None,
    ) -> Prediction:
        """As of any localizer, or the events that a dense model finds."""
        if self.config.events is None:
            return super()._predict(name, audio, visual, seconds, tau)
        above, model = self.check_tau(tau), self.config.model
        whole = model.cmgi.topology == "window" and model.time_encoding in ("none", "relative")
        found = dense.find_events(
            lambda *windows: self.model(self.graph(*windows)), audio, visual, seconds=seconds, rate=self.rate,
            whole=whole, above=above, **self.config.events.model_dump(include={"limit", "threshold", "sigma"}))
        relevance, best = found.category.max(-1)
        labels = torch.where(relevance > above, best, len(self.categories))
        return Prediction(name, None, self.categories, float(seconds), relevance, found.category, {}, labels, above,
                          source=self.source, found=found.events)


def open_predictor(model: str | Path | None, **options: Any) -> ClipLocalizer:
    """Load a model by :meth:`Predictor.from_checkpoint`, or localize by labels alone for ``None``."""
    return Predictor.training_free(**options) if model is None else Predictor.from_checkpoint(model, **options)


def _join(batches: Iterable[Tensor]) -> Tensor:
    return torch.cat(list(batches)).float().cpu()
