"""Prediction of many clips, one after the other; a failure of one does not stop the others."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from tqdm import tqdm

from avsgn_pyg.common.errors import EXPECTED_ERRORS, DataError, PictureError
from avsgn_pyg.predictor.cuts import write_cuts
from avsgn_pyg.predictor.encoding import EncodedClip
from avsgn_pyg.predictor.formats import FORMATS, render
from avsgn_pyg.predictor.inputs import check_formats
from avsgn_pyg.predictor.localizer import ClipLocalizer
from avsgn_pyg.predictor.prediction import Prediction
from avsgn_pyg.predictor.record import open_output, state

Result, Item = TypeVar("Result"), TypeVar("Item")


@dataclass(frozen=True, eq=False)
class ClipResult:
    """The result of one clip.

    Attributes:
        prediction: ``None`` after an error, and for a clip whose files existed already.
        error: why there is no prediction, or not all of its files.
        files: those that were written, or existed already.
    """

    clip: Path
    prediction: Prediction | None = None
    error: Exception | None = None
    files: tuple[Path, ...] = ()

    @property
    def summary(self) -> str:
        """The events or the error, the files and the notes of the clip, on one line."""
        if self.error is not None:
            return f"failed: {self.error}"
        files = ", ".join(map(str, self.files))
        if self.prediction is None:
            return f"{self.clip}: unchanged -> {files}"
        events, notes = "; ".join(map(str, self.prediction.events)), "; ".join(self.prediction.notes)
        return f"{self.clip}: {events or 'no event'} -> {files}{f' (note: {notes})' if notes else ''}"


def predict_clips(
    predictor: ClipLocalizer, clips: Sequence[Path], *, out: Path | None = None, formats: Sequence[str] = (),
    tau: float | None = None, top: int = 1, cut: bool = False, overwrite: bool = False, progress: bool = False,
) -> Iterator[ClipResult]:
    """Predict clips in their order; settings, output and encoders are checked before the first one.

    In `out`, a clip is skipped if it was predicted there with the same model and settings, and nothing has changed.
    Other files with the names of its output are an error of that clip (:mod:`avsgn_pyg.predictor.record`).

    Args:
        out: folder of the files ``<stem><suffix>``, their record, ``summary.csv`` and ``index.html``; ``None`` writes
            nothing.
        formats: of :data:`avsgn_pyg.predictor.formats.FORMATS`.
        top: classes per second in a table.
        cut: also write a clip and a picture of every event.
        overwrite: replace files that are not in the record, edited files, and predictions of other settings.
        progress: show a bar on a terminal.

    Yields:
        A result for each clip, and one with the error of ``summary.csv`` or ``index.html`` if it was not written.

    Raises:
        ConfigError, EncoderError, CheckpointError: no clip can be predicted.
        DataError: `out` cannot be written, or another process predicts into it.
    """
    check_formats(formats)
    tau_used = predictor.check_tau(tau)
    with nullcontext() if out is None else open_output(out, overwrite) as folder:
        stems = {} if folder is None else folder.stems(clips)
        predictor.load()
        settings = folder and {**predictor.identity(), "tau": tau_used, "formats": formats, "top": top, "cut": cut}
        states: dict[Path, Any] = {}

        def names_of(clip: Path) -> list[str]:
            return [f"{stems[clip]}{FORMATS[form].suffix}" for form in formats]

        def is_done(clip: Path) -> bool:
            if folder is None:
                return False
            states[clip] = state(clip, settings)
            return folder.is_done(clip, states[clip], names_of(clip))

        def predict(clip: Path, encoded: EncodedClip | Exception | None) -> ClipResult:
            if isinstance(encoded, Exception):
                raise encoded
            if encoded is None:
                return ClipResult(clip, files=folder.files(clip))
            prediction = predictor.localize_encoded(clip, encoded, tau=tau)
            if folder is None:
                return ClipResult(clip, prediction)
            names = names_of(clip)
            for name, text in zip(names, render(prediction, formats, top), strict=True):
                with folder.place(name) as partial:
                    partial.write_text(text, encoding="utf-8")
            names += write_cuts(prediction, folder.place, stems[clip], predictor.limits) if cut else ()
            found = prediction.events
            folder.finish(clip, states[clip], stems[clip], names, duration=f"{prediction.duration:.2f}",
                          events=[str(event) for event in found], notes=prediction.notes,
                          found=[(event.label, event.start, event.end, event.confidence) for event in found])
            return ClipResult(clip, prediction, files=folder.files(clip))

        try:
            for clip, encoded in _bar(predictor.encode_all(clips, is_done), clips, "predict" if progress else None):
                result, error = attempt(clip, predict, clip, encoded)
                if error is not None and folder is not None:
                    attempt(clip, folder.fail, clip, str(error))
                yield result or ClipResult(clip, error=error)
        finally:
            problem = None if folder is None else attempt(folder.folder, folder.write_summary)[1]
        if problem is not None:
            yield ClipResult(folder.folder, error=problem)


def _bar(items: Iterable[Item], clips: Sequence[Path], name: str | None) -> Iterable[Item]:
    """Show a bar on a terminal while several clips are predicted, if it has a name."""
    return tqdm(items, desc=name, total=len(clips), unit="clip", disable=None if name and len(clips) > 1 else True)


def attempt(path: Path, act: Callable[..., Result], *arguments: Any) -> tuple[Result | None, Exception | None]:
    """Return the result of `act`, or any error as one sentence with `path`."""
    try:
        return act(*arguments), None
    except (*EXPECTED_ERRORS, PictureError) as error:
        return None, error
    except OSError as error:
        reason = f"{error.filename or path}: {error.strerror or error}"
    except Exception as error:  # a defect that appears in one file must not stop the others
        reason = f"{path}: {type(error).__name__}: {error}"
    return None, DataError(reason)
