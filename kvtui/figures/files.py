"""The figures in a file: an exported figure, a measured table that has figures of its own, or any table of numbers."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from kvtui.cases import table_csv
from kvtui.engine.basis.errors import InputError
from kvtui.engine.basis.files import read_text
from kvtui.engine.basis.json_object import parse_object
from kvtui.engine.basis.untrusted import plain
from kvtui.figures import decode, quality, sharded, sweep
from kvtui.figures.csv import from_csv, is_figure
from kvtui.figures.figure import Figure
from kvtui.figures.json import from_json
from kvtui.figures.replay import REPLAYED, is_replay
from kvtui.figures.tables import from_table, heading, number, split

MOST_BYTES = 2**28

Tables = Mapping[str, Callable[[Sequence[Mapping[str, Any]]], Figure]]


def read(path: Path) -> dict[str, Figure]:
    """The figures in the file ``path``, by id.

    It is a figure's JSON or CSV, the results.json of an ensemble benchmark, the table of a sweep or of a benchmark of
    trained checkpoints, or any CSV with numbers. Raises InputError when it cannot be read, or there is nothing in it to
    draw.
    """
    shown = plain(str(path))
    try:
        text = read_text(path, MOST_BYTES)
    except FileNotFoundError as error:
        raise InputError(f"{shown}: {error.strerror}") from None
    if path.suffix.casefold() == ".json" or text.lstrip()[:1] == "{":
        results = _results(text, shown)
        if results is not None:
            return {"decode": decode.panels(results)}
        document = parse_object(text, shown)
        if is_replay(document):
            return {id: make(document) for id, make in REPLAYED.items()}
        if document.get("what") == sharded.KIND:
            drawn = sharded.panels(_rows(document.get("rows")))
            return {drawn.id: drawn}
        figure = from_json(text, shown)
        return {figure.id: figure}
    heads = heading(text, shown)
    if set(heads) >= set(table_csv.NEEDED):
        measured = table_csv.parse(text, shown)
        if not measured:
            raise InputError(f"{shown}: no measured rows yet")
        return sweep.every(measured)
    makers = _trained(heads)
    if makers:
        values = _values(*split(text, shown))
        return {name: make(values) for name, make in makers.items()}
    figure = from_csv(*split(text, shown), path) if is_figure(heads) else from_table(text, path)
    return {figure.id: figure}


def _rows(values: object) -> list[Mapping[str, Any]]:
    return [row for row in values if isinstance(row, dict)] if isinstance(values, list) else []


def _results(text: str, shown: str) -> Mapping[str, Any] | None:
    """The results of an ensemble benchmark, whole or partial; None where the JSON is anything else."""
    if not any(f'"{name}"' in text for name in decode.OF_RESULTS):
        return None
    values = parse_object(text, shown)
    return values if decode.OF_RESULTS & values.keys() else None


def values_of(text: str, shown: str, needed: Sequence[str]) -> list[dict[str, Any]]:
    """The lines of the CSV ``text`` by column: truth values, numbers, texts, None.

    Raises InputError, which names the file as ``shown``, where a ``needed`` column is missing.
    """
    heads, rows = split(text, shown)
    missing = [name for name in needed if name not in heads]
    if missing:
        raise InputError(f"{shown}: has no column {missing[0]}")
    return _values(heads, rows)


def _values(heads: Sequence[str], rows: Sequence[Sequence[str]]) -> list[dict[str, Any]]:
    return [{head: _value(cell) for head, cell in zip(heads, row, strict=False)} for row in rows]


def _trained(heads: Sequence[str]) -> Tables:
    """The figures of a trained-checkpoint benchmark's tables, by the columns that only they have."""
    if {"val_loss", "theoretical_cache_mb"} <= set(heads):
        return quality.TRAINED
    return quality.BATCHES if {"batch_size", "tps", "theoretical_cache_mb"} <= set(heads) else {}


def _value(text: str) -> Any:
    """A cell as a truth value, a number or text; None for an empty one."""
    if text.casefold() in {"true", "false"}:
        return text.casefold() == "true"
    if text.isascii() and text.isdecimal() and len(text) < 16:
        return int(text)
    found = number(text)
    return found if found is not None else plain(text) or None
