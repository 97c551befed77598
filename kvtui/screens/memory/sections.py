"""Which panels stand beside the board, in which order, and what goes first when there is little room."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from kvtui.canvas.cells import InkRow, Span
from kvtui.canvas.memory import panels
from kvtui.canvas.memory.panels.text import cut, pair, wrapped
from kvtui.canvas.memory.view import MemoryView
from kvtui.canvas.palette import Ink
from kvtui.engine.advice.impact import Impact
from kvtui.engine.basis.units import format_bytes, format_tokens
from kvtui.engine.engines.placement import BestSplit
from kvtui.engine.picture.bank_map import FIRST_SEQUENCE, Code
from kvtui.engine.saying.factoids import Factoid
from kvtui.engine.saying.fill import fill_words
from kvtui.engine.saying.film import moment
from kvtui.engine.saying.left_out import left_out
from kvtui.engine.scenario.scenario import Scenario
from kvtui.screens.memory.picture import Picture
from kvtui.state.host import Host
from kvtui.state.session import Session
from kvtui.widgets.key_name import first_key
from kvtui.widgets.panels import Section

MAX_PAPER_ROWS = 8
LEAST_FORMULA_ROWS, LEAST_INFO_ROWS = 5, 12

PANEL_KEYS = {
    "pick_model": ("model",),
    "pick_device": ("device",),
    "next_devices": ("devices-more",),
    "toggle_link": ("link",),
    "pick_weights": ("weight-format",),
    "pick_kv": ("kv-format",),
    "set_batch": ("batch",),
    "next_fill": ("fill",),
    "set_context": ("context",),
    "faster": ("slower", "faster"),
    "toggle_cb": ("continuous-batching",),
    "toggle_pa": ("paged-attention",),
    "toggle_fa": ("flash-attention",),
    "toggle_weights": ("skip-weights",),
}
EXPLANATIONS = {
    "total": "total",
    "weights": "weights",
    "KV cache": "kv",
    "state": "state",
    "padding": "reserved_unused",
    "reserved, unused": "reserved_unused",
    "rest of the pool": "pool_free",
    "activations": "activation",
    "overhead": "overhead",
    "saved by FA": "flash_attention_saved",
    "freed, what if": "what_if",
    "needed": "devices_needed",
}

TOPICS: dict[int, str] = {
    Code.WEIGHTS: "weights",
    Code.PREFIX: "kv",
    Code.STATE: "state",
    Code.RESERVED: "reserved_unused",
    Code.PADDING: "reserved_unused",
    Code.WORKING: "activation",
    Code.SAVED: "flash_attention_saved",
    Code.FREED: "what_if",
    Code.FREE: "max_context",
    Code.OVERFLOW: "devices_needed",
}

Sections = tuple[Section, ...]


def panel_keys(host: Host) -> dict[str, str]:
    """The labels of the scenario panel's keys, by action."""
    return {action: " ".join(first_key(host, id) for id in ids) for action, ids in PANEL_KEYS.items()}


def numbers_sections(view: MemoryView, width: int, height: int, care: Section, reading: Sections = ()) -> Sections:
    """The numbers of the moment, the formula behind them in the room that is left, and what to take care of.

    What there is to read, ``reading``, gives way to the least of the others only, the last of it first. Every title
    names the moment that its figures belong to.
    """
    when = moment(view.scenario, view.tokens)
    kept = [section for section in reading if section.rows]
    room = height - (care.height if care.rows else 0)
    while kept and room - sum(section.height for section in kept) < LEAST_INFO_ROWS + LEAST_FORMULA_ROWS + 4:
        kept.pop()
    room -= sum(section.height for section in kept)
    info = panels.info_rows(view, width, max(room - 2 - LEAST_FORMULA_ROWS - 2, min(room - 2, LEAST_INFO_ROWS)))
    room -= len(info) + 4
    formula = panels.formula_rows(view, width, room) if room >= LEAST_FORMULA_ROWS else []
    return (
        Section(f"memory {when}", info, 0, _explained(info)),
        Section(f"formula {when}", formula, 2),
        care,
        *kept,
    )


def care_section(view: MemoryView, width: int, fix: str, room: str) -> Section:
    """What to take care of at full context.

    Where it does not fit, ``room`` says what would, and ``fix`` is the key that lists what would make it fit.
    """
    urgent = [notice for notice in view.notices if notice.severity != "info"]
    care = panels.warning_rows(urgent, width)
    if not view.plan.fits:
        care += wrapped(room, width, Ink.DIM) if room else []
    actions: list[str | None] = [None] * len(care)
    if not view.plan.fits:
        care.append((Span(fix, Ink.WARN), Span(cut(" what would make it fit", width - len(fix)), Ink.ACCENT)))
        actions.append("fixes")
    return Section(f"take care {moment(view.scenario, view.scenario.context)}", care, 1, actions)


def reading_sections(view: MemoryView, picture: Picture, factoid: Factoid, width: int) -> Sections:
    """What several devices mean, the papers behind what is active, and a fact to learn."""
    return (
        Section("more than one", panels.datacentre_note_rows(view, width), 3),
        Section("papers", panels.paper_rows(picture.papers, width)[:MAX_PAPER_ROWS], 4),
        Section("did you know", panels.factoid_rows(factoid, width), 5),
    )


def legend_section(view: MemoryView, width: int, plain: bool) -> Section:
    """The legend of the picture, with what each of its colours stands for at the moment."""
    return Section(f"legend {moment(view.scenario, view.tokens)}", panels.legend_rows(view.counts, width, plain), 1)


def control_sections(view: MemoryView, width: int, keys: Mapping[str, str], link: str) -> Sections:
    """What can be changed, and the estimates of a plan that fits.

    ``keys`` are the labels of keys by action, ``link`` the name of what joins several devices.
    """
    rows = panels.scenario_rows(view.scenario, view.playing, view.speed, width, keys, link)
    scenario = Section("scenario", [row for row, _ in rows], 0, [action for _, action in rows])
    if not view.plan.fits:
        return (scenario,)
    return (
        scenario,
        Section(
            f"estimate at {format_tokens(view.scenario.context)}",
            [_for_whom(view.scenario, width), *panels.estimate_rows(view.estimate, width, "", left_out(view.scenario))],
            2,
        ),
    )


def room_sections(session: Session, width: int) -> Sections:
    """How far the devices go, and what it costs when they do."""
    scenario, found = session.scenario, session.most_users
    rows = panels.capacity_rows(scenario, session.capacity, session.users, width)
    actions = ["explain('max_context')", *["explain('max_sequences')"] * (len(rows) - 1)]
    room = Section("room for", rows, 3, actions)
    if found is None or found[0] == scenario.batch:
        return (room,)
    title = f"{found[0]:,} users at {format_tokens(scenario.context)}, {fill_words(scenario, found[0])}"
    return room, Section(title, panels.most_users_rows(found[1], width), 4)


def split_sections(split: BestSplit | None, width: int) -> Sections:
    """The best split between devices and RAM, as the command line that starts it; empty for other engines."""
    if split is None:
        return ()
    title = "best split" if split.fits else "best split, too large"
    _, words = split.commands[0]
    return (Section(title, wrapped(words, width, Ink.TEXT), 4),)


def debug_section(words: Sequence[str], impacts: Sequence[Impact], context: int, width: int) -> Section:
    """How the picture is drawn, and what each optimisation saves at full context."""
    rows = [row for text in words for row in wrapped(text, width, Ink.DIM)]
    rows.append((Span(cut(f"saved at {format_tokens(context)} tokens, each alone", width), Ink.TEXT),))
    for name, on, saved in impacts:
        amount = "fixed" if saved is None else format_bytes(saved, 1)
        rows.append(pair(f"{name}, {'on' if on else 'off'}", (amount,), width, Ink.GOOD if on else Ink.DIM))
    return Section("debug", rows, -1)


def topic_of(code: int) -> str | None:
    """The id of the explanation of what a bank holds, by its code in the bank map."""
    return "kv" if code >= FIRST_SEQUENCE else TOPICS.get(code)


def _for_whom(scenario: Scenario, width: int) -> InkRow:
    """For which batch an estimate is, and how full its sequences are."""
    return pair(f"batch {scenario.batch:,}", (fill_words(scenario, scenario.batch),), width, Ink.TEXT)


def _explained(rows: Sequence[InkRow]) -> list[str | None]:
    """What a click on each row of numbers explains."""
    topics = [EXPLANATIONS.get(row[0].text.strip()) for row in rows]
    return [None if topic is None else f"explain('{topic}')" for topic in topics]
