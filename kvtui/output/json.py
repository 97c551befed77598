"""The document as JSON: the stable interface for programs."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from kvtui.output.harmless import clean


def render(document: Mapping[str, Any]) -> str:
    """``document`` as indented UTF-8 JSON without NaN, ending in a newline."""
    return dump(document)


def dump(value: Any) -> str:
    """Any plain ``value`` in the same form. Raises ValueError for NaN and infinities."""
    return json.dumps(clean(value), indent=2, ensure_ascii=False, allow_nan=False) + "\n"
