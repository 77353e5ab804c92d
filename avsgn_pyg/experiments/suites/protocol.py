"""How a row was trained and scored, in sentences: what differs from the paper's protocol stands below every table.

What most rows share is one note of the table; a row that differs has a footnote of its own.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any, Final

from avsgn_pyg.experiments.suites.results import Result

#: How to read every table.
READING: Final = (
    "± is the sample standard deviation over seeds. The interval is a 95 % bootstrap over videos, seeds pooled. A "
    "difference is paired: both rows on the same resampled videos, each video's correctness averaged over the seeds; "
    "an interval without 0 tells these trained runs apart on such videos. The seeds' own spread is not in it.",
    "The oracle gives the true class to every second, background too: an accuracy below it needs no localization.",
)
WEAK: Final = ("Weak: training reads the video's class and nothing of its seconds. Published weak numbers mix this "
               "protocol with one that reads the share of event seconds.")
#: Test segments of AVE, which the paper's numbers are of.
PAPER_SEGMENTS: Final = 4020


def describe(result: Result) -> dict[str, str]:
    """Topic -> sentence, of a row with a finished seed."""
    recipe, record = result.cell.config.train, result.records[0]
    chosen = record["trained"]["selected_on"]
    return {
        "data": _data(record),
        "features": f"{_features(record['trained']['provenance'])} (the paper's AVSGN: Swin-V2-L of CLIP and HTS-AT "
                    "of CLAP; most published rows: VGG-19 and VGGish).",
        "selection": ("the last epoch; none was chosen." if chosen == "last" else f"the epoch that is best on {chosen}."
                      ) + " (The field mostly chooses on test; the paper does not say.)",
        "threshold": ("the highest of 29 scores decides a segment, without tau." if record["scores"]["tau"] is None
                      else f"tau = {record['tau']:g} (the paper: 0.6)."),
        "recipe": f"{recipe.epochs} epochs, batch {recipe.batch_size}, rate {recipe.learning_rate:g} {recipe.schedule} "
                  "(the paper: 200, 64, 0.0003 halved at epochs 10, 20 and 30).",
        "seeds": f"{', '.join(map(str, result.seeds))} (the paper does not say how many it ran).",
    }


def find_common(descriptions: Sequence[Mapping[str, str]]) -> dict[str, str]:
    """Topic -> the sentence of most rows, the first one of equally frequent ones."""
    topics = dict.fromkeys(topic for each in descriptions for topic in each)
    return {topic: Counter(each[topic] for each in descriptions).most_common(1)[0][0] for topic in topics}


def remarks(result: Result, ours: Result | None, own: Mapping[str, str], shared: Mapping[str, str]) -> list[str]:
    """The footnotes of a row; the first may be empty.

    Args:
        ours: the row that it is compared with.
        own, shared: its :func:`describe`, and the :func:`find_common` of the table.
    """
    found, incomplete = [result.cell.row.note], len(result.seeds) < result.asked
    if incomplete:
        seeds = f" ({', '.join(map(str, result.seeds))})" if result.seeds else ""
        found.append(f"{len(result.seeds)} of {result.asked} seeds{seeds}: the others failed or are not finished")
    if ours is not None and result.seeds and ours.seeds and result.rows != ours.rows:
        found.append(f"compared with ours on the {len(set(result.rows) & set(ours.rows))} videos that both have")
    found += [f"optimistic: {mark}" for mark in result.marks]
    found += [f"{topic}: {text}" for topic, text in own.items()
              if text != shared[topic] and not (topic == "seeds" and incomplete)]
    return found


def _data(record: Mapping[str, Any]) -> str:
    scores, split = record["scores"], record["split"]
    name = record["dataset"] + (", made features" if record["synthetic"] else "")
    found = f"{name}, {split}: {scores['videos']} videos, {scores['segments']:,} segments."
    if record["synthetic"] or record["dataset"] != "AVE":
        return f"{found} No number here is an AVE number; the paper's are of AVE's 4,020 test segments."
    if split == "test" and scores["segments"] == PAPER_SEGMENTS:
        return f"{found} The paper's numbers are of the same segments."
    return f"{found} The paper's numbers are of AVE's 4,020 test segments: other ones than these."


def _features(provenance: Mapping[str, Any]) -> str:
    """The encoders if the data name them, otherwise the files."""
    source = provenance.get("features", provenance)
    if not isinstance(source, Mapping):
        return str(source)
    encoders = [source.get(modality) for modality in ("visual", "audio")]
    if all(isinstance(encoder, Mapping) and "name" in encoder for encoder in encoders):
        return " and ".join(_encoder(encoder) for encoder in encoders)
    if "made by" in source:
        return f"made by {source['made by']}"
    named = ", ".join(f"{key} {value}" for key, value in source.items() if isinstance(value, str))
    return f"{named}: which encoders made them is not on record" if named else "not on record"


def _encoder(encoder: Mapping[str, Any]) -> str:
    options = encoder.get("options")
    model = options.get("model", "") if isinstance(options, Mapping) else ""
    return f"{encoder['name']} {model}".rstrip()
