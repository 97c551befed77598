"""The section "make it fit": what would make a scenario fit, for a terminal, and on its own."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from typing import Any

from kvtui.output import table
from kvtui.output.lines import StyledLine, width_of, wrap
from kvtui.output.shell import shell_lines
from kvtui.output.table import Column
from kvtui.report.fix_table import columns, remarks, table_rows
from kvtui.report.forms import renderer
from kvtui.report.sections import title, verdict

TITLE = "make it fit"
IN_WORDS = {
    "quality_risk": "risk {}",
    "free_bytes_per_device": "{} GiB free",
    "max_context_tokens": "context {}",
    "max_sequences": "users {}",
    "tokens_per_second": "{} tok/s",
    "usd_per_million_tokens": "${}/M",
}
"""The figures of a fix where they do not stand under heads."""


def lines(fixes: Sequence[Mapping[str, Any]], width: int) -> list[StyledLine]:
    """The table with numbered rows, and its remarks below; where it is too narrow, each fix has two lines."""
    numbered = [{"number": n, **row} for n, row in enumerate(table_rows(fixes), 1)]
    shown = table.lines((Column("number", "", "right"), *columns()), numbered, sys.maxsize)
    if max(map(width_of, shown)) > width:
        shown = [line for row in numbered for line in _two_lines(row, width)]
    return shown + [((line, "dim"),) for text in remarks(fixes) for line in wrap(text, width, 2)]


def _two_lines(row: Mapping[str, Any], width: int) -> Iterator[StyledLine]:
    """A fix, and its figures below it with their units."""
    first, *rest = wrap(row["name"], width - 4)
    yield (f"{row['number']:>2}  ", ""), (first, "strong")
    yield from ((("    " + line, "strong"),) for line in rest)
    told = {column.key: column.show(row[column.key]) for column in columns() if row[column.key] is not None}
    words = [words.format(told[key]) for key, words in IN_WORDS.items() if key in told]
    yield from ((("    " + line, ""),) for line in wrap(" · ".join(words), width - 4))


def _lines(document: Mapping[str, Any], width: int) -> Iterator[StyledLine]:
    """What is planned and whether it fits, the table, its remarks, and a command line for each fix."""
    found = document["fixes"]
    fits, sentence = verdict(document)
    yield ((" · ".join(title(document)), "strong"),)
    yield ((f"{'✓' if fits else '✗'} {sentence}", "ok" if fits else "bad"),)
    if not fits and not found:
        yield (("no change of formats, devices, context or batch makes it fit", ""),)
    if not found:
        return
    yield ()
    yield from lines(found, width)
    yield ()
    for number, entry in enumerate(found, 1):
        first, *rest = shell_lines(entry["command_line"], width - 4)
        yield ((f"{number:>2}  {first}", ""),)
        yield from (((f"    {line}", ""),) for line in rest)


def _alone(document: Mapping[str, Any]) -> Mapping[str, Any]:
    kept = ("schema", "kvtui", "scenario", "fixes")
    return {**{key: document[key] for key in kept}, "fits": document["memory"]["fits"]}


def _table(format: str, document: Mapping[str, Any]) -> str:
    return table.render(columns(), table_rows(document["fixes"]), format)


render = renderer(_lines, partial(_table, "csv"), partial(_table, "markdown"), _alone)
