"""JSON from files and servers that nobody vouches for."""

from __future__ import annotations

import json
from collections import Counter
from typing import Any

from kvtui.engine.basis.errors import InputError
from kvtui.engine.basis.untrusted import plain


def parse_object(text: str, where: str) -> dict[str, Any]:
    """The one JSON object in ``text``.

    Infinity is let through, as released files have it in fields that do not matter. Raises InputError, which names
    ``where``, for anything else that is not JSON, and for a key that is there twice.
    """
    try:
        value = json.loads(text, object_pairs_hook=_object, parse_constant=_constant)
    except RecursionError:
        raise InputError(f"{where}: is nested too deeply") from None
    except _NotJsonError as error:
        raise InputError(f"{where}: {error}") from None
    except json.JSONDecodeError as error:
        raise InputError(f"{where}: line {error.lineno}: is not JSON: {plain(error.msg)}") from None
    except ValueError:
        raise InputError(f"{where}: is not JSON: a number has too many digits") from None
    if not isinstance(value, dict):
        raise InputError(f"{where}: holds {shown(value)}, not an object")
    return value


def shown(value: object) -> str:
    """A JSON value as it may appear in an error: short, on one line, harmless."""
    match value:
        case None:
            return "null"
        case bool():
            return "true" if value else "false"
        case int():
            return str(value) if value.bit_length() <= 64 else f"a number of {value.bit_length():,} bits"
        case float():
            return repr(value)
        case str():
            return f"'{plain(value, 40)}'"
        case list():
            return f"a list of {len(value):,}"
        case _:
            return "an object"


class _NotJsonError(Exception):
    """What is wrong with a value that the JSON module would let through."""


def _object(pairs: list[tuple[str, object]]) -> dict[str, object]:
    values = dict(pairs)
    if len(values) != len(pairs):
        counts = Counter(key for key, _ in pairs)
        twice = next(key for key, count in counts.items() if count > 1)
        raise _NotJsonError(f"'{plain(twice, 60)}' is there twice")
    return values


def _constant(name: str) -> float:
    if name == "NaN":
        raise _NotJsonError("holds NaN, which is not JSON")
    return float(name)
