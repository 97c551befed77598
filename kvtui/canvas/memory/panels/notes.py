"""Panels to read: papers, facts, warnings, and the note about plans that need a room of machines."""

from __future__ import annotations

from collections.abc import Sequence

from kvtui.canvas.cells import InkRow, Span
from kvtui.canvas.memory.panels.text import clean, cut, marked, pair, wrapped
from kvtui.canvas.memory.view import MemoryView
from kvtui.canvas.palette import Ink
from kvtui.engine.basis.units import TIB, format_bytes
from kvtui.engine.saying.factoids import Factoid
from kvtui.engine.saying.notices import Notice
from kvtui.engine.saying.papers import Paper
from kvtui.engine.scenario.scenario import NODE_DEVICES

TAG_WIDTH = 3
SEVERITY = {"critical": ("✗", Ink.BAD), "warning": ("⚠", Ink.WARN), "info": ("•", Ink.DIM)}


def paper_rows(papers: Sequence[Paper], width: int) -> list[InkRow]:
    """Technique, short name and reference of each paper: on one row where all fit, else the reference below."""
    rows: list[InkRow] = []
    before = ""
    for paper in papers:
        tag = "" if paper.tag == before else paper.tag
        before = paper.tag
        start = (Span(tag.ljust(TAG_WIDTH), Ink.ACCENT), Span(" "))
        room = width - TAG_WIDTH - 1
        long, short = _references(paper)
        if len(paper.name) + 1 + len(short) <= room:
            rows.append((*start, *pair(paper.name, (long, short), room, Ink.DIM, Ink.TEXT)))
        else:
            rows.append((*start, Span(cut(paper.name, room), Ink.TEXT)))
            rows.append((Span(" " * (TAG_WIDTH + 1)), Span(cut(long, room), Ink.DIM)))
    return rows


def _references(paper: Paper) -> tuple[str, str]:
    """Where to find the paper, in full and in short."""
    if paper.arxiv is not None:
        return paper.reference, paper.arxiv
    return f"{paper.venue} {paper.year}", f"{paper.venue} {paper.year}"


def factoid_rows(factoid: Factoid, width: int) -> list[InkRow]:
    """The fact, wrapped, and below it where it is from."""
    return [*wrapped(clean(factoid.text, 400), width, Ink.TEXT), *wrapped(clean(factoid.source, 200), width, Ink.FAINT)]


def warning_rows(notices: Sequence[Notice], width: int) -> list[InkRow]:
    """The notices, wrapped, each behind the glyph of its severity."""
    rows: list[InkRow] = []
    for notice in notices:
        glyph, ink = SEVERITY[notice.severity]
        rows += marked(glyph, ink, clean(notice.text, 400), width, Ink.DIM if notice.severity == "info" else Ink.TEXT)
    return rows


def datacentre_note_rows(view: MemoryView, width: int) -> list[InkRow]:
    """What several devices mean for the plan; empty for plans that need one device and at most 1 TiB."""
    plan = view.plan
    devices = max(plan.devices_needed or 0, plan.devices)
    huge = plan.total.total > TIB
    if devices <= 1 and not huge and plan.devices_needed is not None:
        return []
    count = f"{devices:,} devices" if plan.devices_needed is not None else "more devices than were tried"
    total = f"{format_bytes(plan.total.total)} at full context"
    texts = [f"{total} take {count}: every rank holds its share of layers and heads."]
    if devices > 1:
        texts.append("Each step they exchange activations; the slowest link sets the pace.")
    if devices > NODE_DEVICES:
        nodes = -(-devices // NODE_DEVICES)
        texts.append(f"At {NODE_DEVICES} to a node these are {nodes:,} nodes with a network between them.")
    if huge:
        texts.append("Over 1 TiB: a matter for a data centre, with its power and its cooling.")
    watts = view.scenario.device.tdp_watts
    if watts is not None and devices > 1:
        texts.append(f"Board power alone: up to {devices * watts / 1000:,.1f} kW.")
    return [row for text in texts for row in marked("•", Ink.WARN, text, width, Ink.TEXT)]
