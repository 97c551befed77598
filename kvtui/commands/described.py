"""A table under what it rests on, in every format of a report."""

from __future__ import annotations

from kvtui.output import markdown, table
from kvtui.output.lines import to_ascii
from kvtui.output.table import Column, TableRows

FORMATS = (*table.FORMATS, "html")


def described(
    title: str,
    facts: tuple[tuple[str, str], ...],
    columns: tuple[Column, ...],
    rows: TableRows,
    format: str,
    width: int,
    color: bool,
    ascii_only: bool,
) -> str:
    """A table under the ``facts`` that it rests on; CSV is the table alone, HTML a page under ``title``."""
    if format == "html":
        from kvtui.report.page import table_page

        return table_page(f"kvtui estimate {title}", facts, columns, rows)
    shown = table.render(columns, rows, format, width, color, ascii_only)
    match format:
        case "text":
            wide = max((len(name) for name, _ in facts), default=0)
            said = "".join(f"{name:<{wide}}  {value}\n" for name, value in facts)
            return f"{to_ascii(said) if ascii_only else said}\n{shown}"
        case "markdown":
            return "".join(f"- {name}: {markdown.escape(value)}\n" for name, value in facts) + f"\n{shown}"
    return shown
