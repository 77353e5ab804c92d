"""Labels that a model was not trained on, instead of its classes: ``docs/open_vocabulary.md``.

The trained model decides *when* something is both audible and visible; *what* it is follows from the similarity of
the features to the text embeddings of the labels. All labels are scored in this way, trained classes included.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

from jaxtyping import Float
from torch import Tensor

from avsgn_pyg.common.errors import ConfigError
from avsgn_pyg.engine.zoo import LabelBanks
from avsgn_pyg.graph.localization import Localization
from avsgn_pyg.graph.open_vocabulary import DEFAULT, Temperatures, label_scores
from avsgn_pyg.predictor.inputs import check_labels


@dataclass(frozen=True, eq=False)
class Vocabulary:
    """L labels with their text embeddings: `audio` [L, da] and `visual` [L, dv], by the encoders of the features.

    Raises:
        ConfigError: invalid labels or temperatures, or another number of embeddings than of labels.
    """

    labels: tuple[str, ...]
    text: LabelBanks
    temperatures: Temperatures = DEFAULT

    def __post_init__(self) -> None:
        check_labels(self.labels)
        check_temperatures(self.temperatures)
        if len(self.text.audio) != len(self.labels):
            raise ConfigError(f"{len(self.labels)} labels need as many text embeddings, got {len(self.text.audio)}")

    def check_widths(self, audio: int, visual: int) -> None:
        """Raise ConfigError for text embeddings of other widths than the model's features."""
        for kind, rows, width in (("audio", self.text.audio, audio), ("visual", self.text.visual, visual)):
            if rows.shape[-1] != width:
                raise ConfigError(f"labels: {kind} label text is {rows.shape[-1]} wide, features are {width}: both "
                                  "must come from the same encoder")

    def rescore(
        self, output: Localization, audio: Float[Tensor, "W T da"], visual: Float[Tensor, "W T dv"], seconds: int
    ) -> Localization:
        """Return the model's output with scores of the labels instead of its classes; relevance and gates stay.

        For a model with C + 1 scores, relevance is the log-odds of any trained class against background.

        Args:
            seconds: length of the video; padding after it has no influence.
        """
        parts = (rows[:, :seconds] for rows in (audio, visual, output.relevance.sigmoid()))
        scores = label_scores(*parts, self.text.audio, self.text.visual, self.temperatures)
        return replace(output, category=scores, gate_category=None, segment_scores=None)


def check_temperatures(temperatures: Temperatures | None, *, with_labels: bool = True) -> Temperatures:
    """Return the temperatures, or the default; ConfigError if they are not positive, or if there are no labels."""
    if temperatures is None:
        return DEFAULT
    if not all(math.isfinite(temperature) and temperature > 0 for temperature in temperatures):
        raise ConfigError(f"temperatures={tuple(temperatures)}: cosines are divided by them; give positive, finite "
                          f"numbers, such as {tuple(DEFAULT)}")
    if not with_labels:
        raise ConfigError(f"temperatures={tuple(temperatures)} need labels=[...] or a file of labels: the trained "
                          "classes have none, and a Vocabulary has its own")
    return temperatures
