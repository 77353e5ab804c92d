"""Any CLIP of open_clip as a frozen frame encoder; the only module that imports open_clip.

The paper uses a "Swin-V2-L-based CLIP" (Section 4.1). No weights of such a model are published; its architecture is
shipped (``AVSGN-Swin-V2-L-192`` and ``-256``, 512 wide) for those who have trained one. The default is the
ViT-B-32 of LAION-2B, which has the same width.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, Final

import torch
from jaxtyping import Float, UInt8
from PIL import Image
from torch import Tensor

from avsgn_pyg.common.errors import EncoderError
from avsgn_pyg.features.compute import FrozenEncoder, declare_torchvision_ops, unit
from avsgn_pyg.features.weights import fingerprint, hub_weights, is_path, no_hub, plain_numbers, read_state, summarize

declare_torchvision_ops()

import open_clip  # noqa: E402
from open_clip.pretrained import get_pretrained_cfg, list_pretrained_tags_by_model  # noqa: E402
from open_clip.tokenizer import HFTokenizer  # noqa: E402
from open_clip.transform import PreprocessCfg, image_transform_v2  # noqa: E402

DEFAULT_MODEL: Final = "ViT-B-32"
DEFAULT_WEIGHTS: Final = "laion2b_s34b_b79k"
SHIPPED: Final = Path(__file__).with_name("open_clip_models")
#: File names of weights in open_clip's repositories, the safe format first.
HUB_NAMES: Final = (
    "open_clip_model.safetensors", "open_clip_pytorch_model.safetensors", "open_clip_pytorch_model.bin"
)

open_clip.add_model_config(SHIPPED)


@dataclass(frozen=True)
class ClipPreparation:
    """The inference transform of an open_clip model, applied to each picture; pickled as its settings.

    Attributes:
        settings: fields of open_clip's ``PreprocessCfg`` (size, mean, std, interpolation, resize mode ...).
    """

    settings: Mapping[str, Any] = field(default_factory=dict)

    @cached_property
    def _transform(self) -> Any:
        return image_transform_v2(PreprocessCfg(**self.settings), is_train=False)

    def __call__(self, frames: UInt8[Tensor, "F H W 3"]) -> Float[Tensor, "F 3 side1 side2"]:
        if not len(frames):
            return self(torch.zeros(1, 8, 8, 3, dtype=torch.uint8))[:0]
        return torch.stack([self._transform(Image.fromarray(frame.numpy())) for frame in frames.cpu()])

    def __getstate__(self) -> dict[str, Any]:
        return {"settings": dict(self.settings)}


class ClipEncoder(FrozenEncoder):
    """A frozen CLIP.

    Args:
        model: a name of ``open_clip.list_models()``, such as ``ViT-B-16-SigLIP2-384`` or ``PE-Core-B-16``.
        weights: a tag of open_clip for this model, or a checkpoint file (safetensors or a ``state_dict``);
            ``None`` is the default model's default tag.
        preprocess: the tag whose preprocessing fits a checkpoint file, if not open_clip's default; for a tag as
            `weights`, its own preprocessing is used.
        tokenizer: a folder with the tokenizer of a model that open_clip has none for, such as SigLIP2; ``None`` is the
            model's own, or the one in the local cache of huggingface.co.
        width: raise an error unless the model has this width.
        download: download a tag's weights that are not in the local cache of huggingface.co.

    Raises:
        EncoderError: an unknown model or tag, weights that are missing or do not fit, or a different width.
    """

    name, packages = "clip", ("torch", "torchvision", "open_clip_torch", "timm")

    def __init__(
        self, *, model: str = DEFAULT_MODEL, weights: str | None = None, preprocess: str | None = None,
        tokenizer: str | None = None, width: int | None = None, download: bool = False, **place: Any,
    ) -> None:
        config = open_clip.get_model_config(model)
        if config is None:
            raise EncoderError(f"open_clip has no model {model!r}; python -c 'import open_clip; "
                               "print(open_clip.list_models())' shows those it has")
        self.check_width(config["embed_dim"], width)
        if weights is None and model == DEFAULT_MODEL:
            weights = DEFAULT_WEIGHTS
        named = {"tokenizer": tokenizer} if tokenizer else {}
        super().__init__({"model": model, "weights": weights, "preprocess": preprocess, **named}, **place)
        path, tag = find_weights(model, weights, preprocess, download)
        with no_hub(allowed=download):
            self._model = _load(model, path, preparation_of(model, tag))
            self._tokenizer = load_tokenizer(model, tokenizer)
        self.files = [*["weights"] * is_path(weights), *named]
        self.preparation = ClipPreparation(open_clip.get_model_preprocess_cfg(self._model))
        # Chosen fields, not all: open_clip adds some, and the revision must stay the same.
        architecture = {"model": model, "width": config["embed_dim"], "quick_gelu": bool(config.get("quick_gelu"))}
        settings = {"encoder": self.name, **architecture, **prepared_as(self.preparation.settings)}
        self.revision = fingerprint(self._model.state_dict(), settings)
        self._model.to(self.device)

    def encode_frames(self, prepared: Float[Tensor, "F 3 side1 side2"]) -> Float[Tensor, "F d"]:
        """Return one unit vector per picture."""
        return self.in_batches(prepared, self._embed)

    def _embed(self, images: Float[Tensor, "N 3 side1 side2"]) -> Float[Tensor, "N d"]:
        return unit(self._model.encode_image(images.to(self.device)))

    def _embed_texts(self, texts: Sequence[str]) -> Float[Tensor, "P d"]:
        return unit(self._model.encode_text(self._tokenizer(list(texts)).to(self.device)))


def load_tokenizer(model: str, folder: str | None) -> Any:
    """Return the tokenizer of a model, from `folder` if open_clip takes it from huggingface.co.

    Raises:
        EncoderError: its files are not here. Without them transformers may build an empty tokenizer, which encodes all
            texts identically.
    """
    text = open_clip.get_model_config(model)["text_cfg"]
    source = text.get("hf_tokenizer_name")
    if folder and not source:
        raise EncoderError(f"clip model {model} has its own tokenizer; leave tokenizer={folder} out")
    if folder and not Path(folder).is_dir():
        raise EncoderError(f"{folder}: no such folder for the tokenizer of clip model {model}")
    problem = "is empty"
    try:
        options = {"context_length": text.get("context_length", 77), **text.get("tokenizer_kwargs", {})}
        tokenizer = HFTokenizer(folder, **options) if folder else open_clip.get_tokenizer(model)
        if not torch.equal(*tokenizer(["the first violin", "a barking dog"])):
            return tokenizer
    except (OSError, ValueError, TypeError) as error:
        problem = f"cannot be loaded ({summarize(error)})"
    raise EncoderError(f"the tokenizer of clip model {model} {problem}: its files are not on this machine; fetch "
                       f"them with download=true, or save those of https://huggingface.co/{source}/tree/main in a "
                       "folder and give tokenizer=FOLDER")


def prepared_as(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Return the preprocessing settings that change the pictures, in one form for all versions of open_clip."""
    size = settings["size"]
    height, width = (size, size) if isinstance(size, int) else size
    return {
        "size": [int(height), int(width)],
        "mean": [float(value) for value in settings["mean"]],
        "std": [float(value) for value in settings["std"]],
        "interpolation": settings["interpolation"],
        "resize_mode": settings["resize_mode"],
        "fill_color": int(settings.get("fill_color", 0)),
    }


def find_weights(model: str, weights: str | None, preprocess: str | None, download: bool) -> tuple[Path, str | None]:
    """Return the path of the checkpoint, and the tag of its preprocessing (``None``: the default).

    Raises:
        EncoderError: the weights are missing; the message says what to download and where to put it.
    """
    tags = list_pretrained_tags_by_model(model)
    offer = f"weights is one of {', '.join(tags)}" if tags else "no weights of it are published"
    if weights is None:
        raise EncoderError(f"clip model {model} needs weights: {offer}, or a checkpoint FILE of your own")
    for tag in {weights, preprocess} - {None}:
        if tag not in tags and not (tag == weights and is_path(tag)):
            raise EncoderError(f"clip model {model} has no tag {tag!r}: {offer}, or weights=FILE")
    if is_path(weights):
        return Path(weights), preprocess
    published = get_pretrained_cfg(model, weights)
    other = model.removesuffix("-quickgelu") + "-quickgelu" * bool(published.get("quick_gelu"))
    if other != model and other in open_clip.list_models():
        raise EncoderError(f"weights {weights!r} and clip model {model} disagree on QuickGELU; use model={other}")
    repository, _, file = published["hf_hub"].rpartition("/")
    names = (Path(file).stem + ".safetensors", file) if file else HUB_NAMES
    what, options = f"clip weights {model}/{weights}", f" preprocess={weights}"
    return hub_weights(what, repository, names, download, options), preprocess or weights


def preparation_of(model: str, tag: str | None) -> dict[str, Any]:
    """Return the preprocessing of a tag as settings of open_clip; the picture size is that of the model."""
    published = get_pretrained_cfg(model, tag) if tag else {}
    return {key: published[key] for key in ("mean", "std", "interpolation", "resize_mode") if key in published}


def _load(model: str, path: Path, preparation: dict[str, Any]) -> torch.nn.Module:
    if not path.is_file():
        raise EncoderError(f"{path}: no such checkpoint")
    try:
        with plain_numbers():
            loaded = open_clip.create_model(
                model, pretrained=str(path), force_preprocess_cfg=preparation, device="cpu", weights_only=True
            )
    except Exception as error:
        read_state(path)  # raises a clearer error if the file is not a checkpoint
        way = "needs files of huggingface.co; use download=true" if isinstance(error, OSError) else "has other tensors"
        raise EncoderError(f"{path}: clip model {model} {way} ({summarize(error)})") from None
    return loaded.eval().requires_grad_(False)
