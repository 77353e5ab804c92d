"""Labels that a model was not trained on, in place of its classes: ``docs/open_vocabulary.md``.

The trained network still says *when* something is both heard and seen; *what* it is, is read from the encoders' text.
All labels of a list are scored alike, those that happen to be trained classes too: one list, one scale.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence

from jaxtyping import Float
from torch import Tensor

from avsgn_pyg.config import ConfigError
from avsgn_pyg.data.label_text import LabelText, width_mismatches
from avsgn_pyg.features.encoder import PROMPTS, label_text
from avsgn_pyg.localization import Localization
from avsgn_pyg.model.open_vocabulary import DEFAULT, Temperatures, label_scores
from avsgn_pyg.predictor.encoders import Encoders
from avsgn_pyg.predictor.inputs import check_labels


@dataclasses.dataclass(frozen=True, eq=False)
class Vocabulary:
    """A label list with its text embeddings.

    Attributes:
        labels: L names.
        text: [L, da] and [L, dv], by the encoders of the features.
        temperatures: see :mod:`avsgn_pyg.model.open_vocabulary`.
    """

    labels: tuple[str, ...]
    text: LabelText
    temperatures: Temperatures = DEFAULT

    def __post_init__(self) -> None:
        check_labels(self.labels)
        check_temperatures(self.temperatures)
        if len(self.text.audio) != len(self.labels):
            raise ConfigError(f"{len(self.labels)} labels came with {len(self.text.audio)} text embeddings")

    def answer(
        self, answer: Localization, audio: Float[Tensor, "W T da"], visual: Float[Tensor, "W T dv"], seconds: int
    ) -> Localization:
        """The model's answer with the labels' scores in place of its classes'; relevance and gates are kept.

        Of a model of C + 1 scores, relevance is the log-odds of "some trained class" over background.

        Args:
            seconds: of the video. What fills a shorter video up to T names nothing.
        """
        parts = (rows[:, :seconds] for rows in (audio, visual, answer.relevance.sigmoid()))
        scores = label_scores(*parts, self.text.audio, self.text.visual, self.temperatures)
        return dataclasses.replace(answer, category=scores, gate_category=None, segment_scores=None)


def check_temperatures(temperatures: Temperatures) -> None:
    """ConfigError for a temperature that is no positive, finite number."""
    if not all(math.isfinite(temperature) and temperature > 0 for temperature in temperatures):
        raise ConfigError(f"temperatures={tuple(temperatures)} divide cosines; give positive, finite numbers, such as "
                          f"{tuple(DEFAULT)}")


def temperatures_of(given: Temperatures | None, labels: Sequence[str] | Vocabulary | None) -> Temperatures:
    """Those given, or the default; ConfigError for unusable ones, and where no label would be scored by them."""
    if given is None:
        return DEFAULT
    check_temperatures(given)
    if labels is None or isinstance(labels, Vocabulary):
        raise ConfigError(f"temperatures={tuple(given)} are of labels=[...] or a file of labels: the trained classes "
                          "have none, and a Vocabulary brings its own")
    return given


def check_widths(text: LabelText, audio: int, visual: int) -> None:
    """ConfigError for label text of other widths than the model's features."""
    wrong = "; ".join(width_mismatches(text, audio, visual))
    if wrong:
        raise ConfigError(f"labels: {wrong}")


def encode_labels(
    labels: tuple[str, ...], encoders: Encoders, prompts: object, temperatures: Temperatures
) -> Vocabulary:
    """The labels in the training's own prompts, by the encoders of its features."""
    said = prompts if isinstance(prompts, dict) else PROMPTS
    return Vocabulary(labels, label_text(encoders.visual, encoders.audio, labels, said), temperatures)
