"""Any CLIP of open_clip as a frozen frame encoder; the project's only door to open_clip.

The paper says "Swin-V2-L-based CLIP" (Section 4.1). No weights of such a model are published; its architecture is
shipped (``AVSGN-Swin-V2-L-192`` and ``-256``, 512 wide) for those who have trained one. The default is the
ViT-B-32 of LAION-2B, which is as wide.
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

from avsgn_pyg.features.compat import declare_torchvision_ops
from avsgn_pyg.features.compute import EncoderError, autocast, choose_device, unit, versions
from avsgn_pyg.features.record import file_options
from avsgn_pyg.features.weights import fingerprint, gist, hub_file, looks_like_a_file, no_hub, plain_numbers, read_state

declare_torchvision_ops()

import open_clip  # noqa: E402
from open_clip.pretrained import get_pretrained_cfg, list_pretrained_tags_by_model  # noqa: E402
from open_clip.transform import PreprocessCfg, image_transform_v2  # noqa: E402

DEFAULT_MODEL: Final = "ViT-B-32"
DEFAULT_WEIGHTS: Final = "laion2b_s34b_b79k"
SHIPPED: Final = Path(__file__).with_name("open_clip_models")
#: What a repository of open_clip weights may call them, the safe form first.
HUB_NAMES: Final = (
    "open_clip_model.safetensors", "open_clip_pytorch_model.safetensors", "open_clip_pytorch_model.bin"
)

open_clip.add_model_config(SHIPPED)


@dataclass(frozen=True)
class ClipPreparation:
    """open_clip's own inference transform of a model, picture by picture; pickles as its settings.

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


class ClipEncoder:
    """A frozen CLIP.

    Args:
        model: a name of ``open_clip.list_models()``.
        weights: a tag of open_clip's for this model, or a checkpoint file (safetensors or a ``state_dict``);
            ``None`` is the default model's default tag.
        preprocess: the tag whose preparation a file needs, if not open_clip's default; a tag knows its own.
        width: refuse a model that is not so wide.
        download: fetch a tag's weights from huggingface.co when they are not in its local cache.

    Raises:
        EncoderError: an unknown model or tag, weights that are not here or do not fit, another width than asked.
    """

    name = "clip"

    def __init__(
        self, *, model: str = DEFAULT_MODEL, weights: str | None = None, preprocess: str | None = None,
        width: int | None = None, download: bool = False,
        device: str | torch.device = "cpu", precision: str = "fp32", batch_size: int = 64,
    ) -> None:
        config = open_clip.get_model_config(model)
        if config is None:
            raise EncoderError(f"open_clip has no model {model!r}; python -c 'import open_clip; "
                               "print(open_clip.list_models())' shows those it has")
        if width not in (None, config["embed_dim"]):
            raise EncoderError(f"clip model {model} is {config['embed_dim']} wide, width={width} was asked for; "
                               "leave width out or choose another model")
        if weights is None and model == DEFAULT_MODEL:
            weights = DEFAULT_WEIGHTS
        self._options = {"model": model, "weights": weights, "preprocess": preprocess}
        self._files = {"weights": weights} if weights is not None and looks_like_a_file(weights) else {}
        self.device, self.precision, self.batch_size = choose_device(str(device), precision), precision, batch_size
        path, tag = find_weights(model, weights, preprocess, download)
        with no_hub(allowed=download):
            self._model = _load(model, path, preparation_of(model, tag))
            self._tokenizer = open_clip.get_tokenizer(model)
        self._refuse_deaf_tokenizer(model)
        self.width = int(config["embed_dim"])
        self.preparation = ClipPreparation(open_clip.get_model_preprocess_cfg(self._model))
        settings = {"encoder": self.name, **architecture(model, config), **prepared_as(self.preparation.settings)}
        self.revision = fingerprint(self._model.state_dict(), settings)
        self._model.to(self.device)

    def prepare(self, frames: UInt8[Tensor, "F H W 3"]) -> Float[Tensor, "F 3 side1 side2"]:
        """Resize, crop and normalise as the model was trained for."""
        return self.preparation(frames)

    def encode_frames(self, prepared: Float[Tensor, "F 3 side1 side2"]) -> Float[Tensor, "F d"]:
        """One unit vector a picture."""
        return self._in_batches(prepared, self._model.encode_image)

    def encode_text(self, texts: Sequence[str]) -> Float[Tensor, "P d"]:
        """One unit vector a text, which is cut at the model's context length."""
        tokens = self._tokenizer(list(texts)) if len(texts) else torch.zeros(0, 1)
        return self._in_batches(tokens, self._model.encode_text)

    def record(self) -> dict[str, Any]:
        """JSON-ready: name, options, width, revision, precision, versions."""
        return {
            "name": self.name, **file_options(self._options, self._files), "width": self.width,
            "revision": self.revision, "precision": self.precision,
            "versions": versions("torch", "torchvision", "open_clip_torch", "timm"),
        }

    def _in_batches(self, rows: Tensor, encode: Any) -> Float[Tensor, "rows d"]:
        if not len(rows):
            return torch.zeros(0, self.width)
        with torch.inference_mode(), autocast(self.device, self.precision):
            parts = [unit(encode(batch.to(self.device, non_blocking=True))) for batch in rows.split(self.batch_size)]
        return torch.cat(parts)

    def _refuse_deaf_tokenizer(self, model: str) -> None:
        # Without its files transformers makes an empty tokenizer, for which all texts are one.
        first, second = self._tokenizer(["the first violin", "a barking dog"])
        if torch.equal(first, second):
            raise EncoderError(f"the tokenizer of clip model {model} is empty: its files are not on this machine; "
                               "fetch them with download=true")


def architecture(model: str, config: Mapping[str, Any]) -> dict[str, Any]:
    """What tells models apart whose tensors may be equal. Chosen, not all: the library adds fields as it grows."""
    return {"model": model, "width": config["embed_dim"], "quick_gelu": bool(config.get("quick_gelu"))}


def prepared_as(settings: Mapping[str, Any]) -> dict[str, Any]:
    """What of a preparation changes the pictures, in one form however the library writes it."""
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
    """The checkpoint that is meant, and the tag that says how pictures are prepared for it (``None``: the default).

    Raises:
        EncoderError: says what to download and where to put it.
    """
    tags = list_pretrained_tags_by_model(model)
    offer = f"weights is one of {', '.join(tags)}" if tags else "nobody has published weights of it"
    if weights is None:
        raise EncoderError(f"clip model {model} needs weights: {offer}, or a checkpoint FILE of your own")
    for tag in {weights, preprocess} - {None}:
        if tag not in tags and not (tag == weights and looks_like_a_file(tag)):
            raise EncoderError(f"clip model {model} has no tag {tag!r}: {offer}, or weights=FILE")
    if looks_like_a_file(weights):
        return Path(weights), preprocess
    published = get_pretrained_cfg(model, weights)
    other = model.removesuffix("-quickgelu") + "-quickgelu" * bool(published.get("quick_gelu"))
    if other != model and other in open_clip.list_models():
        raise EncoderError(f"weights {weights!r} and clip model {model} disagree on QuickGELU; use model={other}")
    repository, _, file = published["hf_hub"].rpartition("/")
    names = (Path(file).stem + ".safetensors", file) if file else HUB_NAMES
    path = hub_file(repository, names, download=download)
    if path is None:
        raise EncoderError(
            f"clip weights {model}/{weights} are not on this machine; fetch them with download=true, or save "
            f"https://huggingface.co/{repository}/resolve/main/{names[0]} and give weights=FILE preprocess={weights}"
        )
    return path, preprocess or weights


def preparation_of(model: str, tag: str | None) -> dict[str, Any]:
    """What a tag says of preparing pictures, as open_clip wants it; the size is the model's own."""
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
        read_state(path)  # says plainly what is wrong with a file that is no checkpoint
        way = "needs files of huggingface.co; use download=true" if isinstance(error, OSError) else "has other tensors"
        raise EncoderError(f"{path}: clip model {model} {way} ({gist(error)})") from None
    return loaded.eval().requires_grad_(False)
