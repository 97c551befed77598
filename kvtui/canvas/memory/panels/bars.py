"""The one-line summaries: the title bar over the board, and the line that small terminals show instead of panels."""

from __future__ import annotations

from collections.abc import Sequence

from kvtui.canvas.cells import InkRow, Span
from kvtui.canvas.memory.panels.controls import speed_text
from kvtui.canvas.memory.panels.info import dtypes, efficiency
from kvtui.canvas.memory.panels.text import clean, cut, of_whole
from kvtui.canvas.memory.view import MemoryView
from kvtui.canvas.palette import Ink
from kvtui.engine.basis.units import format_bytes, format_tokens
from kvtui.engine.saying.called import called
from kvtui.engine.saying.fill import fill_words
from kvtui.engine.saying.flags import flag_words
from kvtui.engine.saying.notices import is_tight

SEPARATOR = " · "
WIDE_GAP = "   "

BarField = tuple[int, str, Ink]


def title_bar(view: MemoryView, width: int) -> InkRow:
    """Model, device, formats, batch and tokens on the left; speed, verdict and devices on the right; ``width`` cells.

    Where not all fit, the fields of highest rank go first; the model and the verdict stay, the model's name cut.
    """
    scenario, plan = view.scenario, view.plan
    tokens = f"{view.tokens:,} / {format_tokens(scenario.context)}"
    count = f"{plan.devices:,} device{'s' if plan.devices > 1 else ''}"
    left: list[BarField] = [
        (0, clean(called(scenario)), Ink.BRIGHT),
        (3, clean(scenario.device.name), Ink.TEXT),
        (6, dtypes(scenario), Ink.DIM),
        (5, f"batch {scenario.batch:,}, {fill_words(scenario, scenario.batch)}", Ink.DIM),
        (2, f"{tokens} tokens", Ink.ACCENT),
        *((4, clean(words), Ink.WARN) for words in flag_words(scenario)),
    ]
    right: list[BarField] = [
        (4, f"▶ {speed_text(view.speed)}" if view.playing else f"paused {speed_text(view.speed)}", Ink.ACCENT),
        (1, *_verdict(view, width)),
        (7, count, Ink.DIM),
    ]
    for rank in range(7, 1, -1):
        if _length(left) + len(WIDE_GAP) + _length(right) <= width:
            break
        left, right = ([field for field in fields if field[0] != rank] for fields in (left, right))
    room = width - _length(right) - 1
    if _length(left) > room:
        left = [(0, cut(left[0][1], max(0, room)), Ink.BRIGHT)]
    gap = max(1, width - _length(left) - _length(right))
    return _cut_row((*_joined(left), Span(" " * gap), *_joined(right)), width)


def one_line_info(view: MemoryView, width: int, users: str = "") -> InkRow:
    """Total of all usable bytes, the share, how many ``users`` at what cost, and the parts, as fit ``width`` cells."""
    parts = view.total_parts
    words, ink = efficiency(view.utilization)
    fields: list[BarField] = [
        (0, of_whole(parts.total, view.capacity, "of"), Ink.BRIGHT),
        (1, words, ink),
        (2, users, Ink.ACCENT),
        (2, f"KV {format_bytes(parts.kv)}", Ink.KV),
        (3, f"weights {format_bytes(parts.weights)}", Ink.WEIGHTS),
        (4, f"state {format_bytes(parts.state)}" if parts.state else "", Ink.STATE),
        (5, f"FA saves {format_bytes(view.saved_bytes)}" if view.saved_bytes else "", Ink.SAVED),
    ]
    shown = [field for field in fields if field[1]]
    while len(shown) > 1 and _length(shown) > width:
        shown.pop()
    return _cut_row(_joined(shown), width)


def _verdict(view: MemoryView, width: int) -> tuple[str, Ink]:
    """Whether the scenario fits, which is a matter of its full context."""
    plan = view.plan
    if plan.fits:
        tight = ", tight" if is_tight(plan) else ""
        return f"✓ fits at {format_tokens(view.scenario.context)}{tight}", Ink.GOOD
    if plan.devices_needed is not None and plan.devices_needed > plan.devices:
        return f"✗ needs {plan.devices_needed:,} devices", Ink.BAD
    return "✗ does not fit", Ink.BAD


def _length(fields: Sequence[BarField]) -> int:
    return sum(len(text) for _, text, _ in fields) + len(SEPARATOR) * max(0, len(fields) - 1)


def _joined(fields: Sequence[BarField]) -> tuple[Span, ...]:
    spans: list[Span] = []
    for _, text, ink in fields:
        spans += [*([Span(SEPARATOR, Ink.FAINT)] if spans else []), Span(text, ink)]
    return tuple(spans)


def _cut_row(row: Sequence[Span], width: int) -> InkRow:
    spans, room = [], width
    for span in row:
        if room <= 0:
            break
        spans.append(Span(span.text[:room], span.ink, span.under))
        room -= len(span.text)
    return tuple(spans)
