"""A sweep's table as CSV: written under COLUMNS, and read back as numbers, also as a published sweep wrote it."""

from __future__ import annotations

import csv
import re
from collections.abc import Iterable, Mapping
from contextlib import suppress
from io import StringIO
from pathlib import Path
from typing import Any

from kvtui.cases.table import COLUMNS, REFERENCE_COLUMNS, TEXT_COLUMNS, ColumnValues, is_number
from kvtui.engine.basis.errors import InputError
from kvtui.engine.basis.files import read_text
from kvtui.engine.basis.untrusted import plain
from kvtui.output.csv import csv_text

MOST_BYTES, MOST_ROWS = 2**28, 200_000
NEEDED = tuple(name for name in REFERENCE_COLUMNS if name != "attn_variant")
"""The columns by which a table is known to be a sweep's; the variant also stands in ``attn_type``."""

_WHOLE = re.compile(r"-?[0-9]+")


def write(rows: Iterable[ColumnValues], heading: bool = True) -> str:
    """``rows`` as CSV lines under COLUMNS, with a ``heading`` or without one."""
    lines = ([row[name] for name in COLUMNS] for row in rows)
    return csv_text([COLUMNS, *lines] if heading else lines)


def read(path: Path) -> list[ColumnValues]:
    """The rows of the sweep in the file ``path``, every one under COLUMNS.

    Raises InputError when it is not one, or cannot be read, naming what is wrong, and FileNotFoundError.
    """
    return parse(read_text(path, MOST_BYTES), plain(str(path)))


def parse(text: str, where: str) -> list[ColumnValues]:
    """The rows of a sweep's CSV ``text``. Raises InputError that names ``where`` and the first column it lacks.

    Rows that are longer or shorter than the heading are left out: the last one may have been cut off.
    """
    lines = csv.reader(StringIO(text, newline=""))
    rows: list[ColumnValues] = []
    try:
        heads = next(lines, [])
        for name in NEEDED:
            if name not in heads:
                raise InputError(f"{where}: not a sweep, column {name} is missing")
        for line in lines:
            if len(line) == len(heads):
                rows.append(_row(dict(zip(heads, line, strict=True))))
            if len(rows) > MOST_ROWS:
                raise InputError(f"{where}: has more than {MOST_ROWS:,} rows")
    except csv.Error as error:
        raise InputError(f"{where}: not a CSV file: {plain(str(error))}") from None
    return rows


def _row(texts: Mapping[str, str]) -> ColumnValues:
    row: ColumnValues = dict.fromkeys(COLUMNS)
    row |= {name: _value(name, text) for name, text in texts.items()}
    row["attn_variant"] = row["attn_variant"] or str(row["attn_type"] or "").partition("(")[0] or None
    row["status"] = row["status"] or ("oom" if row["oom"] else "ok")
    return row


def _value(name: str, text: str) -> Any:
    """A cell as a number, a truth value or text; None for an empty one and for what is no number where one belongs."""
    if name in TEXT_COLUMNS:
        return plain(text) or None
    if text.lower() in {"true", "false"}:
        return text.lower() == "true"
    with suppress(ValueError):
        number = float(text)
        return None if not is_number(number) else int(text) if _WHOLE.fullmatch(text) else number
    return None if name in COLUMNS else plain(text) or None
