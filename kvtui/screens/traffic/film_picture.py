"""A step of a replay as what is drawn of it: the board of blocks, the requests over time, and the life of one."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np

from kvtui.canvas.blocks import BlockOwner, BlockPicture, BlockRun
from kvtui.canvas.cells import InkRow, Span, fit
from kvtui.canvas.memory.panels.text import cut, pair
from kvtui.canvas.palette import SEQUENCES, Ink
from kvtui.engine.replay.history import HeldBlocks, Phase, ReplayHistory
from kvtui.screens.traffic.film_state import FilmState
from kvtui.widgets.panels import Section

MOST_STEPS_AT_ONCE = 32
"""Steps whose preemptions and evictions are shown in one picture, where playing leaves some out."""
CURSOR = 0.75
"""Where in the stretch of time the instant stands."""
LABEL = 7

_KINDS: tuple[BlockOwner, ...] = ("empty", "left", "request", "shared", "lost", "out", "chosen")
_PHASES = {
    Phase.WAITING: ("·", Ink.DIM),
    Phase.PREFILL: ("▒", Ink.ACCENT),
    Phase.DECODE: ("▇", Ink.NONE),
    Phase.PREEMPTED: ("▼", Ink.BAD),
    Phase.DONE: (" ", Ink.DIM),
}
PHASE_WORDS = {
    Phase.WAITING: "waits",
    Phase.PREFILL: "prefill",
    Phase.DECODE: "decode",
    Phase.PREEMPTED: "put out",
    Phase.DONE: "done",
}


def shown_steps(history: ReplayHistory, state: FilmState) -> range:
    """The steps that this picture stands for: those since the one before it, the last of them its own."""
    now, before = history.at(state.at), history.at(state.was)
    first = before + 1 if before < now else now
    return range(max(first, now + 1 - MOST_STEPS_AT_ONCE), now + 1)


def board_picture(history: ReplayHistory, state: FilmState, each: int) -> BlockPicture:
    """All blocks at the instant, ``each`` in a bank, with what was put out and evicted since the picture before."""
    steps = shown_steps(history, state)
    evicted = [block for step in steps for block in history.step(step).evicted]
    put_out = [
        block
        for step in steps
        for request in history.step(step).preempted
        for table in history.page_table(request, step - 1)
        for block in table
    ]
    chosen: list[int] = []
    if state.request is not None and state.request <= len(history.requests):
        tables = history.page_table(state.request, steps[-1])
        chosen = [block for table in tables for block in table]
        if state.place is not None and state.place < len(tables[0]):
            chosen = [tables[0][state.place]]
    return picture_of(history.board(steps[-1]), each, evicted, put_out, chosen)


def picture_of(
    held: HeldBlocks,
    each: int,
    evicted: Iterable[int] = (),
    put_out: Iterable[int] = (),
    chosen: Iterable[int] = (),
) -> BlockPicture:
    """The blocks in their order as runs; ``evicted``, ``put_out`` and ``chosen`` are numbers of blocks.

    A bank of ``each`` shows the block in its middle, or the one of these that is in it.
    """
    owner, holders = (np.frombuffer(part, dtype=np.intc)[1:] for part in held)
    kinds = np.where(holders > 0, np.minimum(holders, 2) + 1, np.where(owner > 0, 1, 0))
    shown = np.minimum(np.arange(0, len(kinds), each) + each // 2, len(kinds) - 1)
    for kind, blocks in ((4, evicted), (5, put_out), (6, chosen)):
        places = np.fromiter((block - 1 for block in blocks if block), dtype=np.intp)
        kinds[places] = kind
        shown[places // each] = places
    seen = kinds[shown]
    numbers = np.where((seen > 0) & (seen < 4), owner[shown], 0)
    starts = np.flatnonzero(np.diff(seen, prepend=-1) | np.diff(numbers, prepend=-1))
    lengths = np.diff(np.append(starts * each, len(kinds)))
    counts = np.bincount(kinds, minlength=len(_KINDS)).tolist()
    return BlockPicture(
        tuple(
            BlockRun(_KINDS[kind], length, number)
            for kind, length, number in zip(
                seen[starts].tolist(), lengths.tolist(), numbers[starts].tolist(), strict=True
            )
        ),
        counts=dict(zip(_KINDS, counts, strict=True)),
    )


def numbers_row(history: ReplayHistory, state: FilmState) -> InkRow:
    """The numbers of the instant, with what was put out and evicted since the picture before."""
    steps = shown_steps(history, state)
    now = history.step(steps[-1])
    out = sum(len(history.step(step).preempted) for step in steps)
    lost = sum(len(history.step(step).evicted) for step in steps)
    row = [
        Span(f" {now.used:,} of {history.blocks:,} used", Ink.BRIGHT),
        Span(f"  runs {now.running:,}", Ink.GOOD),
        Span(f"  waits {now.waiting:,}", Ink.WARN if now.waiting else Ink.DIM),
    ]
    if out:
        row.append(Span(f"  put out {out:,}", Ink.BAD))
    if lost:
        row.append(Span(f"  evicted {lost:,}", Ink.WARN))
    return row


def alive(history: ReplayHistory, number: int) -> list[int]:
    """The requests that have arrived by step ``number`` and are not done, in the order of arrival."""
    return [one.number for one in history.states(number) if one.phase is not Phase.DONE]


def timeline(history: ReplayHistory, state: FilmState, width: int, height: int) -> list[InkRow]:
    """What the requests do over the stretch of time around the instant, a row each, under a row that names it.

    Those that are not done come first where there is not room for all, and the chosen one is always there.
    """
    if not history.steps or height < 2 or width <= LABEL + 8:
        return []
    number, columns = history.at(state.at), width - LABEL
    first = max(0.0, state.at - CURSOR * state.span)
    cursor = min(columns - 1, _column(state.at, first, state.span, columns))
    key = "  ".join(f"{glyph} {PHASE_WORDS[phase]}" for phase, (glyph, _) in _PHASES.items() if glyph != " ")
    span = f"{state.span:g} s"
    inside = len(f"{span}  {key}") <= max(cursor, columns - cursor - 2)
    rows: list[InkRow] = [_axis(f"{span}  {key}" if inside else span, columns, cursor)]
    for request in _shown(history, state, number, first, height - 1 if inside else height - 2):
        label = f"{'▶' if request == state.request else ' '}#{request:<{LABEL - 3}} "
        spans = [Span(label, Ink.BRIGHT if request == state.request else Ink.DIM)]
        rows.append([*spans, *_bar(history, request, state, first, columns)])
    if not inside:
        rows.append([Span(fit(key, width), Ink.DIM)])
    return rows


def _axis(words: str, columns: int, cursor: int) -> InkRow:
    """The stretch of time and the instant in it."""
    room = columns - cursor - 2
    left, right = (words, "") if cursor > room else ("", words)
    return [
        Span(" " * LABEL),
        Span(fit(left, cursor), Ink.DIM),
        Span("▽", Ink.BRIGHT),
        Span(f" {cut(right, max(0, room))}", Ink.DIM),
    ]


def _shown(history: ReplayHistory, state: FilmState, number: int, first: float, room: int) -> list[int]:
    """The requests that have a row: all that are not done, and the last of those that were done within the time."""
    earliest = history.at(first)
    living, done = [], []
    for one in history.states(number):
        if one.phase is not Phase.DONE:
            living.append(one.number)
        elif one.since > earliest or one.number == state.request:
            done.append(one.number)
    found = sorted([*living, *done[max(0, len(done) - max(0, room - len(living))) :]])
    if state.request in done and state.request not in found:
        found = sorted([*found, state.request])
    at = found.index(state.request) if state.request in found else 0
    begin = max(0, min(at - room // 2, len(found) - room))
    return found[begin : begin + room]


def _bar(history: ReplayHistory, request: int, state: FilmState, first: float, columns: int) -> list[Span]:
    """One request over time, with what it will do."""
    phases = history.phases(request)
    spans: list[Span] = []
    drawn = 0
    for place, (step, phase) in enumerate(phases):
        if place + 1 < len(phases):
            end = _start(history, phases[place + 1][0])
        else:
            end = first + state.span if phase is Phase.DONE else _start(history, history.steps)
        begin = _column(_start(history, step), first, state.span, columns)
        until = max(_column(end, first, state.span, columns), min(columns, begin + (phase is Phase.PREEMPTED)))
        if begin > drawn:
            spans.append(Span(" " * (begin - drawn)))
            drawn = begin
        if until > drawn:
            glyph, ink = _PHASES[phase]
            spans.append(Span(glyph * (until - drawn), ink or Ink.SEQUENCE + request % SEQUENCES))
            drawn = until
    return spans


def _start(history: ReplayHistory, step: int) -> float:
    """When ``step`` begins, or the last one ends."""
    if step < history.steps:
        return history.step(step).start
    last = history.step(history.steps - 1)
    return last.start + last.seconds


def _column(seconds: float, first: float, span: float, columns: int) -> int:
    return max(0, min(columns, round((seconds - first) / span * columns)))


def sections(history: ReplayHistory, state: FilmState, width: int, height: int) -> list[Section]:
    """The life of the chosen request and of the chosen block, and the page table; what to press where none is."""
    if not history.steps:
        return []
    number, request = history.at(state.at), state.request
    if request is None or request > len(history.requests):
        return [Section("numbers", _numbers(history, number, width)[: max(0, height - 2)])]
    table = history.page_table(request, number)
    life, pages = history.phases(request), _page_rows(table, state.place, width)
    block = table[0][state.place] if state.place is not None and state.place < len(table[0]) else 0
    deeds = _block_rows(history, block, number, width) if block else []
    room = height - (6 if block else 4)
    of_block = min(len(deeds), max(1, room // 3))
    of_life = min(len(life) + 1, max(1, room // 3, room - of_block - len(pages)))
    of_pages = max(0, room - of_block - of_life)
    around = 0 if state.place is None else state.place // _per_row(width) - of_pages // 2
    around = max(0, min(around, len(pages) - of_pages))
    return [
        Section(f"request #{request}", _request_rows(history, request, number, width, of_life), 0),
        Section(f"page table of #{request}", pages[around : around + of_pages], 1),
        *([Section(f"block {block:,}", deeds[:of_block], 2)] if block else []),
    ]


def _numbers(history: ReplayHistory, number: int, width: int) -> list[InkRow]:
    now = history.step(number)
    return [
        pair("tokens computed", (f"{now.tokens:,}",), width),
        pair("this step", (f"{now.seconds * 1000:,.1f} ms",), width),
        pair("admitted", (f"{len(now.admitted):,}",), width),
        pair("saved by the cache", (f"{sum(saved for _, saved in now.admitted):,} tokens",), width),
        pair("put out", (f"{len(now.preempted):,}",), width, Ink.BAD if now.preempted else Ink.TEXT),
        pair("blocks evicted", (f"{len(now.evicted):,}",), width, Ink.WARN if now.evicted else Ink.TEXT),
        (Span("j k choose a request", Ink.DIM),),
    ]


def _request_rows(history: ReplayHistory, request: int, number: int, width: int, room: int) -> list[InkRow]:
    """What the request is, and its phases around the instant, those to come fainter, in ``room`` rows."""
    one, phases = history.requests[request - 1], history.phases(request)
    past = sum(step <= number for step, _ in phases)
    end = max(min(len(phases), past + 1), min(len(phases), room - 1)) if room > 1 else max(1, past)
    rows: list[InkRow] = []
    if room > 1:
        rows.append(pair("prompt, answer", (f"{one.prompt:,} + {one.answer:,} tokens",), width))
    for step, phase in phases[max(0, end - max(1, room - 1)) : end]:
        ink = Ink.DIM if step > number else _PHASES[phase][1] or Ink.TEXT
        rows.append(pair(PHASE_WORDS[phase], (f"{_start(history, step):,.3f} s",), width, ink))
    return rows


def _per_row(width: int) -> int:
    return max(1, width // 13)


def _page_rows(tables: Sequence[Sequence[int]], place: int | None, width: int) -> list[InkRow]:
    """Logical to physical; of several groups of layers the first."""
    table, each = tables[0], _per_row(width)
    if not table:
        return [(Span("it holds no blocks now", Ink.DIM),)]
    return [
        [
            Span(f"{at:>4}→{table[at] or '–':<7}"[:12] + " ", Ink.BRIGHT if at == place else Ink.TEXT)
            for at in range(first, min(first + each, len(table)))
        ]
        for first in range(0, len(table), each)
    ]


def _block_rows(history: ReplayHistory, block: int, number: int, width: int) -> list[InkRow]:
    """What happened to ``block``, the newest before the instant first."""
    rows: list[InkRow] = []
    for change in reversed(history.block_life(block)):
        if change.step > number:
            continue
        if change.holders > 1:
            words = f"#{change.owner} and {change.holders - 1} more"
        elif change.holders:
            words = f"held by #{change.owner}"
        else:
            words = f"cached, of #{change.owner}" if change.owner else "empty"
        rows.append(pair(words, (f"{_start(history, change.step):,.3f} s",), width))
    return rows
