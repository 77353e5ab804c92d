"""Many clips one after the other: a bad one is told of at the end and does not stop the rest."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from tqdm import tqdm

from avsgn_pyg.data.h5 import DataError
from avsgn_pyg.predictor.formats import render, write
from avsgn_pyg.predictor.inputs import check_forms
from avsgn_pyg.predictor.prediction import Prediction
from avsgn_pyg.predictor.predictor import Predictor


@dataclass(frozen=True, eq=False)
class Outcome:
    """What became of one clip.

    Attributes:
        path: the clip.
        prediction: ``None`` where it could not be had.
        texts: in the formats asked for, where nothing is written.
        files: those written of it.
        error: why something is missing, in a sentence; ``None`` where nothing is.
    """

    path: Path
    prediction: Prediction | None
    texts: tuple[str, ...] = ()
    files: tuple[Path, ...] = ()
    error: str | None = None


def predict_clips(
    predictor: Predictor,
    clips: Sequence[Path],
    *,
    out: Path | None = None,
    formats: Sequence[str] = (),
    tau: float | None = None,
    top: int = 1,
    progress: bool = False,
) -> Iterator[Outcome]:
    """Predict clips in their order; everything that is known beforehand is checked before the first one.

    Args:
        out: a folder for the files ``<stem><suffix>``; ``None`` writes nothing, and the texts are answered.
        formats: of :data:`avsgn_pyg.predictor.formats.FORMATS`.
        top: classes a second that a table shows.
        progress: show a bar on a terminal.

    Raises:
        ConfigError, EncoderError, CheckpointError: nothing can be predicted at all.
        DataError: two clips would write the same files, or `out` cannot be written.
    """
    check_forms(formats)
    predictor.check_tau(tau)
    if out is not None:
        _refuse_same_names(clips, out)
        _make(out)
    _ = predictor.encoders
    for path in tqdm(clips, desc="predict", unit="clip", disable=None if progress and len(clips) > 1 else True):
        yield _one(predictor, path, out, formats, tau, top)


def _one(
    predictor: Predictor, path: Path, out: Path | None, formats: Sequence[str], tau: float | None, top: int
) -> Outcome:
    prediction = None
    try:
        prediction = predictor(path, tau=tau)
        if out is None:
            return Outcome(path, prediction, texts=tuple(render(prediction, formats, top)))
        return Outcome(path, prediction, files=tuple(write(prediction, out, formats, top)))
    except DataError as error:
        return Outcome(path, prediction, error=str(error))
    except OSError as error:
        return Outcome(path, prediction, error=f"{error.filename or path}: {error.strerror or error}")


def _refuse_same_names(clips: Sequence[Path], out: Path) -> None:
    first: dict[str, Path] = {}
    for path in clips:
        other = first.setdefault(path.stem, path)
        if other is not path:
            raise DataError(f"{other} and {path} would both write {out / path.stem}.*; predict them into different "
                            "folders, or rename one")


def _make(out: Path) -> None:
    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise DataError(f"{out}: cannot be written ({error.strerror})") from None
