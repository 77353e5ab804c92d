"""Encode a sample of a store again, to check that it was made from these videos by the recorded encoders."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from avsgn_pyg.common.errors import ExtractionError
from avsgn_pyg.data.feature_store import read_store
from avsgn_pyg.features.choice import EncoderChoice
from avsgn_pyg.features.encoder import encoder_from_record, label_text
from avsgn_pyg.features.extraction.config import ExtractionConfig
from avsgn_pyg.features.extraction.contents import Encoded, settings_of
from avsgn_pyg.features.extraction.report import Report
from avsgn_pyg.features.extraction.videos import Failure

KINDS = ("visual", "audio")
#: Lowest accepted cosine between a second's features then and now. Half precision depends on device and batch.
COSINE = {"fp32": 0.9999, "bf16": 0.995, "fp16": 0.995}


def verify(config: ExtractionConfig, count: int = 8) -> Report:
    """Encode `count` videos of a store again, evenly spread over it, and its label text.

    The encoders are those that the store records; options in `config`, such as where the weights are on this machine,
    replace the recorded ones.

    Raises:
        DataError: not a store of an extraction; an encoder that cannot be rebuilt, or is another; none of the
            store's videos is here.
    """
    plan = config.plan()
    path = plan.shard.name(config.out)
    store = read_store(path)
    settings = settings_of(store.provenance, path)
    encoders = {kind: _rebuild(config, store.provenance[kind], settings, kind) for kind in KINDS}
    place = {key: at for at, key in enumerate(store.video_ids)}
    videos = [video for video in plan.videos if video.id in place]
    if count < 1 or not videos:
        raise ExtractionError(f"{path}: {count} videos to encode, {len(videos)} of them are here; must be 1 or more")
    sample = [videos[len(videos) * at // count] for at in range(count)] if count < len(videos) else videos
    same = {key: settings.get(key, False) for key in ("frames_per_segment", "own_length")}
    same |= {"rate": store.rate, "segments": settings["segments"] // store.rate}
    config = dataclasses.replace(config, **same, engine="processes", workers=0)
    results = {key: result for some in config.make_engine(*encoders.values()).run(sample)
               for key, result in some.items()}
    ends = {video.id: int(store.seconds[place[video.id]]) for video in sample}
    failures = tuple(filter(None, (_failure(key, results[key], end) for key, end in ends.items())))
    compared = ends.keys() - {failure.id for failure in failures}
    pairs = {kind: [(getattr(store, kind)[place[key], : ends[key]], getattr(results[key], kind)) for key in compared]
             for kind in ("audio", "visual") if compared}
    if store.label_text is not None and store.categories is not None:
        text = label_text(*encoders.values(), store.categories, store.provenance["prompts"])
        pairs |= {f"{kind} label text": [(getattr(store.label_text, kind), getattr(text, kind))]
                  for kind in ("audio", "visual")}
    least = min(COSINE[encoder.precision] for encoder in encoders.values())
    agreements = [_compare(what, *map(torch.cat, zip(*found, strict=True)), least) for what, found in pairs.items()]
    lines = (f"encoded again: {len(sample)} videos", *(line for _, line in agreements),
             *(f"FAIL  {failure}" for failure in failures))
    return Report(path, len(store.video_ids), len(sample), failures, lines, all(agrees for agrees, _ in agreements))


def _rebuild(config: ExtractionConfig, record: Mapping[str, Any], settings: Mapping[str, Any], kind: str) -> Any:
    # The encoder is the one that the store names, not the one that `config` names.
    given = dataclasses.replace(config, **{kind: EncoderChoice(record["name"], getattr(config, kind).options)})
    return encoder_from_record(record, kind, options=given.choice(kind).options, device=config.device,
                               batch_size=config.batch_size, precision=settings[f"{kind} precision"])


def _failure(key: str, result: Encoded | Failure, end: int) -> Failure | None:
    if isinstance(result, Failure) or len(result.audio) == end:
        return result if isinstance(result, Failure) else None
    return Failure(key, (), f"has {len(result.audio)} segments now, {end} in the store")


def _compare(what: str, then: Float[Tensor, "N d"], now: Float[Tensor, "N d"], least: float) -> tuple[bool, str]:
    """Return whether two sets of vectors agree, and a line that says by how much."""
    cosine = float(F.cosine_similarity(then.double(), now.double(), dim=-1).min())
    return cosine >= least, (
        f"{'pass' if cosine >= least else 'FAIL'}  {what}: least cosine {cosine:.6f} (required {least}), "
        f"largest difference {float((then - now).abs().max()):.2e}"
    )
