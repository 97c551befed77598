"""A self-contained page: no scripts, nothing loaded, light and dark, fit to print."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from kvtui.output.markup import Content, Markup, tag
from kvtui.output.table import Column, TableRows

POLICY = "default-src 'none'; style-src 'unsafe-inline'"


def html_page(title: str, *main: Content) -> str:
    """An HTML page with ``main`` in its body, ending in a newline."""
    style = Path(__file__).with_name("report.css").read_text(encoding="utf-8")
    head = tag(
        "head",
        tag("meta", charset="utf-8"),
        tag("meta", name="viewport", content="width=device-width, initial-scale=1"),
        tag("meta", name="color-scheme", content="light dark"),
        tag("meta", http_equiv="Content-Security-Policy", content=POLICY),
        tag("title", title),
        tag("style", Markup(style)),
    )
    return f"<!doctype html>\n{tag('html', head, tag('body', tag('main', *main)), lang='en')}\n"


def table_page(title: str, facts: Iterable[tuple[str, str]], columns: Iterable[Column], rows: TableRows) -> str:
    """A page of ``rows`` under what is to be known of them."""
    columns = tuple(columns)
    known = tag("table", *(tag("tr", tag("th", name, scope="row"), tag("td", value)) for name, value in facts))
    head = tag("tr", *(tag("th", column.title, scope="col") for column in columns))
    body = (tag("tr", *(tag("td", column.show(row[column.key])) for column in columns)) for row in rows)
    return html_page(title, tag("h1", title), known, tag("table", tag("thead", head), tag("tbody", *body)))
