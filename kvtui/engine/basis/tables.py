"""One TOML table, read key by key with its types checked: catalogues, settings, profiles and what is remembered."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterable, Mapping
from typing import Concatenate, ParamSpec, TypeVar

from kvtui.engine.basis.errors import InputError
from kvtui.engine.basis.untrusted import plain

MAX_TEXT = 500
MAX_PARTS = 32

R = TypeVar("R")
P = ParamSpec("P")

_LINE = r" \(at line ([0-9]+), column [0-9]+\)$"
_KINDS = {
    str: "text",
    bool: "true or false",
    int: "a number",
    float: "a number with a fraction",
    list: "a list",
    dict: "a table",
}


def parse_toml(text: str, where: str) -> dict[str, object]:
    """The table in TOML ``text``. Raises InputError, which names ``where`` and the line, for text that is none.

    A key of more than MAX_PARTS parts is refused before it is parsed, which takes the square of their number.
    """
    from tomllib import loads

    for number, line in enumerate(text.split("\n"), start=1):
        if line.count(".") > MAX_PARTS and max(_parts(line)) > MAX_PARTS:
            raise InputError(f"{where}: line {number}: a key has more than {MAX_PARTS} parts")
    try:
        return loads(text)
    except RecursionError:
        raise InputError(f"{where}: values are nested too deeply") from None
    except ValueError as error:
        problem = str(error)
        at = re.search(_LINE, problem)
        last = text.rstrip("\n").count("\n") + 1
        line_number = int(at[1]) if at else last if "end of document" in problem else None
        place = where if line_number is None else f"{where}: line {line_number}"
        raise InputError(f"{place}: {plain(re.sub(_LINE, '', problem))}") from None


def _parts(line: str) -> Iterable[int]:
    """How many dots stand in each of what may be keys: before a sign of equality, after a comma or a brace."""
    return (re.split("[,{]", part)[-1].count(".") for part in line.split("="))


class Fields:
    """The values of one TOML table, read with their types checked.

    ``where`` says whose table it is, in every error. A method raises InputError, on one line, if the key is missing
    or its value is of the wrong type or out of range; ``maybe`` wraps one for a key that may be absent. ``finish``
    then raises for a key that nobody read. ``known`` gives key names that are right somewhere: when a key is missing,
    one that is neither among them nor read, but like one that could have been, is named first.

    For example, of the table ``{"name": "X1", "memry_gb": 80}``, ``text("name")`` is "X1" and ``number("memory_gb")``
    raises "memry_gb: is not a known field; did you mean memory_gb?".
    """

    def __init__(
        self,
        table: Mapping[str, object],
        where: str,
        path: str = "",
        known: Callable[[], Collection[str]] = frozenset,
    ) -> None:
        self.where = where
        self._table = table
        self._path = path
        self._known = known
        self._read: set[str] = set()
        self._inner: list[Fields] = []

    def maybe(self, read: Callable[Concatenate[str, P], R], key: str, *args: P.args, **limits: P.kwargs) -> R | None:
        """``read(key, …)`` if the table has ``key``, else None: ``fields.maybe(fields.number, "tdp_watts")``."""
        self._read.add(key)
        return read(key, *args, **limits) if key in self._table else None

    def need(self, *keys: str) -> None:
        """Raises InputError that names all of ``keys`` that are not there, where there are several.

        A single one is named when it is read; of several of which one is written wrongly, that one is named first.
        """
        missing = [key for key in keys if key not in self._table]
        if len(missing) < 2:
            return
        known = {*keys, *self._known()}
        for other in self._table:
            if other not in known and _nearest(other, missing):
                raise self._unknown(other, missing)
        raise InputError(f"{self.where}: {', '.join(self._path + key for key in missing)}: are missing")

    def text(self, key: str, limit: int = MAX_TEXT) -> str:
        """Text of 1 to ``limit`` characters, without control characters and blanks at its ends."""
        return self._checked_text(key, self._value(key), limit)

    def texts(self, key: str, limit: int = MAX_TEXT) -> tuple[str, ...]:
        """A list of texts; empty if the key is absent."""
        return tuple(self._checked_text(key, item, limit) for item in self._list(key))

    def choice(self, key: str, allowed: Iterable[str]) -> str:
        """One of ``allowed``, as it is written there."""
        value, known = self.text(key), tuple(allowed)
        if value not in known:
            raise self.error(key, f"'{plain(value)}' is not one of {', '.join(known)}")
        return value

    def integer(self, key: str, least: int = 1, most: int = 2**62) -> int:
        """A whole number from ``least`` to ``most``."""
        value = self._value(key)
        if not isinstance(value, int) or isinstance(value, bool):
            raise self.error(key, f"must be a whole number, not {_kind(value)}")
        if not least <= value <= most:
            raise self.error(key, f"must be from {least:,} to {most:,}")
        return value

    def number(self, key: str, least: float | None = None, most: float = 1e18) -> float:
        """A finite number of at least ``least`` (above 0 if that is None) and at most ``most``."""
        return self._checked_number(key, self._value(key), least, most)

    def numbers(self, key: str, count: int, least: float | None = None, most: float = 1e18) -> tuple[float, ...]:
        """A list of exactly ``count`` numbers, each as ``number`` has it."""
        items = self._list(key)
        if len(items) != count:
            raise self.error(key, f"must be a list of {count} numbers")
        return tuple(self._checked_number(key, item, least, most) for item in items)

    def pairs(self, key: str) -> tuple[tuple[int, int], ...]:
        """A list of pairs of whole numbers, none below 0."""
        pairs = []
        for item in self._list(key):
            if not isinstance(item, list) or len(item) != 2 or not all(type(n) is int and n >= 0 for n in item):
                raise self.error(key, "must be a list of pairs of whole numbers")
            pairs.append((item[0], item[1]))
        return tuple(pairs)

    def flag(self, key: str) -> bool:
        """True or false; false if the key is absent."""
        self._read.add(key)
        value = self._table.get(key, False)
        if not isinstance(value, bool):
            raise self.error(key, f"must be true or false, not {_kind(value)}")
        return value

    def table(self, key: str) -> Fields:
        """The table under ``key``; ``finish`` of this one finishes that too."""
        return self._open(key, self._value(key), key)

    def tables(self, key: str) -> tuple[Fields, ...]:
        """The list of tables under ``key``, named ``key[0]``, ``key[1]`` … in errors; empty if the key is absent."""
        return tuple(self._open(key, item, f"{key}[{index}]") for index, item in enumerate(self._list(key)))

    def one_or_more(self, key: str) -> tuple[Fields, ...]:
        """The table under ``key``, or the tables of the list of at least one that is there instead."""
        value = self._value(key)
        if value == []:
            raise self.error(key, "must be a table, or a list of at least one")
        return self.tables(key) if isinstance(value, list) else (self.table(key),)

    def rename(self, where: str) -> None:
        """Errors from here on begin with ``where`` and the bare key."""
        self.where = where
        self._path = ""

    def __contains__(self, key: str) -> bool:
        return key in self._table

    def keys(self) -> tuple[str, ...]:
        """The table's keys as written, for a table whose keys are data. They are untrusted."""
        return tuple(self._table)

    def error(self, key: str, problem: str) -> InputError:
        """The error to raise for a value of ``key`` that is wrong in a way only the caller can see."""
        return InputError(f"{self.where}: {self._path}{plain(key)}: {problem}")

    def finish(self) -> None:
        """Raises InputError for a key that was never read, with the nearest one that could have been."""
        self.finish_own()
        for inner in self._inner:
            inner.finish()

    def finish_own(self) -> None:
        """As ``finish``, but the tables in this one are not looked at."""
        for key in self._table:
            if key not in self._read:
                raise self._unknown(key, (known for known in self._read if known not in self._table))

    def _value(self, key: str) -> object:
        self._read.add(key)
        if key in self._table:
            return self._table[key]
        known = self._known()
        absent = [name for name in {*self._read, *known} if name not in self._table]
        for other in self._table:
            if other not in self._read and other not in known and _nearest(other, absent):
                raise self._unknown(other, absent)
        raise self.error(key, "is missing")

    def _list(self, key: str) -> list[object]:
        self._read.add(key)
        value = self._table.get(key, [])
        if not isinstance(value, list):
            raise self.error(key, f"must be a list, not {_kind(value)}")
        return value

    def _open(self, key: str, value: object, name: str) -> Fields:
        if not isinstance(value, dict):
            raise self.error(key, f"must be a table, not {_kind(value)}")
        inner = Fields(value, self.where, f"{self._path}{name}.", self._known)
        self._inner.append(inner)
        return inner

    def _checked_text(self, key: str, value: object, limit: int) -> str:
        if not isinstance(value, str):
            raise self.error(key, f"must be text, not {_kind(value)}")
        if not value.strip() or value != value.strip():
            raise self.error(key, "must not be empty, nor begin or end with a blank")
        if len(value) > limit:
            raise self.error(key, f"must have at most {limit} characters")
        if plain(value, limit) != value:
            raise self.error(key, f"has a control character: '{plain(value)}'")
        return value

    def _checked_number(self, key: str, value: object, least: float | None, most: float) -> float:
        if not isinstance(value, int | float) or isinstance(value, bool):
            raise self.error(key, f"must be a number, not {_kind(value)}")
        if not (value > 0 if least is None else least <= value) or not value <= most:
            low = "above 0" if least is None else f"at least {least:g}"
            raise self.error(key, f"must be a number {low} and at most {most:g}")
        return float(value)

    def _unknown(self, key: str, known: Iterable[str]) -> InputError:
        near = _nearest(key, known)
        return self.error(key, "is not a known field" + (f"; did you mean {near}?" if near else ""))


def _kind(value: object) -> str:
    return _KINDS.get(type(value), "a date or time")


def _nearest(key: str, known: Iterable[str]) -> str | None:
    """The one of ``known`` most like ``key``, if any is like it at all."""
    from difflib import get_close_matches

    return next(iter(get_close_matches(key[:80], list(known), n=1, cutoff=0.7)), None)
