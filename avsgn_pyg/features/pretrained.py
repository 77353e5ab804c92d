"""Models of transformers, from a folder or huggingface.co; with clap.py the only module that imports transformers.

Nothing is fetched without ``download=true``. A checkpoint must hold every tensor of the model: transformers itself
fills missing ones with random numbers.
"""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, redirect_stdout
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from avsgn_pyg.common.errors import EncoderError
from avsgn_pyg.features.compute import declare_torchvision_ops
from avsgn_pyg.features.weights import no_hub, summarize

declare_torchvision_ops()

import transformers  # noqa: E402
import transformers.utils.logging as log  # noqa: E402


def load_model(encoder: str, name: str, weights: str, download: bool) -> torch.nn.Module:
    """Load a frozen model in float32 on the CPU.

    Args:
        encoder: the encoder's name, for messages.
        name: a class of transformers, such as ``ClapModel``.
        weights: a folder with the files of a repository, or the repository's name on huggingface.co.
        download: download what is not in the local cache.

    Raises:
        EncoderError: this transformers lacks the class; the files are missing, damaged or of another model.
    """
    def load(cls: Any, **where: Any) -> torch.nn.Module:
        wanted = cls.config_class.model_type
        kind = cls.config_class.get_config_dict(weights, **where)[0].get("model_type", wanted)
        if kind != wanted:  # transformers would first build a model of the default size
            raise EncoderError(f"{encoder} weights {weights}: a model of type {kind}, expected {wanted}")
        model, found = cls.from_pretrained(weights, dtype=torch.float32, output_loading_info=True, **where)
        missing = sorted(map(str, found["missing_keys"]))
        if missing:
            raise EncoderError(f"{weights}: {len(missing)} tensors of {name} missing ({missing[0]} first); give the "
                               "weights of that model")
        return model.eval().requires_grad_(False)

    return _load(encoder, name, weights, download, load)


def load_part(encoder: str, name: str, weights: str, download: bool) -> Any:
    """Load a tokenizer, feature extractor or video processor, by the name of its class; errors as :func:`load_model`.

    Raises:
        EncoderError: also for a tokenizer that encodes different texts identically, as one without its files does.
    """
    part = _load(encoder, name, weights, download, lambda cls, **where: cls.from_pretrained(weights, **where))
    if hasattr(part, "get_vocab"):
        first, second = part(["the first violin", "a barking dog"])["input_ids"]
        if first == second:
            raise EncoderError(f"{encoder} weights {weights}: the tokenizer is empty; {_way(weights)}")
    return part


def processor_of(name: str, settings: Mapping[str, Any]) -> Any:
    """Return a processor from the name of its class and its settings; reads no file."""
    return getattr(transformers, name)(**settings)


def tokens(tokenizer: Any, texts: Sequence[str], device: torch.device) -> dict[str, Tensor]:
    """Return padded `input_ids` and `attention_mask` [P, length]; a text is cut at the tokenizer's own limit."""
    limit = min(int(tokenizer.model_max_length), 512)
    found = tokenizer(list(texts), padding=True, truncation=True, max_length=limit, return_tensors="pt")
    return {key: found[key].to(device) for key in ("input_ids", "attention_mask")}


def is_folder(weights: str) -> bool:
    """Return whether `weights` is a folder here rather than a name on huggingface.co."""
    return Path(weights).is_dir()


def _load(encoder: str, name: str, weights: str, download: bool, load: Callable[..., Any]) -> Any:
    cls = getattr(transformers, name, None)
    if cls is None:
        raise EncoderError(f"encoder {encoder!r} needs transformers.{name}, which transformers "
                           f"{transformers.__version__} lacks; install a newer one")
    try:
        with no_hub(allowed=download), _quiet():
            return load(cls, local_files_only=not download)
    except (EncoderError, ModuleNotFoundError):  # the latter names what to install
        raise
    except Exception as error:  # also those of safetensors, pickle and struct: a damaged file
        missing = isinstance(error, OSError) and not is_folder(weights)
        problem = "are not on this machine" if missing else "cannot be loaded"
        raise EncoderError(f"{encoder} weights {weights} {problem} ({summarize(error)}); {_way(weights)}") from None


def _way(weights: str) -> str:
    return (f"give a folder with all files of a repository of {Path(weights).name}" if is_folder(weights) else
            f"fetch them with download=true, or save the files of https://huggingface.co/{weights}/tree/main in a "
            "folder and give weights=FOLDER")


@contextmanager
def _quiet() -> Iterator[None]:
    """Silence the reports, progress bars and prints of transformers."""
    level, bars = log.get_verbosity(), log.is_progress_bar_enabled()
    log.set_verbosity(log.CRITICAL)
    log.disable_progress_bar()
    try:
        with redirect_stdout(io.StringIO()):
            yield
    finally:
        log.set_verbosity(level)
        if bars:
            log.enable_progress_bar()
