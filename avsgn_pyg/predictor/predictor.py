"""From a clip to its events: the model of a checkpoint behind the encoders that its features were made with.

    >>> from avsgn_pyg import Predictor
    >>> print(Predictor.from_checkpoint("runs/demo")("clip.mp4").table())

Letters: S seconds of the video, T segments of the model's window, W windows, C classes.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor
from torch_geometric.data import Batch

from avsgn_pyg import zoo
from avsgn_pyg.config import ConfigError
from avsgn_pyg.data.h5 import DataError
from avsgn_pyg.engine.checkpoint import MODEL, Checkpoint, load_checkpoint, load_weights
from avsgn_pyg.engine.run_folder import find_checkpoint
from avsgn_pyg.features.encoder import choose_device
from avsgn_pyg.graph.build import build_batch
from avsgn_pyg.localization import Localization
from avsgn_pyg.model.open_vocabulary import Temperatures
from avsgn_pyg.predictor import pretrained
from avsgn_pyg.predictor.encoders import Encoders, Given, features_of, rebuild, refuse_foreign, refuse_other_classes
from avsgn_pyg.predictor.encoding import encode_clip, pad
from avsgn_pyg.predictor.inputs import is_saved, labels_of
from avsgn_pyg.predictor.prediction import Prediction
from avsgn_pyg.predictor.vocabulary import Vocabulary, check_widths, encode_labels, temperatures_of
from avsgn_pyg.predictor.windows import average, cut, light, together, window_starts


class Predictor:
    """A trained model that takes videos.

    Args:
        checkpoint: weights, config and meta.
        device: ``auto``, ``cpu``, ``cuda``, ``mps``; of the model and of the encoders.
        precision: ``fp32``, ``bf16`` or ``fp16``, of the encoders; the model is small and computes in fp32.
        encoders: ``visual`` and ``audio`` -> an encoder or a choice of one, in place of the recorded ones; see
            :func:`avsgn_pyg.predictor.encoders.rebuild`. They are made when the first clip comes, so features can be
            localized without them.
        batch_size: windows, and frames or sounds of an encoder, at once.
        labels: two labels or more, the path of a file of them (one a line), or a vocabulary, in place of the trained
            classes; see :mod:`avsgn_pyg.predictor.vocabulary`.
        temperatures: of the labels' scores; ``None`` takes the default. A vocabulary brings its own.

    Raises:
        ConfigError: labels or temperatures that cannot be used, or a model that parses videos.
        CheckpointError: weights, config and classes do not belong together.
        EncoderError: the device or the precision is not there.
    """

    def __init__(
        self,
        checkpoint: Checkpoint,
        *,
        device: str = "auto",
        precision: str = "fp32",
        encoders: Given | None = None,
        batch_size: int = 64,
        labels: Sequence[str] | str | Path | Vocabulary | None = None,
        temperatures: Temperatures | None = None,
    ) -> None:
        refuse_foreign(checkpoint)
        self._labels = labels if labels is None or isinstance(labels, Vocabulary) else labels_of(labels)
        self._temperatures = temperatures_of(temperatures, self._labels)
        self.checkpoint, self.meta, self.config = checkpoint, checkpoint.meta, checkpoint.config
        self.device = choose_device(device, precision)
        self._given, self._precision, self._batch_size = encoders, precision, batch_size
        shape = zoo.Shape(self.meta.audio_width, self.meta.visual_width, self.meta.segments, len(self.meta.categories))
        self._text_nodes = zoo.text_nodes(self.config.model, shape)
        refuse_other_classes(checkpoint)
        if isinstance(self._labels, Vocabulary):
            check_widths(self._labels.text, self.meta.audio_width, self.meta.visual_width)
        # Weights are laid over it, so building the model may not disturb the caller's random numbers.
        with torch.random.fork_rng(devices=[]):
            self.model = zoo.build_model(self.config.model, shape, supervision=self.config.objective.supervision)
        load_weights(self.model, checkpoint.weights, checkpoint.path / MODEL)
        self.model.eval().to(self.device)

    @classmethod
    def from_checkpoint(cls, path: str | Path, **options: Any) -> Predictor:
        """Of a run's folder (its selected checkpoint), a checkpoint's, or one of :meth:`save_pretrained`.

        Args:
            options: those of the class.

        Raises:
            CheckpointError: none there, a damaged one, or a run of several seeds (lists them: choose one).
        """
        path = Path(path)
        if is_saved(path):
            return cls.from_pretrained(path, **options)
        return cls(load_checkpoint(find_checkpoint(path)), **options)

    @classmethod
    def from_pretrained(cls, where: str | Path, *, revision: str | None = None, **options: Any) -> Predictor:
        """Of a folder of :meth:`save_pretrained`, or of a repository ``owner/name`` of the Hugging Face hub.

        Reads ``config.json`` and ``model.safetensors``; executes no code of either.

        Args:
            revision: branch, tag or commit of the repository.
            options: those of the class.

        Raises:
            CheckpointError: no such folder or repository, no network, or files that cannot be used.
        """
        return cls(pretrained.load(pretrained.fetch(where, revision)), **options)

    def save_pretrained(self, folder: str | Path, *, license: str = "unknown") -> Path:
        """Write ``model.safetensors``, ``config.json`` and the model card ``README.md`` into a new folder.

        Encoders are named by their records, not copied. Scores are those that the run's folder holds of this
        checkpoint.

        Args:
            license: of these weights, as the hub spells it (``mit``, ``cc-by-4.0``).

        Raises:
            CheckpointError: the folder holds something already.
        """
        return pretrained.save(self.checkpoint, Path(folder), license=license)

    def push_to_hub(self, repo_id: str, *, license: str = "unknown", private: bool | None = None,
                    token: str | None = None) -> str:
        """Upload what :meth:`save_pretrained` writes, by huggingface_hub; the repository's address."""
        return pretrained.push(self.checkpoint, repo_id, license=license, private=private, token=token)

    @property
    def categories(self) -> tuple[str, ...]:
        """Class names in index order: the trained ones, or the labels given."""
        given = self._labels.labels if isinstance(self._labels, Vocabulary) else self._labels
        return self.meta.categories if given is None else given

    @property
    def segments(self) -> int:
        """T, the seconds of a window."""
        return self.meta.segments

    @cached_property
    def encoders(self) -> Encoders:
        """What encodes clips, made on first use; errors are :func:`avsgn_pyg.predictor.encoders.rebuild`'s."""
        place = {"device": str(self.device), "precision": self._precision, "batch_size": self._batch_size}
        return rebuild(self.checkpoint, self._given, **place)

    @cached_property
    def vocabulary(self) -> Vocabulary | None:
        """The labels with their text, made on first use by :attr:`encoders`; ``None`` for the trained classes."""
        if self._labels is None or isinstance(self._labels, Vocabulary):
            return self._labels
        prompts = features_of(self.checkpoint).get("prompts")
        return encode_labels(self._labels, self.encoders, prompts, self._temperatures)

    def __call__(self, clip: str | Path, *, tau: float | None = None) -> Prediction:
        """The events of a clip of any length.

        Args:
            clip: a media file; a missing picture or sound track is marked and stood in for as in extraction.
            tau: relevance threshold in [0, 1); ``None`` takes the config's ``evaluate.tau``.

        Raises:
            MediaError: the file cannot be read.
            EncoderError: the encoders cannot be had, or are not those of the training.
            ConfigError: tau is out of range, or the model is decoded without one.
        """
        path, tau = Path(clip), self.check_tau(tau)
        encoders = self.encoders
        found = encode_clip(path, encoders.visual, encoders.audio, segments=self.segments,
                            frames_per_segment=encoders.frames_per_segment)
        prediction = self._joined(self._named(found.audio, found.visual, found.seconds), found.seconds, tau, path.name)
        return replace(prediction, path=path, duration=found.duration, seen=found.seen, heard=found.heard,
                       notes=found.notes)

    def localize(
        self, audio: Float[Tensor, "S da"], visual: Float[Tensor, "S2 dv"], *, tau: float | None = None,
        name: str = "features",
    ) -> Prediction:
        """The events of a video whose features are known; videos below T seconds repeat their last second.

        Raises:
            DataError: no second, or features of other lengths or widths than the model takes.
            ConfigError: as of a call.
        """
        tau, seconds = self.check_tau(tau), len(audio)
        wanted = (self.meta.audio_width, self.meta.visual_width)
        if not seconds or len(visual) != seconds or (audio.shape[-1], visual.shape[-1]) != wanted:
            raise DataError(
                f"{name}: audio {list(audio.shape)} and visual {list(visual.shape)} came; this model takes "
                f"[S, {wanted[0]}] and [S, {wanted[1]}] of the same seconds, one at least"
            )
        windows = (cut(pad(rows.float().cpu(), self.segments), self.segments) for rows in (audio, visual))
        return self._joined(self._named(*windows, seconds), seconds, tau, name)

    @torch.inference_mode()
    def answer(self, audio: Float[Tensor, "W T da"], visual: Float[Tensor, "W T dv"]) -> Localization:
        """The model's own logits and gates of every window, float32 on the CPU."""
        parts = []
        for heard, seen in zip(audio.split(self._batch_size), visual.split(self._batch_size), strict=True):
            parts.append(light(self.model(self.graph(heard, seen))))
        return together(parts)

    def graph(self, audio: Float[Tensor, "W T da"], visual: Float[Tensor, "W T dv"]) -> Batch:
        """Windows as the model's batch, on its device."""
        return build_batch(audio.to(self.device), visual.to(self.device), text_nodes=self._text_nodes,
                           topology=zoo.topology(self.config.model))

    def _named(self, audio: Float[Tensor, "W T da"], visual: Float[Tensor, "W T dv"], seconds: int) -> Localization:
        """The model's answer, over the labels given where there are any."""
        answer = self.answer(audio, visual)
        return answer if self.vocabulary is None else self.vocabulary.answer(answer, audio, visual, seconds)

    def _joined(self, answer: Localization, seconds: int, tau: float | None, name: str) -> Prediction:
        """The windows' probabilities averaged into those of every second."""
        starts, classes = window_starts(seconds, self.segments), len(self.categories)
        if answer.segment_scores is None:
            relevance = average(answer.relevance.sigmoid(), starts, seconds)
            every = answer.category.softmax(-1)[:, None].expand(-1, self.segments, -1)
            category = average(every, starts, seconds)
            labels = torch.where(relevance > tau, category.argmax(-1), classes)
        else:
            scores = average(answer.segment_scores.softmax(-1), starts, seconds)
            labels, relevance = scores.argmax(-1), scores[:, :-1].sum(-1)
            category = scores[:, :-1] / relevance[:, None].clamp_min(torch.finfo(torch.float32).tiny)
        gates = {key: average(gate.mean(-1), starts, seconds) for key, gate in answer.gates.items()}
        return Prediction(name, None, self.categories, float(seconds), relevance, category, gates, labels, tau,
                          padded=max(0, self.segments - seconds), source=self.checkpoint.path)

    def check_tau(self, tau: float | None) -> float | None:
        """The threshold that counts: the one given, or the config's; ConfigError where it cannot be one."""
        if zoo.scores_segments(self.config.model) and self._labels is None:
            if tau is not None:
                raise ConfigError(f"tau={tau}: {self.checkpoint.path} scores every segment over "
                                  f"{len(self.categories) + 1} classes, which is decoded without tau; leave it out")
            return None
        tau = self.config.evaluate.tau if tau is None else tau
        if not (math.isfinite(tau) and 0 <= tau < 1):
            raise ConfigError(f"tau={tau} is no threshold of a relevance; give one in [0, 1), such as 0.6")
        return tau
