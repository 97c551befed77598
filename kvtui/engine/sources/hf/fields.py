"""Typed access to the JSON object of a Hugging Face config.json.

Every error names the file and the field. A field that is not there has the default of the model type's configuration
class, where that is known (``classes``), and the reader remembers that it was used; ``null`` is no value, as the
classes have it. The reader also remembers which fields were asked for: a field that nobody read and whose name speaks
of another kind of cache means that the model is not understood, and no number may be given for it.

A field may have several names: GPT-2 calls hidden_size ``n_embd``. A reader asks for the usual one.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from math import isfinite
from typing import TypeVar

from kvtui.engine.basis.errors import InputError
from kvtui.engine.basis.json_object import shown
from kvtui.engine.basis.untrusted import plain
from kvtui.engine.sources.hf.classes import NO_CLASS, ConfigClass, class_of
from kvtui.engine.sources.hf.hints import CACHE_HINTS, HARMLESS, OTHERS, WEIGHT_HINTS, Hint, meaning

LAYERS = 1024
DIM = 2**24
VOCAB = 2**31
CONTEXT = 2**40

T = TypeVar("T")

_UNSET: tuple[object, ...] = (None, False, 0, "", [], {})

Flag = bool | tuple[str, bool]
"""What a model type fixes, or the field that says it and the class default of that field."""


class Config:
    """One JSON object, its fields read with their types and ranges checked.

    ``where`` is the file as shown in errors and ``prefix`` the path of this object in it. ``model_type`` is the type
    that reads it, ``of`` its configuration class, whose defaults stand for fields that are not there; those that were
    used and are set are in ``defaulted``. ``notes`` collects what the user should know, ``uncounted`` why the
    parameters cannot be counted.
    """

    def __init__(
        self,
        values: Mapping[str, object],
        where: str,
        prefix: str = "",
        model_type: str = "",
        of: ConfigClass = NO_CLASS,
    ) -> None:
        self.where = where
        self.model_type = model_type
        self.prefix = prefix
        self.notes: list[str] = []
        self.uncounted: list[str] = []
        self.defaulted: list[str] = []
        self.values = values
        self.of = of
        self._read: set[str] = set()

    def error(self, field: str, problem: str) -> InputError:
        """The error for ``field`` of this object."""
        return InputError(f"{self.where}: {self.prefix}{field}: {problem}")

    def stated(self, field: str) -> bool:
        """Whether the field is there, be it null, or the class has it."""
        return any(name in self.values for name in self.of.names(field)) or field in self.of.defaults

    def need(self, *fields: str) -> None:
        """Raises InputError unless each of ``fields`` is there, be it null, or in the class."""
        for field in fields:
            if not self.stated(field):
                raise self.error(field, "is missing")

    def need_to_count(self, *fields: str) -> None:
        """Leaves the weights uncounted unless one of ``fields`` is there, be it null."""
        if not any(self.stated(field) for field in fields):
            self.uncounted.append(f"{self.prefix}{fields[0]} is missing")

    def raw(self, field: str) -> object:
        """The value as parsed, under any of the field's names; the class's default if absent, None if null.

        Raises InputError where two names have different values.
        """
        names = self.of.names(field)
        self._read.update(names)
        there = [name for name in names if name in self.values]
        if not there:
            there = [name for name in self.of.usual_names(field) if name in self.values]
            self._read.update(there)
        for name in there[1:]:
            if self.values[name] != self.values[there[0]]:
                first = f"{self.prefix}{there[0]} {shown(self.values[there[0]])}"
                raise self.error(name, f"{shown(self.values[name])} contradicts {first}, another name of it")
        if there:
            return self.values[there[0]]
        return self._default(field)

    def _default(self, field: str) -> object:
        value = self.of.defaults.get(field)
        if value not in _UNSET and not {*self.of.names(field), *self.of.usual_names(field)} & set(self.defaulted):
            self.defaulted.append(field)
        return value

    def ignore(self, *fields: str) -> None:
        """Marks ``fields`` as understood: they do not change what is cached."""
        for field in fields:
            self._read.update(self.of.names(field))

    def maybe(self, *fields: str, least: int = 1, most: int = DIM) -> int | None:
        """The whole number under the first of ``fields`` that is set; all that are set must agree.

        Raises InputError for a ``stray`` one.
        """
        there = [field for field in fields if self._in_file(field)]
        stray = self.stray(*fields)
        if stray is not None:
            raise self.error(stray, f"is no field of model_type {plain(self.model_type, 60)}")
        found = [(field, value) for field in there or fields if (value := self.raw(field)) is not None]
        found = found if there else found[:1]
        for field, value in found:
            if type(value) is not int:
                raise self.error(field, f"{shown(value)} is not a whole number")
            if not least <= value <= most:
                raise self.error(field, f"{shown(value)} is out of range ({least} to {most:,})")
            if value != found[0][1]:
                first = f"{self.prefix}{found[0][0]}"
                raise self.error(field, f"{value} contradicts {first} {shown(found[0][1])}")
        number = found[0][1] if found else None
        assert number is None or isinstance(number, int)
        return number

    def stray(self, *fields: str) -> str | None:
        """The one of ``fields`` that stands where the class has another of them, and says something else than that.

        A Kimi Linear without num_experts has 256 experts, and n_routed_experts is no field of its class: 256 changes
        nothing, and of 64 it cannot be told whether they are meant.
        """
        own = [field for field in fields if field in self.of.defaults]
        there = [field for field in fields if self._in_file(field)]
        if not own or not there or set(own) & set(there):
            return None
        return next((field for field in there if self.values[field] != self.of.defaults[own[0]]), None)

    def _in_file(self, field: str) -> bool:
        names = self.of.names(field)
        self._read.update(names)
        return any(name in self.values for name in (*names, *self.of.usual_names(field)))

    def count(self, *fields: str, least: int = 1, most: int = DIM) -> int:
        """As ``maybe``, but one of ``fields`` must be set."""
        value = self.maybe(*fields, least=least, most=most)
        if value is None:
            raise self.error(fields[0], "is missing")
        return value

    def weight(self, *fields: str, least: int = 1, most: int = DIM) -> int:
        """As ``maybe``, for a number that only the weights depend on: without it they are not counted, and it is 0."""
        stray = self.stray(*fields)
        if stray is not None:
            self.uncounted.append(f"{self.prefix}{stray} is no field of model_type {plain(self.model_type, 60)}")
            return 0
        value = self.maybe(*fields, least=least, most=most)
        if value is None:
            self.uncounted.append(f"{self.prefix}{fields[0]} is missing")
        return value or 0

    def flag(self, field: str, default: bool = False) -> bool:
        """True or false; ``default`` if absent. A null is no truth for a class, which has its own default."""
        value = self.raw(field)
        if value is None:
            return default and not (self._in_file(field) and self.of is not NO_CLASS)
        if not isinstance(value, bool):
            raise self.error(field, f"{shown(value)} is not true or false")
        return value

    def on(self, flag: Flag) -> bool:
        """What ``flag`` says for this config."""
        return flag if isinstance(flag, bool) else self.flag(*flag)

    def text(self, field: str) -> str | None:
        """The text under ``field``, untrusted."""
        value = self.raw(field)
        if value is not None and not isinstance(value, str):
            raise self.error(field, f"{shown(value)} is not text")
        return value

    def number(self, field: str, default: float) -> float:
        """A finite number above 0 and at most 2**24; ``default`` if absent."""
        value = self.raw(field)
        if value is None:
            return default
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise self.error(field, f"{shown(value)} is not a number")
        if not 0 < value <= DIM or not isfinite(value):
            raise self.error(field, f"{shown(value)} is out of range (above 0, at most {DIM:,})")
        return float(value)

    def numbers(self, field: str, least: int = 0, most: int = DIM) -> tuple[int, ...] | None:
        """A list of whole numbers, at most as many as there can be layers."""
        items = self._items(field)
        if items is None:
            return None
        for item in items:
            if type(item) is not int or not least <= item <= most:
                raise self.error(field, f"{shown(item)} is not a whole number from {least} to {most:,}")
        return tuple(item for item in items if isinstance(item, int))

    def words(self, field: str) -> tuple[str, ...] | None:
        """A list of texts, untrusted."""
        items = self._items(field)
        if items is None:
            return None
        for item in items:
            if not isinstance(item, str):
                raise self.error(field, f"{shown(item)} is not text")
        return tuple(item for item in items if isinstance(item, str))

    def choices(self, field: str, known: Mapping[str, T], length: int | None = None) -> tuple[T, ...] | None:
        """A list of texts, each as ``known`` translates it, with ``length`` entries."""
        words = self.words(field)
        if words is None:
            return None
        for word in words:
            if word not in known:
                raise self.error(field, f"'{plain(word, 40)}' is not understood; known are {', '.join(known)}")
        if length is not None and len(words) != length:
            raise self.error(field, f"has {len(words)} entries for {length} layers")
        return tuple(known[word] for word in words)

    def indices(self, field: str, layers: int, first: int = 0) -> tuple[int, ...] | None:
        """Different layer numbers, counted from ``first``."""
        numbers = self.numbers(field)
        for number in numbers or ():
            if not first <= number < layers + first:
                raise self.error(field, f"{number} is not a layer ({first} to {layers + first - 1})")
        if numbers is not None and len(set(numbers)) != len(numbers):
            raise self.error(field, "names a layer twice")
        return numbers

    def indices_of(self, field: str, layers: int) -> tuple[int, ...] | None:
        """A layer number for each of ``layers`` layers, none above the layer's own."""
        numbers = self.numbers(field)
        if numbers is not None and len(numbers) != layers:
            raise self.error(field, f"has {len(numbers)} entries for {layers} layers")
        for layer, number in enumerate(numbers or ()):
            if number > layer or (numbers or ())[number] != number:
                raise self.error(field, f"layer {layer} cannot read layer {number}, which keeps nothing of its own")
        return numbers

    def inner(self, field: str) -> Config | None:
        """The object under ``field``; what it notes and cannot count is this object's."""
        value = self.raw(field)
        return None if value is None else self._open(value, field)

    def inners(self, field: str) -> tuple[Config, ...] | None:
        """The list of objects under ``field``."""
        items = self._items(field)
        return None if items is None else tuple(self._open(item, f"{field}[{i}]") for i, item in enumerate(items))

    def part(self, field: str) -> Config:
        """The object under ``field``, empty if absent, that is a model of its own: with a type and a class.

        An object that does not say its model_type has the one that the class of this object gives it, else this one's.
        """
        value = self.raw(field)
        inner = self._open({} if value is None else value, field)
        kind = inner.text("model_type") or self.of.parts.get(field) or self.model_type
        of = class_of(kind) or NO_CLASS
        if value is None and field in self.of.absent:
            of = replace(of, defaults={**of.defaults, **self.of.absent[field]})
        return Config(inner.values, self.where, inner.prefix, kind, of)

    def sharing(self, other: Config) -> Config:
        """This object, with what ``other`` has noted and has read."""
        self.notes, self.uncounted, self.defaulted = other.notes, other.uncounted, other.defaulted
        self._read = other._read
        return self

    def cache_hints(self, except_for: tuple[str, ...] = ()) -> list[str]:
        """Set fields that nobody read and that speak of a cache, such as ``sliding_window=4096 (a sliding window)``."""
        found = (hint for hint in self._unread(CACHE_HINTS) if hint[0] not in except_for)
        return [f"{plain(self.prefix + field)}={shown(value)} ({what})" for field, value, what in found]

    def strange(self) -> list[str]:
        """Numbers, lists and objects that nobody read and that no rule calls harmless, such as ``num_stages=4``.

        0 and 1 change nothing, nor do fractions, texts and flags whose names speak of nothing.
        """
        return [
            f"{plain(self.prefix + field)}={shown(value)}"
            for field, value in self.values.items()
            if field not in self._read
            and ((type(value) is int and value > 1) or (isinstance(value, list | dict) and value))
            and not HARMLESS.search(field)
            and not OTHERS.search(field)
            and meaning(field, CACHE_HINTS) is None
        ]

    def weight_hints(self) -> list[str]:
        """Set fields that nobody read and that may change the number of weights, such as ``num_experts (experts)``.

        Texts and fractions never do.
        """
        found = self._unread(WEIGHT_HINTS)
        kept = ((field, what) for field, value, what in found if not isinstance(value, str | float))
        return [f"{plain(self.prefix + field)} ({what})" for field, what in kept]

    def _unread(self, hints: tuple[Hint, ...]) -> Iterator[tuple[str, object, str]]:
        """Name, value and meaning of every set field that nobody read and that one of ``hints`` is found in."""
        for field, value in self.values.items():
            if field not in self._read and value not in _UNSET:
                what = meaning(field, hints)
                if what is not None:
                    yield field, value, what

    def _items(self, field: str) -> list[object] | None:
        value = self.raw(field)
        if value is None:
            return None
        if not isinstance(value, list):
            raise self.error(field, f"{shown(value)} is not a list")
        if len(value) > 2 * LAYERS:
            raise self.error(field, f"has {len(value):,} entries; at most {2 * LAYERS:,} are read")
        return value

    def _open(self, value: object, name: str) -> Config:
        if not isinstance(value, dict):
            raise self.error(name, f"{shown(value)} is not an object")
        inner = Config(value, self.where, f"{self.prefix}{name}.")
        inner.notes, inner.uncounted, inner.defaulted = self.notes, self.uncounted, self.defaulted
        return inner
