"""Actions of the page: analyse a clip, draw its graph, save a correction, and continue the training of a model."""

from __future__ import annotations

import itertools
import os
import re
import time
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from queue import Empty, SimpleQueue
from typing import Any, Final, NamedTuple

from avsgn_pyg.common.errors import EXPECTED_ERRORS, DataError, PictureError
from avsgn_pyg.common.text import file_name
from avsgn_pyg.features.encoder import without_text
from avsgn_pyg.features.media import probe, read_seconds
from avsgn_pyg.predictor.encoding import EncodedClip
from avsgn_pyg.predictor.localizer import ClipLocalizer
from avsgn_pyg.predictor.page.corrections import save
from avsgn_pyg.predictor.page.fine_tuning import command, fine_tune
from avsgn_pyg.predictor.page.messages import DOWNLOADS, Preview, jpeg, read_events, result_message
from avsgn_pyg.predictor.page.runs import folder_of, listed_clip
from avsgn_pyg.predictor.page.uploads import Clip, Uploads
from avsgn_pyg.predictor.pictures import clip_window
from avsgn_pyg.predictor.prediction import Prediction
from avsgn_pyg.predictor.predictor import Predictor
from avsgn_pyg.predictor.training_free import TrainingFree
from avsgn_pyg.predictor.windows import window_starts
from avsgn_pyg.visualize.page import graph_page

#: Maximum number of results that are kept for one clip.
RESULTS: Final = 16
Message = dict[str, Any]


class Result(NamedTuple):
    """One model's result for one clip."""

    prediction: Prediction
    model: ClipLocalizer
    encoded: EncodedClip


class Page:
    """The actions of the page; each yields messages to its script.

    Args:
        models: by the name that the page shows; the first is the default.
        uploads: the clips.
        corrections: the folder in which corrected clips are kept for training; ``None``: they cannot be saved.
    """

    def __init__(self, models: Mapping[str, ClipLocalizer], uploads: Uploads, corrections: Path | None = None) -> None:
        self.models, self.uploads, self.corrections = dict(models), uploads, corrections
        self._settings: dict[str, list[str]] = {}
        self._serial = itertools.count()

    def start_message(self, *, comparing: bool = False) -> Message:
        """Return what the script needs before the first clip."""
        model = next(iter(self.models.values()))
        minutes, size = model.limits.seconds / 60, self.uploads.most_bytes / 1e6
        return {
            "kind": "start", "comparing": comparing, "models": list(self.models), "bytes": self.uploads.most_bytes,
            "formats": list(DOWNLOADS.items()), "labels_note": self._labels_note(model),
            "limits": f"video or sound, up to {size:.0f} MB and {minutes:.0f} minutes",
            "samples": [{"token": clip.token, "name": clip.name, "picture": _thumbnail(clip.path)}
                        for clip in self.uploads.examples],
        }

    def _labels_note(self, model: ClipLocalizer) -> str:
        """Return the reason why no labels can be typed; an empty text if they can."""
        finds = f"finds {', '.join(model.categories)}."
        if model.finds_several:
            return f"Labels cannot be typed: this model {finds}"
        encoders = (model.encoders.visual, model.encoders.audio)
        unable = [*without_text(*encoders),
                  *(each.name for each in encoders if not getattr(each, "text_has_meaning", True))]
        if not unable:
            return ""
        names = ", ".join(dict.fromkeys(unable))
        return f"Labels cannot be typed: this model\u2019s encoders ({names}) cannot embed text. It {finds}"

    def message(self, kind: str, **fields: Any) -> Message:
        """Return a message to the script; its serial number makes it differ from all others, so that each arrives."""
        return {"kind": kind, "serial": next(self._serial), **fields}

    def analyse(self, request: Mapping[str, Any], session: str | None) -> Iterator[Message]:
        """Yield progress and then the results of one or two models for a clip."""
        began, clip = time.perf_counter(), self.uploads.claim(request.get("token"), session)
        results = []
        for name in (request.get("runs") or [next(iter(self.models))])[:2]:
            model, labels = self._model(name, request.get("labels"))
            encoded = yield from self._encode(clip, model)
            result = f"{name}|{','.join(labels)}"
            tau = 0.0 if model.finds_several else None  # all events: the page's threshold may be lowered
            prediction = replace(model.localize_encoded(clip.path, encoded, tau=tau), name=clip.name)
            if model.finds_several:
                prediction = replace(prediction, tau=model.default_tau)
            clip.results.pop(result, None)
            clip.results[result] = Result(prediction, model, encoded)
            while len(clip.results) > RESULTS:
                del clip.results[next(iter(clip.results))]
            results.append(result_message(prediction, result, name))
        drawable = isinstance(model, Predictor) and len(model.checkpoints) == 1 and model.config.model.name == "avsgn"
        yield self.message(
            "clip", token=clip.token, name=clip.name, src=f"page/media/{clip.token}", duration=prediction.duration,
            frames=clip.preview.frames, sound=clip.preview.sound, notes=list(prediction.notes), results=results,
            took=time.perf_counter() - began, step=0.1 if model.finds_several else 1, overlap=model.finds_several,
            window=model.segments, windows=window_starts(len(prediction), model.segments) if drawable else [],
            save_note=self._why_not_saved(model, results[0]["id"]))

    def graph(self, request: Mapping[str, Any], session: str | None) -> Iterator[Message]:
        """Yield the attention graph of a window of a clip."""
        clip, start = self.uploads.claim(request.get("token"), session), int(request["start"])
        result = self._result(clip, request.get("result"))
        try:
            found = clip_window(result.model, clip.path, start=start, encoded=result.encoded)
            html, text = graph_page(replace(found.picture, title=clip.name)), ""
        except (*EXPECTED_ERRORS, PictureError) as error:
            html, text = "", self.error_text(error, clip)
        yield self.message("graph", start=start, html=html, text=text)

    def save(self, request: Mapping[str, Any], session: str | None) -> Iterator[Message]:
        """Keep a clip and its corrected events, and yield how to continue the training."""
        clip = self.uploads.claim(request.get("token"), session)
        result, name = self._result(clip, request.get("result")), str(request.get("result"))
        run = name.partition("|")[0]
        if reason := self._why_not_saved(result.model, name):
            raise DataError(reason)
        events = read_events(request.get("events"), result.prediction)
        saved = save(self.corrections / file_name(run), clip.path, result.prediction, events, result.encoded,
                     result.model)
        self._settings[run] = saved.settings
        how = command(result.model, self._new_name(run), saved.settings) if saved.settings else ""
        yield self.message("saved", text=saved.text, command=how)

    def fine_tune(self, request: Mapping[str, Any], session: str | None) -> Iterator[Message]:
        """Continue the training of a model with the corrected clips, and add the new model to the list."""
        run = str(request.get("result")).partition("|")[0]
        if not self._settings.get(run):
            raise DataError("Save a correction first.")
        model, name = self.models[run], self._new_name(run)
        for share in fine_tune(model, name, self._settings[run]):
            yield self.message("progress", text=f"Training {name}", share=share)
        new = Predictor.from_checkpoint(model.config.run_dir / name, **_placement(model))
        new.load()
        self.models[name] = new
        yield self.message("trained", models=list(self.models), run=name,
                           text=f"{name} is ready: analyse the clip again, or compare the two models.")

    def _new_name(self, run: str) -> str:
        """Return a name for a run that does not exist."""
        folder, first = self.models[run].config.run_dir, re.sub(r"-corrected-\d+$", "", run)
        return next(name for number in itertools.count(1)
                    if not (folder / (name := f"{first}-corrected-{number}")).exists())

    def _why_not_saved(self, model: ClipLocalizer, answer: str) -> str:
        if self.corrections is None:
            return "Corrections can be saved only if the page is restricted to this machine."
        if not isinstance(model, Predictor) or answer.partition("|")[2]:
            return "Corrections can be saved for a trained model\u2019s own classes only, not for typed labels."
        if len(model.checkpoints) > 1:
            return "This model is an ensemble of several seeds; to save corrections, serve the run of one seed."
        return ""

    def _result(self, clip: Clip, name: Any) -> Result:
        if name not in clip.results:
            raise DataError("This result is no longer available; analyse the clip again.")
        return clip.results[name]

    def _model(self, name: Any, labels: Any) -> tuple[ClipLocalizer, tuple[str, ...]]:
        """Return a model by name, for the labels that were typed, if any."""
        if name not in self.models:
            raise DataError(f"There is no model {name!r}; there are {', '.join(self.models)}")
        model = self.models[name]
        given = tuple(dict.fromkeys(part.strip() for part in str(labels or "").split(",") if part.strip()))
        if not given:
            return model, ()
        if isinstance(model, Predictor):
            return Predictor(model.checkpoints, labels=given, **_placement(model)), given
        return TrainingFree(given, **_placement(model)), given

    def _encode(self, clip: Clip, model: ClipLocalizer) -> Iterator[Message]:
        """Yield progress; return the clip's features, which models of the same encoders share."""
        encoders = model.encoders
        key = (encoders.visual.revision, encoders.audio.revision, encoders.frames_per_segment, encoders.rate,
               model.segments)
        if key not in clip.encoded:
            shares: SimpleQueue[float] = SimpleQueue()
            preview = Preview(shares.put)
            with ThreadPoolExecutor(1) as pool:
                work = pool.submit(model.encode, clip.path, preview)
                while not work.done():
                    try:
                        share = shares.get(timeout=0.1)
                    except Empty:
                        continue
                    yield self.message("progress", text="Reading and encoding the clip", share=share)
                clip.encoded[key], clip.preview = work.result(), preview
        return clip.encoded[key]

    def error_text(self, error: Exception, clip: Clip | None) -> str:
        """Return an error without paths of this machine."""
        text = str(error)
        for path, name in () if clip is None else ((clip.path, clip.name), (clip.path.parent, "")):
            text = text.replace(str(path), name)
        for name, model in self.models.items():
            text = text.replace(str(model.source), name)
        roots = [self.corrections, *(each for model in self.models.values() if isinstance(model, Predictor)
                                     for each in (model.config.data.root, model.config.run_dir))]
        for root in sorted(map(str, filter(None, roots)), key=len, reverse=True):
            text = text.replace(f"{root}{os.sep}", "")
        return text

    def runs(self) -> dict[str, tuple[Path, Path | None]]:
        """Return the folder of every model that has one, and that of its clips."""
        roots = {name: model.config.data.root for name, model in self.models.items() if isinstance(model, Predictor)}
        return {name: (folder_of(self.models[name].source), None if root is None else root / "videos")
                for name, root in roots.items()}

    def analyse_listed(self, request: Mapping[str, Any], session: str | None, run: str) -> Iterator[Message]:
        """Analyse a clip that the run's evaluation lists."""
        path = listed_clip(*self.runs()[run], request.get("clip"))
        yield from self.analyse({"token": self.uploads.add_example(path).token, "runs": [run]}, session)


def _placement(model: ClipLocalizer) -> dict[str, Any]:
    """Return the options of another model on the same device, with the same encoders and limits."""
    return {"encoders": {"visual": model.encoders.visual, "audio": model.encoders.audio}, "device": str(model.device),
            "limits": model.limits}


def _thumbnail(path: Path) -> str:
    """Return the frame in the middle of a clip as a data URL."""
    return jpeg(next(iter(read_seconds(path, start=probe(path).seconds // 2, count=1))).frames[0].numpy())
