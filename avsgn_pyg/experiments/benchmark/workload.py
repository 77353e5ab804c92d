"""What is timed: a training step, an epoch, building batches, and a long video, all on random data.

The package of another checkout may be imported instead of this one (:mod:`.against`). So this file imports nothing from
the benchmark, and from the package only what version 0.1.0 has too.
"""

from __future__ import annotations

import dataclasses
import importlib
import sys
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import torch
from torch_geometric.data import Batch, HeteroData

from avsgn_pyg.data.videos import Videos
from avsgn_pyg.engine.checkpoint import Meta
from avsgn_pyg.engine.devices import make_accelerator
from avsgn_pyg.engine.losses import LossLog
from avsgn_pyg.engine.run_folder import RunFolder
from avsgn_pyg.engine.trainer import Trainer

try:
    from avsgn_pyg.common.config import Config, load_config
    from avsgn_pyg.engine import zoo
except ImportError:  # versions up to 0.2.0
    zoo, config = map(importlib.import_module, ("avsgn_pyg.zoo", "avsgn_pyg.config"))
    Config, load_config = config.Config, config.load_config

#: The recipes of the checkout whose package is imported.
CONFIGS = Path(sys.modules["avsgn_pyg"].__file__).resolve().parents[1] / "configs"


@dataclass(frozen=True)
class Workload:
    """Sizes of the data, and how often everything is measured.

    Attributes:
        videos, segments, width, classes: of the random data set; by default AVE's train split with CLIP and CLAP.
        batch_size: videos per step.
        rounds, epochs: number of measurements of each variant, and of an epoch.
        threads: number of torch threads.
        seed: of features, parameters and video order.
        device: ``cpu`` or ``cuda``.
        sizes: (B, T) of the graphs on which CMGI alone is timed.
        graphs: (B, N) of the graphs on which single layers are timed.
        long: T of the long videos with the window topology.
        budget: seconds after which a comparison begins no further round.
        memory: whether peak memory is measured, in a separate process.
        recipe: a YAML file in configs/; ``None``: the default settings.
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
    device: str = "cpu"
    sizes: tuple[tuple[int, int], ...] = ((1, 10), (64, 10), (1, 60), (64, 60), (1, 300))
    graphs: tuple[tuple[int, int], ...] = tuple((graphs, nodes) for nodes in (20, 60, 200) for graphs in (1, 16, 64))
    long: tuple[int, ...] = (300, 1000, 3600)
    budget: float = 20.0
    memory: bool = True
    recipe: str | None = None
    overrides: tuple[str, ...] = ()

    def quick(self) -> Workload:
        """Return the same with fewer videos, rounds and sizes, and without peak memory."""
        return self.but(videos=64, batch_size=16, rounds=3, epochs=1, sizes=((1, 10), (16, 10)), graphs=((16, 20),),
                        long=(60, 120), budget=1.0, memory=False)

    def but(self, *overrides: str, **changes: Any) -> Workload:
        """Return the same with further overrides and changed attributes."""
        return dataclasses.replace(self, **{"overrides": (*self.overrides, *overrides), **changes})

    def config(self) -> Config:
        """Return the recipe with the overrides."""
        return load_config(self.recipe and CONFIGS / self.recipe, [
            f"train.device={self.device}", f"train.batch_size={self.batch_size}", "train.select=last",
            f"train.seed={self.seed}", *self.overrides])

    @property
    def shape(self) -> zoo.Shape:
        """Widths and counts of the data."""
        return zoo.Shape(self.width, self.width, self.segments, self.classes)


def random_videos(workload: Workload) -> Videos:
    """Return videos of the workload's shape with random features, classes and event seconds."""
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


class Engine(Trainer):
    """The trainer, with an epoch and a step that can be called separately; it writes no files."""

    train: Videos

    @classmethod
    def of(cls, workload: Workload) -> Engine:
        """Return an engine with a fresh model, random label text and random videos, ready for its first step."""
        config, videos = workload.config(), random_videos(workload)
        torch.manual_seed(workload.seed)
        text = SimpleNamespace(audio=torch.randn(workload.classes, workload.width) / 20,
                               visual=torch.randn(workload.classes, workload.width) / 20)
        meta = Meta(categories=tuple(map(str, range(workload.classes))), audio_width=workload.width,
                    visual_width=workload.width, segments=workload.segments, dataset="random", synthetic=True)
        with tempfile.TemporaryDirectory() as folder:
            engine = cls(config, zoo.build_model(config.model, workload.shape, text),
                         zoo.build_objective(config.objective, config.model.name), videos, None, meta=meta,
                         run=RunFolder(Path(folder)), accelerator=make_accelerator(config.train))
            engine._restore()
        engine.train = videos.to(engine.accelerator.device)
        engine.learner.train()
        return engine

    def first(self, count: int) -> Batch:
        """Return the first `count` videos as a batch."""
        return self.train.batch(torch.arange(count))

    def loss(self, batch: HeteroData) -> torch.Tensor:
        """Return the weighted sum of the losses, ready for ``backward()``."""
        return self.learner(batch)[1]

    def step(self, batch: HeteroData) -> None:
        """Take one optimizer step as in an epoch, from augmentation to the log of losses."""
        with self.accelerator.accumulate(self.learner):
            self._step(batch, LossLog(epoch=1), batch.num_graphs, 1.0)

    def epoch(self) -> None:
        """Train the next epoch."""
        with self._bar() as bar:
            self._train_epoch(self.progress.epoch + 1, bar)


def trainer_step(workload: Workload) -> Callable[[], object]:
    """Return a function that takes one step of the trainer on a prepared batch."""
    engine = Engine.of(workload.but(videos=workload.batch_size))
    batch = engine.first(workload.batch_size)
    return lambda: engine.step(batch)


def trainer_epoch(workload: Workload) -> Callable[[], object]:
    """Return a function that trains one epoch."""
    return Engine.of(workload).epoch


def draw_batches(workload: Workload) -> Callable[[], object]:
    """Return a function that builds a batch of random videos, different ones in each call."""
    videos, draw = random_videos(workload), torch.Generator().manual_seed(workload.seed)
    return lambda: videos.batch(torch.randperm(len(videos), generator=draw)[: workload.batch_size])


def long_pass(workload: Workload) -> Callable[[], object]:
    """Return a function that runs the network forward and backward on one video, with the window topology."""
    engine = Engine.of(workload.but("model.cmgi.topology=window", "model.text.slots=per_class", videos=1, batch_size=1))
    batch = engine.first(1)
    return lambda: engine.loss(batch).backward()
