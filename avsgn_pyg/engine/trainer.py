"""Training of one run: one model, one seed, one folder; if it is stopped, it continues exactly."""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

from accelerate import Accelerator
from torch import nn
from torch_geometric.data import Batch
from tqdm import tqdm

from avsgn_pyg.common.config import Config
from avsgn_pyg.data.augment import augment
from avsgn_pyg.data.dataset import Videos
from avsgn_pyg.data.loaders import make_loader
from avsgn_pyg.engine import resume
from avsgn_pyg.engine.checkpoint import save_checkpoint
from avsgn_pyg.engine.devices import mean_everywhere, place, place_batches, same_everywhere
from avsgn_pyg.engine.files import Meta
from avsgn_pyg.engine.initial import find_frozen
from avsgn_pyg.engine.journal import add_record, note_environment, trim_journal, versions
from avsgn_pyg.engine.losses import Learner, LossLog, check_weights
from avsgn_pyg.engine.optim import build_average, build_optimizer, build_schedule
from avsgn_pyg.engine.run_folder import Index, RunFolder
from avsgn_pyg.engine.trackers import Trackers

logger = logging.getLogger(__name__)

#: Steps between two readings of the losses; each reading waits for the device.
READ_EVERY: Final = 50


class Trainer:
    """The training of one run.

    Args:
        config: of the run; ``train.seed`` shuffles the videos. Seed the model before building it.
        model: newly built; it is moved to the accelerator's device.
        objective: as :class:`avsgn_pyg.model.losses.Objective`; ``begin`` is optional.
        train: the videos to learn from.
        scored: name -> a split that is scored every ``evaluate.every`` epochs. The one that ``train.select`` names
            chooses among these epochs; any other is logged only, and changes neither weights nor random numbers.
        meta: of the checkpoints, without epoch and score.
        run: the folder, whose state was checked.
        accelerator: from :func:`avsgn_pyg.engine.devices.make_accelerator`.
        progress: show a bar on a terminal.
        notes: on the data, for the run's folder.
        judge: returns a model's scores on a split, percent; the first one selects.
        trackers: receive every epoch's record; the caller closes them. ``None``: none.
    """

    def __init__(
        self, config: Config, model: nn.Module, objective: Any, train: Videos, scored: Mapping[str, Videos] | None,
        *, meta: Meta, run: RunFolder, accelerator: Accelerator, progress: bool = False, notes: Sequence[str] = (),
        judge: Callable[[nn.Module, Videos], dict[str, float]] | None = None, trackers: Trackers | None = None,
    ) -> None:
        self.config, self.recipe, self.objective, self.judge = config, config.train, objective, judge
        self.segment_labels = config.objective.supervision == "full"
        self.run, self.accelerator, self.show, self.notes = run, accelerator, progress, notes
        self.trackers = trackers
        self.meta = meta.model_copy(
            update={"versions": versions(), "seed": config.train.seed, "selected_on": config.train.select})
        device = accelerator.device
        model, train = model.to(device), place(train, device)
        self.scored = {name: place(videos, device) for name, videos in (scored or {}).items()}
        self.frozen = [part.requires_grad_(False) for part in find_frozen(model, self.recipe.freeze)]
        # Copied before accelerate wraps the model, so that it computes in float32.
        average = build_average(model, self.recipe.ema)
        optimizer = build_optimizer(model, self.recipe.learning_rate, self.recipe.weight_decay, self.recipe.decayed)
        self.parts = resume.Moving(model, average, optimizer)
        loader = make_loader(train, self.recipe.batch_size, shuffle=True, seed=self.recipe.seed,
                             process=accelerator.process_index, processes=accelerator.num_processes)
        self.sampler = loader.sampler
        self.loader = place_batches(loader, accelerator, resident=train.audio.device.type == device.type)
        self.progress = resume.Progress()
        self.score: float | None = None
        self.best: dict[str, Any] | None = None

    def fit(self) -> resume.Progress:
        """Train to the last epoch or an early stop, from the last checkpoint if there is one.

        Raises:
            CheckpointError: the checkpoint to continue from does not fit; nothing was written.
            TrainingError: a loss, a gradient norm or a weight is not finite.
        """
        self._restore()
        main = self.accelerator.is_main_process
        if main:
            self.run.begin(self.config)
            note_environment(self.run.path / "environment.json", self.accelerator, self.progress.epoch, self.meta,
                             self.notes)
            trim_journal(self.run.journal, self.progress.epoch)
            if self.trackers is not None:
                self.trackers.start(self.progress.epoch)
        self.accelerator.wait_for_everyone()
        first = self.progress.epoch + 1
        with self._bar() as bar:
            for epoch in range(first, self.recipe.epochs + 1):
                record = self._train_epoch(epoch, bar)
                record |= self._score(epoch)
                if main:
                    add_record(self.run.journal, record)
                if self.trackers is not None:
                    self.trackers.log(record)
                self._report(record, bar)
                finished = self._finished()
                if finished or epoch % self.recipe.checkpoint_every == 0:
                    self._save(finished)
                if finished:
                    break
        return self.progress

    def _restore(self) -> None:
        """Continue from the last checkpoint; wrap the model after that, and restore the random states last."""
        checkpoint = self.run.last
        if checkpoint is not None:
            self.progress = resume.restore(checkpoint, self.parts, self.config)
        steps = math.ceil(len(self.loader) / self.recipe.accumulate)
        self.schedule = build_schedule(self.parts.optimizer, self.recipe, steps, self.progress.step)
        self.learner = self.accelerator.prepare_model(Learner(self.parts.model, self.objective))
        self.optimizer = self.accelerator.prepare_optimizer(self.parts.optimizer)
        if checkpoint is not None:
            if self.accelerator.scaler is not None and self.progress.scaler:
                self.accelerator.scaler.load_state_dict(self.progress.scaler)
            resume.restore_random(checkpoint, self.accelerator)
            logger.info("continuing %s after epoch %d", self.run.path, self.progress.epoch)

    def _train_epoch(self, epoch: int, bar: tqdm) -> dict[str, Any]:
        started = time.perf_counter()
        self.learner.train()
        for part in self.frozen:  # no dropout either, and no new statistics of a batch norm
            part.eval()
        self.sampler.set_epoch(epoch - 1)
        if hasattr(self.objective, "begin"):
            self.objective.begin((epoch - 1) / self.recipe.epochs)
        log = LossLog(epoch, scaled=self.accelerator.scaler is not None)
        rate = self.schedule.get_last_lr()[0]
        for number, batch in enumerate(self.loader):
            with self.accelerator.accumulate(self.learner):
                self._step(batch, log, *self.sampler.share(number))
            bar.update()
            if log.steps % READ_EVERY == 0:
                bar.set_postfix(loss=log.read()["total"], refresh=False)
        if not self.recipe.ema:
            self.parts.average.update_parameters(self.parts.model)
        self.progress.epoch = epoch
        means = log.read()
        check_weights(self.parts.average.module, epoch)
        losses = {name: mean_everywhere(self.accelerator, value, log.videos) for name, value in means.items()}
        return {"epoch": epoch, "step": self.progress.step, "learning_rate": rate, "loss": losses,
                "gradient_norm": log.gradient_norm, "seconds": time.perf_counter() - started}

    def _step(self, batch: Batch, log: LossLog, videos: int, weight: float) -> None:
        losses, total = self.learner(augment(batch, self.recipe.augment, segment_labels=self.segment_labels))
        self.accelerator.backward(total * weight)
        norm, moves = None, self.accelerator.sync_gradients
        if moves and self.recipe.clip_norm is not None:
            norm = self.accelerator.clip_grad_norm_(self.learner.parameters(), self.recipe.clip_norm)
        log.add(losses, total, videos, norm)
        self.optimizer.step()
        self.optimizer.zero_grad()
        if moves and not self.accelerator.optimizer_step_was_skipped:
            self.schedule.step()
            self.progress.step += 1
            if self.recipe.ema:
                self.parts.average.update_parameters(self.parts.model)

    def _score(self, epoch: int) -> dict[str, Any]:
        """Score the splits if it is their turn; they always have it after the last epoch."""
        every = self.config.evaluate.every
        if not self.scored or (epoch % every and epoch != self.recipe.epochs):
            self.score = None
            return {}
        started = time.perf_counter()
        scores = {name: self.judge(self.parts.average.module, videos) for name, videos in self.scored.items()}
        if self.recipe.select in scores:
            self._select(epoch, next(iter(scores[self.recipe.select].values())))
        return {**scores, "evaluation_seconds": time.perf_counter() - started}

    def _select(self, epoch: int, score: float) -> None:
        """Keep the epoch's weights if its score is the best so far."""
        self.score = same_everywhere(self.accelerator, score)
        if self.progress.best_score is None or self.score > self.progress.best_score:
            self.progress.best_epoch, self.progress.best_score = epoch, self.score
            weights = self.parts.average.module.state_dict()
            self.best = {"weights": {name: value.clone() for name, value in weights.items()}, "meta": self._meta()}

    def _finished(self) -> str | None:
        if self.progress.epoch == self.recipe.epochs:
            return "epochs"
        patience = self.recipe.early_stop
        judged = patience is not None and self.score is not None
        late = judged and self.progress.epoch - self.progress.best_epoch >= patience
        return "early stop" if late else None

    def _save(self, finished: str | None) -> None:
        """Write the checkpoint of this epoch (and of the best, if newer than the last one), then the index."""
        files = resume.capture(self.parts, self.progress, self.accelerator)
        last = f"epoch-{self.progress.epoch:04d}"
        best = self.progress.best_epoch
        selected = f"epoch-{best:04d}" if best else last
        if self.accelerator.is_main_process:
            if self.best is not None and selected != last:
                save_checkpoint(self.run.checkpoints / selected, config=self.config, **self.best)
            weights = self.parts.average.module.state_dict()
            save_checkpoint(self.run.checkpoints / last, weights, self.config, self._meta(), files)
            self.run.commit(Index(last, selected, finished))
        self.best = None
        self.accelerator.wait_for_everyone()

    def _meta(self) -> Meta:
        counted = {"epoch": self.progress.epoch, "step": self.progress.step, "selection_score": self.score}
        return self.meta.model_copy(update=counted)

    def _bar(self) -> tqdm:
        steps, shown = len(self.loader), self.show and self.accelerator.is_main_process
        return tqdm(total=self.recipe.epochs * steps, initial=self.progress.epoch * steps, desc="train", unit="step",
                    dynamic_ncols=True, disable=None if shown else True)

    def _report(self, record: Mapping[str, Any], bar: tqdm) -> None:
        losses = " ".join(f"{name} {value:.4f}" for name, value in record["loss"].items())
        synthetic = " (synthetic)" if self.meta.synthetic else ""
        scores = {name: next(iter(record[name].values())) for name in self.scored if name in record}
        score = "".join(f" | {name} {value:.2f} %" for name, value in scores.items())
        place = f"epoch {record['epoch']}/{self.recipe.epochs}"
        bar.set_description(f"{place}{score}{synthetic}", refresh=False)
        if self.accelerator.is_main_process:
            logger.info("%s: %s%s%s", place, losses, score, synthetic)
