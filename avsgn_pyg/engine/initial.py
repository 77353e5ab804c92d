"""Where a training starts: weights of another run (``train.init``), and parts that they keep (``train.freeze``)."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from pathlib import Path

from torch import nn

from avsgn_pyg.common.errors import CheckpointError, ConfigError, did_you_mean
from avsgn_pyg.common.settings import TrainConfig
from avsgn_pyg.engine.checkpoint import Checkpoint, fit_problems, listed, load_checkpoint, read_folder
from avsgn_pyg.engine.files import MODEL, SAVED_CONFIG, is_saved
from avsgn_pyg.engine.run_folder import find_checkpoint


class Initial:
    """The weights that ``train.init`` names, for the models of a run.

    Args:
        recipe: with ``init`` and ``init_strict``.
        categories: classes of the run's data.
        rebuild: returns the run's model with one more class; tensors that then differ in shape belong to classes.

    Raises:
        CheckpointError: there are no such weights, or they are of an ensemble or, under ``init_strict``, of other
            classes.
        ConfigError: they were selected on test, and the run is not marked so.
    """

    def __init__(self, recipe: TrainConfig, categories: Sequence[str], rebuild: Callable[[], nn.Module]) -> None:
        self.name, self.strict, self.rebuild = str(recipe.init), recipe.init_strict, rebuild
        self.source = read_initial(self.name)
        meta = self.source.meta
        if meta.selected_on == "test" and recipe.select != "test":
            raise ConfigError(f"train.init={self.name}: these weights were selected on the test split, so scores on it "
                              "are optimistic; train.select=test marks them so, or take other weights")
        self.same_classes = meta.categories == tuple(categories)
        if self.strict and not self.same_classes:
            theirs, own = (f"{len(names)} ({', '.join(names[:3])}, ...)" for names in (meta.categories, categories))
            raise CheckpointError(f"train.init={self.name}: has other classes, {theirs}, than the data, {own}; with "
                                  "train.init_strict=false, what belongs to classes is trained anew")

    def __call__(self, model: nn.Module) -> str:
        """Copy the weights into `model`, in place; return a sentence on what was copied and what was not.

        Frozen label text always stays that of the data.

        Raises:
            CheckpointError: under ``init_strict``, a name or a shape differs; otherwise, none fits.
        """
        own, text = model.state_dict(), getattr(model, "label_text", nn.Module())
        kept = {f"label_text.{name}" for name, _ in text.named_buffers()}
        if not self.same_classes:
            other = self.rebuild().state_dict()
            kept |= {name for name, value in own.items() if value.shape != other[name].shape}
        wanted = {name: value for name, value in own.items() if name not in kept}
        offered = {name: value for name, value in self.source.weights.items() if name not in kept}
        problems = fit_problems(wanted, offered)
        taken = {name: value for name, value in offered.items()
                 if name in wanted and value.shape == wanted[name].shape}
        if not taken or (self.strict and problems):
            raise CheckpointError(f"{self.source.path / MODEL}: these weights do not fit the model of this config: "
                                  f"{'; '.join(problems) or 'none'}; train.init_strict=false takes those that fit")
        model.load_state_dict(own | taken)
        fresh = {name for name, _ in model.named_parameters()} - taken.keys()
        return "; ".join([f"train.init={self.name}: {len(taken)} of {len(own)} tensors are those of epoch "
                          f"{self.source.meta.epoch} on {self.source.meta.dataset}", *listed("trained anew", fresh)])


def read_initial(where: str) -> Checkpoint:
    """Read a run's selected checkpoint, a checkpoint, a folder of ``save_pretrained``, or a repository of the hub.

    Raises:
        CheckpointError: there is none of these, or it is damaged or an ensemble.
    """
    path = Path(where).expanduser()
    if not path.exists() and re.fullmatch(r"[\w.-]+/[\w.-]+", where):
        path = _download(where)
    if not is_saved(path):
        return load_checkpoint(find_checkpoint(path))
    first, *others = read_folder(path)
    if others:
        raise CheckpointError(f"train.init={where}: an ensemble of {1 + len(others)} models; give one model")
    return first


def find_frozen(model: nn.Module, names: Sequence[str]) -> list[nn.Module]:
    """Return the parts of a model that ``train.freeze`` names: ``cmsa``, ``head.category``.

    Raises:
        ConfigError: the model has no such part, the part has no weights, or no other has any.
    """
    parts = {name: part for name, part in model.named_modules() if name}
    for name in names:
        if name not in parts:
            children = [child for child, part in model.named_children() if any(True for _ in part.parameters())]
            raise ConfigError(f"train.freeze: {type(model).__name__} has no part {name!r}; it has "
                              f"{', '.join(children)}{did_you_mean(name, parts)}")
        if not any(True for _ in parts[name].parameters()):
            raise ConfigError(f"train.freeze: {name} has no weights in this model; leave it out")
    frozen = {id(weight) for name in names for weight in parts[name].parameters()}
    if names and frozen.issuperset(map(id, model.parameters())):
        raise ConfigError(f"train.freeze=[{', '.join(names)}] leaves nothing to train")
    return [parts[name] for name in names]


def _download(repository: str) -> Path:
    from huggingface_hub import snapshot_download  # slow to import
    from huggingface_hub.errors import HTTPError

    try:
        return Path(snapshot_download(repository, allow_patterns=[SAVED_CONFIG, MODEL]))
    except (HTTPError, OSError, ValueError) as error:
        reason = (str(error).strip() or type(error).__name__).splitlines()[0]
        raise CheckpointError(f"train.init={repository}: no such folder here, and the hub did not provide such a "
                              f"repository ({reason})") from None
