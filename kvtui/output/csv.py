"""The document as CSV: one header row and one row per scenario, for spreadsheets and data frames.

Keys are dotted, bands become a ``.low`` and a ``.high`` column, layer kinds ``kind=count`` and other lists their items
joined by semicolons. Explanations are left out, and warnings are their ids; the JSON report has both in full.
"""

from __future__ import annotations

import csv
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from io import StringIO
from typing import Any

from kvtui.output.harmless import clean

BANDS = {
    "performance.prefill_ms",
    "performance.decode_ms_per_token",
    "performance.tokens_per_second",
    "cost.usd_per_hour_span",
    "cost.usd_per_million_tokens",
    "cost.joules_per_token",
    "at_most_users.decode_ms_per_token",
    "at_most_users.tokens_per_second",
    "at_most_users.usd_per_million_tokens",
    "at_most_users.joules_per_token",
}
FORMULA_STARTS = ("=", "+", "-", "@")


def csv_report(document: Mapping[str, Any]) -> str:
    """``document`` as a header row and one row."""
    values = dict(flatten(document))
    return csv_text([list(values), list(values.values())])


def flatten(document: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    """Dotted names and single values of ``document``, in its order."""
    yield from _flatten("", {key: value for key, value in clean(document).items() if key != "explain"})


def csv_text(rows: Iterable[Sequence[Any]]) -> str:
    """``rows`` as RFC 4180 text with newlines; None is empty, and no text is a spreadsheet formula."""
    out = StringIO()
    csv.writer(out, lineterminator="\n").writerows([_cell(value) for value in row] for row in rows)
    return out.getvalue()


def _flatten(prefix: str, value: Any) -> Iterator[tuple[str, Any]]:
    match value:
        case _ if prefix in BANDS:
            low, high = value or (None, None)
            yield f"{prefix}.low", low
            yield f"{prefix}.high", high
        case Mapping() if prefix == "model.layer_kinds":
            yield prefix, ";".join(f"{kind}={count}" for kind, count in value.items())
        case Mapping():
            for key, item in value.items():
                yield from _flatten(f"{prefix}.{key}" if prefix else key, item)
        case list() if prefix == "warnings":
            yield prefix, ";".join(warning["id"] for warning in value)
        case list():
            yield prefix, ";".join(_item(item) for item in value)
        case _:
            yield prefix, value


def _item(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False) if isinstance(value, Mapping | list) else str(value)


def _cell(value: Any) -> Any:
    match value:
        case bool():
            return str(value).lower()
        case str() if value.startswith(FORMULA_STARTS):
            return f"'{value}"
        case _:
            return value
