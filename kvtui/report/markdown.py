"""The report as GitHub-flavoured Markdown: every section, with exact bytes and all explanations."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from kvtui.output.harmless import clean
from kvtui.output.markdown import escape, fence, table
from kvtui.report import facts, fix_table, sections
from kvtui.report.amounts import gib, percent
from kvtui.report.derivations import Derivation, derivations
from kvtui.report.facts import FactPanel


def render(document: Mapping[str, Any]) -> str:
    """``document`` as Markdown, ending in a newline."""
    known = clean(document)
    fits, sentence = sections.verdict(known)
    blocks = [
        f"# {escape(' · '.join(sections.title(known)))}",
        f"**{'✓' if fits else '✗'} {escape(sentence)}**",
        *_fixes(known),
        "## Memory",
        _memory(known),
        *(block for panel in facts.panels(known) for block in _panel(panel)),
        *_remarks(known),
        *_starts(known),
        "## Where the numbers come from",
        *(_derivation(derivation) for derivation in derivations(known)),
        "## Reproduce",
        fence(known["scenario"]["command_line"]),
    ]
    return "\n\n".join(blocks) + "\n"


def _memory(document: Mapping[str, Any]) -> str:
    memory = document["memory"]
    usable, several = memory["usable_bytes_per_device"], memory["devices"] > 1
    rows = [
        *(_row(p.label, p.total, p.fullest, p.estimate, usable, several) for p in sections.parts(document)),
        *(_row(s.label, s.total, s.fullest, s.estimate, usable, several) for s in sections.sums(document)),
    ]
    own = ["all devices, bytes", "all devices, GiB", "fullest, bytes", "fullest, GiB"] if several else ["bytes", "GiB"]
    return table(["part", *own, "% of usable"], rows) + "\n\n≈ estimated; the rest is exact arithmetic."


def _fixes(document: Mapping[str, Any]) -> Iterator[str]:
    found = document["fixes"]
    if found:
        columns = fix_table.columns()
        rows = [[column.show(row[column.key]) for column in columns] for row in fix_table.table_rows(found)]
        yield "## Make it fit"
        yield table([column.title for column in columns], rows, [column.align for column in columns])
        yield "\n".join(f"- {escape(text)}" for text in fix_table.remarks(found))


def _row(label: str, total: int | None, fullest: int, estimate: bool, usable: int, several: bool) -> list[str]:
    name = f"{label} ≈" if estimate else label
    figures = [total, fullest] if several else [fullest]
    shown = [text for size in figures for text in (("", "") if size is None else (f"{size:,}", gib(size)))]
    return [name, *shown, percent(fullest, usable)]


def _panel(panel: FactPanel) -> Iterator[str]:
    yield f"## {escape(panel.title[0].upper() + panel.title[1:])}"
    noted = 3 if any(fact.note for fact in panel.facts) else 2
    facts = [(fact.label, fact.value, fact.note)[:noted] for fact in panel.facts]
    yield table([""] * noted, facts, ["left", "right", "left"][:noted])
    if panel.note:
        yield escape(panel.note)


def _remarks(document: Mapping[str, Any]) -> Iterator[str]:
    found = sections.remarks(document)
    if found:
        yield "## Remarks"
        yield "\n".join(f"- **{remark.severity}**: {escape(remark.text)}" for remark in found)


def _starts(document: Mapping[str, Any]) -> Iterator[str]:
    found = sections.starts(document)
    if found:
        yield "## Start the best split"
    for program, words in found:
        yield escape(program)
        yield fence(words)


def _derivation(derivation: Derivation) -> str:
    lines = [f"### {escape(derivation.id)}", escape(derivation.formula)]
    if derivation.filled != derivation.formula:
        lines.append(f"= {escape(derivation.filled)}")
    if derivation.result is not None:
        lines.append(f"= **{derivation.result:,} B**")
    text = "  \n".join(lines[1:])
    blocks = [lines[0], text]
    if derivation.values:
        blocks.append(table(["value", ""], derivation.values))
    blocks.append("\n".join(f"- {escape(source)}" for source in derivation.sources))
    return "\n\n".join(blocks)
