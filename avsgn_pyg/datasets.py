"""Data sets as a PyG ``Dataset`` of ``HeteroData``, one graph per video, for your own training loop.

    videos = AVE("/data/AVE", "train", features="features.h5")
    for batch in torch_geometric.loader.DataLoader(videos, batch_size=64, shuffle=True):
        losses = objective(model(batch), batch.category, batch.relevance)

PyG's transforms, samplers, subsets (``videos[:100]``) and worker processes work as usual. PyG's loader needs videos of
one length; for mixed lengths give :func:`avsgn_pyg.graph.build.collate` to torch's ``DataLoader``.
"""

from __future__ import annotations

import copy
import json
import os
from collections.abc import Callable
from typing import Any, ClassVar

import torch
from torch_geometric import data as pyg
from torch_geometric.data import HeteroData

from avsgn_pyg.common.config import load_config
from avsgn_pyg.common.settings import DataConfig, ModelConfig
from avsgn_pyg.data.dataset import DataError, Dataset, load_dataset
from avsgn_pyg.data.feature_store import LabelText
from avsgn_pyg.engine import zoo
from avsgn_pyg.engine.recipes.parts import shape_of
from avsgn_pyg.tasks.parsing.videos import load_llp


class VideoDataset(pyg.Dataset):
    """The videos of one split. The files are read once; :meth:`split` returns another split of them.

    An item is a ``HeteroData`` of :func:`avsgn_pyg.graph.build.build_video`. Its text nodes carry their number
    as ``node_id``, since PyG cannot separate a batch in which nodes carry nothing (pyg-team/pytorch_geometric#9537).

    Args:
        root: folder of the data.
        split: ``train``, ``val`` or ``test``.
        model: the ``model`` section of a config, which decides text nodes and edges; by default a text node for every
            second and complete subgraphs.
        transform: PyG transform, applied whenever a video is read.
        settings: of the config's ``data`` section, such as ``features="features.h5"``.

    Attributes:
        source: all splits, with class names, provenance, notes and warnings.
        videos: this split as stacked tensors.
        shape: sizes that :func:`avsgn_pyg.build_model` needs.

    Raises:
        ConfigError: an unknown setting, or one that cannot be used.
        DataError: a file is missing, damaged or contradicts another, or there is no such split.
    """

    #: ``data.kind``, and the name of the data set in tables.
    kind: ClassVar[str]
    name: ClassVar[str]

    def __init__(self, root: str | os.PathLike[str], split: str = "train", *, model: ModelConfig | None = None,
                 transform: Callable[[HeteroData], HeteroData] | None = None, **settings: Any) -> None:
        super().__init__(os.fspath(root), transform)
        self._load({"name": self.name, "root": os.fspath(root), **settings}, split, model or ModelConfig())

    def _load(self, settings: dict[str, Any], split: str, model: ModelConfig) -> None:
        given = {"kind": self.kind, **settings}
        config = load_config(None, [f"data.{name}={json.dumps(value, default=os.fspath, ensure_ascii=False)}"
                                    for name, value in given.items()]).data
        source = self._read(config)
        self.shape = shape_of(source)
        self.source = source.with_graph(zoo.text_nodes(model, self.shape), zoo.topology(model))
        self.videos = self.source.split(split)

    @staticmethod
    def _read(config: DataConfig) -> Dataset:
        return load_dataset(config)

    def split(self, name: str) -> VideoDataset:
        """Return another split of the same data, with the same transform; DataError if there is none."""
        other = copy.copy(self)
        other.videos, other._indices = self.source.split(name), None
        return other

    @property
    def categories(self) -> tuple[str, ...]:
        """Class names in index order."""
        return self.source.categories

    @property
    def num_classes(self) -> int:
        """C, without background."""
        return len(self.categories)

    @property
    def label_text(self) -> LabelText:
        """Embedded class names, for :func:`avsgn_pyg.build_model`; DataError if the data have none."""
        if self.source.label_text is None:
            raise DataError(f"{self.source.name}: no label text; give audio_labels= and visual_labels= (.npy, one row "
                            "per class) or a feature store that has it, or learn it with model.text.bank=learned")
        return self.source.label_text

    def len(self) -> int:
        """Return the number of videos in the split."""
        return len(self.videos)

    def get(self, idx: int) -> HeteroData:
        """Return one video, without the transform."""
        video = self.videos[idx]
        video["text"].node_id = torch.arange(video["text"].num_nodes)
        return video


class AVE(VideoDataset):
    """AVE, or any folder in its form: 28 classes, one event per video (docs/data.md)."""

    kind, name = "ave", "AVE"


class OVAVE(VideoDataset):
    """OV-AVE: 67 classes, one per video, its event possibly in several runs; needs ``features=`` (docs/data.md)."""

    kind, name = "ov-ave", "OV-AVE"

    @property
    def unseen(self) -> tuple[str, ...]:
        """The classes without a train video: val and test of the files have 21."""
        seen = set(self.source.train.category.tolist())
        return tuple(name for number, name in enumerate(self.categories) if number not in seen)


class AVEPM(VideoDataset):
    """AVE-PM: portrait videos of 86 classes, one event per video; needs ``features=`` (docs/data.md)."""

    kind, name = "ave-pm", "AVE-PM"


class LLP(VideoDataset):
    """LLP, for video parsing: 25 classes, several per video in ``labels`` [1, C]; needs ``features=``.

    ``category`` and ``relevance`` are empty. ``videos.audible`` and ``videos.visible`` [N, T, C] have the times of val
    and test.
    """

    kind, name = "llp", "LLP"

    @staticmethod
    def _read(config: DataConfig) -> Dataset:
        return load_llp(config)


class Synthetic(VideoDataset):
    """Generated videos of events, without files; `settings` are those of ``data.synthetic``: ``videos=200``."""

    kind, name = "synthetic", "synthetic AVE"

    def __init__(self, split: str = "train", *, model: ModelConfig | None = None,
                 transform: Callable[[HeteroData], HeteroData] | None = None, **settings: Any) -> None:
        pyg.Dataset.__init__(self, None, transform)
        self._load({"name": self.name, "synthetic": settings}, split, model or ModelConfig())
