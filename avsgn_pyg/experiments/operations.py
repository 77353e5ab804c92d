"""What a piece of work consists of: operations that would each be a kernel, matrix products, its compiled form.

Counts are of ATen operations that compute something: views and allocations are left out. They stand for the
launches of a GPU where there is none to count them on.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.func import functional_call
from torch.fx.experimental.proxy_tensor import make_fx
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_map_only

from avsgn_pyg.engine.losses import NamedLosses
from avsgn_pyg.graph.schema import AUDIO, VISUAL
from avsgn_pyg.model.avsgn import AVSGN, Aligned
from avsgn_pyg.model.cmsa import Streams

GEMMS = frozenset({"mm", "bmm", "addmm", "baddbmm"})

#: Operations that start no kernel though the schema does not call them views.
FREE = frozenset({
    "_unsafe_view", "_reshape_alias", "detach", "lift_fresh", "empty", "empty_like", "empty_strided", "new_empty",
    "new_empty_strided", "is_same_size", "_local_scalar_dense", "set_", "resize_", "is_pinned",
})


class Operations(TorchDispatchMode):
    """Counts what runs inside the block by name; with `keep`, also its matrix products and what they were given."""

    def __init__(self, *, keep: bool = False) -> None:
        super().__init__()
        self.counts: Counter[str] = Counter()
        self.keep, self.products = keep, []

    def __torch_dispatch__(self, func: Any, types: Any, args: tuple = (), kwargs: dict | None = None) -> Any:
        name = func._schema.name.split("::")[1]
        if not func.is_view and name not in FREE:
            self.counts[name] += 1
        if self.keep and name in GEMMS:
            self.products.append((func, tree_map_only(Tensor, _alike, args), dict(kwargs or {})))
        return func(*args, **(kwargs or {}))


def count_operations(run: Callable[[], object]) -> Counter[str]:
    """Operations of one call by name, after one that is not counted."""
    run()
    with Operations() as seen:
        run()
    return seen.counts


def products_alone(run: Callable[[], object]) -> tuple[Callable[[], None], int]:
    """The matrix products of one call of `run`, in their order and on random numbers of the same layout; how many.

    What is written in place of the first argument (``addmm_``) is left out of :data:`GEMMS`; no part of the model
    writes so.
    """
    run()
    with Operations(keep=True) as seen:
        run()
    products = seen.products

    def replay() -> None:
        for product, args, kwargs in products:
            product(*args, **kwargs)

    return replay, len(products)


@torch.no_grad()
def _alike(value: Tensor) -> Tensor:
    """Random numbers of the same sizes, strides and device."""
    made = torch.empty_strided(value.shape, value.stride(), dtype=value.dtype, device=value.device)
    return made.normal_() if 0 not in value.stride() else torch.randn_like(value[:1]).expand(value.shape)


class TotalLoss(nn.Module):
    """Model and objective from dense features to the total, for videos of one length.

    A batch's lengths are not looked at, which a recording cannot do, and no size is checked.
    """

    def __init__(self, model: AVSGN, objective: NamedLosses) -> None:
        super().__init__()
        self.model, self.objective = model, objective

    def forward(self, audio: Float[Tensor, "B T da"], visual: Float[Tensor, "B T dv"], category: Int[Tensor, "B"],
                relevance: Float[Tensor, "B T"]) -> Float[Tensor, ""]:
        model = self.model
        streams = Streams(audio=model.time_audio(model.adapt_audio(audio)),
                          visual=model.time_visual(model.adapt_visual(visual)),
                          text=model.label_text(model.adapt_visual, model.adapt_audio))
        aligned = Aligned({AUDIO: audio, VISUAL: visual}, model.cmsa(streams), None)
        answer = model.localize(aligned, model.interact(aligned.streams))
        return self.objective.total(self.objective(answer, category, relevance))


def record_pass(loss: TotalLoss, inputs: tuple[Tensor, ...]) -> tuple[torch.fx.GraphModule, list[Tensor]]:
    """Forward and backward of ``loss(*inputs)`` as one plain graph of operations, inputs held by it.

    Stand-ins and graphs as objects are gone from it, so that ``torch.compile`` takes it as it is.

    Returns:
        A module from parameters to the total and every gradient, and the parameters to call it with.
    """
    names, parameters = zip(*loss.named_parameters(), strict=True)

    def run(*values: Tensor) -> tuple[Tensor, ...]:
        leaves = tuple(value.detach().requires_grad_() for value in values)
        total = functional_call(loss, dict(zip(names, leaves, strict=True)), inputs)
        return total.detach(), *torch.autograd.grad(total, leaves)

    values = [parameter.detach() for parameter in parameters]
    return make_fx(run)(*values), values


def compiled_kernels(record: torch.fx.GraphModule, values: list[Tensor]) -> tuple[int, int]:
    """Fused kernels, and library calls, that inductor's code for `record` makes in one pass."""
    from torch._inductor.utils import run_and_get_code

    with torch.no_grad():
        _, codes = run_and_get_code(torch.compile(record), *values)
    return kernels_in("\n".join(codes))


def kernels_in(code: str) -> tuple[int, int]:
    """Calls of fused kernels and of library functions in inductor's Python wrapper."""
    body = code[code.index("def call("):] if "def call(" in code else code
    fused = re.findall(r"^\s+(?:cpp_fused\w*|triton_\w+\.run)\(", body, re.MULTILINE)
    library = re.findall(r"^\s+(?:\w+ = )?(?:extern_kernels\.\w+|torch\.ops\.\w+\.\w+(?:\.\w+)?)\(", body, re.MULTILINE)
    return len(fused), len(library)
