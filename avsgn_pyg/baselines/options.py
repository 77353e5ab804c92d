"""A baseline's options, a config's free mapping: keywords of its constructor, checked by their annotations."""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable, Mapping
from typing import Any, Literal, get_args, get_origin, get_type_hints

#: Annotation of an option -> what its value must be.
KINDS: dict[Any, tuple[str, Callable[[Any], bool]]] = {
    int: ("a whole number of at least 1", lambda value: type(value) is int and value >= 1),
    float: ("a number of at least 0", lambda value: type(value) in (int, float) and 0 <= value < math.inf),
    bool: ("true or false", lambda value: type(value) is bool),
}


def build_with(build: type, options: Mapping[str, Any], **given: Any) -> Any:
    """``build(**given, **options)``.

    Args:
        build: a class whose keywords beside `given` are its options; each an int, float, bool or literal, or such or
            ``None``.

    Where `build` has an ``only``, option -> (keyword, value), that option is read under that value alone (of the
    supervision, or of another option), and is refused elsewhere unless it is left at its default.

    Raises:
        ValueError: an unknown option, a value that cannot be used, or one that would not be read; it names what would
            work.
    """
    allowed = sorted(set(inspect.signature(build).parameters) - set(given))
    hints = get_type_hints(build.__init__)
    unknown = sorted(set(options) - set(allowed))
    if unknown:
        raise ValueError(f"options: {build.__name__} has no option {unknown[0]!r}; it has {allowed}")
    used = {option: _fit(build.__name__, option, hints[option], value) for option, value in options.items()}
    _refuse_unread(build, used, given)
    return build(**given, **used)


def _refuse_unread(build: type, used: Mapping[str, Any], given: Mapping[str, Any]) -> None:
    defaults = {name: each.default for name, each in inspect.signature(build).parameters.items()}
    taken = defaults | dict(given) | dict(used)
    for option, (keyword, value) in getattr(build, "only", {}).items():
        if taken[keyword] != value and taken[option] != defaults[option]:
            raise ValueError(f"options: {option}={taken[option]!r} of {build.__name__} is read under {keyword}={value} "
                             f"alone, and this is {keyword}={taken[keyword]}; set that or leave {option} out")


def _fit(owner: str, option: str, hint: Any, value: Any) -> Any:
    """`value` as its annotation has it; a whole number may stand for a float."""
    if get_origin(hint) is Literal:
        words, fits, kind = f"one of {list(get_args(hint))}", value in get_args(hint), None
    else:
        kinds = get_args(hint) or (hint,)
        kind = kinds[0]
        words, check = KINDS[kind]
        if value is None and type(None) in kinds:
            return None
        fits = check(value)
    if not fits:
        raise ValueError(f"options: {option}={value!r} of {owner} must be {words}")
    return float(value) if kind is float else value
