"""What a model is for and under which licence it is published, by its name: the table ``labels.toml``.

Example: Qwen2.5-VL-72B is for vision, under the Qwen licence.
"""

from __future__ import annotations

import re
import tomllib
from functools import cache
from pathlib import Path
from typing import NamedTuple

from kvtui.engine.basis.places import DATA

CHAT = "chat"


class Labels(NamedTuple):
    """A model's ``licence`` (empty where it is not known) and its ``uses``."""

    licence: str
    uses: tuple[str, ...]


def labels(name: str) -> Labels:
    """The labels of the model called ``name``; one that the table does not know is for chat."""
    licences, uses = _tables()
    licence = next((word for pattern, word in licences if pattern.fullmatch(name)), "")
    return Labels(licence, tuple(word for pattern, word in uses if pattern.fullmatch(name)) or (CHAT,))


WordsByName = tuple[tuple[re.Pattern[str], str], ...]


@cache
def _tables() -> tuple[WordsByName, WordsByName]:
    known = tomllib.loads((Path(DATA) / "labels.toml").read_text(encoding="utf-8"))
    licences, uses = (
        tuple((re.compile(one["names"], re.IGNORECASE), one[key]) for one in known[key]) for key in ("licence", "use")
    )
    return licences, uses
