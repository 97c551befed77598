"""The configuration classes of Hugging Face transformers, as data: defaults, other names of fields, nested parts.

A config.json need not state a field that has its class's default, and released files rely on that: SmolLM3's class has
4 KV heads, and a file without num_key_value_heads means these. The table ``kvtui/data/transformers.json`` was read from
the classes of the release that it names, by ``tests/recording/classes.py``.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

from kvtui.engine.basis.places import DATA


@dataclass(frozen=True, slots=True)
class ConfigClass:
    """What a configuration class fixes.

    ``defaults`` are the values of fields that a file leaves out, ``aliases`` the class's own names of usual fields
    (``hidden_size`` is ``n_embd`` in GPT-2's), ``parts`` the model types of nested objects where these do not say, and
    ``absent`` the fields of a nested object that is not there at all.
    """

    defaults: Mapping[str, object] = field(default_factory=dict)
    aliases: Mapping[str, str] = field(default_factory=dict)
    parts: Mapping[str, str] = field(default_factory=dict)
    absent: Mapping[str, Mapping[str, object]] = field(default_factory=dict)

    def names(self, usual: str) -> tuple[str, ...]:
        """The names that a file may have for the field ``usual``, its own first."""
        own = self.aliases.get(usual)
        return (usual,) if own is None else (usual, own)

    def usual_names(self, own: str) -> tuple[str, ...]:
        """The usual names of the class's field ``own``, under which a file may have it too."""
        return tuple(usual for usual, name in self.aliases.items() if name == own)


NO_CLASS = ConfigClass()


@cache
def _table() -> dict[str, Any]:
    table: dict[str, Any] = json.loads(Path(DATA, "transformers.json").read_text(encoding="utf-8"))
    return table


def release() -> str:
    """The release that the table was read from, such as ``transformers 5.24.0``."""
    return f"transformers {_table()['transformers']}"


@cache
def class_of(model_type: str) -> ConfigClass | None:
    """The class of ``model_type``, None where transformers has none."""
    row = _table()["classes"].get(model_type)
    if row is None:
        return None
    aliases = {usual: str(own) for usual, own in row.get("aliases", {}).items()}
    defaults = dict(row["defaults"])
    for usual, own in aliases.items():
        there = own if own in defaults else usual
        if there in defaults:
            defaults[usual] = defaults[own] = defaults[there]
    parts = {part: str(kind) for part, kind in row.get("parts", {}).items()}
    return ConfigClass(defaults, aliases, parts, row.get("absent", {}))
