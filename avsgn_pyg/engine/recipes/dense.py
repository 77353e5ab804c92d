"""Training and scores of models that find several events a video, with float times (``data.kind=dense``)."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import chain
from typing import Final

import torch
from jaxtyping import Int
from torch import Tensor, nn

from avsgn_pyg.common.config import Config
from avsgn_pyg.data.dataset import Videos
from avsgn_pyg.data.dense import DenseVideos
from avsgn_pyg.engine import zoo
from avsgn_pyg.engine.evaluator import run_batches
from avsgn_pyg.engine.recipes.task import Scored, Task
from avsgn_pyg.graph.detection import DenseOutput, Detection, decode_dense
from avsgn_pyg.metrics.detection import evaluate_detections


def detect(model: nn.Module, videos: Videos, *, config: Config, device: torch.device) -> list[list[Detection]]:
    """Return the events of every video, from the highest score down; `config` has the settings of decoding."""
    decoding = config.dense.model_dump(include={"limit", "threshold", "sigma"})

    def read(output: DenseOutput, index: Int[Tensor, "B"]) -> list[list[Detection]]:
        return decode_dense(output, **decoding, durations=videos.seconds[index] / videos.rate)

    return [*chain.from_iterable(run_batches(model, videos, read, device, config.train.batch_size))]


def judge(
    model: nn.Module, videos: DenseVideos, *, config: Config, device: torch.device, categories: Sequence[str]
) -> dict[str, float]:
    """Return the scores of a split, percent; the mean mAP comes first and selects."""
    report = evaluate_detections(detect(model, videos, config=config, device=device), videos.events, categories)
    return {"mean_map": report.mean_map, **{f"map@{tiou:g}": value for tiou, value in report.map.items()}}


def _score(
    model: nn.Module, videos: DenseVideos, *, config: Config, device: torch.device, categories: Sequence[str]
) -> Scored:
    """Return the report, and the detections beside the events, in ActivityNet's forms of results and annotations."""
    found = detect(model, videos, config=config, device=device)
    report = evaluate_detections(found, videos.events, categories, replicates=config.evaluate.bootstrap)
    results = {video: [{"label": categories[one.category], "segment": [one.start, one.end], "score": one.score}
                       for one in events] for video, events in zip(videos.video_ids, found, strict=True)}
    truth = {video: {"annotations": [{"label": categories[int(category)], "segment": segment}
                                     for category, *segment in events.tolist()]}
             for video, events in zip(videos.video_ids, videos.events, strict=True)}
    rows = [f"{row.name:<12}{row.value:<20}{row.help}" for row in report.rows()]
    return Scored({"scores": report.as_dict()}, "\n".join(rows),
                  {"detections.json": {"version": "avsgn_pyg", "results": results, "database": truth}})


TASK: Final = Task(
    name="a score of several events", unit="mean average precision in %",
    build=lambda config, shape, text: zoo.build_model(config.model, shape, text, dense=config.dense),
    objective=lambda config: zoo.build_objective(config.dense, config.model.name), judge=judge, score=_score)
