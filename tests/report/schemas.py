"""What tests of published schemas have in common."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any


def closed(schema: Any) -> Any:
    """``schema`` without room for keys that it does not name."""
    match schema:
        case dict():
            told = {key: closed(value) for key, value in schema.items()}
            return {"additionalProperties": False, **told} if "properties" in schema else told
        case list():
            return [closed(one) for one in schema]
    return schema


def named(
    schema: Mapping[str, Any], defs: Mapping[str, Any], path: tuple[str, ...] = ()
) -> Iterator[tuple[tuple[str, ...], Mapping[str, Any]]]:
    """Every key that ``schema`` names, by its path (``[]`` for the items of a list), with what is said of it."""
    if "$ref" in schema:
        told = defs[schema["$ref"].removeprefix("#/$defs/")]
        schema = {**told, **schema}
    yield path, schema
    for key, value in schema.get("properties", {}).items():
        yield from named(value, defs, (*path, key))
    if "items" in schema:
        yield from named(schema["items"], defs, (*path, "[]"))


def at(value: Any, path: tuple[str, ...]) -> Iterator[Any]:
    """Everything that ``value`` has at ``path``."""
    match path:
        case ():
            yield value
        case ("[]", *rest):
            for one in value or ():
                yield from at(one, tuple(rest))
        case (key, *rest):
            if value is not None:
                yield from at(value[key], tuple(rest))
