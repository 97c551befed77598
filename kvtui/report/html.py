"""The report as one self-contained page: nothing loaded, light and dark, fit to print.

Its picture says what is under the pointer and can be enlarged, by a script in the page; without scripts it says less.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from kvtui.engine.basis.units import counted
from kvtui.engine.picture.banks import FREE, span_bytes
from kvtui.output.harmless import clean
from kvtui.output.markup import Content, Markup, markup, tag
from kvtui.report import bank_svg, facts, fix_table, sections
from kvtui.report.amounts import bank_label, gib, percent, with_unit
from kvtui.report.derivations import Derivation, derivations
from kvtui.report.facts import FactPanel
from kvtui.report.page import html_page

SEVERITIES = {"critical": "Critical", "warning": "Warning", "info": "Note"}


def render(document: Mapping[str, Any]) -> str:
    """``document`` as an HTML page, ending in a newline."""
    known = clean(document)
    name, *rest = sections.title(known)
    fits, sentence = sections.verdict(known)
    return html_page(
        f"{name} · {rest[0]} · kvtui",
        tag(
            "header",
            tag("h1", name),
            tag("p", " · ".join(rest), class_="under"),
            tag("p", f"{'✓' if fits else '✗'} {sentence}", class_=f"verdict {'fits' if fits else 'not'}"),
        ),
        _figure(known),
        _fixes(known),
        tag("div", _memory(known), map(_panel, facts.panels(known)), class_="columns"),
        _remarks(known),
        _starts(known),
        tag(
            "section",
            tag("h2", "Where the numbers come from"),
            map(_derivation, derivations(known)),
            class_="card explain",
        ),
        tag("section", tag("h2", "Reproduce"), tag("pre", known["scenario"]["command_line"]), class_="card"),
        tag("footer", f"kvtui {known['kvtui']}, report schema {known['schema']}"),
        script=Path(__file__).with_name("report.js").read_text(encoding="utf-8"),
    )


def _figure(document: Mapping[str, Any]) -> Markup:
    drawn, device, count = sections.picture(document), document["device"], document["memory"]["devices"]
    span, plan = span_bytes(drawn.parts, drawn.capacity), bank_svg.layout(device["modules"])
    shares = [
        (part.key, part.label, drawn.parts[part.key]) for part in sections.parts(document) if part.key in drawn.parts
    ]
    used = sum(drawn.parts.values())
    described = ", ".join(f"{label} {with_unit(size)}" for _, label, size in shares if size)
    described += f", of {with_unit(drawn.capacity)} {drawn.room}"
    owner = device["name"] if count == 1 else f"the fullest of {count:,} × {device['name']}"
    shown = [(key, label, size) for key, label, size in shares if size]
    if drawn.excess:
        shown.append(("over", "too much", drawn.excess))
    else:
        shown.append((FREE, "free", drawn.capacity - used))
    words = (
        bank_label(span, plan.banks),
        f"{plan.banks:,} banks = {with_unit(span)}",
        f"{with_unit(drawn.capacity)} {drawn.room}, {device['nominal_gb']:g} GB nominal",
        f"{counted(device['modules'], 'module')} of {device['memory_type']}, interleaved",
    )
    return tag(
        "figure",
        tag("h2", f"Memory of {owner}"),
        bank_svg.picture(
            drawn,
            device["modules"],
            device["memory_type"],
            f"Memory of {owner}",
            described,
            {key: f"{label}: {with_unit(size)}" for key, label, size in shown},
        ),
        tag(
            "ul",
            (tag("li", bank_svg.swatch(key), f"{label} ", tag("b", with_unit(size))) for key, label, size in shown),
            class_="legend",
        ),
        tag("figcaption", " · ".join(words)),
        class_="card",
    )


def _fixes(document: Mapping[str, Any]) -> Content:
    found = document["fixes"]
    if not found:
        return ""
    columns = fix_table.columns()
    rows = (
        tag(
            "tr",
            tag("th", columns[0].show(row[columns[0].key]), scope="row"),
            (tag("td", column.show(row[column.key])) for column in columns[1:]),
        )
        for row in fix_table.table_rows(found)
    )
    table = tag(
        "table",
        tag("thead", tag("tr", (tag("th", column.title, scope="col") for column in columns))),
        tag("tbody", rows),
    )
    return tag(
        "section",
        tag("h2", "Make it fit"),
        tag("div", table, class_="scroll"),
        (tag("p", text, class_="note") for text in fix_table.remarks(found)),
        class_="card wide",
    )


def _memory(document: Mapping[str, Any]) -> Markup:
    memory = document["memory"]
    usable, several = memory["usable_bytes_per_device"], memory["devices"] > 1
    heads = ["all, GiB", "all, bytes", "fullest, GiB", "fullest, bytes"] if several else ["GiB", "bytes"]

    def row(key: str, label: Content, total: int | None, fullest: int, estimate: bool) -> Markup:
        cells = []
        for size in (total, fullest) if several else (fullest,):
            figure = "" if size is None else f"≈ {gib(size)}" if estimate else gib(size)
            cells.append(tag("td", figure))
            cells.append(tag("td", "" if size is None else f"{size:,}", class_="exact"))
        names = {"total": "total", "over": "missing"}
        style = names.get(key, "none" if not fullest else "")
        return tag("tr", tag("th", label, scope="row"), cells, tag("td", percent(fullest, usable)), class_=style)

    parts = (
        row(p.key, [bank_svg.swatch(p.key), p.label], p.total, p.fullest, p.estimate) for p in sections.parts(document)
    )
    sums = (row(s.key, s.label, s.total, s.fullest, s.estimate) for s in sections.sums(document))
    table = tag(
        "table",
        tag("thead", tag("tr", (tag("th", text, scope="col") for text in ["part", *heads, "% of usable"]))),
        tag("tbody", parts),
        tag("tbody", sums),
    )
    return tag(
        "section",
        tag("h2", "Memory"),
        tag("div", table, class_="scroll"),
        tag("p", "≈ estimated; the rest is exact arithmetic", class_="note"),
        class_="card wide",
    )


def _panel(panel: FactPanel) -> Markup:
    facts: list[Markup] = []
    for fact in panel.facts:
        note = tag("small", fact.note) if fact.note else ""
        facts += [tag("dt", fact.label), tag("dd", fact.value, note, class_=f"v-{fact.style}" if fact.style else "")]
    note = tag("p", panel.note, class_="note") if panel.note else ""
    return tag("section", tag("h2", panel.title[0].upper() + panel.title[1:]), tag("dl", facts), note, class_="card")


def _remarks(document: Mapping[str, Any]) -> Content:
    found = sections.remarks(document)
    if not found:
        return ""
    items = (tag("li", tag("b", SEVERITIES[r.severity]), r.text, class_=r.severity) for r in found)
    return tag("ul", items, class_="remarks", aria_label="Remarks")


def _starts(document: Mapping[str, Any]) -> Content:
    found = sections.starts(document)
    if not found:
        return ""
    lines = ([tag("h3", program), tag("pre", words)] for program, words in found)
    return tag("section", tag("h2", "Start the best split"), lines, class_="card")


def _derivation(derivation: Derivation) -> Markup:
    result = "" if derivation.result is None else f"{derivation.result:,} B"
    return tag(
        "details",
        tag("summary", tag("code", derivation.id), tag("span", result)),
        tag("div", markup(_how(derivation)), class_="how"),
    )


def _how(derivation: Derivation) -> Iterator[Markup]:
    yield tag("p", tag("code", derivation.formula))
    if derivation.filled != derivation.formula:
        yield tag("p", tag("code", f"= {derivation.filled}"))
    if derivation.values:
        yield tag("dl", ([tag("dt", name), tag("dd", value)] for name, value in derivation.values))
    yield tag("ul", (tag("li", source) for source in derivation.sources))
