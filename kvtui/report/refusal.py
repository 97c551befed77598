"""A refusal alone and what would let the server start: text, JSON, CSV and Markdown."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from kvtui import __version__
from kvtui.engine.reconcile.refusal import Refusal
from kvtui.output import markdown, table
from kvtui.output.lines import StyledLine, rule, wrap
from kvtui.output.table import Column
from kvtui.report.amounts import with_unit
from kvtui.report.forms import renderer

SCHEMA = 1
ASK = "by the refusal's own sizes; --model and --gpu have every answer planned"
COLUMNS = (Column("flags", "flags"), Column("words", "why"))


def document(found: Refusal) -> dict[str, Any]:
    """The answer as plain values; bytes are exact integers of what was printed."""
    return {
        "schema": SCHEMA,
        "kvtui": __version__,
        "engine": found.engine,
        "needed_bytes": found.needed,
        "available_bytes": found.available,
        "missing_bytes": found.needed - found.available,
        "context_tokens": found.context,
        "longest_context_tokens": found.longest,
        "answers": [answer._asdict() for answer in found.answers],
    }


def _sentence(found: Mapping[str, Any]) -> str:
    tokens = "" if found["context_tokens"] is None else f" for {found['context_tokens']:,} tokens"
    sizes = f"{with_unit(found['needed_bytes'])} of KV cache{tokens}, and has {with_unit(found['available_bytes'])}"
    return f"{found['engine']} needs {sizes}: {with_unit(found['missing_bytes'])} are missing"


def _lines(found: Mapping[str, Any], width: int) -> list[StyledLine]:
    lines: list[StyledLine] = [
        ((("✗ " if not number else "  ") + line, "bad"),)
        for number, line in enumerate(wrap(_sentence(found), width - 2))
    ]
    lines += [(), rule("what would let it start", width)]
    for answer in found["answers"]:
        lines.append(((answer["flags"], "strong"),))
        lines += [((f"    {line}", ""),) for line in wrap(answer["words"], width - 4)]
    return [*lines, (), *(((line, "dim"),) for line in wrap(ASK, width))]


def _csv(found: Mapping[str, Any]) -> str:
    return table.render(COLUMNS, found["answers"], "csv")


def _markdown(found: Mapping[str, Any]) -> str:
    rows = [(answer["flags"], answer["words"]) for answer in found["answers"]]
    return f"**✗ {markdown.escape(_sentence(found))}**\n\n{markdown.table(['flags', 'why'], rows)}\n\n{ASK}\n"


render = renderer(_lines, _csv, _markdown)
