"""A replay's document as text, CSV, Markdown, HTML or JSON."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from textwrap import fill, wrap
from typing import Any

from kvtui.output import markdown, table
from kvtui.output.harmless import clean
from kvtui.output.json import json_text
from kvtui.output.lines import to_ascii
from kvtui.output.markup import tag
from kvtui.report.page import html_page
from kvtui.report.replay.facts import facts_of
from kvtui.report.replay.tables import TitledTable, tables_of

LEAST_WRAP = 40


def render(
    found: Mapping[str, Any], format: str, *, width: int = 80, color: bool = False, ascii_only: bool = False
) -> str:
    """A ``document`` as text, CSV, Markdown, HTML or JSON, ending in a newline.

    CSV has one table: of what was sought or compared, else of the cache's sizes.
    """
    known = clean(found)
    if format == "json":
        return json_text(known)
    facts, tables = facts_of(known), tables_of(known)
    match format:
        case "csv":
            return table.render(tables[0].columns, tables[0].rows, "csv") if tables else ""
        case "html":
            return _page(known, facts, tables)
        case "markdown":
            listed = "".join(f"- {head}: {markdown.escape(text)}\n" for head, text in facts)
            return listed + "".join(
                f"\n## {markdown.escape(one.title)}\n\n{table.render(one.columns, one.rows, format)}" for one in tables
            )
    wide = max(len(head) for head, _ in facts)
    lines = "".join(
        f"{head if not at else '':<{wide}}  {line}\n"
        for head, text in facts
        for at, line in enumerate(wrap(text, max(width - wide - 2, LEAST_WRAP)))
    )
    parts = [to_ascii(lines) if ascii_only else lines]
    parts += [
        f"{fill(to_ascii(one.title) if ascii_only else one.title, width)}\n"
        + table.render(one.columns, one.rows, format, width, color, ascii_only)
        for one in tables
    ]
    return "\n".join(parts)


def _page(known: Mapping[str, Any], facts: Sequence[tuple[str, str]], tables: Sequence[TitledTable]) -> str:
    """One self-contained page."""
    listed = tag("table", [tag("tr", tag("th", head, scope="row"), tag("td", text)) for head, text in facts])
    cards = [tag("section", tag("h2", "the trace and its server"), listed, class_="card")]
    cards += [
        tag(
            "section",
            tag("h2", one.title),
            tag(
                "table",
                tag("tr", [tag("th", column.title, scope="col") for column in one.columns]),
                [tag("tr", [tag("td", column.show(row[column.key])) for column in one.columns]) for row in one.rows],
            ),
            class_="card",
        )
        for one in tables
    ]
    return html_page(
        f"{known['trace']['name']} · replay · kvtui",
        tag("header", tag("h1", known["trace"]["name"]), tag("p", facts[0][1], class_="under")),
        cards,
        tag("footer", f"kvtui {known['kvtui']}, replay schema {known['schema']}"),
    )
