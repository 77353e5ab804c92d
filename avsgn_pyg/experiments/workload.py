"""What the benchmark times: the trainer's step and epoch, and a long video, on random data.

Another checkout's package may stand in for this one (:mod:`.against`): nothing here imports the rest of the benchmark,
and what 0.1.0 does not have is not required.
"""

from __future__ import annotations

import dataclasses
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import nn
from torch_geometric.data import Batch, HeteroData

from avsgn_pyg import zoo
from avsgn_pyg.config import Config, load_config
from avsgn_pyg.data.feature_store import LabelText
from avsgn_pyg.data.videos import Videos
from avsgn_pyg.engine.checkpoint import Meta
from avsgn_pyg.engine.devices import make_accelerator
from avsgn_pyg.engine.losses import LossLog
from avsgn_pyg.engine.run_folder import RunFolder
from avsgn_pyg.engine.trainer import Trainer

#: The default recipe; of the checkout whose package is imported.
RECIPE = Path(zoo.__file__).resolve().parents[1] / "configs" / "avsgn_full.yaml"


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
        sizes: (B, T) of the graphs on which CMGI alone is timed.
        long: T of the window topology's rows.
        budget: CPU seconds that one comparison's rounds may take, but for the first few.
        memory: whether peaks are taken, each in a process of its own.
        compile: whether the model is compiled (minutes).
        recipe: a YAML file; ``None`` takes the defaults of the specification.
        overrides: dotted settings.
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
    sizes: tuple[tuple[int, int], ...] = ((1, 10), (64, 10), (1, 60), (64, 60), (1, 300))
    long: tuple[int, ...] = (300, 1000, 3600)
    budget: float = 20.0
    memory: bool = True
    compile: bool = False
    recipe: Path | None = None
    overrides: tuple[str, ...] = ()

    def quick(self) -> Workload:
        """The same with fewer videos, samples and sizes, and no peaks: minutes become seconds."""
        return dataclasses.replace(self, videos=min(self.videos, 64), batch_size=min(self.batch_size, 16), rounds=3,
                                   epochs=1, sizes=((1, 10), (16, 10)), long=(60, 120), budget=1.0, memory=False)

    def but(self, *overrides: str) -> Workload:
        """The same with further settings."""
        return dataclasses.replace(self, overrides=(*self.overrides, *overrides))

    def config(self, device: str = "cpu") -> Config:
        """The recipe, trained on `device`."""
        return load_config(self.recipe, [f"train.device={device}", f"train.batch_size={self.batch_size}",
                                         "train.select=last", f"train.seed={self.seed}", *self.overrides])

    @property
    def shape(self) -> zoo.Shape:
        """Widths and counts of the data."""
        return zoo.Shape(self.width, self.width, self.segments, self.classes)

    def model(self, config: Config) -> nn.Module:
        """A fresh model, with a random label bank."""
        torch.manual_seed(self.seed)
        bank = LabelText(*(0.05 * torch.randn(self.classes, self.width) for _ in range(2)))
        return zoo.build_model(config.model, self.shape, bank)


def random_videos(workload: Workload) -> Videos:
    """Videos of the workload's shape; classes and event seconds are drawn evenly."""
    draw, model = torch.Generator().manual_seed(workload.seed), workload.config().model
    shape = (workload.videos, workload.segments)
    audio, visual = (torch.randn(*shape, workload.width, generator=draw) for _ in range(2))
    edges = {"topology": zoo.topology(model)} if hasattr(zoo, "topology") else {}  # 0.1.0's batches have all edges
    return Videos(
        audio, visual,
        category=torch.randint(workload.classes, (workload.videos,), generator=draw),
        relevance=torch.randint(2, shape, generator=draw).float(),
        row=torch.arange(workload.videos),
        video_ids=tuple(map(str, range(workload.videos))),
        text_nodes=zoo.text_nodes(model, workload.shape),
        **edges,
    )


def ready_batch(videos: Videos, count: int) -> Batch:
    """The first `count` videos."""
    return videos.batch(torch.arange(count))


class Engine(Trainer):
    """The trainer with its epoch and its step on call; it writes nothing."""

    train: Videos

    @classmethod
    def of(cls, workload: Workload, device: str = "cpu") -> Engine:
        """Fresh model and optimizer on `device`, ready for its first step."""
        config, videos = workload.config(device), random_videos(workload)
        accelerator = make_accelerator(config.train)
        meta = Meta(categories=tuple(map(str, range(workload.classes))), audio_width=workload.width,
                    visual_width=workload.width, segments=workload.segments, dataset="random", synthetic=True)
        with tempfile.TemporaryDirectory() as folder:
            engine = cls(config, workload.model(config), zoo.build_objective(config.objective), videos, None,
                         meta=meta, run=RunFolder(Path(folder)), accelerator=accelerator)
            engine._restore()
        engine.train = videos.to(accelerator.device)
        engine.learner.train()
        return engine

    def step(self, batch: HeteroData) -> None:
        """One optimizer step, as in an epoch: augmentation, clipping, Adam, schedule, averaging, losses noted."""
        with self.accelerator.accumulate(self.learner):
            self._step(batch, LossLog(epoch=1))

    def epoch(self) -> None:
        """The next epoch: its order, its batches, its steps, its losses read."""
        with self._bar() as bar:
            self._train_epoch(self.progress.epoch + 1, bar)


def trainer_step(workload: Workload, device: str = "cpu") -> Callable[[], None]:
    """The trainer's own step on a batch that is ready; calling the answer takes one."""
    torch.set_num_threads(workload.threads)
    engine = Engine.of(dataclasses.replace(workload, videos=workload.batch_size), device)
    batch = ready_batch(engine.train, workload.batch_size)
    return lambda: engine.step(batch)


def trainer_epoch(workload: Workload) -> Callable[[], None]:
    """The trainer's own epoch over all videos; calling the answer takes one."""
    torch.set_num_threads(workload.threads)
    return Engine.of(workload).epoch


def draw_batches(workload: Workload) -> Callable[[], object]:
    """``Videos.batch`` of random videos; calling the answer makes one batch, another each time."""
    torch.set_num_threads(workload.threads)
    videos, draw = random_videos(workload), torch.Generator().manual_seed(workload.seed)
    return lambda: videos.batch(torch.randperm(len(videos), generator=draw)[: workload.batch_size])


def long_pass(workload: Workload) -> Callable[[], None]:
    """Forward and backward of the whole network on one video of `segments` seconds, with the window topology."""
    torch.set_num_threads(workload.threads)
    windowed = dataclasses.replace(workload, videos=1, batch_size=1).but(
        "model.cmgi.topology=window", "model.text.slots=per_class")
    engine = Engine.of(windowed)
    batch = ready_batch(engine.train, 1)
    return lambda: engine.learner(batch)[1].backward()
