"""Prediction of many clips, one after the other; a bad clip does not stop the others."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

from tqdm import tqdm

from avsgn_pyg.common.errors import DataError
from avsgn_pyg.predictor.formats import write
from avsgn_pyg.predictor.inputs import check_formats
from avsgn_pyg.predictor.prediction import Prediction
from avsgn_pyg.predictor.predictor import Predictor


def predict_clips(
    predictor: Predictor, clips: Sequence[Path], *, out: Path | None = None, formats: Sequence[str] = (),
    tau: float | None = None, top: int = 1, progress: bool = False,
) -> Iterator[tuple[Path, Prediction | DataError]]:
    """Predict clips in their order; settings, output and encoders are checked before the first one.

    Args:
        out: folder of the files ``<stem><suffix>``; ``None`` writes nothing.
        formats: of :data:`avsgn_pyg.predictor.formats.FORMATS`.
        top: classes per second in a table.
        progress: show a bar on a terminal.

    Yields:
        Each clip with its prediction, or with the error of reading it or of writing its files.

    Raises:
        ConfigError, EncoderError, CheckpointError: no clip can be predicted.
        DataError: two clips would write the same files, or `out` cannot be written.
    """
    check_formats(formats)
    predictor.check_tau(tau)
    if out is not None:
        _check_output(clips, out)
    _ = predictor.encoders
    for path in tqdm(clips, desc="predict", unit="clip", disable=None if progress and len(clips) > 1 else True):
        try:
            result: Prediction | DataError = predictor(path, tau=tau)
            if out is not None:
                write(result, out, formats, top)
        except DataError as error:
            result = error
        except OSError as error:
            result = DataError(f"{error.filename or path}: {error.strerror or error}")
        yield path, result


def _check_output(clips: Sequence[Path], out: Path) -> None:
    """Create the folder; raise DataError if that fails, or if two clips have the same stem."""
    first: dict[str, Path] = {}
    for path in clips:
        other = first.setdefault(path.stem, path)
        if other is not path:
            raise DataError(f"{other} and {path} would both write {out / path.stem}.*; predict them into different "
                            "folders, or rename one")
    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise DataError(f"{out}: cannot be written ({error.strerror})") from None
