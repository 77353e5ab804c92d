"""Options of a baseline: keywords of its constructor, given as a free mapping and checked by their annotations."""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable, Mapping
from typing import Any, Literal, get_args, get_origin, get_type_hints

#: Annotation of an option -> what its value must be.
KINDS: dict[Any, tuple[str, Callable[[Any], bool]]] = {
    int: ("an integer of at least 1", lambda value: type(value) is int and value >= 1),
    float: ("a number of at least 0", lambda value: type(value) in (int, float) and 0 <= value < math.inf),
    bool: ("true or false", lambda value: type(value) is bool),
}


def build_with(build: type, options: Mapping[str, Any], **given: Any) -> Any:
    """Return ``build(**given, **options)``.

    Args:
        build: a class. Its keywords other than `given` are its options: int, float, bool, literal, or one of these or
            ``None``. Its attribute ``only`` maps an option to (keyword, value): the option is used only with that
            value of the supervision or of another option, and must otherwise have its default.

    Raises:
        ValueError: an unknown option, an invalid value, or an option that would not be used.
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
            raise ValueError(f"options: {option}={taken[option]!r} of {build.__name__} is used with {keyword}={value} "
                             f"only, and this is {keyword}={taken[keyword]}; set that or leave {option} out")


def _fit(owner: str, option: str, hint: Any, value: Any) -> Any:
    """`value` converted to its annotation; an integer is accepted for a float."""
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
