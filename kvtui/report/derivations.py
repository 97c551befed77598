"""How the figures of a report came about: formulas with their values put in, and their sources numbered."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from kvtui.report.amounts import number
from kvtui.report.sections import Document

UNIT_WORDS = {"gbs": "GB/s", "kv": "KV", "k": "K", "v": "V", "tp": "TP", "tdp": "TDP", "usd": "USD"}


@dataclass(frozen=True, slots=True)
class Derivation:
    """How a figure came about: ``formula`` as it stands, ``filled`` with values put in, ``rest`` the values left over.

    ``result`` is the bytes it gives, None when it is no byte count.
    """

    id: str
    formula: str
    filled: str
    rest: tuple[tuple[str, str], ...]
    values: tuple[tuple[str, str], ...]
    result: int | None
    sources: tuple[str, ...]


def derivations(document: Document) -> tuple[Derivation, ...]:
    """Every explanation with its values put into its formula."""
    found = []
    for entry in document["explain"]:
        filled, used = fill(entry["formula"], entry["values"])
        values = tuple((_words(name), number(value)) for name, value in entry["values"].items())
        rest = tuple((_words(n), number(v)) for n, v in entry["values"].items() if n not in used)
        sources = tuple(entry["sources"])
        found.append(Derivation(entry["id"], entry["formula"], filled, rest, values, entry["bytes"], sources))
    return tuple(found)


def fill(formula: str, values: Mapping[str, object]) -> tuple[str, set[str]]:
    """``formula`` with each number before its name, where the name first stands, and the names that were found.

    ``layers × entries`` becomes ``32 layers × 8,192 entries``, and a factor gets its sign: ``4 × 4,096 hidden``.
    """
    used: set[str] = set()

    def put(match: re.Match[str]) -> str:
        factor, name = match[1] or "", match[2]
        value = values.get(name)
        if name in used or isinstance(value, str) or value is None:
            return match[0]
        used.add(name)
        words = _words(name)
        singular = words[:-1] if value == 1 and words.endswith("s") else words
        return f"{factor and factor + '× '}{number(value)} {singular}"

    return re.sub(r"((?<!\w)\d+ )?\b([a-z]\w*)\b", put, formula), used


def _words(name: str) -> str:
    return " ".join(UNIT_WORDS.get(word, word) for word in name.split("_"))


def source_numbers(found: tuple[Derivation, ...]) -> dict[str, int]:
    """Sources numbered from 1 in order of first mention."""
    return {source: i for i, source in enumerate(dict.fromkeys(_all_sources(found)), 1)}


def _all_sources(found: tuple[Derivation, ...]) -> Iterator[str]:
    for derivation in found:
        yield from derivation.sources
