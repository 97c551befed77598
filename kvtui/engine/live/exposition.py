"""Metrics in Prometheus' text format: the samples of the names that are wanted, whatever else the text holds.

Prometheus' own parser reads the lines. One line that it refuses costs that line, not the whole text.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping
from functools import lru_cache
from math import isfinite
from typing import NamedTuple

MOST_LINES = 20_000
LONGEST_LINE = 16_384
LONGEST_KEPT = 1000
PREFIX = 5
_NAME_ENDS = "{ \t"
_NUMBER = frozenset("0123456789.+-eE")


class PromSample(NamedTuple):
    """One sample: a ``name`` with its suffix, such as ``_total`` or ``_bucket``, labels, and a finite value."""

    name: str
    labels: Mapping[str, str]
    value: float


class Exposition(NamedTuple):
    """The samples that were wanted, and how many lines of them were ``refused``."""

    metrics: tuple[PromSample, ...]
    refused: int


def read_exposition(text: str, wanted: Collection[str]) -> Exposition:
    """The samples in ``text`` with a name in ``wanted``. At most MOST_LINES of them are read.

    Example: of ``a{b="c"} 1`` and ``d 2``, the wanted ``a`` is ``PromSample("a", {"b": "c"}, 1.0)``.
    """
    lines: list[str] = []
    refused = 0
    for line in _beginning_as(text, {name[:PREFIX] for name in wanted}):
        if _name(line) not in wanted:
            continue
        if len(line) > LONGEST_LINE or len(lines) >= MOST_LINES:
            refused += 1
            continue
        lines.append(line)
    metrics: list[PromSample] = []
    for line in lines:
        try:
            metrics += _sample(line)
        except ValueError:
            refused += 1
    return Exposition(tuple(metrics), refused)


def names_in(text: str) -> Iterator[str]:
    """The names of the samples and of the types that ``text`` declares, each as often as it comes."""
    for line in text.split("\n")[:MOST_LINES]:
        if line.startswith("# TYPE "):
            yield line[7:].partition(" ")[0][:200]
        elif line and not line.startswith("#"):
            yield _name(line)[:200]


def _beginning_as(text: str, starts: Collection[str]) -> Iterator[str]:
    """The lines of ``text`` that begin with one of ``starts``, without a look at the others, which may be millions."""
    text = f"\n{text}"
    for start in starts:
        place = text.find(f"\n{start}")
        while place >= 0:
            end = text.find("\n", place + 1)
            yield text[place + 1 :] if end < 0 else text[place + 1 : end]
            place = -1 if end < 0 else text.find(f"\n{start}", end)


def _name(line: str) -> str:
    end = min((place for place in map(line.find, _NAME_ENDS) if place >= 0), default=len(line))
    return line[:end]


def _sample(line: str) -> Iterable[PromSample]:
    """The sample of one ``line``. Raises ValueError for what is none.

    From one look at a server to the next only values change: what stands before them is parsed once.
    """
    end = line.rfind("}") + 1 or line.find(" ")
    series, value = line[:end], line[end:].strip()
    if end <= 0 or len(series) > LONGEST_KEPT or not value or not set(value) <= _NUMBER:
        return tuple(_parsed(line))
    name, labels = _series(series)
    number = float(value)
    return (PromSample(name, labels, number),) if isfinite(number) else ()


@lru_cache(maxsize=4096)
def _series(text: str) -> tuple[str, Mapping[str, str]]:
    """Name and labels of what stands before a value. Raises ValueError for what is none."""
    found = next(iter(_parsed(f"{text} 0")), None)
    if found is None:
        raise ValueError(text)
    return found.name, found.labels


def _parsed(line: str) -> Iterator[PromSample]:
    """What Prometheus' parser makes of ``line``. Raises ValueError for what is none."""
    from prometheus_client.parser import text_string_to_metric_families

    try:
        for family in text_string_to_metric_families(f"{line}\n"):
            for name, labels, value, *_ in family.samples:
                number = float(value)
                if isfinite(number):
                    yield PromSample(name, labels, number)
    except (IndexError, KeyError, TypeError, AttributeError, OverflowError, RecursionError) as error:
        raise ValueError(str(error)) from None
