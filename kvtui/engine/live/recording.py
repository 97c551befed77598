"""A recording: JSON lines, a header and then one snapshot a line, only ever added to.

What stands at its default is left out of a line. A line that is cut off, as a killed process leaves it, is the end; a
line that is none of ours is an error that names it.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import MISSING, Field, fields, is_dataclass
from json import dumps, loads
from math import inf, isfinite
from typing import Any, get_args

from kvtui import __version__
from kvtui.engine.basis.errors import InputError
from kvtui.engine.basis.untrusted import plain
from kvtui.engine.live import snapshot as types
from kvtui.engine.live.snapshot import Latencies, ServerPool, ServerRank, Snapshot

FORMAT = "kvtui-recording"
VERSION = 1
MOST_SNAPSHOTS = 200_000
LONGEST_LINE = 2**22
MOST_ENTRIES = 4096

_ROWS: Mapping[str, type] = {
    "slots": types.ServedSlot,
    "cached_groups": types.CachedBlocks,
    "loaded": types.LoadedModel,
    "devices": types.DeviceReading,
}


def header() -> str:
    """The first line of a recording."""
    return dumps({"format": FORMAT, "version": VERSION, "kvtui": __version__})


def line(snapshot: Snapshot) -> str:
    """``snapshot`` as one line of a recording, without its end."""
    return dumps(to_plain(snapshot), ensure_ascii=False, separators=(",", ":"), allow_nan=False)


def is_recording(first: str) -> bool:
    """Whether a file with this ``first`` line is a recording."""
    head = _object(first)
    return head is not None and head.get("format") == FORMAT


def read_recording(lines: Iterable[str], where: str) -> Iterator[Snapshot]:
    """The snapshots of a recording, as they come.

    Raises InputError, which names ``where`` and the line, for what is no recording, one of a later version, and a line
    that is no snapshot.
    """
    numbered = enumerate(lines, 1)
    _, first = next(numbered, (1, ""))
    head = _object(first)
    if head is None or not is_recording(first):
        raise InputError(f"{where}: is no recording of kvtui: its first line says so in one")
    if head.get("version") != VERSION:
        raise InputError(f"{where}: is a recording of version {plain(str(head.get('version')), 20)}, not {VERSION}")
    for number, text in numbered:
        if number > MOST_SNAPSHOTS:
            raise InputError(f"{where}: has more than {MOST_SNAPSHOTS:,} snapshots")
        if not text.strip():
            continue
        values = _object(text)
        if values is None:
            if not text.endswith("\n"):
                return
            raise InputError(f"{where}: line {number}: is not a JSON object")
        try:
            yield from_plain(values)
        except (TypeError, ValueError, KeyError, AttributeError, OverflowError) as error:
            raise InputError(f"{where}: line {number}: is no snapshot: {plain(str(error), 80)}") from None


def to_plain(value: Any) -> Any:
    """A snapshot, or a part of one, as plain JSON values; an infinite bound of a histogram is ``null``."""
    if is_dataclass(value) and not isinstance(value, type):
        told = ((one, getattr(value, one.name)) for one in fields(value))
        return {one.name: to_plain(found) for one, found in told if found != _default(one)}
    if isinstance(value, Latencies):
        bounds = [None if bound == inf else bound for bound in value.bounds]
        return {"bounds": to_plain(bounds), "counts": to_plain(value.counts), "sum": to_plain(value.sum)}
    if isinstance(value, tuple) and hasattr(value, "_asdict"):
        usual = getattr(value, "_field_defaults", {})
        told_of = value._asdict().items()
        return {name: to_plain(found) for name, found in told_of if name not in usual or found != usual[name]}
    if isinstance(value, Mapping):
        return {name: to_plain(found) for name, found in value.items()}
    if isinstance(value, list | tuple):
        return [to_plain(one) for one in value]
    if isinstance(value, float):
        return int(value) if value.is_integer() and abs(value) < 2**53 else round(value, 6)
    return value


def from_plain(values: Mapping[str, Any]) -> Snapshot:
    """The snapshot of ``to_plain``; what another version of kvtui wrote besides is left out.

    Raises ValueError, TypeError or their like for values that are none of a snapshot's.
    """
    known = {one.name for one in fields(Snapshot)}
    given = {name: value for name, value in values.items() if name in known}
    given["ranks"] = tuple(_rank(one) for one in _listed(given, "ranks"))
    for name in ("loaded", "devices"):
        given[name] = _tuples(given, name)
    given["notes"] = tuple(plain(str(one), 200) for one in _listed(given, "notes"))
    given["config"] = {plain(str(key), 60): plain(str(value)) for key, value in dict(given.get("config", {})).items()}
    for name in ("address", "said", "engine", "release", "model"):
        given[name] = plain(str(given.get(name, "")), 400)
    if given.setdefault("state", "up") not in get_args(types.State):
        raise ValueError("an unknown state")
    for name in ("time", "started", "counted"):
        if given.get(name) is not None:
            given[name] = _number(given[name])
    for name in ("context", "most_running", "step_tokens"):
        if given.get(name) is not None:
            given[name] = _whole(given[name])
    return Snapshot(**given)


def _default(one: Field[Any]) -> Any:
    """What a field is where nothing is said; MISSING for one that always has a value."""
    return one.default_factory() if one.default_factory is not MISSING else one.default


def _rank(values: Mapping[str, Any]) -> ServerRank:
    known = {one.name for one in fields(ServerRank)}
    given = {name: value for name, value in values.items() if name in known}
    for name in ("number", "running", "waiting", "paused"):
        if given.get(name) is not None:
            given[name] = _whole(given[name])
    pool = {name: value for name, value in dict(given.get("pool", {})).items() if name in ServerPool._fields}
    unit: types.PoolUnit = "token" if pool.pop("unit", "block") == "token" else "block"
    sizes = {name: _whole(value) for name, value in pool.items()}
    given["pool"] = ServerPool(unit)._replace(**sizes)  # type: ignore[arg-type]
    for name in ("waiting_by", "totals", "gauges"):
        pairs = list(dict(given.get(name, {})).items())[:MOST_ENTRIES]
        given[name] = {plain(str(key), 60): _number(value) for key, value in pairs}
    given["latencies"] = {plain(str(key), 60): _latencies(one) for key, one in dict(given.get("latencies", {})).items()}
    for name in ("slots", "cached_groups"):
        given[name] = _tuples(given, name)
    return ServerRank(**given)


def _latencies(values: Mapping[str, Any]) -> Latencies:
    bounds = tuple(inf if bound is None else _number(bound) for bound in values["bounds"])
    counts = tuple(map(_number, values["counts"]))
    if len(bounds) != len(counts) or list(bounds) != sorted(bounds):
        raise ValueError("a histogram whose bounds and counts do not match")
    return Latencies(bounds, counts, _number(values["sum"]))


def _tuples(values: Mapping[str, Any], name: str) -> tuple[Any, ...]:
    """The named tuples of a list of objects, their text made harmless and their numbers checked."""
    kind: Any = _ROWS[name]
    defaults = {"phase": "idle", "kind": "", "name": ""}
    found = []
    for one in _listed(values, name):
        row = {key: value for key, value in dict(one).items() if key in kind._fields}
        row = {key: plain(v) if isinstance(v, str) else None if v is None else _number(v) for key, v in row.items()}
        row = {
            key: int(value) if isinstance(value, float) and value.is_integer() else value for key, value in row.items()
        }
        missing = {
            key: defaults.get(key, 0) for key in kind._fields if key not in row and key not in kind._field_defaults
        }
        found.append(kind(**row, **missing))
    return tuple(found)


def _listed(values: Mapping[str, Any], name: str) -> list[Any]:
    found = values.get(name) or []
    if not isinstance(found, list):
        raise TypeError(f"{name} is no list")
    return found[:MOST_ENTRIES]


def _number(value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not isfinite(value):
        raise TypeError(f"{plain(str(value), 40)} is no number")
    return float(value)


def _whole(value: Any) -> int:
    number = _number(value)
    if not number.is_integer():
        raise ValueError(f"{value} is no whole number")
    return int(number)


def _object(text: str) -> dict[str, Any] | None:
    if len(text) > LONGEST_LINE:
        return None
    try:
        found = loads(text)
    except (ValueError, RecursionError):
        return None
    return found if isinstance(found, dict) else None
