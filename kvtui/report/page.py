"""A self-contained page: nothing loaded, light and dark, fit to print; no script but the one that a figure asks for."""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Iterable
from hashlib import sha256
from pathlib import Path

from kvtui.output.markup import Content, Markup, tag
from kvtui.output.table import Column, TableRows

POLICY = "default-src 'none'; style-src 'unsafe-inline'"


def html_page(title: str, *main: Content, script: str = "") -> str:
    """An HTML page with ``main`` in its body, ending in a newline; no ``script`` but that one is run."""
    allowed = f"; script-src 'sha256-{b64encode(sha256(script.encode()).digest()).decode()}'" if script else ""
    style = Path(__file__).with_name("report.css").read_text(encoding="utf-8")
    head = tag(
        "head",
        tag("meta", charset="utf-8"),
        tag("meta", name="viewport", content="width=device-width, initial-scale=1"),
        tag("meta", name="color-scheme", content="light dark"),
        tag("meta", http_equiv="Content-Security-Policy", content=POLICY + allowed),
        tag("title", title),
        tag("style", Markup(style)),
    )
    body = tag("body", tag("main", *main), tag("script", Markup(script)) if script else "")
    return f"<!doctype html>\n{tag('html', head, body, lang='en')}\n"


def table_page(title: str, facts: Iterable[tuple[str, str]], columns: Iterable[Column], rows: TableRows) -> str:
    """A page of ``rows`` under what is to be known of them."""
    columns = tuple(columns)
    known = tag("table", *(tag("tr", tag("th", name, scope="row"), tag("td", value)) for name, value in facts))
    head = tag("tr", *(tag("th", column.title, scope="col") for column in columns))
    body = (tag("tr", *(tag("td", column.show(row[column.key])) for column in columns)) for row in rows)
    return html_page(title, tag("h1", title), known, tag("table", tag("thead", head), tag("tbody", *body)))
