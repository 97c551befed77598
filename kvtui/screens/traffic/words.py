"""What is said of a server beside its picture: figures of now, the plan beside, what is worth changing."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from kvtui.canvas.cells import InkRow, Span, fit
from kvtui.canvas.memory.panels.text import clean, cut, pair, wrap
from kvtui.canvas.palette import Ink
from kvtui.engine.basis.units import format_bytes
from kvtui.engine.live.advisor import ServerFinding
from kvtui.engine.live.beside import PlanBeside
from kvtui.engine.live.binds import Binding, binds
from kvtui.engine.live.check import figures
from kvtui.engine.live.history import Beat
from kvtui.engine.live.interval import Percentiles, lifetime
from kvtui.engine.live.names import SEEN_LIVE, TITLES
from kvtui.engine.live.snapshot import Snapshot
from kvtui.engine.serving.comparison import Component
from kvtui.screens.traffic.picture import ranks_of, written
from kvtui.widgets.panels import Section

BINDING_INKS = {"pool": Ink.BAD, "sequences": Ink.WARN, "tokens": Ink.WARN, "nothing": Ink.GOOD, "unknown": Ink.DIM}
STATE_INKS = {"up": Ink.GOOD, "asleep": Ink.WARN, "loading": Ink.WARN}
MOST_ADVICE_ROWS = 14
NARROW = 100


def title_row(snapshot: Snapshot, now: str, width: int, recorded: bool = False) -> InkRow:
    """The server in one row: what it is, where, how it is, and the moment that is looked at.

    Of a recording it says that it is one: nothing answers at that address now.
    """
    name = TITLES.get(snapshot.engine, "a server")
    release = f" {clean(snapshot.release, 30)}" if snapshot.release else ""
    left = f" {'recorded: ' if recorded else ''}{name}{release}  {clean(snapshot.model, 60)}"
    state = f" {snapshot.state} "
    room = width - len(left) - len(state) - len(now) - 3
    address = cut(f"  {clean(snapshot.address, 60)}", max(0, room))
    gap = " " * max(1, width - len(left) - len(address) - len(state) - len(now) - 1)
    return (
        Span(left, Ink.BRIGHT),
        Span(address, Ink.DIM),
        Span(gap),
        Span(state, STATE_INKS.get(snapshot.state, Ink.BAD)),
        Span(now, Ink.DIM),
    )


def verdict_row(beat: Beat) -> InkRow:
    """What binds, in one row."""
    found = binds(beat.snapshot, beat.since)
    return (Span(f" {found.words}", BINDING_INKS[found.what]),)


def binding(beat: Beat) -> Binding:
    """What binds."""
    return binds(beat.snapshot, beat.since)


def server_row(beat: Beat, chosen: bool, width: int) -> InkRow:
    """One server of several: how it is, how full, who waits, and what binds it."""
    snapshot = beat.snapshot
    used = figures(snapshot, beat.since)["kv_used"]
    narrow = width < NARROW
    cells = 5 if narrow else 10
    bar = "–".rjust(cells + 6) if used is None else f"{'▇' * round(used * cells):·<{cells}} {used:>5.0%}"
    running, waiting = (_count(snapshot.summed(name)) for name in ("running", "waiting"))
    rate = beat.since.tokens_per_second
    speed = "" if narrow else f" {'–' if rate is None else written(rate, 'rate'):>8} tokens/s"
    found = binds(snapshot, beat.since)
    name = f"{'▶' if chosen else ' '} {fit(TITLES.get(snapshot.engine, 'a server'), 10 if narrow else 13)}"
    address = fit(clean(snapshot.address, 60), 22 if narrow else 30)
    figures_now = f" {running:>4} run {waiting:>4} wait{speed}  "
    room = max(0, width - len(name) - len(address) - len(bar) - len(figures_now) - 1)
    return (
        Span(name, Ink.BRIGHT if chosen else Ink.TEXT),
        Span(f"{address} ", Ink.DIM),
        Span(bar, Ink.KV if snapshot.state == "up" else Ink.FAINT),
        Span(figures_now, Ink.TEXT),
        Span(fit(found.what if narrow and room < len(found.words) else found.words, room), BINDING_INKS[found.what]),
    )


def _count(value: int | None) -> str:
    return "–" if value is None else f"{value:,}"


def sections(
    beat: Beat, when: str, plan: PlanBeside | None, plan_error: str, findings: Sequence[ServerFinding], width: int
) -> list[Section]:
    """The panels beside the pool, of rows that are ``width`` cells; ``when`` names the moment of their figures."""
    snapshot = beat.snapshot
    found = [
        Section(when, list(_now(beat, width)), rank=0),
        Section("times, the last seconds", list(_times(beat, width)), rank=3),
        Section("ranks", list(_ranks(snapshot, width)), rank=4),
        Section("cached, by group", list(_groups(snapshot, width)), rank=4),
        Section("plan beside the server", list(_plan(plan, plan_error, width)), rank=1),
        Section("worth changing", _advice(findings, width), rank=2),
        Section("devices", list(_devices(snapshot, width)), rank=5),
        Section("remarks", _remarks(snapshot, plan, width), rank=6),
    ]
    return [section for section in found if section.rows]


def _now(beat: Beat, width: int) -> Iterator[InkRow]:
    snapshot, pool = beat.snapshot, beat.snapshot.pool
    if pool.size:
        tokens = pool.usable_tokens
        told = "" if tokens is None or pool.unit == "token" else f", {tokens:,} tokens"
        yield pair("pool", (f"{pool.size:,} {pool.unit}s{told}", f"{pool.size:,} {pool.unit}s"), width)
    for label, units, ink in (
        ("held", pool.used, Ink.KV),
        ("cached", pool.cached, Ink.STATE),
        ("empty", pool.empty, Ink.DIM),
    ):
        if units is not None:
            share = f" · {units / pool.size:.0%}" if pool.size else ""
            least = f"{units - pool.spread:,}–" if label == "cached" and pool.spread else ""
            yield pair(label, (f"{least}{units:,}{share}",), width, ink)
    used = figures(snapshot, beat.since)["kv_used"]
    if pool.used is None and used is not None:
        yield pair("held", (f"{used:.1%}",), width, Ink.KV)
    for name in ("running", "waiting", "paused"):
        count = snapshot.summed(name)
        if count is not None:
            most = f" of {snapshot.most_running:,}" if name == "running" and snapshot.most_running else ""
            yield pair(name, (f"{count:,}{most}",), width, Ink.WARN if name == "waiting" and count else Ink.BRIGHT)
    whole = lifetime(snapshot)
    hits = (beat.recent.hit_rate, whole.hit_rate)
    if hits[1] is not None:
        now = "–" if hits[0] is None else f"{hits[0]:.0%}"
        yield pair("hits, now and ever", (f"{now} / {hits[1]:.0%}",), width)
    if whole.preemptions is not None:
        yield pair("put out, ever", (f"{whole.preemptions:,.0f}",), width)
    rate = beat.since.tokens_per_second
    if rate is not None:
        yield pair("tokens/s", (f"{rate:,.0f}",), width)
    if beat.since.joules_per_token is not None:
        yield pair("energy of a token", (f"{beat.since.joules_per_token:,.2f} J",), width)
    for model in snapshot.loaded:
        window = "window not told" if model.context is None else f"window of {model.context:,}"
        yield pair(cut(clean(model.name), width // 2), (window,), width)
        if model.bytes is not None:
            yield pair("  in memory", (format_bytes(model.bytes),), width)


def _times(beat: Beat, width: int) -> Iterator[InkRow]:
    tokens = ("tpot", "per token") if beat.recent.itl is None else ("itl", "between tokens")
    for name, label in (("ttft", "TTFT"), tokens, ("queue", "queue"), ("e2e", "whole request")):
        found: Percentiles | None = getattr(beat.recent, name)
        if found is not None:
            beyond = ">" if found.beyond else ""
            yield pair(label, (f"{written(found.p50, 'seconds')} · {beyond}{written(found.p95, 'seconds')}",), width)


def _ranks(snapshot: Snapshot, width: int) -> Iterator[InkRow]:
    for rank in ranks_of(snapshot):
        share = rank.pool.used_share
        held = "–" if share is None else f"{share:.0%}"
        yield pair(
            f"rank {rank.number}", (f"{held} held, {_count(rank.running)} run, {_count(rank.waiting)} wait",), width
        )


def _groups(snapshot: Snapshot, width: int) -> Iterator[InkRow]:
    """The blocks of each group of layers, where there are several: each layer kind of a hybrid has its own."""
    groups = [group for rank in snapshot.ranks for group in rank.cached_groups]
    for group in groups if len(groups) > 1 else ():
        kind = group.kind.replace("_", " ") or "layers"
        yield pair(cut(f"group {group.group} {kind}", width - 14), (f"{group.blocks:,} blocks",), width, Ink.STATE)


def _plan(plan: PlanBeside | None, error: str, width: int) -> Iterator[InkRow]:
    if plan is None:
        for line in wrap(error or "", width):
            yield (Span(line, Ink.DIM),)
        return
    yield pair("", ("predicted / observed",), width, Ink.DIM)
    for row in plan.rows:
        ink = {"agrees": Ink.GOOD, "differs": Ink.BAD}.get(row.verdict, Ink.DIM)
        both = f"{_figure(row, row.predicted)} / {_figure(row, row.observed)}"
        yield pair(cut(row.label, max(8, width - len(both) - 1)), (both,), width, ink)
    full = plan.serving.max_sequences
    context = f"{plan.scenario.context:,}"
    yield pair(f"full sequences of {context}", (f"{full:,}",), width)


def _figure(row: Component, value: object) -> str:
    if value is None:
        return "–"
    if row.unit == "bytes":
        return format_bytes(int(value))  # type: ignore[call-overload]
    if row.unit == "requests":
        return f"{float(value):.2f}×"  # type: ignore[arg-type]
    return f"{value:,}"


def _advice(findings: Sequence[ServerFinding], width: int) -> list[InkRow]:
    rows: list[InkRow] = []
    for finding in findings:
        own: list[InkRow] = [(Span(line),) for line in wrap(finding.seen, width, indent=2)]
        if finding.flag:
            own += [(Span(line, Ink.ACCENT),) for line in wrap(f"  {finding.flag}", width, indent=2)]
        if finding.brings:
            own += [(Span(line, Ink.GOOD),) for line in wrap(f"  {finding.brings}", width, indent=2)]
        if len(rows) + len(own) > MOST_ADVICE_ROWS:
            break
        rows += own
    return rows


def _devices(snapshot: Snapshot, width: int) -> Iterator[InkRow]:
    for device in snapshot.devices:
        told = []
        if device.memory_used is not None:
            told.append(format_bytes(device.memory_used, 1))
        if device.bandwidth is not None:
            told.append(f"{device.bandwidth:.0%} of DRAM")
        if device.watts is not None:
            told.append(f"{device.watts:,.0f} W")
        yield pair(cut(clean(device.name), width // 2), (" ".join(told) or "–",), width)


def _remarks(snapshot: Snapshot, plan: PlanBeside | None, width: int) -> list[InkRow]:
    said = list(snapshot.notes)
    if snapshot.engine and snapshot.engine not in SEEN_LIVE:
        said.append(f"read by the names in {TITLES[snapshot.engine]}'s source, not tried on a real one")
    said += plan.notes if plan is not None else ()
    return [(Span(line, Ink.DIM),) for text in said for line in wrap(clean(text, 200), width, indent=2)]


EMPTY = (
    "nothing is watched",
    "",
    "a  looks for servers on the usual ports of this machine",
    "o  opens an address such as http://localhost:8000, or a recording",
    "r  replays a trace of requests on the scenario's server",
    "d  plays a recording that comes with kvtui",
    "",
    "kvtui watch URL    begins with a server",
)
