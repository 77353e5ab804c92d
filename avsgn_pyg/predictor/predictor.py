"""Localize the events of a clip with a trained model and the encoders of its training features.

    >>> from avsgn_pyg import Predictor
    >>> print(Predictor.from_checkpoint("runs/demo")("clip.mp4").table())

Shapes: S seconds of the video, T segments of the model's window, W windows.
"""

from __future__ import annotations

import math
import os
from collections.abc import Iterable, Sequence
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor
from torch_geometric.data import Batch

from avsgn_pyg import zoo
from avsgn_pyg.common.errors import ConfigError, DataError
from avsgn_pyg.engine.checkpoint import Checkpoint, load_checkpoints
from avsgn_pyg.engine.files import is_saved
from avsgn_pyg.engine.run_folder import find_checkpoints
from avsgn_pyg.engine.saved import read_folder
from avsgn_pyg.features.encoder import choose_device
from avsgn_pyg.features.limits import Limits
from avsgn_pyg.graph.build import build_batch
from avsgn_pyg.graph.localization import Localization
from avsgn_pyg.graph.open_vocabulary import Temperatures
from avsgn_pyg.predictor.encoders import Encoders, GivenEncoders, load_encoders
from avsgn_pyg.predictor.encoding import EncodedClip, encode_clip, pad
from avsgn_pyg.predictor.inputs import check_config, check_no_seeds, read_label_list
from avsgn_pyg.predictor.prediction import Prediction
from avsgn_pyg.predictor.pretrained import is_repository, join_weights
from avsgn_pyg.predictor.vocabulary import Vocabulary, check_temperatures, encode_labels
from avsgn_pyg.predictor.windows import average, cut, window_starts


class Predictor:
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
        encoders: GivenEncoders | None = None, batch_size: int = 64,
        labels: Sequence[str] | str | Path | Vocabulary | None = None, temperatures: Temperatures | None = None,
        limits: Limits = Limits(),  # noqa: B008
    ) -> None:
        self.checkpoints = (checkpoint,) if isinstance(checkpoint, Checkpoint) else tuple(checkpoint)
        self.checkpoint = checkpoint = self.checkpoints[0]
        check_config(checkpoint.config, checkpoint.path)
        self.meta, self.config = checkpoint.meta, checkpoint.config
        self.device = choose_device(device, precision)
        self._batch_size, self._given_encoders, self.limits = batch_size, encoders, limits
        self._placement = {"device": str(self.device), "precision": precision, "batch_size": batch_size}
        self._labels = labels if labels is None or isinstance(labels, Vocabulary) else read_label_list(labels)
        self._temperatures = check_temperatures(temperatures, with_labels=isinstance(self._labels, tuple))
        if isinstance(self._labels, Vocabulary):
            self._labels.check_widths(self.meta.audio_width, self.meta.visual_width)
        shape = zoo.Shape(self.meta.audio_width, self.meta.visual_width, self.meta.segments, len(self.meta.categories))
        self.segments, self._text_nodes = shape.segments, zoo.text_nodes(self.config.model, shape)
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

    @cached_property
    def encoders(self) -> Encoders:
        """The encoders of clips, loaded at first use; errors are :func:`.encoders.load_encoders`'s."""
        return load_encoders(self.checkpoint, self._given_encoders, **self._placement)

    @cached_property
    def vocabulary(self) -> Vocabulary | None:
        """The labels with their text, encoded at first use; ``None`` for the trained classes."""
        if not isinstance(self._labels, tuple):
            return self._labels
        return encode_labels(self._labels, self.checkpoint, self.encoders, self._temperatures)

    def identity(self) -> dict[str, Any]:
        """Return everything besides tau that determines a clip's prediction, JSON-ready; loads the encoders."""
        from avsgn_pyg.features.weights import fingerprint  # the hub's client in it is slow to load

        settings = {"model": self.config.model.model_dump(mode="json"), "segments": self.segments}
        found = {"model": fingerprint(join_weights(self.checkpoints), settings), "labels": self.categories,
                 "encoders": [self.encoders.visual.revision, self.encoders.audio.revision],
                 "precision": self._placement["precision"]}
        if self.vocabulary is not None:
            text = {"audio": self.vocabulary.text.audio, "visual": self.vocabulary.text.visual}
            found["label text"] = fingerprint(text, {"temperatures": self.vocabulary.temperatures})
        return found

    def __call__(self, clip: str | Path, *, tau: float | None = None) -> Prediction:
        """Localize the events of a clip of any length.

        Args:
            clip: a media file; a missing video or audio track is noted, and replaced as in extraction.
            tau: relevance threshold in [0, 1); ``None``: the config's ``evaluate.tau``.

        Raises:
            MediaError: the file cannot be read.
            EncoderError: the encoders are not available, or are not those of the training.
            ConfigError: tau is out of range, or the model is decoded without one.
        """
        self.check_tau(tau)
        return self.localize_encoded(Path(clip), self.encode(Path(clip)), tau=tau)

    def encode(self, clip: Path) -> EncodedClip:
        """Return the features of a clip's windows; errors are those of a call."""
        return encode_clip(clip, self.encoders.visual, self.encoders.audio, segments=self.segments,
                           frames_per_segment=self.encoders.frames_per_segment, limits=self.limits)

    def localize_encoded(self, clip: Path, encoded: EncodedClip, *, tau: float | None = None) -> Prediction:
        """Localize the events of a clip that :meth:`encode` encoded; errors are those of a call."""
        prediction = self._predict(clip.name, encoded.audio, encoded.visual, encoded.seconds, tau)
        return replace(prediction, path=clip, duration=encoded.duration, seen=encoded.seen, heard=encoded.heard,
                       notes=encoded.notes)

    def localize(
        self, audio: Tensor | np.ndarray, visual: Tensor | np.ndarray, *, tau: float | None = None,
        name: str = "features",
    ) -> Prediction:
        """Localize the events of a video given by its features; below T seconds, the last one is repeated.

        Args:
            audio, visual: [S, da] and [S, dv], tensors or arrays of numbers.

        Raises:
            DataError: no second, another shape than the model's, NaN or infinity.
            ConfigError: as for a call.
        """
        widths, given = (self.meta.audio_width, self.meta.visual_width), (audio, visual)
        try:
            audio, visual = (rows.detach().float().cpu() if isinstance(rows, Tensor) else
                             torch.tensor(np.asarray(rows).astype(np.float32, casting="same_kind")) for rows in given)
        except (TypeError, ValueError) as error:
            raise DataError(f"{name}: expected tensors or arrays of numbers ({error})") from None
        shapes = [list(rows.shape) for rows in (audio, visual)]
        seconds = shapes[0][0] if shapes[0] else 0
        if not seconds or shapes != [[seconds, width] for width in widths]:
            raise DataError(f"{name}: expected audio [S, {widths[0]}] and visual [S, {widths[1]}] of the same S >= 1 "
                            f"seconds, got {shapes[0]} and {shapes[1]}")
        for kind, rows in (("audio", audio), ("visual", visual)):
            if bool((bad := ~rows.isfinite().all(-1)).any()):
                raise DataError(f"{name}: {kind} features have NaN or infinity in second {int(bad.nonzero()[0])}")
        windows = (cut(pad(rows, self.segments), self.segments) for rows in (audio, visual))
        return self._predict(name, *windows, seconds, tau)

    @torch.inference_mode()
    def localize_windows(self, audio: Float[Tensor, "W T da"], visual: Float[Tensor, "W T dv"]) -> Localization:
        """Return the model's logits and gates for every window, float32 on the CPU."""
        parts = []
        for batch in zip(audio.split(self._batch_size), visual.split(self._batch_size), strict=True):
            parts.append(replace(self.model(self.graph(*batch)), adjacency={}, stages={}))  # these are large
        every_second = parts[0].segment_scores is not None
        return Localization(
            category=_join(part.category for part in parts),
            relevance=_join(part.relevance for part in parts),
            gates={name: _join(part.gates[name] for part in parts) for name in parts[0].gates},
            segment_scores=_join(part.segment_scores for part in parts) if every_second else None,
        )

    def graph(self, audio: Float[Tensor, "W T da"], visual: Float[Tensor, "W T dv"]) -> Batch:
        """Return windows as a batch of the model, on its device."""
        return build_batch(audio.to(self.device), visual.to(self.device), text_nodes=self._text_nodes,
                           topology=zoo.topology(self.config.model))

    def check_tau(self, tau: float | None) -> float | None:
        """Return the threshold in use: the one given, or the config's; ConfigError for one that cannot be used."""
        if zoo.scores_segments(self.config.model) and self._labels is None:
            if tau is not None:
                raise ConfigError(f"tau={tau}: {self.checkpoint.path} scores every segment over "
                                  f"{len(self.categories) + 1} classes, which is decoded without tau; leave it out")
            return None
        tau = self.config.evaluate.tau if tau is None else tau
        if not (math.isfinite(tau) and 0 <= tau < 1):
            raise ConfigError(f"tau={tau}: expected a threshold in [0, 1), such as 0.6")
        return tau

    def _predict(
        self, name: str, audio: Float[Tensor, "W T da"], visual: Float[Tensor, "W T dv"], seconds: int,
        tau: float | None,
    ) -> Prediction:
        """Average the windows' probabilities for every second, and decode them."""
        tau, starts = self.check_tau(tau), window_starts(seconds, self.segments)
        output = self.localize_windows(audio, visual)
        if self.vocabulary is not None:
            output = self.vocabulary.rescore(output, audio, visual, seconds)
        if output.segment_scores is None:
            relevance = average(output.relevance.sigmoid(), starts, seconds)
            classes = output.category.softmax(-1)[:, None].expand(-1, self.segments, -1)
            category = average(classes, starts, seconds)
            labels = torch.where(relevance > tau, category.argmax(-1), len(self.categories))
        else:
            scores = average(output.segment_scores.softmax(-1), starts, seconds)
            labels, relevance = scores.argmax(-1), scores[:, :-1].sum(-1)
            category = scores[:, :-1] / relevance[:, None].clamp_min(torch.finfo(torch.float32).tiny)
        gates = {key: average(gate.mean(-1), starts, seconds) for key, gate in output.gates.items()}
        return Prediction(name, None, self.categories, float(seconds), relevance, category, gates, labels, tau,
                          padded=max(0, self.segments - seconds), source=self.source)


def _join(batches: Iterable[Tensor]) -> Tensor:
    return torch.cat(list(batches)).float().cpu()
