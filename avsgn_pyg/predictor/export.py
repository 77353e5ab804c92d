"""Export a trained model to a program of fixed size that runs without this package: ``.pt2`` (torch.export) or ONNX.

Shapes: B windows of T seconds, da and dv widths of the features, C classes.
"""

from __future__ import annotations

import copy
import io
import json
import warnings
from pathlib import Path
from typing import Final

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch_geometric.data import Batch

from avsgn_pyg.common.errors import ConfigError
from avsgn_pyg.common.files import write_bytes
from avsgn_pyg.graph.edges import Complete, subgraph_edges
from avsgn_pyg.graph.schema import AUDIO, VISUAL
from avsgn_pyg.predictor.predictor import Predictor

SUFFIXES: Final = (".pt2", ".onnx")
#: Name of the facts in the file: an extra file of ``.pt2``, a metadata property of ONNX.
FACTS: Final = "avsgn_pyg.json"


class FixedSize(nn.Module):
    """A model on the edges of one batch, from dense features.

    Args:
        model: in evaluation mode.
        batch: B videos of the same length, as in every later call; its edges become constants.

    Raises:
        ConfigError: a subgraph runs along an edge list, whose operations depend on its numbers.
    """

    def __init__(self, model: nn.Module, batch: Batch) -> None:
        super().__init__()
        self.model, self.batch = model, batch
        parts = [module.cmgi for module in model.modules() if hasattr(module, "cmgi")]  # several in an ensemble
        if not all(isinstance(subgraph_edges(batch, name, as_list=part.as_list), Complete)
                   for part in parts for name in part.layers):
            raise ConfigError("export: this model runs along an edge list, which has no program of fixed size; train "
                              "with model.cmgi.topology=complete, relations=shared, topk=null and backend=auto")

    def forward(self, audio: Float[Tensor, "B T da"], visual: Float[Tensor, "B T dv"]) -> dict[str, Tensor]:
        """The logits, gates and scores of :class:`~avsgn_pyg.graph.localization.Localization` that the model has."""
        batch = copy.copy(self.batch)
        batch[AUDIO].x, batch[VISUAL].x = audio.flatten(0, 1), visual.flatten(0, 1)
        output = self.model(batch)
        gates = {f"{name}_gate": gate for name, gate in output.gates.items()}
        scores = {} if output.segment_scores is None else {"segment_scores": output.segment_scores}
        return {"category": output.category, "relevance": output.relevance, **gates, **scores}


def export_model(predictor: Predictor, path: str | Path, *, windows: int = 1) -> Path:
    """Write the model as a program: audio [B, T, da] and visual [B, T, dv], float32 -> a dictionary of tensors.

    The outputs are ``category`` [B, C] and ``relevance`` [B, T], both logits, and, if the model has them,
    ``audio_gate`` and ``visual_gate`` [B, T, 1] and ``segment_scores`` [B, T, C + 1]. The file holds ``FACTS`` too:
    classes, tau and sizes as JSON.

    Args:
        path: ends in ``.pt2`` or ``.onnx``; an existing file is replaced.
        windows: B, fixed in the program.

    Raises:
        ConfigError: another suffix, no window, a predictor of other labels, a model that runs along edge lists, or
            ``.onnx`` without the packages onnx and onnxscript.
    """
    path = Path(path)
    if path.suffix not in SUFFIXES or windows < 1:
        raise ConfigError(f"{path}: a model is exported to a file {' or '.join(SUFFIXES)} for 1 or more windows, not "
                          f"to {path.suffix!r} for {windows}")
    if predictor.finds_several:
        raise ConfigError("export: programs localize one event; this model finds several (data.kind=dense)")
    if predictor.categories != predictor.meta.categories:
        raise ConfigError("export: only the trained classes are part of the model; leave labels out")
    meta, size = predictor.meta, (windows, predictor.segments)
    audio, visual = (torch.zeros(*size, width, device=predictor.device)
                     for width in (meta.audio_width, meta.visual_width))
    model = FixedSize(predictor.model, predictor.graph(audio, visual)).eval()
    with torch.no_grad(), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch's own, about its internals
        names = list(model(audio, visual))  # also makes the constants that the program holds
        program = torch.export.export(model, (audio, visual), strict=False)
        facts = json.dumps({"categories": meta.categories, "tau": predictor.check_tau(None), "windows": windows,
                            "segments": predictor.segments, "audio_width": meta.audio_width,
                            "visual_width": meta.visual_width})
        write_bytes(path, _onnx(program, names, facts) if path.suffix == ".onnx" else _pt2(program, facts))
    return path


def _pt2(program: torch.export.ExportedProgram, facts: str) -> bytes:
    file = io.BytesIO()
    torch.export.save(program, file, extra_files={FACTS: facts})
    return file.getvalue()


def _onnx(program: torch.export.ExportedProgram, names: list[str], facts: str) -> bytes:
    try:
        made = torch.onnx.export(program, (), input_names=["audio", "visual"], output_names=names, verbose=False)
    except ImportError as error:
        raise ConfigError(f"export to .onnx needs a package that is missing: pip install onnx onnxscript ({error})"
                          ) from None
    made.model.metadata_props[FACTS] = facts
    return made.model_proto.SerializeToString()
