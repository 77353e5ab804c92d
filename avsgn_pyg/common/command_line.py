"""The command line that all tools share: paths, lists, suggestions for misspelled names, and errors that name options.

    parser = Parser(__doc__)
    parser.add_argument("--out", type=path)
    parser.add_list("--format", choices=("png", "svg"))     # --format png,svg   --format png --format svg
"""

from __future__ import annotations

import argparse
import os
import re
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any, Final

from avsgn_pyg.common.errors import did_you_mean
from avsgn_pyg.common.text import printable

_ADDRESS: Final = re.compile(r"[a-z][a-z0-9+.-]+://|(www\.)?youtu(\.be|be\.com)/|www\.", re.IGNORECASE)


def path(text: str) -> Path:
    """Return a path with ``~`` expanded; a web address is an error."""
    return Path(local(text))


def local(text: str) -> str:
    """Return a name that may be a path, with ``~`` expanded; a web address is an error."""
    if _ADDRESS.match(text) and not os.path.lexists(text):
        raise argparse.ArgumentTypeError(f"{text}: web addresses are not fetched; download the file and give its path")
    return os.path.expanduser(text)


def setting(text: str) -> str:
    """Return ``KEY=VALUE``, or a name, with ``~`` expanded in a path; the value ``~`` stays, which is YAML's null."""
    key, equals, value = text.partition("=")
    if not equals:
        return local(text)
    return text if value == "~" else f"{key}={local(value)}"


def whole(text: str) -> int:
    """Return a whole number of 0 or more."""
    if not text.isdecimal():
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number of 0 or more")
    return int(text)


def seeds(text: str) -> tuple[int, ...]:
    """Return the seeds of a count (``3`` is 0, 1, 2) or of a list (``0,3,4`` or ``3,``)."""
    numbers = [whole(part) for part in text.removesuffix(",").split(",")]
    found = tuple(numbers) if "," in text else tuple(range(numbers[0]))
    if not found or len(set(found)) < len(found):
        raise argparse.ArgumentTypeError(f"{text!r} names no seed, or one twice; give a count, or seeds: 0,3,4 or 3,")
    return found


def shard(text: str) -> tuple[int, int]:
    """Return i and n of ``i/n``."""
    number, _, count = text.partition("/")
    if not (number.isdecimal() and count.isdecimal() and 1 <= int(number) <= int(count)):
        raise argparse.ArgumentTypeError(f"{text!r} is not i/n with i from 1 to n, such as 2/8")
    return int(number), int(count)


def python() -> str:
    """Return the running interpreter as one would type it: relative if it is below the current folder."""
    relative = os.path.relpath(sys.executable)
    return sys.executable if relative.startswith("..") else relative


def is_setting(word: str) -> bool:
    """Return whether a word is ``KEY=VALUE``."""
    return "=" in word


def is_name(word: str) -> bool:
    """Return whether a word is a name of letters, digits, ``_`` and ``:``, and so neither a file nor a setting."""
    return re.fullmatch(r"[\w:]+", word) is not None


def some_seeds(text: str) -> int | tuple[int, ...] | None:
    """Return seeds of a run: ``all`` (None), a count of the first ones, or a list such as ``0,3`` or ``3,``."""
    if text == "all":
        return None
    return seeds(text) if "," in text else len(seeds(text))


class _Values(argparse.Action):
    """Collects the values of a list, which replace its default."""

    def __call__(self, parser: Any, namespace: argparse.Namespace, values: Any, option_string: Any = None) -> None:
        given = getattr(namespace, self.dest)
        setattr(namespace, self.dest, values if given is self.default else [*given, *values])


class Parser(argparse.ArgumentParser):
    """An argument parser that suggests the closest option, and whose lists take no word of another argument.

    An existing file whose name begins with ``-`` is a file, unless there is an option of this name.

    Args:
        description: shown by ``--help`` as it is.
    """

    def __init__(self, description: str | None) -> None:
        super().__init__(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
        self._lists: dict[str, Callable[[str], object]] = {}

    def add_overrides(self, help: str) -> None:
        """Add the positional argument ``KEY=VALUE ...``."""
        self.add_argument("overrides", nargs="*", type=setting, metavar="KEY=VALUE", help=help)

    def add_encoders(self, when: str) -> None:
        """Add ``--visual NAME KEY=VALUE ...`` and ``--audio``."""
        for kind in ("visual", "audio"):
            self.add_list(f"--{kind}", commas=False, own=is_setting, type=setting, metavar="NAME|KEY=VALUE",
                          help=f"the {kind} encoder and its options, {when}")

    def add_list(self, flag: str, *, to: Any = None, own: Callable[[str], object] = lambda word: False,
                 commas: bool = True, type: Callable[[str], Any] = str, **options: Any) -> None:
        """Add an option that may be repeated and, with `commas`, takes several values at once.

        Args:
            to: a group of the parser.
            own: whether a word that follows the first value can only be another value. One of `choices` always is.
        """
        choices = options.get("choices", ())
        self._lists[flag] = lambda word: own(word) or word in choices
        (to or self).add_argument(flag, action=_Values, **options, type=lambda text: [
            *map(type, filter(None, text.split(",")) if commas else [text])])

    def parse_known_args(self, args: Sequence[str] | None = None, namespace: Any = None) -> Any:
        """Parse as the base class does; an unknown option is an error that suggests the closest one."""
        words = [*(sys.argv[1:] if args is None else args)]
        end = words.index("--") if "--" in words else len(words)
        # parse_intermixed_args forgets where "--" stood.
        after = [f"./{word}" if word.startswith("-") else word for word in words[end + 1 :]]
        found, rest = super().parse_known_args([*self._spelled(words[:end]), *after], namespace)
        for word in rest:
            if re.match(r"-[^\d\W]|--", word):
                near = did_you_mean(word.partition("=")[0], self._option_string_actions)
                file = "" if word.startswith("--") else f"; if it is a file, write ./{word} or put -- before it"
                self.error(f"no such option: {word}{near}{file}")
        return found, rest

    def _spelled(self, words: Sequence[str]) -> Iterator[str]:
        """Repeat a list's option before each of its values, and rewrite words that argparse would misread."""
        flag, awaits = "", False
        for word, following in pairwise([*words, ""]):
            name, action = word.partition("=")[0], self._option_string_actions.get(word)
            if name in self._lists:
                flag, awaits = name, name == word
                yield word
            elif awaits or (flag and self._lists[flag](word) and not os.path.lexists(word)):
                yield from (word,) if awaits else (flag, word)
                awaits = False
            elif action is not None and action.nargs == "?" and not following.isdecimal():
                yield f"{word}={action.const}"
            else:
                flag = ""
                dashed = word.startswith("-") and name not in self._option_string_actions and os.path.lexists(word)
                yield f"./{word}" if dashed else word

    def _check_value(self, action: argparse.Action, value: Any) -> None:
        for one in value if isinstance(value, list) else [value]:
            if action.choices is not None and one not in action.choices:
                known = ", ".join(map(str, action.choices))
                raise argparse.ArgumentError(action, f"{one!r} is not one of {known}"
                                             f"{did_you_mean(str(one), map(str, action.choices))}")


def own_words(error: BaseException, options: argparse.Namespace) -> str:
    """Return an error's message with options in place of arguments: ``--tau 2`` for ``tau=2``, ``--download``."""
    names = "|".join(map(re.escape, vars(options)))
    return re.sub(rf"(?<![\w.\-/])({names})=([Tt]rue\b)?",
                  lambda found: f"--{found[1].replace('_', '-')}{'' if found[2] else ' '}", printable(str(error)))


def print_each(found: Iterable[tuple[Iterable[object], Exception | None]], options: argparse.Namespace) -> int:
    """Print what was written for each clip, then to stderr why others failed; return the exit status, 0 or 1."""
    failed = []
    for written, error in found:
        if error is None:
            sys.stdout.writelines(f"{one}\n" for one in written)
        else:
            failed.append(error)
    for error in failed:
        sys.stderr.write(f"failed: {own_words(error, options)}\n")
    return int(bool(failed))


def exit_status(
    work: Callable[[], object], options: argparse.Namespace, *expected: type[Exception],
    stopped: str | Callable[[], str] = "",
) -> int:
    """Run a tool's work and return its exit status: the number that `work` returns, 0 if it is no number.

    An error of the `expected` classes is written to stderr in one line, by :func:`own_words`, and the status is 2.
    After Ctrl-C, `stopped`, or what it returns, is written and the status is 130.
    """
    try:
        status = work()
    except expected as error:
        sys.stderr.write(f"error: {own_words(error, options)}\n")
        return 2
    except KeyboardInterrupt:
        text = stopped if isinstance(stopped, str) else stopped()
        sys.stderr.write(f"{text}\n" if text else "")
        return 130
    return status if isinstance(status, int) else 0
