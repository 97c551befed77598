"""The document as JSON: the stable interface for programs."""

from __future__ import annotations

import json
from typing import Any

from kvtui.output.harmless import clean


def json_text(value: Any) -> str:
    """A plain ``value`` as indented UTF-8 JSON, ending in a newline. Raises ValueError for NaN and infinities."""
    return json.dumps(clean(value), indent=2, ensure_ascii=False, allow_nan=False) + "\n"
