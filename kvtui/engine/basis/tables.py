"""Catalogues of named things kept as TOML: what the package knows, and what the user adds or replaces.

A packaged file is a list of ``[[what]]`` tables, each header on a line of its own. The text is cut at those lines,
and an entry is parsed when it is asked for: parsing everything would cost more than the rest of a start-up. This
needs the packaged files (not the user's) to write ``name``, ``id`` and ``aliases`` at the start of a line, with
double-quoted strings without escapes, before any sub-table.

A user's file of the same name in the configuration folder is read and checked whole. Its entries come after the
packaged ones; one with a packaged entry's name replaces it, under all of its aliases. Where a user's name or alias
is also a packaged entry's, the user's wins.
"""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Callable, Collection, Iterable, Mapping
from functools import cache, lru_cache, partial
from typing import Concatenate, Generic, NamedTuple, ParamSpec, TypeVar

from kvtui.engine.basis.errors import InputError, UnknownName
from kvtui.engine.basis.places import DATA, config_dir
from kvtui.engine.basis.untrusted import plain

MAX_FILE_BYTES = 4 * 2**20
MAX_TEXT = 500

T = TypeVar("T")
R = TypeVar("R")
P = ParamSpec("P")

_NAME = r'\n(?:(?:name|id) *= *"([^"]*)"|aliases *= *\[([^\]]*)\])'
_KEY = r"(?m)(?:^|[{,.])\s*([A-Za-z_][A-Za-z0-9_]*)\s*(?=[=.])"
_QUOTED = r'"([^"]*)"'
_TOML_LINE = r" \(at line ([0-9]+), column [0-9]+\)$"
_SEPARATORS = str.maketrans("", "", " -_.")
_WORD_BREAKS = str.maketrans(" _", "--")
_KINDS = {
    str: "text",
    bool: "true or false",
    int: "a number",
    float: "a number with a fraction",
    list: "a list",
    dict: "a table",
}


def look_up_key(name: str) -> str:
    """``name`` as look-ups compare it: without case, spaces, hyphens, underscores and dots."""
    return name.casefold().translate(_SEPARATORS)


class Fields:
    """The values of one TOML table, read with their types checked.

    ``where`` says whose table it is, in every error. A method raises InputError, on one line, if the key is missing
    or its value is of the wrong type or out of range; ``maybe`` wraps one for a key that may be absent. ``finish``
    then raises for a key that nobody read. ``known`` gives key names that are right somewhere: when a key is missing,
    one that is neither among them nor read, but like one that could have been, is named first.
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

    def keys(self) -> tuple[str, ...]:
        """The table's keys as written, for a table whose keys are data. They are untrusted."""
        return tuple(self._table)

    def error(self, key: str, problem: str) -> InputError:
        """The error to raise for a value of ``key`` that is wrong in a way only the caller can see."""
        return InputError(f"{self.where}: {self._path}{plain(key)}: {problem}")

    def finish(self) -> None:
        """Raises InputError for a key that was never read, with the nearest one that could have been."""
        for key in self._table:
            if key not in self._read:
                raise self._unknown(key, (known for known in self._read if known not in self._table))
        for inner in self._inner:
            inner.finish()

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


class _Named(NamedTuple, Generic[T]):
    """One thing: its names, the chief one first, and how to get it."""

    names: tuple[str, ...]
    load: Callable[[], T]


class Catalog(Generic[T]):
    """Things of one kind, looked up by name.

    ``what`` is the noun and the TOML table's name ("device"), ``file`` the file's name in the package's data folder
    and in the configuration folder, ``build`` makes a thing of a table, reading ``name`` and, if it has them, ``id``
    and ``aliases``. Every method raises InputError if the user's file is wrong.
    """

    def __init__(self, what: str, file: str, build: Callable[[Fields], T]) -> None:
        self._what = what
        self._file = file
        self._build = build
        self._chunks = cache(self._cut_packaged)
        self._packaged = cache(self._read_packaged)
        self._entries = lru_cache(maxsize=1)(self._merge)

    def names(self) -> tuple[str, ...]:
        """All names, aliases left out, in the catalogue's order."""
        return tuple(entry.names[0] for entry in self._shelf()[0])

    def all(self) -> tuple[T, ...]:
        """All things, in the catalogue's order."""
        return tuple(entry.load() for entry in self._shelf()[0])

    def find(self, name: str) -> T:
        """The thing of that name, id or alias, compared by ``look_up_key``, or the only one whose name begins so.

        A beginning ends where a word of the name does: ``Kimi-Linear`` finds Kimi-Linear-48B-A3B. Raises UnknownName.
        """
        exact = self._packaged_exactly(name)
        if exact is not None:
            return exact()
        entries, index = self._shelf()
        entry = index.get(look_up_key(name)) or _only_beginning(name, entries)
        if entry is None:
            raise UnknownName(self._what, name, self.names())
        return entry.load()

    def _shelf(self) -> tuple[tuple[_Named[T], ...], dict[str, _Named[T]]]:
        path = os.path.join(config_dir(), self._file)
        return self._entries(path, _stamp(path))

    def _merge(self, path: str, stamp: object) -> tuple[tuple[_Named[T], ...], dict[str, _Named[T]]]:
        """Entries in order, and by key; ``stamp`` tells one state of the file at ``path`` from another."""
        packaged = self._packaged()
        if stamp is None:
            return packaged, self._index(packaged, self._file)
        own = self._read_own(path)
        own_index = self._index(own, _shown(path))
        replaced = {look_up_key(entry.names[0]): entry for entry in own}
        kept = tuple(replaced.pop(look_up_key(entry.names[0]), entry) for entry in packaged)
        index: dict[str, _Named[T]] = {}
        for before, now in zip(packaged, kept, strict=True):
            index |= {look_up_key(name): now for name in before.names}
        return kept + tuple(replaced.values()), index | own_index

    def _packaged_exactly(self, name: str) -> Callable[[], T] | None:
        """The loader of the packaged entry whose chief name is ``name`` to the letter, found without indexing the rest.

        None where there is no such entry, or the user has a file that may replace it.
        """
        if _stamp(os.path.join(config_dir(), self._file)) is not None:
            return None
        line = f'\nname = "{name}"\n'
        return next((load for chunk, load in self._chunks() if line in chunk), None)

    def _cut_packaged(self) -> tuple[tuple[str, Callable[[], T]], ...]:
        """The text of every packaged entry, and what makes a thing of it when it is first asked for."""
        header = f"[[{self._what}]]"
        with open(os.path.join(DATA, self._file), encoding="utf-8") as file:
            _, *chunks = f"\n{file.read()}".split(f"\n{header}")
        return tuple((chunk, cache(self._loader(header + chunk))) for chunk in chunks)

    def _key_names(self) -> frozenset[str]:
        """The names of all keys in the packaged file."""
        return frozenset(key for chunk, _ in self._chunks() for key in re.findall(_KEY, chunk))

    def _read_packaged(self) -> tuple[_Named[T], ...]:
        return tuple(_Named(_names_in(chunk), load) for chunk, load in self._chunks())

    def _loader(self, chunk: str) -> Callable[[], T]:
        return lambda: self._parse(chunk, self._file)[0][1]

    def _read_own(self, path: str) -> tuple[_Named[T], ...]:
        read = self._parse(_read_limited(path), _shown(path))
        return tuple(_Named(names, partial(_same, thing)) for names, thing in read)

    def _parse(self, text: str, where: str) -> list[tuple[tuple[str, ...], T]]:
        """The things in TOML ``text``, each with its names. ``where`` is the file's name, fit to be shown."""
        document = Fields(_parse_toml(text, where), where, known=self._key_names)
        found = []
        for number, fields in enumerate(document.tables(self._what), start=1):
            fields.rename(f"{where}: {self._what} {number}")
            name = fields.text("name")
            fields.rename(f"{where}: {self._what} '{plain(name)}'")
            thing = self._build(fields)
            fields.finish()
            other = fields.maybe(fields.text, "id")
            found.append(((name, *((other,) if other else ()), *fields.texts("aliases")), thing))
        document.finish()
        return found

    def _index(self, entries: Iterable[_Named[T]], where: str) -> dict[str, _Named[T]]:
        """Entries by the key of each of their names. Raises InputError for a name that two of them have."""
        index: dict[str, _Named[T]] = {}
        for entry in entries:
            for name in entry.names:
                key = look_up_key(name)
                owner = index.setdefault(key, entry)
                if not key or owner is not entry:
                    problem = f"is already a name of '{plain(owner.names[0])}'" if key else "has no letter or digit"
                    raise InputError(f"{where}: {self._what} '{plain(entry.names[0])}': '{plain(name)}' {problem}")
        return index


def _only_beginning(name: str, entries: Iterable[_Named[T]]) -> _Named[T] | None:
    wanted = _words(name)
    found = [entry for entry in entries if any(_words(known).startswith(wanted) for known in entry.names)]
    return found[0] if len(found) == 1 else None


def _words(name: str) -> str:
    return name.rpartition("/")[2].casefold().translate(_WORD_BREAKS).strip("-") + "-"


def _same(thing: T) -> T:
    return thing


def _names_in(chunk: str) -> tuple[str, ...]:
    """Name, id and aliases of a packaged entry, without parsing it."""
    head = chunk.partition("\n[")[0]
    return tuple(
        name
        for plain_name, aliases in re.findall(_NAME, head)
        for name in ([plain_name] if plain_name else re.findall(_QUOTED, aliases))
    )


def _parse_toml(text: str, where: str) -> dict[str, object]:
    from tomllib import loads

    try:
        return loads(text)
    except RecursionError:
        raise InputError(f"{where}: values are nested too deeply") from None
    except ValueError as error:
        problem = str(error)
        at = re.search(_TOML_LINE, problem)
        last = text.rstrip("\n").count("\n") + 1
        line = int(at[1]) if at else last if "end of document" in problem else None
        place = where if line is None else f"{where}: line {line}"
        raise InputError(f"{place}: {plain(re.sub(_TOML_LINE, '', problem))}") from None


def _stamp(path: str) -> tuple[int, int, int] | None:
    """What changes when the file at ``path`` does; None if there is none. Raises InputError if it is no file."""
    try:
        found = os.stat(path)
    except FileNotFoundError:
        return None
    except (OSError, ValueError) as error:
        raise _unreadable(path, error) from None
    if not stat.S_ISREG(found.st_mode):
        raise InputError(f"{_shown(path)}: is not a regular file")
    return found.st_ino, found.st_size, found.st_mtime_ns


def _read_limited(path: str) -> str:
    try:
        with open(path, "rb") as file:
            data = file.read(MAX_FILE_BYTES + 1)
    except OSError as error:
        raise _unreadable(path, error) from None
    if len(data) > MAX_FILE_BYTES:
        raise InputError(f"{_shown(path)}: is larger than {MAX_FILE_BYTES // 2**20} MiB")
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise InputError(f"{_shown(path)}: line {line}: is not UTF-8 text") from None


def _shown(path: str) -> str:
    return plain(path, limit=400)


def _unreadable(path: str, error: Exception) -> InputError:
    reason = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
    return InputError(f"{_shown(path)}: cannot be read: {plain(reason)}")


def _kind(value: object) -> str:
    return _KINDS.get(type(value), "a date or time")


def _nearest(key: str, known: Iterable[str]) -> str | None:
    """The one of ``known`` most like ``key``, if any is like it at all."""
    from difflib import get_close_matches

    return next(iter(get_close_matches(key[:80], list(known), n=1, cutoff=0.7)), None)
