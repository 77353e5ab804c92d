"""Reading an experiment's settings from YAML, and writing them.

A YAML file may name another as ``base:`` and give only what differs. Command-line overrides are dotted
(``model.cmgi.layers=3``) and take precedence. An unknown key or a value of the wrong type raises a
:class:`ConfigError` that names the file, the key, the value and the closest match.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import yaml
from pydantic import BaseModel, ValidationError

from avsgn_pyg.common.errors import ConfigError, did_you_mean
from avsgn_pyg.common.settings import Config, Section

#: Mappings with free keys: a later one replaces an earlier one as a whole.
FREE_FORM = {"conv_options", "options"}


def load_config(path: str | Path | None = None, overrides: Sequence[str] = (), *, saved: bool = False) -> Config:
    """Read a YAML file with its bases, apply ``key.path=value`` overrides, and validate.

    Args:
        path: a YAML file; ``None`` starts from the defaults.
        overrides: dotted settings; values are parsed as YAML (``train.seeds=[0,1]``, ``train.ema=0.99``).
        saved: whether a run wrote the file; see :func:`without_former`.

    Raises:
        ConfigError: names the file (or ``command line``), the key, the value, and the closest valid key.
    """
    layers = [] if path is None else _read_layers(Path(path))
    tree: dict[str, Any] = {}
    for _, layer in layers:
        _merge(tree, without_former(layer, saved=saved))
    for text in overrides:
        key, value = _parse_override(text)
        _override(tree, key, value)
        layers.append(("command line", _override({}, key, value)))
    try:
        return Config.model_validate(tree)
    except ValidationError as error:
        raise ConfigError("\n".join(_explain(problem, layers, str(path or "defaults"))
                                    for problem in error.errors())) from None


def without_former(tree: dict[str, Any], *, saved: bool) -> dict[str, Any]:
    """Return settings without ``compile: false``, a former default.

    If a run saved them, ``flicker`` and ``inside`` are removed as well where ``boundary`` is 0 and they had no effect.
    """
    if not isinstance(train := tree.get("train"), dict):
        return tree
    train = {key: value for key, value in train.items() if key != "compile" or value is not False}
    augment = train.get("augment")
    if saved and isinstance(augment, dict) and not augment.get("boundary"):  # their total
        train["augment"] = {key: value for key, value in augment.items() if key not in ("flicker", "inside")}
    return {**tree, "train": train}


def check_keys(overrides: Sequence[str]) -> None:
    """Raise ConfigError for a dotted setting that no config has; values are not checked."""
    for text in overrides:
        key, value = _parse_override(text)
        try:
            Config.model_validate(_override({}, key, value))
        except ValidationError as error:
            for problem in error.errors():
                if problem["type"] == "extra_forbidden":
                    raise ConfigError(_explain(problem, [], "command line")) from None


def dump_config(config: Config) -> str:
    """Return the resolved config, with every key, as YAML text that is ready to train from."""
    return yaml.safe_dump(config.model_dump(mode="json"), sort_keys=False, allow_unicode=True)


def read_tree(path: Path) -> dict[str, Any]:
    """Read a YAML file as a mapping; an empty file is an empty mapping.

    Raises:
        ConfigError: no such file (suggests the closest name), not readable, not YAML, or not a mapping.
    """
    try:
        tree = yaml.safe_load(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        near = did_you_mean(str(path), map(str, path.parent.glob("*.yaml")))
        raise ConfigError(f"{path}: no such file{near}") from None
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path}: cannot be read ({error})") from None
    except yaml.YAMLError as error:
        raise ConfigError(f"{path}: not valid YAML: {' '.join(str(error).split())}") from None
    if not isinstance(tree, dict | None):
        raise ConfigError(f"{path}: a config is a mapping of keys, got {type(tree).__name__}")
    return tree or {}


def _read_layers(path: Path, seen: tuple[Path, ...] = ()) -> list[tuple[str, dict[str, Any]]]:
    """The trees of a file's bases and its own, each with its file's name, the file last."""
    where = path.resolve()
    if where in seen:
        raise ConfigError(f"{path}: base: goes in a circle ({' -> '.join(p.name for p in (*seen, where))})")
    tree = read_tree(path)
    base = tree.pop("base", None)
    below = [] if base is None else _read_layers(path.parent / str(base), (*seen, where))
    return [*below, (str(path), tree)]


def _merge(into: dict[str, Any], new: dict[str, Any]) -> None:
    """Merge mappings; anything else, and a free-form mapping, replaces the earlier value."""
    for key, value in new.items():
        key = str(key)
        if isinstance(value, dict) and key not in FREE_FORM:
            into[key] = into[key] if isinstance(into.get(key), dict) else {}
            _merge(into[key], value)
        else:
            into[key] = value


def _override(tree: dict[str, Any], key: list[str], value: Any) -> dict[str, Any]:
    """Set one dotted key in `tree`; mappings above it keep their other keys, free-form ones too."""
    inner = tree
    for part in key[:-1]:
        inner[part] = inner = dict(inner[part]) if isinstance(inner.get(part), dict) else {}
    _merge(inner, {key[-1]: value})
    return tree


def _parse_override(text: str) -> tuple[list[str], Any]:
    key, found, value = text.partition("=")
    if not found or not key:
        raise ConfigError(f"command line: {text!r} is not key.path=value (for example train.seed=1)")
    try:
        return key.strip().split("."), yaml.safe_load(value)
    except yaml.YAMLError as error:
        raise ConfigError(f"command line: {key}: {value!r} is not valid YAML: {' '.join(str(error).split())}") from None


def _explain(problem: Any, layers: list[tuple[str, dict[str, Any]]], default: str) -> str:
    """One problem that pydantic found, with its file, dotted key, and the closest valid key or the value."""
    location = tuple(str(part) for part in problem["loc"])
    message, key = problem["msg"].removeprefix("Value error, "), ".".join(location)
    of_section = isinstance(problem["input"], (dict, BaseModel))
    # A check of a section names the keys that exclude each other: the last file that sets one of them is at fault.
    named = [(*location, *word.split(".")) for word in re.findall(r"[a-z_]+(?:\.[a-z_]+)*", message)]
    mentioned = [path for path in named if of_section and ".".join(path) in _paths(Config)]
    source = next((layer for layer, tree in reversed(layers) if any(_sets(tree, path) for path in mentioned)), None)
    above = (location[:depth] for depth in range(len(location), 0, -1))
    source = source or next((layer for path in above for layer, tree in reversed(layers) if _sets(tree, path)), default)
    if problem["type"] == "extra_forbidden":
        return f"{source}: {key}: no such setting{_suggest(location)}"
    came = "" if of_section else f" (got {problem['input']!r})"
    if problem["type"] == "literal_error":
        came += did_you_mean(str(problem["input"]), re.findall(r"'([^']*)'", problem["ctx"]["expected"]))
    return f"{source}: {key}{': ' if location else ''}{message}{came}"


def _sets(tree: Any, path: tuple[str, ...]) -> bool:
    """Whether a file's mapping has a value at `path`."""
    for part in path:
        if not isinstance(tree, dict) or part not in tree:
            return False
        tree = tree[part]
    return True


def _suggest(location: tuple[str, ...]) -> str:
    section: Any = Config
    for part in location[:-1]:
        section = section.model_fields[part].annotation
    near = did_you_mean(location[-1], section.model_fields)
    if near:
        return near.replace("mean ", "mean " + "".join(f"{part}." for part in location[:-1]))
    same_name = [path for path in _paths(Config) if path.split(".")[-1] == location[-1]]
    return f"; did you mean {same_name[0]}?" if same_name else f"; there are: {', '.join(section.model_fields)}"


def _paths(section: type[Section], at: str = "") -> Iterator[str]:
    """Every dotted key of the schema, leaves only."""
    for name, field in section.model_fields.items():
        if isinstance(field.annotation, type) and issubclass(field.annotation, Section):
            yield from _paths(field.annotation, f"{at}{name}.")
        else:
            yield f"{at}{name}"
