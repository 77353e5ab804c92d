"""The model card of a saved model: front matter that the Hugging Face hub reads, and text that a person does."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from typing import Any

from huggingface_hub import EvalResult, ModelCardData

from avsgn_pyg.engine.checkpoint import Checkpoint

USE = """## Use

```python
from avsgn_pyg import Predictor

predictor = Predictor.from_pretrained("{name}")  # this folder, or the repository's owner/name
print(predictor("clip.mp4").table())
```

or `python tools/predict.py clip.mp4 --checkpoint {name}`. The encoders are made from the records below; where one
needs weights that lie elsewhere, say so: `--visual {visual} KEY=VALUE`. Another encoder is refused."""

LIMITS = """## Limits

- An event is a class that is heard *and* seen. What is only heard, or only seen, is background.
- One class a window of {segments} seconds (a longer video is read in overlapping windows, which are averaged).
- Probabilities are not calibrated.
- It knows the {classes} classes listed here and calls everything else one of them, or background."""


def model_card(checkpoint: Checkpoint, evaluations: Sequence[dict[str, Any]], *, license: str) -> str:
    """The card as Markdown with YAML front matter.

    Args:
        evaluations: of :func:`avsgn_pyg.predictor.pretrained.scores_of`.
        license: of the weights.
    """
    name = checkpoint.config.name
    data = ModelCardData(
        model_name=name,
        library_name="avsgn_pyg",
        license=license,
        tags=["audio-visual-event-localization", "video", "audio", "graph-neural-networks", "pytorch-geometric"],
        eval_results=[result for evaluation in evaluations for result in _results(evaluation)] or None,
    )
    return f"---\n{data.to_yaml()}\n---\n\n" + "\n\n".join(_text(checkpoint, evaluations, license)) + "\n"


def _results(evaluation: dict[str, Any]) -> Iterator[EvalResult]:
    for metric, value in evaluation["scores"].items():
        if value is not None:
            yield EvalResult(
                task_type="audio-visual-event-localization", dataset_type=_slug(evaluation["dataset"]),
                dataset_name=evaluation["dataset"], dataset_split=evaluation["split"], metric_type=metric,
                metric_name=metric.replace("_", " "), metric_value=value,
            )


def _text(checkpoint: Checkpoint, evaluations: Sequence[dict[str, Any]], license: str) -> Iterator[str]:
    meta, features = checkpoint.meta, checkpoint.meta.provenance.get("features", {})
    records = {kind: features.get(kind) if isinstance(features, dict) else None for kind in ("visual", "audio")}
    named = {kind: record.get("name", "?") if isinstance(record, dict) else "?" for kind, record in records.items()}
    yield f"# {checkpoint.config.name}"
    yield ("An audio-visual event localizer: which of its classes occurs in a video, and in which seconds it is both "
           "heard and seen. Trained with avsgn_pyg, an implementation of *Audio-Visual Semantic Graph Network for "
           "Audio-Visual Event Localization* (Liu, Li and Zhu, CVPR 2025) on PyTorch Geometric.")
    if meta.synthetic:
        yield "**Trained on made-up features, not on recordings: it is of no use on real videos.**"
    yield USE.format(name=checkpoint.config.name, visual=named["visual"])
    yield f"## Classes\n\n{', '.join(meta.categories)}."
    chosen = "the last one" if meta.selected_on == "last" else f"selected on {meta.selected_on}"
    yield f"## Training\n\n{meta.dataset}; seed {meta.seed}, epoch {meta.epoch} ({chosen}), {meta.step} steps."
    yield "## Scores\n\n" + (_table(evaluations) if evaluations else "None were recorded with this checkpoint.")
    yield "## Encoders\n\n" + "\n".join(_encoder(kind, record) for kind, record in records.items())
    yield LIMITS.format(segments=meta.segments, classes=len(meta.categories))
    unnamed = "Nobody named one for these weights; ask before you build on them." if license == "unknown" else license
    yield f"## License\n\n{unnamed} The encoders' weights are not in this folder and have licenses of their own."


def _table(evaluations: Sequence[dict[str, Any]]) -> str:
    names = list(evaluations[0]["scores"])
    lines = ["| data, split | " + " | ".join(name.replace("_", " ") for name in names) + " | |",
             "|---" * (len(names) + 2) + "|"]
    for evaluation in evaluations:
        values = ("-" if evaluation["scores"][name] is None else f"{evaluation['scores'][name]:.2f}" for name in names)
        made = " (synthetic)" if evaluation["synthetic"] else ""
        lines.append(f"| {evaluation['dataset']}{made}, {evaluation['split']} | {' | '.join(values)} "
                     f"| {', '.join(evaluation['marks'])} |")
    return "\n".join(lines) + "\n\nPercent."


def _encoder(kind: str, record: Any) -> str:
    if not isinstance(record, dict) or "revision" not in record:
        return f"- {kind}: not recorded; clips can only be encoded by an encoder that you name, unchecked"
    options = json.dumps(record.get("options", {}), ensure_ascii=False)
    return f"- {kind}: `{record['name']}`, options `{options}`, revision `{record['revision'][:16]}`"


def _slug(name: str) -> str:
    return "-".join("".join(c.lower() if c.isalnum() else " " for c in name).split()) or "data"
