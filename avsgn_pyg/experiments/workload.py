"""What the benchmark times: the trainer's step and the hand-written one, one long video, on random data."""

from __future__ import annotations

import dataclasses
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn
from torch_geometric.data import Batch, HeteroData

from avsgn_pyg.config import Config, load_config
from avsgn_pyg.data.feature_store import LabelText
from avsgn_pyg.data.videos import Videos
from avsgn_pyg.engine.checkpoint import Meta
from avsgn_pyg.engine.devices import make_accelerator
from avsgn_pyg.engine.losses import LossLog
from avsgn_pyg.engine.optim import build_optimizer
from avsgn_pyg.engine.run_folder import RunFolder
from avsgn_pyg.engine.trainer import Trainer
from avsgn_pyg.experiments.dense_step import DenseSettings, dense_loss
from avsgn_pyg.experiments.operations import TotalLoss
from avsgn_pyg.graph.schema import AUDIO, CATEGORY, RELEVANCE, VISUAL
from avsgn_pyg.graph.views import dense_view
from avsgn_pyg.zoo import Shape, build_model, build_objective, text_nodes


@dataclass(frozen=True)
class Workload:
    """Sizes of the data, and how often everything is measured.

    Attributes:
        videos, segments, width, classes: of the random data set (AVE's train split, CLIP and CLAP features).
        batch_size: videos in a step.
        rounds: samples of every step.
        epochs: samples of a whole epoch.
        threads: torch's.
        seed: of features, parameters and orders.
        lengths, batches: T and B of the graphs that are timed on every road.
        long: T of the window topology's rows.
        budget: CPU seconds that one size's rounds may take, but for the first few.
        limit_gib: sizes and roads that need more are left out.
        memory: whether peaks are taken, each in a process of its own.
        compile: whether the step is compiled to count its kernels (minutes on some machines).
        overrides: dotted ``model.`` and ``objective.`` settings, of those that :class:`DenseSettings` knows.
    """

    videos: int = 3339
    segments: int = 10
    width: int = 512
    classes: int = 28
    batch_size: int = 64
    rounds: int = 15
    epochs: int = 3
    threads: int = 1
    seed: int = 0
    lengths: tuple[int, ...] = (10, 60, 300, 1000, 3600)
    batches: tuple[int, ...] = (1, 64, 256)
    long: tuple[int, ...] = (300, 1000, 3600)
    budget: float = 20.0
    limit_gib: float = 6.0
    memory: bool = True
    compile: bool = False
    overrides: tuple[str, ...] = ()

    def quick(self) -> Workload:
        """The same with fewer videos, samples and sizes, and no peaks: minutes become seconds."""
        return dataclasses.replace(self, videos=min(self.videos, 64), batch_size=min(self.batch_size, 16), rounds=3,
                                   epochs=1, lengths=(10, 60),
                                   batches=(1,), long=(60, 120), budget=1.0, limit_gib=0.5, memory=False)

    def config(self, device: str) -> Config:
        """The defaults, trained on `device`."""
        return load_config(None, [f"train.device={device}", f"train.batch_size={self.batch_size}",
                                  "train.select=last", f"train.seed={self.seed}", *self.overrides])


def random_videos(workload: Workload) -> Videos:
    """Videos of the workload's shape; classes and event seconds are drawn evenly."""
    draw = torch.Generator().manual_seed(workload.seed)
    shape = (workload.videos, workload.segments)
    audio, visual = (torch.randn(*shape, workload.width, generator=draw) for _ in range(2))
    return Videos(
        audio, visual,
        category=torch.randint(workload.classes, (workload.videos,), generator=draw),
        relevance=torch.randint(2, shape, generator=draw).float(),
        row=torch.arange(workload.videos),
        video_ids=tuple(str(number) for number in range(workload.videos)),
        text_nodes=text_nodes(workload.config("cpu").model, _shape(workload)),
    )


def ready_batch(videos: Videos, count: int) -> Batch:
    """The first `count` videos."""
    return videos.batch(torch.arange(count))


class Engine(Trainer):
    """The trainer with its epoch and its step on call; it writes nothing."""

    train: Videos

    @classmethod
    def of(cls, workload: Workload, device: str) -> Engine:
        """Fresh model and optimizer on `device`, ready for its first step."""
        config, videos = workload.config(device), random_videos(workload)
        accelerator = make_accelerator(config.train)
        meta = Meta(categories=tuple(map(str, range(workload.classes))), audio_width=workload.width,
                    visual_width=workload.width, segments=workload.segments, dataset="random", synthetic=True)
        with tempfile.TemporaryDirectory() as folder:
            engine = cls(config, _model(workload, config), build_objective(config.objective), videos, None,
                         meta=meta, run=RunFolder(Path(folder)), accelerator=accelerator)
            engine._restore()
        engine.train = videos.to(accelerator.device)
        engine.learner.train()
        return engine

    def step(self, batch: HeteroData) -> None:
        """One optimizer step, as in an epoch: clipping, fused Adam, schedule, losses noted."""
        with self.accelerator.accumulate(self.learner):
            self._step(batch, LossLog(epoch=1))

    def epoch(self) -> None:
        """The next epoch: its order, its batches, its steps, its losses read."""
        with self._bar() as bar:
            self._train_epoch(self.progress.epoch + 1, bar)


def long_pass(given: tuple[Workload, int]) -> Callable[[], None]:
    """Forward and backward of the whole network on one video of so many seconds, with the window topology."""
    workload, segments = given
    windowed = dataclasses.replace(
        workload, videos=1, batch_size=1, segments=segments,
        overrides=(*workload.overrides, "model.cmgi.topology=window", "model.text.slots=per_class"))
    torch.set_num_threads(workload.threads)
    engine = Engine.of(windowed, "cpu")
    batch = ready_batch(engine.train, 1)
    return lambda: engine.learner(batch)[1].backward()


def dense_inputs(engine: Engine, batch: Batch) -> tuple[TotalLoss, tuple[Tensor, ...]]:
    """The engine's loss on plain tensors, and the batch as these."""
    tensors = (dense_view(batch, AUDIO), dense_view(batch, VISUAL), batch[CATEGORY], batch[RELEVANCE])
    return TotalLoss(engine.parts.model, engine.objective), tensors


def trainer_step(workload: Workload, device: str = "cpu") -> Callable[[], None]:
    """The trainer's own step on a batch that is ready; calling the answer takes one."""
    torch.set_num_threads(workload.threads)
    small = dataclasses.replace(workload, videos=workload.batch_size)
    engine = Engine.of(small, device)
    batch = ready_batch(engine.train, workload.batch_size)
    return lambda: engine.step(batch)


class HandStep:
    """The hand-written step: the same parameters, batch, clipping and optimizer; calling it takes one."""

    def __init__(self, workload: Workload, device: str = "cpu") -> None:
        torch.set_num_threads(workload.threads)
        config = workload.config(device)
        self.settings, self.recipe = DenseSettings.of(config), config.train
        self.model = _model(workload, config).to(device)
        self.parameters = list(self.model.parameters())
        self.weights = {**dict(self.model.named_parameters()), **dict(self.model.named_buffers())}
        self.optimizer = build_optimizer(self.model, self.recipe.learning_rate, self.recipe.weight_decay)
        small = dataclasses.replace(workload, videos=workload.batch_size)
        batch = ready_batch(random_videos(small).to(device), workload.batch_size)
        self.inputs = (dense_view(batch, AUDIO), dense_view(batch, VISUAL), batch[CATEGORY], batch[RELEVANCE])

    def loss(self) -> Tensor:
        """Eq. 16 of the batch."""
        return dense_loss(self.weights, *self.inputs, self.settings)

    def __call__(self) -> None:
        self.loss().backward()
        if self.recipe.clip_norm is not None:
            torch.nn.utils.clip_grad_norm_(self.parameters, self.recipe.clip_norm)
        self.optimizer.step()
        self.optimizer.zero_grad()


def _model(workload: Workload, config: Config) -> nn.Module:
    torch.manual_seed(workload.seed)
    text = LabelText(*(0.05 * torch.randn(workload.classes, workload.width) for _ in range(2)))
    return build_model(config.model, _shape(workload), text)


def _shape(workload: Workload) -> Shape:
    return Shape(workload.width, workload.width, workload.segments, workload.classes)
