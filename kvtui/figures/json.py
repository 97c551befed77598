"""A figure as JSON, which reads back as the same figure."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import fields
from math import isfinite
from typing import Any, get_args

import numpy as np

from kvtui.engine.basis.errors import InputError, UnknownName
from kvtui.engine.basis.untrusted import plain
from kvtui.figures.figure import (
    MARK_NAMES,
    MARKS,
    Axis,
    AxisName,
    Bars,
    Cloud,
    Dash,
    Figure,
    Floats,
    HeatMap,
    Histogram,
    Line,
    Mark,
    Panel,
    Rule,
    Scale,
    Scatter,
    Surface,
    Ticks,
    floats,
)

SCHEMA = 1
MOST_TEXT = 2000
_ARRAYS = {"x", "y", "z", "low", "high", "values", "samples", "sizes"}
_GRIDS = (HeatMap, Surface)
_CHOICES: dict[str, tuple[str, ...]] = {
    "scale": get_args(Scale),
    "ticks": get_args(Ticks),
    "dash": get_args(Dash),
    "axis": get_args(AxisName),
}
_MOST_BINS = 100_000


def to_json(figure: Figure) -> str:
    """``figure`` as JSON of schema SCHEMA in one line; NaN and infinities are null."""
    values = {"schema": SCHEMA, "kind": "figure", **_plain(figure)}
    return json.dumps(values, ensure_ascii=False, allow_nan=False) + "\n"


def from_json(text: str, where: str) -> Figure:
    """The figure that ``to_json`` wrote. Raises InputError, naming ``where`` and the first field that is wrong."""
    try:
        found = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise InputError(f"{where}: not JSON: {plain(str(error))}") from None
    if not isinstance(found, dict) or found.get("kind") != "figure" or found.get("schema") != SCHEMA:
        raise InputError(f"{where}: not a figure of schema {SCHEMA}")
    panels = _list(found, "panels", where)
    return Figure(
        id=_text(found, "id", where),
        title=_text(found, "title", where),
        question=_text(found, "question", where),
        panels=tuple(_panel(panel, f"{where}: panels[{i}]") for i, panel in enumerate(panels)),
        notes=_texts(found, "notes", where),
    )


def _plain(value: Any) -> Any:
    """A figure or a part of it as plain values."""
    match value:
        case np.ndarray():
            return _numbers(value.tolist())
        case tuple():
            return [_plain(item) for item in value]
        case float():
            return value if isfinite(value) else None
        case str():
            return plain(value, MOST_TEXT)
        case Figure() | Panel() | Axis() | Rule() | Line() | Bars() | Scatter() | Histogram() | HeatMap() | Surface():
            return _fields(value)
        case Cloud():
            return _fields(value)
    return value


def _fields(value: Any) -> dict[str, Any]:
    kind = {"mark": MARK_NAMES[type(value)]} if type(value) in MARK_NAMES else {}
    return {**kind, **{field.name: _plain(getattr(value, field.name)) for field in fields(value)}}


def _numbers(values: Any) -> Any:
    if isinstance(values, list):
        return [_numbers(value) for value in values]
    return values if isfinite(values) else None


def _panel(value: Any, where: str) -> Panel:
    panel = _object(value, where)
    z = panel.get("z")
    return Panel(
        title=_text(panel, "title", where),
        x=_axis(panel.get("x"), f"{where}.x"),
        y=_axis(panel.get("y"), f"{where}.y"),
        marks=tuple(_mark(m, f"{where}.marks[{i}]") for i, m in enumerate(_list(panel, "marks", where))),
        z=None if z is None else _axis(z, f"{where}.z"),
        rules=tuple(_rule(r, f"{where}.rules[{i}]") for i, r in enumerate(_list(panel, "rules", where))),
        categories=_texts(panel, "categories", where),
        stacked=panel.get("stacked") is True,
    )


def _axis(value: Any, where: str) -> Axis:
    axis = _object(value, where)
    low, high = (None if axis.get(end) is None else _number(axis[end], f"{where}.{end}") for end in ("low", "high"))
    scale, ticks = _choice(axis, "scale", where), _choice(axis, "ticks", where)
    names = _texts(axis, "names", where) if "names" in axis else ()
    return Axis(_text(axis, "label", where), _text(axis, "unit", where), scale, ticks, low, high, names)


def _rule(value: Any, where: str) -> Rule:
    rule = _object(value, where)
    return Rule(_choice(rule, "axis", where), _number(rule.get("value"), f"{where}.value"), _text(rule, "label", where))


def _mark(value: Any, where: str) -> Mark:
    mark = _object(value, where)
    name = str(mark.get("mark"))
    if name not in MARKS:
        raise UnknownName(f"{where}: mark", name, MARKS)
    kind = MARKS[name]
    return kind(**{field.name: _field(kind, field.name, mark, where) for field in fields(kind)})


def _field(kind: type[Mark], name: str, mark: Mapping[str, Any], where: str) -> Any:
    value, here = mark.get(name), f"{where}.{name}"
    optional = name in {"low", "high", "sizes"}
    if name in _ARRAYS:
        return None if value is None and optional else _array(value, here, 2 if name == "z" and kind in _GRIDS else 1)
    match name:
        case "dash":
            return _choice(mark, name, where)
        case "bins":
            if not isinstance(value, int) or isinstance(value, bool) or not 1 <= value <= _MOST_BINS:
                raise InputError(f"{here}: not a whole number from 1 to {_MOST_BINS:,}")
            return value
        case "points" | "floor":
            if not isinstance(value, bool):
                raise InputError(f"{here}: not true or false")
            return value
        case "labels":
            return _texts(mark, name, where)
        case "contours":
            return tuple(_number(v, f"{here}[{i}]") for i, v in enumerate(_list(mark, name, where)))
    return _text(mark, name, where)


def _array(value: Any, where: str, dimensions: int) -> Floats:
    rows = value if dimensions == 2 else [value]
    if not isinstance(rows, list) or not all(isinstance(row, list) for row in rows):
        raise InputError(f"{where}: not a list of numbers")
    if any(not (v is None or (isinstance(v, int | float) and not isinstance(v, bool))) for row in rows for v in row):
        raise InputError(f"{where}: holds something else than numbers and null")
    if len({len(row) for row in rows}) > 1:
        raise InputError(f"{where}: its rows are not equally long")
    try:
        found = [floats(row) for row in rows]
    except OverflowError:
        raise InputError(f"{where}: holds a number that is too large") from None
    return found[0] if dimensions == 1 else np.array(found).reshape(len(rows), len(rows[0]) if rows else 0)


def _object(value: Any, where: str) -> Mapping[str, Any]:
    if not isinstance(value, dict):
        raise InputError(f"{where}: missing, or not an object")
    return value


def _list(values: Mapping[str, Any], name: str, where: str) -> list[Any]:
    value = values.get(name)
    if not isinstance(value, list):
        raise InputError(f"{where}.{name}: missing, or not a list")
    return value


def _text(values: Mapping[str, Any], name: str, where: str) -> str:
    value = values.get(name)
    if not isinstance(value, str):
        raise InputError(f"{where}.{name}: missing, or not text")
    return plain(value, MOST_TEXT)


def _texts(values: Mapping[str, Any], name: str, where: str) -> tuple[str, ...]:
    found = _list(values, name, where)
    return tuple(_text({f"{name}[{i}]": value}, f"{name}[{i}]", where) for i, value in enumerate(found))


def _number(value: Any, where: str) -> float:
    try:
        if isinstance(value, int | float) and not isinstance(value, bool) and isfinite(value):
            return float(value)
    except OverflowError:
        pass
    raise InputError(f"{where}: not a number")


def _choice(values: Mapping[str, Any], name: str, where: str) -> Any:
    value = _text(values, name, where)
    if value not in _CHOICES[name]:
        raise UnknownName(f"{where}.{name}", value, _CHOICES[name])
    return value
