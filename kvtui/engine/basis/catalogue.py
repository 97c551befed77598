"""Catalogues of named things kept as TOML: what the package knows, and what the user adds or replaces.

A packaged file is a list of ``[[what]]`` tables, each header on a line of its own. The text is cut at those lines,
and an entry is parsed when it is asked for: parsing everything would cost more than the rest of a start-up. This
needs the packaged files (not the user's) to write ``name``, ``id`` and ``aliases`` at the start of a line, with
double-quoted strings without escapes, before any sub-table.

A user's file of the same name in the configuration folder is read and checked whole. Its entries come after the
packaged ones; one with a packaged entry's name replaces it, under all of its aliases. Where a user's name or alias
is also a packaged entry's, the user's wins. An entry that is wrong is in no list, and who asks for it by name hears
what is wrong; all others are there. For example, with a ``[[device]]`` named "H100 SXM" in the user's
``devices.toml``, that is what ``--gpu h100-sxm`` finds.
"""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Callable, Iterable, Mapping
from functools import cache, lru_cache, partial
from typing import Generic, NamedTuple, NoReturn, TypeVar

from kvtui.engine.basis.errors import InputError, UnknownName
from kvtui.engine.basis.files import read_text, unreadable
from kvtui.engine.basis.places import DATA, config_dir
from kvtui.engine.basis.tables import Fields, parse_toml
from kvtui.engine.basis.untrusted import plain

MAX_FILE_BYTES = 4 * 2**20

T = TypeVar("T")

_NAME = r'\n(?:(?:name|id) *= *"([^"]*)"|aliases *= *\[([^\]]*)\])'
_KEY = r"(?m)(?:^|[{,.])\s*([A-Za-z_][A-Za-z0-9_]*)\s*(?=[=.])"
_QUOTED = r'"([^"]*)"'
_SEPARATORS = str.maketrans("", "", " -_.:")
_WORD_BREAKS = str.maketrans(" _", "--")


def _look_up_key(name: str) -> str:
    """``name`` as look-ups compare it: without case, spaces, hyphens, underscores, dots and colons."""
    return name.casefold().translate(_SEPARATORS)


class _Named(NamedTuple, Generic[T]):
    """One thing: its names, the chief one first, and how to get it; ``wrong`` is what a user's entry has wrong."""

    names: tuple[str, ...]
    load: Callable[[], T]
    wrong: InputError | None = None


class Catalogue(Generic[T]):
    """Things of one kind, looked up by name.

    ``what`` is the noun and the TOML table's name ("device"), ``file`` the file's name in the package's data folder
    and in the configuration folder, ``build`` makes a thing of a table, reading ``name`` and, if it has them, ``id``
    and ``aliases``. Every method raises InputError if the user's file is no TOML, or has two entries of one name.
    """

    def __init__(self, what: str, file: str, build: Callable[[Fields], T]) -> None:
        self._what = what
        self._file = file
        self._build = build
        self._chunks = cache(self._cut_packaged)
        self._thing = cache(self._read_chunk)
        self._packaged = cache(self._read_packaged)
        self._entries = lru_cache(maxsize=1)(self._merge)
        self._chiefs = lru_cache(maxsize=1)(self._name_by_key)

    def names(self) -> tuple[str, ...]:
        """All names, aliases left out, in the catalogue's order."""
        return tuple(entry.names[0] for entry in self._right())

    def labels(self) -> tuple[tuple[str, ...], ...]:
        """The names of each thing, aliases after its own, in the catalogue's order."""
        return tuple(entry.names for entry in self._right())

    def all(self) -> tuple[T, ...]:
        """All things, in the catalogue's order."""
        return tuple(entry.load() for entry in self._right())

    def wrong(self) -> tuple[str, ...]:
        """What is wrong in the user's file, a line for each entry that was left out."""
        return tuple(str(entry.wrong) for entry in self._shelf()[0] if entry.wrong is not None)

    def find(self, name: str) -> T:
        """The thing that ``get`` gives. Raises UnknownName where there is none."""
        found = self.get(name)
        if found is None:
            raise UnknownName(self._what, name, self.names())
        return found

    def get(self, name: str) -> T | None:
        """The thing of that name, id or alias, or the only one whose name begins so; None where there is none.

        Case, spaces, hyphens, underscores and dots do not matter: ``h100 sxm`` finds H100-SXM. A beginning ends where a
        word of the name does: ``Kimi-Linear`` finds Kimi-Linear-48B-A3B. Where nothing is found and the user's file has
        an entry whose name cannot be read, that is what is wrong.
        """
        exact = self._packaged_exactly(name)
        if exact is not None:
            return self._thing(exact)
        entries, index = self._shelf()
        entry = index.get(_look_up_key(name)) or _only_beginning(name, entries)
        entry = entry or next((entry for entry in entries if not entry.names), None)
        return None if entry is None else entry.load()

    def keys(self) -> Mapping[str, str]:
        """The name of each thing by all of its names as look-ups compare them: ``h100sxm`` leads to H100 SXM."""
        path = os.path.join(config_dir(), self._file)
        return self._chiefs(path, _stamp(path))

    def beginning(self, name: str) -> tuple[str, ...]:
        """The names of all things one of whose names begins with ``name``, in order; case and spaces do not matter."""
        wanted = _look_up_key(name)
        return tuple(
            entry.names[0]
            for entry in self._right()
            if any(_look_up_key(known.rpartition("/")[2]).startswith(wanted) for known in entry.names)
        )

    def _right(self) -> Iterable[_Named[T]]:
        return (entry for entry in self._shelf()[0] if entry.wrong is None)

    def _shelf(self) -> tuple[tuple[_Named[T], ...], dict[str, _Named[T]]]:
        path = os.path.join(config_dir(), self._file)
        return self._entries(path, _stamp(path))

    def _merge(self, path: str, stamp: object) -> tuple[tuple[_Named[T], ...], dict[str, _Named[T]]]:
        """Entries in order, and by key; ``stamp`` tells one state of the file at ``path`` from another."""
        packaged = self._packaged()
        if stamp is None:
            return packaged, self._index(packaged, self._file)
        own = self._parse(read_text(path, MAX_FILE_BYTES), _shown(path))
        own_index = self._index(own, _shown(path))
        replaced = {_look_up_key((*entry.names, f"\n{at}")[0]): entry for at, entry in enumerate(own)}
        kept = tuple(replaced.pop(_look_up_key(entry.names[0]), entry) for entry in packaged)
        index: dict[str, _Named[T]] = {}
        for before, now in zip(packaged, kept, strict=True):
            index |= {_look_up_key(name): now for name in before.names}
        return kept + tuple(replaced.values()), index | own_index

    def _name_by_key(self, path: str, stamp: object) -> Mapping[str, str]:
        return {key: entry.names[0] for key, entry in self._entries(path, stamp)[1].items()}

    def _packaged_exactly(self, name: str) -> str | None:
        """The packaged entry whose chief name is ``name`` to the letter, found without indexing the rest.

        None where there is no such entry, or the user has a file that may replace it.
        """
        if _stamp(os.path.join(config_dir(), self._file)) is not None:
            return None
        line = f'\nname = "{name}"\n'
        return next((chunk for chunk in self._chunks() if line in chunk), None)

    def _cut_packaged(self) -> tuple[str, ...]:
        """The text of every packaged entry without its header; a thing is made of it when it is first asked for."""
        header = f"[[{self._what}]]"
        with open(os.path.join(DATA, self._file), encoding="utf-8") as file:
            _, *chunks = f"\n{file.read()}".split(f"\n{header}")
        return tuple(chunks)

    def _key_names(self) -> frozenset[str]:
        """The names of all keys in the packaged file."""
        return frozenset(key for chunk in self._chunks() for key in re.findall(_KEY, chunk))

    def _read_packaged(self) -> tuple[_Named[T], ...]:
        return tuple(_Named(_names_in(chunk), partial(self._thing, chunk)) for chunk in self._chunks())

    def _read_chunk(self, chunk: str) -> T:
        return self._parse(f"[[{self._what}]]{chunk}", self._file)[0].load()

    def _parse(self, text: str, where: str) -> tuple[_Named[T], ...]:
        """The entries in TOML ``text``. ``where`` is the file's name, fit to be shown."""
        document = Fields(parse_toml(text, where), where, known=self._key_names)
        entries = document.tables(self._what)
        document.finish_own()
        return tuple(
            self._entry(fields, f"{where}: {self._what}", number) for number, fields in enumerate(entries, start=1)
        )

    def _entry(self, fields: Fields, where: str, number: int) -> _Named[T]:
        """The thing of one table, or what is wrong with it under the names that could be read."""
        names: list[str] = []
        try:
            fields.rename(f"{where} {number}")
            names.append(fields.text("name"))
            fields.rename(f"{where} '{plain(names[0])}'")
            thing = self._build(fields)
            other = fields.maybe(fields.text, "id")
            names += [*((other,) if other else ()), *fields.texts("aliases")]
            fields.finish()
        except InputError as error:
            return _Named(tuple(names), partial(_refuse, error), error)
        return _Named(tuple(names), partial(_same, thing))

    def _index(self, entries: Iterable[_Named[T]], where: str) -> dict[str, _Named[T]]:
        """Entries by the key of each of their names. Raises InputError for a name that two of them have."""
        index: dict[str, _Named[T]] = {}
        for entry in entries:
            for name in entry.names:
                key = _look_up_key(name)
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


def _refuse(error: InputError) -> NoReturn:
    raise error


def _names_in(chunk: str) -> tuple[str, ...]:
    """Name, id and aliases of a packaged entry, without parsing it."""
    head = chunk.partition("\n[")[0]
    return tuple(
        name
        for plain_name, aliases in re.findall(_NAME, head)
        for name in ([plain_name] if plain_name else re.findall(_QUOTED, aliases))
    )


def _stamp(path: str) -> tuple[int, int, int] | None:
    """What changes when the file at ``path`` does; None if there is none. Raises InputError if it is no file."""
    try:
        found = os.stat(path)
    except FileNotFoundError:
        return None
    except (OSError, ValueError) as error:
        raise unreadable(path, error) from None
    if not stat.S_ISREG(found.st_mode):
        raise InputError(f"{_shown(path)}: is not a regular file")
    return found.st_ino, found.st_size, found.st_mtime_ns


def _shown(path: str) -> str:
    return plain(path, limit=400)
