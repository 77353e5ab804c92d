"""How a row was made, in sentences: what differs from the paper's protocol stands below every table.

What all rows share is one note of the table; a row that differs from the others gets a footnote of its own.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any, Final

from avsgn_pyg.experiments.suites.results import Result

#: What every table is to be read with.
READING: Final = (
    "± is the sample standard deviation over seeds. The interval is a 95 % bootstrap over videos, seeds pooled. A "
    "difference is paired: both rows on the same resampled videos, each video's correctness averaged over the seeds; "
    "an interval without 0 tells these trained runs apart on such videos. The seeds' own spread is not in it.",
    "The oracle gives the true class to every second, background too: an accuracy below it needs no localization.",
)
WEAK: Final = ("Weak: training reads the video's class and nothing of its seconds. Published weak numbers mix this "
               "protocol with one that reads the share of event seconds.")
#: What the paper's numbers are of.
PAPER_SEGMENTS: Final = 4020


def facts(result: Result) -> dict[str, str]:
    """Topic -> sentence, of a row with a finished seed."""
    config, record = result.cell.config, result.first
    recipe = config.train
    return {
        "data": _data(result),
        "features": f"{_features(record['trained']['provenance'])} (the paper's AVSGN: Swin-V2-L of CLIP and HTS-AT "
                    "of CLAP; most published rows: VGG-19 and VGGish).",
        "selection": _selection(record),
        "threshold": ("the highest of 29 scores decides a segment, without tau." if record["scores"]["tau"] is None
                      else f"tau = {record['tau']:g} (the paper: 0.6)."),
        "recipe": f"{recipe.epochs} epochs, batch {recipe.batch_size}, rate {recipe.learning_rate:g} {recipe.schedule} "
                  "(the paper: 200, 64, 0.0003 halved at epochs 10, 20 and 30).",
        "seeds": f"{', '.join(map(str, result.seeds))} (the paper does not say how many it ran).",
    }


def common(found: Sequence[Mapping[str, str]]) -> dict[str, str]:
    """Of each topic the sentence that most rows share, the first of equals."""
    topics = dict.fromkeys(topic for each in found for topic in each)
    return {topic: Counter(each[topic] for each in found).most_common(1)[0][0] for topic in topics}


def missing(result: Result) -> str | None:
    """What is said of a row whose seeds are not all there."""
    if len(result.seeds) == result.asked:
        return None
    there = f" ({', '.join(map(str, result.seeds))})" if result.seeds else ""
    return f"{len(result.seeds)} of {result.asked} seeds{there}: the others failed or are not finished"


def fewer(result: Result, ours: Result | None) -> str | None:
    """What is said of a row that was not scored on all videos of ours."""
    if ours is None or not ours.seeds or not result.seeds or result.rows == ours.rows:
        return None
    return f"compared with ours on the {len(set(result.rows) & set(ours.rows))} videos that both have"


def _data(result: Result) -> str:
    record = result.first
    name = record["dataset"] + (", made features" if record["synthetic"] else "")
    segments = record["scores"]["segments"]
    said = f"{name}, {result.split}: {record['scores']['videos']} videos, {segments:,} segments."
    if record["synthetic"] or record["dataset"] != "AVE":
        return f"{said} No number here is an AVE number; the paper's are of AVE's 4,020 test segments."
    if result.split == "test" and segments == PAPER_SEGMENTS:
        return f"{said} The paper's numbers are of the same segments."
    return f"{said} The paper's numbers are of AVE's 4,020 test segments: other ones than these."


def _features(provenance: Mapping[str, Any]) -> str:
    """The encoders, as far as the data say; else the files."""
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


def _selection(record: Mapping[str, Any]) -> str:
    chosen = record["trained"]["selected_on"]
    said = "the last epoch; none was chosen." if chosen == "last" else f"the epoch that is best on {chosen}."
    return f"{said} (The field mostly chooses on test; the paper does not say.)"
