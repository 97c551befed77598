"""Reports: one plain document, then text, JSON, CSV, Markdown and HTML of it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

FORMATS = ("text", "json", "csv", "markdown", "html")


def render(
    document: Mapping[str, Any], format: str, *, width: int = 80, color: bool = False, ascii_only: bool = False
) -> str:
    """``document`` in one of FORMATS, ending in a newline. Width, colour and ASCII matter to text alone.

    Raises UnknownName for another format.
    """
    match format:
        case "text":
            from kvtui.report import text

            return text.render(document, width, color, ascii_only)
        case "json":
            from kvtui.output.json import json_text

            return json_text(document)
        case "csv":
            from kvtui.output.csv import csv_report

            return csv_report(document)
        case "markdown":
            from kvtui.report import markdown

            return markdown.render(document)
        case "html":
            from kvtui.report import html

            return html.render(document)
    from kvtui.engine.basis.errors import UnknownName

    raise UnknownName("report format", format, FORMATS)
