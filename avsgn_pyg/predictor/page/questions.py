"""Requests of the page: analyse a clip, draw its graph, save a correction, and continue the training of a model."""

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
from avsgn_pyg.predictor.page.answers import DOWNLOADS, Strip, checked, describe, jpeg
from avsgn_pyg.predictor.page.corrections import save
from avsgn_pyg.predictor.page.desk import Clip, Desk
from avsgn_pyg.predictor.page.runs import folder_of, listed_clip
from avsgn_pyg.predictor.page.teaching import command, train_on
from avsgn_pyg.predictor.pictures import clip_window
from avsgn_pyg.predictor.prediction import Prediction
from avsgn_pyg.predictor.predictor import Predictor
from avsgn_pyg.predictor.training_free import TrainingFree
from avsgn_pyg.predictor.windows import window_starts

#: Most answers that are kept of one clip.
ANSWERS: Final = 16


class Answer(NamedTuple):
    """One model's answer about one clip."""

    prediction: Prediction
    model: ClipLocalizer
    encoded: EncodedClip


class Page:
    """The questions that the page can ask.

    Args:
        models: by the name that is shown; the first is used unless another is chosen.
        desk: of the clips.
        corrections: the folder in which corrected clips are kept for training; ``None``: they cannot be saved.
    """

    def __init__(self, models: Mapping[str, ClipLocalizer], desk: Desk, corrections: Path | None = None) -> None:
        self.models, self.desk, self.corrections = dict(models), desk, corrections
        self._settings: dict[str, list[str]] = {}
        self._serial = itertools.count()
        self._pictures: dict[str, str] = {}

    def greeting(self, *, compares: bool = False) -> dict[str, Any]:
        """Return what the script needs before the first clip."""
        model = next(iter(self.models.values()))
        minutes, size = model.limits.seconds / 60, self.desk.most_bytes / 1e6
        return {
            "kind": "start", "compares": compares, "models": list(self.models), "bytes": self.desk.most_bytes,
            "formats": list(DOWNLOADS.items()), "words": self._why_no_words(model),
            "limits": f"video or sound, up to {size:.0f} MB and {minutes:.0f} minutes",
            "samples": [{"token": clip.token, "name": clip.name, "picture": self._picture(clip)}
                        for clip in self.desk.made],
        }

    def _why_no_words(self, model: ClipLocalizer) -> str:
        if model.finds_several:
            return f"Labels cannot be typed: this model finds {', '.join(model.categories)}."
        encoders = (model.encoders.visual, model.encoders.audio)
        mute = without_text(*encoders) + [each.name for each in encoders if not getattr(each, "text_has_meaning", True)]
        if not mute:
            return ""
        names = ", ".join(dict.fromkeys(mute))
        return (f"Labels cannot be typed: this model\u2019s encoders ({names}) cannot embed text. It "
                f"finds {', '.join(model.categories)}.")

    def _picture(self, clip: Clip) -> str:
        if clip.token not in self._pictures:
            second = next(iter(read_seconds(clip.path, start=probe(clip.path).seconds // 2, count=1)))
            self._pictures[clip.token] = jpeg(second.frames[0].numpy())
        return self._pictures[clip.token]

    def message(self, kind: str, **fields: Any) -> dict[str, Any]:
        """Return a message to the script; no two are equal, so that each arrives."""
        return {"kind": kind, "serial": next(self._serial), **fields}

    def look(self, asked: Mapping[str, Any], session: str | None) -> Iterator[dict[str, Any]]:
        """Yield progress and then the answers of one or two models about a clip."""
        began, clip = time.perf_counter(), self.desk.claim(asked.get("token"), session)
        answers = []
        for name in (asked.get("runs") or [next(iter(self.models))])[:2]:
            model, labels = self._model(name, asked.get("labels"))
            encoded = yield from self._encode(clip, model)
            answer = f"{name}|{','.join(labels)}"
            tau = 0.0 if model.finds_several else None  # all events: the page's threshold may be lowered
            prediction = replace(model.localize_encoded(clip.path, encoded, tau=tau), name=clip.name)
            if model.finds_several:
                prediction = replace(prediction, tau=model.default_tau)
            clip.answers.pop(answer, None)
            clip.answers[answer] = Answer(prediction, model, encoded)
            while len(clip.answers) > ANSWERS:
                del clip.answers[next(iter(clip.answers))]
            answers.append(describe(prediction, answer, name))
        yield self._clip(clip, model, prediction, answers, time.perf_counter() - began)

    def graph(self, asked: Mapping[str, Any], session: str | None) -> Iterator[dict[str, Any]]:
        """Yield the attention graph of a window of a clip."""
        clip, start = self.desk.claim(asked.get("token"), session), int(asked["start"])
        answer = self._answer(clip, asked.get("answer"))
        try:
            found = clip_window(answer.model, clip.path, start=start, encoded=answer.encoded)
            html, text = replace(found.picture, title=clip.name).page(), ""
        except (*EXPECTED_ERRORS, PictureError) as error:
            html, text = "", self.words(error, clip)
        yield self.message("graph", start=start, html=html, text=text)

    def save(self, asked: Mapping[str, Any], session: str | None) -> Iterator[dict[str, Any]]:
        """Keep a clip and its corrected events, and yield how to continue the training."""
        clip = self.desk.claim(asked.get("token"), session)
        name = asked.get("answer")
        answer, run = self._answer(clip, name), str(name).partition("|")[0]
        if reason := self._why_not_saved(answer.model, str(name)):
            raise DataError(reason)
        events = checked(asked.get("events"), answer.prediction)
        saved = save(self.corrections / file_name(run), clip.path, answer.prediction, events, answer.encoded,
                     answer.model)
        self._settings[run] = saved.settings
        how = command(answer.model, self._new_name(run), saved.settings) if saved.settings else ""
        yield self.message("saved", text=saved.text, command=how)

    def teach(self, asked: Mapping[str, Any], session: str | None) -> Iterator[dict[str, Any]]:
        """Continue the training of a model with the corrected clips, and offer the new one."""
        run = str(asked.get("answer")).partition("|")[0]
        model, name = self.models[run], self._new_name(run)
        if run not in self._settings:
            raise DataError("Save a correction first.")
        for share in train_on(model, name, self._settings[run]):
            yield self.message("progress", text=f"Training {name}", share=share)
        self.models[name] = Predictor.from_checkpoint(
            model.config.run_dir / name, device=str(model.device), limits=model.limits,
            encoders={"visual": model.encoders.visual, "audio": model.encoders.audio})
        self.models[name].load()
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
            return "Corrections can be saved for a model\u2019s own classes only, not for labels that were typed."
        if len(model.checkpoints) > 1:
            return "This model is several seeds together; to save corrections, serve the run of one seed."
        return ""

    def _answer(self, clip: Clip, name: Any) -> Answer:
        if name not in clip.answers:
            raise DataError("This answer is no longer here; look at the clip again.")
        return clip.answers[name]

    def _model(self, name: Any, labels: Any) -> tuple[ClipLocalizer, tuple[str, ...]]:
        """Return a model by name, for the labels that were typed, if any."""
        if name not in self.models:
            raise DataError(f"There is no model {name!r}; there are {', '.join(self.models)}")
        model = self.models[name]
        given = tuple(dict.fromkeys(part.strip() for part in str(labels or "").split(",") if part.strip()))
        if not given:
            return model, ()
        encoders = {"visual": model.encoders.visual, "audio": model.encoders.audio}
        options = {"encoders": encoders, "device": str(model.device), "limits": model.limits}
        if isinstance(model, Predictor):
            return Predictor(model.checkpoints, labels=given, **options), given
        return TrainingFree(given, **options), given

    def _encode(self, clip: Clip, model: ClipLocalizer) -> Iterator[dict[str, Any]]:
        """Yield progress; return the clip's features, which models of the same encoders share."""
        encoders = model.encoders
        key = (encoders.visual.revision, encoders.audio.revision, encoders.frames_per_segment, encoders.rate,
               model.segments)
        if key not in clip.encoded:
            told: SimpleQueue[float] = SimpleQueue()
            strip = Strip(told.put)
            with ThreadPoolExecutor(1) as pool:
                work = pool.submit(model.encode, clip.path, strip)
                while not work.done():
                    try:
                        share = told.get(timeout=0.1)
                    except Empty:
                        continue
                    yield self.message("progress", text="Reading and encoding the clip", share=share)
                clip.encoded[key], clip.strip = work.result(), strip
        return clip.encoded[key]

    def _clip(self, clip: Clip, model: ClipLocalizer, prediction: Prediction, answers: list[dict[str, Any]], took: float
              ) -> dict[str, Any]:
        drawable = isinstance(model, Predictor) and len(model.checkpoints) == 1 and model.config.model.name == "avsgn"
        return self.message(
            "clip", token=clip.token, name=clip.name, src=f"page/media/{clip.token}", duration=prediction.duration,
            frames=clip.strip.frames, sound=clip.strip.sound, notes=list(prediction.notes), answers=answers, took=took,
            step=1 if prediction.found is None else 0.1, overlap=prediction.found is not None, window=model.segments,
            why=self._why_not_saved(model, answers[0]["id"]),
            windows=window_starts(len(prediction), model.segments) if drawable else [])

    def words(self, error: Exception, clip: Clip | None) -> str:
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

    def look_at_listed(self, asked: Mapping[str, Any], session: str | None, run: str) -> Iterator[dict[str, Any]]:
        """Look at a clip that the run's evaluation lists."""
        path = listed_clip(*self.runs()[run], asked.get("clip"))
        yield from self.look({"token": self.desk.offer(path).token, "runs": [run]}, session)
