"""The words of the Bench screen beside its table: what would be measured, how far it is, and what the machine does."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import timedelta
from typing import Any

from kvtui.bench.bandwidth import Rate, not_of, offered, probed, reached
from kvtui.bench.findings import findings
from kvtui.bench.host import machine_name, machines
from kvtui.bench.quiet import load_of
from kvtui.bench.store import StoredRun
from kvtui.canvas.cells import InkRow, Span, fit
from kvtui.canvas.memory.panels.text import pair, wrapped
from kvtui.canvas.palette import Ink
from kvtui.cases.protocol import STATUSES
from kvtui.cases.table import is_number
from kvtui.engine.basis.units import counted, format_bytes
from kvtui.engine.basis.untrusted import plain
from kvtui.engine.scenario.scenario import Scenario
from kvtui.figures.sweep import GROUPS
from kvtui.screens.bench.choice import Choice, seconds_per_case
from kvtui.screens.bench.run import RunNow
from kvtui.screens.bench.state import BenchState, Compared
from kvtui.widgets.panels import Section

MOST_FINDINGS = 5
TWO_QUESTIONS = 80
STATES = {
    "starting": ("starting", Ink.ACCENT),
    "running": ("running", Ink.ACCENT),
    "paused": ("paused", Ink.WARN),
    "finished": ("done", Ink.GOOD),
    "cancelled": ("cancelled", Ink.WARN),
    "failed": ("failed", Ink.BAD),
}
LEAST_LOG_ROWS = 3


def first_card(state: BenchState, key: Callable[[str], str], width: int) -> list[InkRow]:
    """Before the first run: what a run does, how long it takes, and which questions it answers."""
    choice = state.choice
    seconds, seen = seconds_per_case(choice, (about for _, about in state.runs))
    count = len(choice.sweep.jobs)
    takes = f"≈ {duration(seconds * count)}{'' if seen else ', at a guess, if the machine does nothing else'}"
    does = f"{key('bench-run')} runs it, {takes}: {count} small transformers on this machine, prefill to decode."
    rows: list[InkRow] = wrapped(does, width, Ink.BRIGHT)
    rows += wrapped(
        "Each cache is predicted by the planner and counted on the real arrays; each step is held against the time "
        "this machine needs to read its bytes.",
        width,
        Ink.TEXT,
    )
    by_group = {figure.__name__: figure(()).question for figure in GROUPS.values()}
    asked = [by_group[name] for name in choice.groups if name in by_group]
    questions = ["How does a step slow down as the cache fills?"] if choice.decode else list(dict.fromkeys(asked))
    side_by_side = 2 if width >= TWO_QUESTIONS else 1
    each = width // side_by_side
    for start in range(0, len(questions), side_by_side):
        rows.append(
            tuple(
                span
                for question in questions[start : start + side_by_side]
                for span in (Span("? ", Ink.ACCENT), Span(fit(question, each - 3) + " ", Ink.TEXT))
            )
        )
    return rows


def finding_rows(run: StoredRun, width: int, height: int) -> list[InkRow]:
    """After a run: what it found, with its spread, a whole sentence for each group as far as ``height`` rows go."""
    found, rows = findings(run.rows, run.host), list[InkRow]()
    for number, sentence in enumerate(found):
        lines = wrapped(plain(sentence, 300), width, Ink.TEXT)
        more = number < len(found) - 1
        if number and (number == MOST_FINDINGS or len(rows) + len(lines) + more > height):
            return [*rows, (Span(f"and {len(found) - number} more groups in the table", Ink.DIM),)]
        rows += lines
    return rows


def title(state: BenchState, resume: str) -> str:
    """What is shown, in one line; the key ``resume`` goes on with a run that is not finished."""
    run = state.run
    match state.shown:
        case Compared(a, b, found):
            hosts = ", ".join(name for name, _, _ in found.hosts)
            differ = f" · machines differ in {hosts}" if hosts else ""
            counts = f"{len(found.changed)} of {len(found.rows)} differ beyond noise"
            loads = [one.host.get("load_average") for one in (a, b)]
            busy = f" · load {loads[0]:.1f} and {loads[1]:.1f}" if all(map(is_number, loads)) else ""
            return f"A {plain(a.folder.name)}  B {plain(b.folder.name)} · {counts}{busy}{differ}"
        case _ if run is None:
            return f"{state.choice.what} {state.choice.size} · predicted, not measured"
    about, host = run.about, run.host
    parts = [plain(run.folder.name, limit=60)]
    if about:
        parts.append(plain(f"{about.get('what')} {about.get('size')}", limit=40))
    cases = len(run.measured) or len({row["case"] for row in run.rows} - {None})
    parts.append(counted(cases, "case") if cases else counted(len(run.rows), "row"))
    parts += machines(about)
    parts += [plain(f"JAX {host['jax']}", 20)] if host.get("jax") else []
    if about and about.get("finished") is None and not state.going:
        parts.append(f"unfinished, {resume} goes on")
    return " · ".join(parts)


def ended(now: RunNow) -> str:
    """What a run came to that is over and did not fail."""
    if now.state == "cancelled":
        return f"cancelled; {now.done} of {now.total} cases are kept"
    failed = sum(1 for row in now.rows if row["status"] not in (None, "ok"))
    bad = f", {counted(failed, 'row')} failed" if failed else ""
    return f"benchmark done: {counted(now.total, 'case')}{bad}"


def sections(
    state: BenchState, scenario: Scenario, width: int, key: Callable[[str], str], missing: str
) -> list[Section]:
    """Everything to be said of ``state`` beside the table; ``key`` names the key of an action.

    ``missing`` says what must be installed before anything can be measured; empty if nothing must.
    """
    shown = []
    if state.begun is not None and state.begun.state != "finished":
        shown.append(progress_section(state.begun, width))
    if not state.going:
        pace = seconds_per_case(state.choice, (about for _, about in state.runs))
        shown.append(choice_section(state.choice, pace, key("bench-size")))
    if missing:
        shown.append(Section("JAX", wrapped(missing, width, Ink.WARN), rank=0))
    if state.run is not None:
        shown.append(machine_section(state.run, scenario, width, key("bench-bandwidth")))
    return shown


def choice_section(choice: Choice, pace: tuple[float, bool], key: str) -> Section:
    """What ``choice`` comes to, at ``pace`` seconds per case (seen, or else a guess); ``key`` changes the size."""
    sweep, (seconds, seen) = choice.sweep, pace
    rows: list[InkRow] = [
        (Span(key, Ink.ACCENT), *_sizes(choice)),
        (Span(f"{len(sweep.rows)} rows, {len(sweep.jobs)} different cases", Ink.TEXT),),
        (
            Span(f"≈ {duration(seconds * len(sweep.jobs))}", Ink.TEXT),
            Span(" as seen before" if seen else " at a guess", Ink.DIM),
        ),
    ]
    return Section("size", rows, rank=1, actions=("next_size", None, None))


def progress_section(now: RunNow, width: int) -> Section:
    """How far a run is."""
    word, ink = STATES[now.state]
    if now.pausing:
        word, ink = "pausing after this case", Ink.WARN
    share = now.done / now.total if now.total else 0.0
    full = round(share * width)
    left = "" if now.seconds_left is None or now.over else f"≈ {duration(now.seconds_left)} left"
    rows: list[InkRow] = [
        (Span("━" * full, Ink.BAR), Span("─" * (width - full), Ink.BAR_REST)),
        _ends(f"{now.done} of {now.total} cases", left, width),
        (Span(word, ink),),
    ]
    if now.case is not None:
        rows += wrapped(f"{now.case_name}: {now.stage}", width, Ink.TEXT)[:2]
    elif now.message:
        rows += wrapped(now.message, width, Ink.BAD)[:4]
    if now.last:
        failed = ": " in now.last
        rows += wrapped(f"last: {now.last}", width, Ink.BAD if failed else Ink.DIM)[:2]
    return Section("run", rows, rank=0)


def machine_section(run: StoredRun, scenario: Scenario, width: int, key: str) -> Section:
    """What the machine of ``run`` does, and what that means for ``scenario``; ``key`` takes the measured rate."""
    host, several = run.host, machines(run.about)
    if len(several) > 1:
        return Section("machines", [row for name in several for row in wrapped(name, width, Ink.TEXT)], rank=2)
    if not host:
        return Section("machine", wrapped("told with the first case", width, Ink.DIM), rank=2)
    rows: list[InkRow] = wrapped(machine_name(host) or "machine not said", width, Ink.TEXT)
    if load := load_of(host):
        rows += wrapped(f"busy when it began: {load}", width, Ink.WARN)
    read, step = probed(host), reached(run.rows)
    if read is not None:
        rows.append(
            pair(
                "memory reads", (f"{read.gbs:.1f} GB/s at {format_bytes(read.bytes, 0)}", f"{read.gbs:.1f} GB/s"), width
            )
        )
    if step is not None:
        words = f"{step.gbs:.1f} GB/s at {format_bytes(step.bytes, 0)}", f"{step.gbs:.1f} GB/s"
        rows.append(pair("largest step", words, width))
    for dtype, rate in _matmul(host):
        rows.append(pair(f"matmul {dtype}", (f"{rate:,.0f} GFLOP/s",), width))
    actions: list[str | None] = [None] * len(rows)
    other = not_of(run, scenario.device)
    if other and scenario.bandwidth_gbs is None:
        rows += wrapped(other, width, Ink.DIM)
        actions += [None] * (len(rows) - len(actions))
        return Section("machine", rows, rank=2, actions=actions)
    found = offered(run)
    for row in _use(found, scenario, width, key):
        rows.append(row)
        actions.append("bandwidth")
    return Section("machine", rows, rank=2, actions=actions)


def rounded(rate: Rate) -> float:
    """Three significant digits: a measurement."""
    return float(f"{rate.gbs:.3g}")


def log_section(lines: Sequence[str], width: int, height: int) -> Section | None:
    """The newest lines that fit; None where there is no room for a few."""
    room = height - 2
    if room < LEAST_LOG_ROWS or not lines:
        return None
    return Section("log", log_rows(lines, width, room), rank=3)


def log_rows(lines: Sequence[str], width: int, height: int) -> list[InkRow]:
    """The newest ``lines``, wrapped to ``width``, at most ``height`` rows; failures stand out."""
    rows: list[InkRow] = []
    for line in lines[-height:]:
        bad = any(f": {word}: " in line for word in (*STATUSES[1:], "failed"))
        rows += wrapped(line, width, Ink.BAD if bad else Ink.DIM)
    return rows[-height:]


def duration(seconds: float) -> str:
    """``14 s``, ``2 min 10 s`` or ``1 h 05 min``."""
    whole = max(1, round(seconds))
    minutes, rest = divmod(whole, 60)
    if whole < 60:
        return f"{whole} s"
    if minutes < 60:
        return f"{minutes} min {rest:02} s" if minutes < 10 else f"{round(whole / 60)} min"
    hours, minutes = divmod(round(timedelta(seconds=whole).total_seconds() / 60), 60)
    return f"{hours} h {minutes:02} min"


def _sizes(choice: Choice) -> Iterator[Span]:
    for name in ("fast", "default", "full"):
        chosen = name == choice.size
        yield Span(f" {'●' if chosen else '○'} {name}", Ink.BRIGHT if chosen else Ink.DIM)


def _use(found: Rate | None, scenario: Scenario, width: int, key: str) -> Iterator[InkRow]:
    if scenario.bandwidth_gbs is not None:
        yield from wrapped(
            f"in use for {plain(scenario.device.name)}: {scenario.bandwidth_gbs:g} GB/s", width, Ink.GOOD
        )
        yield (Span(f"{key} ", Ink.ACCENT), Span("back to the published figure", Ink.TEXT))
    elif found is not None:
        words = f"plan with {rounded(found):g} GB/s"
        yield (Span(f"{key} ", Ink.ACCENT), Span(words, Ink.TEXT))
        prior = f"instead of {scenario.device.bandwidth_gbs:,.0f} GB/s × prior, {plain(scenario.device.name)}"
        yield from wrapped(prior, width, Ink.DIM)


def _matmul(host: Mapping[str, Any]) -> Iterator[tuple[str, float]]:
    rates = host.get("matmul_gflops")
    for dtype, rate in rates.items() if isinstance(rates, dict) else ():
        if isinstance(rate, int | float) and dtype != "int8":
            yield plain(str(dtype), 8), rate


def _ends(left: str, right: str, width: int) -> InkRow:
    """Two texts at the ends of a row, the right one only where there is room."""
    gap = width - len(left) - len(right)
    if not right or gap < 1:
        return (Span(left, Ink.TEXT),)
    return (Span(left, Ink.TEXT), Span(" " * gap), Span(right, Ink.DIM))
