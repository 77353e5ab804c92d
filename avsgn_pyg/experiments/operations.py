"""What a piece of work consists of: operations that would each be a kernel on a GPU, and kernels of its compiled form.

Counts are of ATen operations that compute something: views and allocations are left out. They stand for the
launches of a GPU where there is none to count them on.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable
from typing import Any

from torch.utils._python_dispatch import TorchDispatchMode

#: Operations that start no kernel though the schema does not call them views.
FREE = frozenset({
    "_unsafe_view", "_reshape_alias", "detach", "lift_fresh", "empty", "empty_like", "empty_strided", "new_empty",
    "new_empty_strided", "is_same_size", "_local_scalar_dense", "set_", "resize_", "is_pinned",
})


class Operations(TorchDispatchMode):
    """Counts what runs inside the block by name."""

    def __init__(self) -> None:
        super().__init__()
        self.counts: Counter[str] = Counter()

    def __torch_dispatch__(self, func: Any, types: Any, args: tuple = (), kwargs: dict | None = None) -> Any:
        name = func._schema.name.split("::")[1]
        if not func.is_view and name not in FREE:
            self.counts[name] += 1
        return func(*args, **(kwargs or {}))


def count_operations(run: Callable[[], object]) -> Counter[str]:
    """Operations of one call by name, after one that is not counted."""
    run()
    with Operations() as seen:
        run()
    return seen.counts


def compiled_kernels(run: Callable[[], object]) -> tuple[int, int]:
    """Fused kernels and library calls in the code that inductor makes while `run` is called for the first time."""
    from torch._inductor.utils import run_and_get_code

    _, codes = run_and_get_code(run)
    counts = [kernels_in(code) for code in codes]
    return sum(fused for fused, _ in counts), sum(library for _, library in counts)


def kernels_in(code: str) -> tuple[int, int]:
    """Calls of fused kernels and of library functions in inductor's Python wrapper."""
    body = code[code.index("def call("):] if "def call(" in code else code
    fused = re.findall(r"^\s+(?:cpp_fused\w*|triton_\w+\.run)\(", body, re.MULTILINE)
    library = re.findall(r"^\s+(?:\w+ = )?(?:extern_kernels\.\w+|torch\.ops\.\w+\.\w+(?:\.\w+)?)\(", body, re.MULTILINE)
    return len(fused), len(library)
