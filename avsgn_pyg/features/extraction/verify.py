"""Encode a sample of a store again and compare: is it of these videos, and of the encoders that it names?"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from avsgn_pyg.data.feature_store import Features, read_store
from avsgn_pyg.features.encoder import encoder_from_record, label_text
from avsgn_pyg.features.extraction import provenance as story
from avsgn_pyg.features.extraction.engine import LocalEngine
from avsgn_pyg.features.extraction.jobs import ExtractionError, Failed, Plan

#: Least cosine between a second's features then and now. Half floats differ with the device and the batch.
COSINE = {"fp32": 0.9999, "bf16": 0.995, "fp16": 0.995}


class Agreement(NamedTuple):
    """How near two sets of vectors are.

    Attributes:
        what: which features.
        cosine: of the pair that is farthest apart.
        difference: the largest of any two numbers.
        least: the cosine that is asked for.
    """

    what: str
    cosine: float
    difference: float
    least: float

    @property
    def passed(self) -> bool:
        return self.cosine >= self.least

    def __str__(self) -> str:
        verdict = "pass" if self.passed else "FAIL"
        return (
            f"{verdict}  {self.what}: least cosine {self.cosine:.6f} (asked for {self.least}), "
            f"largest difference {self.difference:.2e}"
        )


@dataclass(frozen=True)
class Check:
    """What a verification found.

    Attributes:
        path: the store.
        ids: the sample.
        agreements: for each kind of vector.
        failed: videos of the sample that cannot be encoded now.
    """

    path: Path
    ids: tuple[str, ...]
    agreements: tuple[Agreement, ...]
    failed: tuple[Failed, ...] = ()

    @property
    def passed(self) -> bool:
        """Everything near enough, and no video failed."""
        return not self.failed and all(each.passed for each in self.agreements)

    def table(self) -> str:
        """In lines for a reader."""
        failed = [f"FAIL  {each}" for each in self.failed]
        return "\n".join([f"encoded again: {len(self.ids)} videos", *map(str, self.agreements), *failed])


def verify(
    plan: Plan,
    path: str | Path,
    count: int = 8,
    *,
    options: Mapping[str, Mapping[str, Any]] | None = None,
    download: bool = False,
    device: str = "auto",
    batch_size: int = 64,
) -> Check:
    """Encode `count` videos of the store at `path` again, evenly spread over it, and its label text.

    Args:
        plan: where the videos lie.
        options: for ``visual`` and ``audio``, encoder options in place of the recorded ones, such as where the
            weights lie here.
        download: let encoders with weights fetch what is not on this machine.

    Raises:
        DataError: no store that :func:`~avsgn_pyg.features.extraction.extract.extract` wrote, an encoder that
            cannot be rebuilt or is another one, none of its videos here.
    """
    path, options = Path(path), options or {}
    store = read_store(path)
    how = story.settings(store.provenance, path)
    fetching = [kind for kind in ("visual", "audio") if download and how[f"{kind} name"] != "signal"]
    visual, audio = (
        encoder_from_record(
            store.provenance[kind], kind, device=device, batch_size=batch_size, precision=how[f"{kind} precision"],
            options={**options.get(kind, {}), **({"download": True} if kind in fetching else {})},
        )
        for kind in ("visual", "audio")
    )
    place = {key: at for at, key in enumerate(store.video_ids)}
    there = [video for video in plan.videos if video.id in place]
    if count < 1 or not there:
        raise ExtractionError(f"{path}: {len(there)} of its videos are here, {count} are to be encoded; need 1 or more")
    sample = [there[len(there) * at // count] for at in range(min(count, len(there)))] if count < len(there) else there
    shape = {key: how[key] for key in ("segments", "frames_per_segment", "own_length") if key in how}
    outcomes = list(LocalEngine(visual, audio, workers=0, **shape).run(sample))
    now = {key: encoded for outcome in outcomes for key, encoded in outcome.finished.items()}
    ends = {key: int(store.seconds[place[key]]) for key in now}
    other = [Failed(key, (), f"has {len(now[key].audio)} seconds now, {end} in the store")
             for key, end in ends.items() if len(now[key].audio) != end]
    now = {key: encoded for key, encoded in now.items() if len(encoded.audio) == ends[key]}
    least = min(COSINE[encoder.precision] for encoder in (visual, audio))
    agreements = [
        _agreement(kind, torch.cat([getattr(store, kind)[place[key], : ends[key]] for key in now]),
                   torch.cat([getattr(now[key], kind) for key in now]), least)
        for kind in ("audio", "visual") if now
    ]
    return Check(
        path=path,
        ids=tuple(video.id for video in sample),
        agreements=(*agreements, *_texts(store, visual, audio, least)),
        failed=(*(failed for outcome in outcomes for failed in outcome.failed), *other),
    )


def _texts(store: Features, visual: Any, audio: Any, least: float) -> list[Agreement]:
    if store.label_text is None or store.categories is None:
        return []
    text = label_text(visual, audio, store.categories, store.provenance["prompts"])
    pairs = ((kind, getattr(store.label_text, kind), getattr(text, kind)) for kind in ("audio", "visual"))
    return [_agreement(f"{kind} label text", then, now, least) for kind, then, now in pairs]


def _agreement(
    what: str, then: Float[Tensor, "*rows d"], now: Float[Tensor, "*rows d"], least: float
) -> Agreement:
    cosine = F.cosine_similarity(then.double(), now.double(), dim=-1).min()
    return Agreement(what, float(cosine), float((then - now).abs().max()), least)
