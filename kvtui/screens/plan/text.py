"""The words of the Plan screen: cells, the selected cell, levers, and the lines around the table."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from kvtui.canvas.cells import InkRow, Span, fit
from kvtui.canvas.memory.panels.info import dtypes
from kvtui.canvas.memory.panels.numbers import estimate_rows, figure
from kvtui.canvas.memory.panels.text import clean, cut, pair, wrap, wrapped
from kvtui.canvas.palette import Ink
from kvtui.engine.advice.levers import MEASURES, Gain, Lever, Measure, figure_after, gains, known
from kvtui.engine.advice.matrix import MatrixAnswer, Metric
from kvtui.engine.basis.errors import InputError
from kvtui.engine.basis.units import format_bytes, format_tokens
from kvtui.engine.engines.known import span
from kvtui.engine.planning.parts import budget, crowded, device_parts
from kvtui.engine.planning.roofline import Band
from kvtui.engine.planning.serve import serve
from kvtui.engine.saying.fill import fill_words
from kvtui.engine.saying.notices import beside_pool, unserved
from kvtui.engine.scenario.change import layout_words
from kvtui.engine.scenario.scenario import Scenario
from kvtui.engine.serving.candidates import Idle

PENDING, IMPOSSIBLE, NO_BOUND = "·", "–", "no bound"
WIDTHS = {"used_share": 8, "max_sequences": 8}
USUAL_WIDTH = 11
GAINS = ("seqs", "ctx", "tok/s", "$/M")
GAIN_WIDTH = 7
THOUSANDS = 10_000


class Detail(NamedTuple):
    """The selected cell: its names, its scenario or why it has none, and its answer."""

    model: str
    device: str
    scenario: Scenario | None
    answer: MatrixAnswer


def cell_width(metric: Metric) -> int:
    """The room of a cell's text."""
    return WIDTHS.get(metric.key, USUAL_WIDTH)


def cell_text(metric: Metric, answer: MatrixAnswer | None) -> Span:
    """A cell: its figure, dimmed with a cross where the scenario does not fit."""
    if answer is None:
        return Span(PENDING, Ink.FAINT)
    if answer.reason:
        return Span(IMPOSSIBLE, Ink.FAINT)
    value = metric.value(answer)
    if metric.key == "used_share":
        return Span(f"✓ {value:.0%}", Ink.GOOD) if answer.fits and value is not None else Span(_times(value), Ink.FAINT)
    text = "" if value is None else NO_BOUND if value == float("inf") else _value(value)
    if answer.fits:
        return Span(text or IMPOSSIBLE, Ink.TEXT if text else Ink.FAINT)
    return Span(f"✗ {text}".rstrip(), Ink.FAINT)


def metric_title(metric: Metric, scenario: Scenario) -> str:
    """What the table shows, with what it depends on."""
    batch, context = f"batch {scenario.batch:,}", format_tokens(scenario.context)
    match metric.key:
        case "max_context_tokens":
            return f"{metric.title}, tokens at {batch}"
        case "max_sequences":
            return f"{metric.title} at {context}"
    return f"{metric.title} at {context} × {batch}"


def title_row(scenario: Scenario, answer: MatrixAnswer | None, width: int) -> InkRow:
    """The scenario, and at the right whether it fits."""
    verdict, ink = verdict_words(answer)
    fields = [
        (clean(scenario.model.name), Ink.BRIGHT),
        (f"{clean(scenario.device.name)}{_layout(scenario)}", Ink.TEXT),
        (dtypes(scenario), Ink.DIM),
        (f"{format_tokens(scenario.context)} × batch {scenario.batch:,}", Ink.ACCENT),
        (engine_words(scenario), Ink.TEXT if scenario.engine != "none" else Ink.DIM),
        *([(f"pool {format_bytes(scenario.kv_pool)}", Ink.DIM)] if scenario.kv_pool is not None else []),
        (fill_words(scenario, scenario.batch), Ink.TEXT),
    ]
    spans: list[Span] = []
    room = width - len(verdict) - 2
    for text, color in fields:
        gap = " · " if spans else " "
        if sum(len(span.text) for span in spans) + len(gap) + len(text) > room:
            break
        spans += [Span(gap, Ink.FAINT), Span(text, color)]
    used = sum(len(span.text) for span in spans)
    return *spans, Span(" " * max(1, width - used - len(verdict) - 1)), Span(verdict, ink)


def verdict_words(answer: MatrixAnswer | None) -> tuple[str, Ink]:
    """Whether it fits, in a word."""
    if answer is None:
        return "…", Ink.DIM
    if answer.reason:
        return "✗ cannot be", Ink.BAD
    return ("✓ fits", Ink.GOOD) if answer.fits else ("✗ does not fit", Ink.BAD)


def engine_words(scenario: Scenario) -> str:
    """The engine and its release, or that there is none."""
    if scenario.engine == "none":
        return "no engine"
    version = scenario.serving.version or span(scenario.engine).newest
    return f"{scenario.engine} {version}".rstrip()


def why(detail: Detail) -> str:
    """Why the cell does not fit, or cannot be; empty if it does."""
    scenario, answer = detail.scenario, detail.answer
    if answer.fits:
        return ""
    if scenario is None or answer.reason:
        return answer.reason
    try:
        served = serve(scenario)
        parts = device_parts(scenario, scenario.context, scenario.batch)
    except InputError as error:
        return str(error)
    if crowded(scenario, parts):
        return beside_pool(scenario, parts)
    if served is not None:
        return unserved(scenario, served)
    if scenario.kv_pool is not None:
        return f"the cache needs {format_bytes(parts.cache)} of a pool of {format_bytes(scenario.kv_pool)}"
    whole = format_bytes(budget(scenario))
    if parts.weights > budget(scenario):
        return f"the weights alone need {format_bytes(parts.weights)} of {whole}"
    return f"the fullest device needs {format_bytes(parts.total)} of {whole}"


def cell_rows(detail: Detail, width: int) -> list[InkRow]:
    """The selected cell: what it is, whether it fits and why not, how far it goes, and at which rate."""
    scenario, answer = detail.scenario, detail.answer
    verdict, ink = verdict_words(answer)
    model, device = cut(detail.model, width - len(verdict) - 1), detail.device
    rows: list[InkRow] = [
        (Span(model, Ink.BRIGHT), Span(" " * (width - len(model) - len(verdict))), Span(verdict, ink))
    ]
    if scenario is not None:
        device = f"{device}{_layout(scenario)} · {dtypes(scenario)}"
    rows.append((Span(cut(device, width), Ink.DIM),))
    if reason := why(detail):
        rows += wrapped(clean(reason, 300), width, Ink.WARN)[:3]
    if scenario is not None and not answer.reason:
        for name, count in (
            (f"max context at batch {scenario.batch:,}", answer.context),
            (f"max sequences, {fill_words(scenario, answer.sequences or 1)}", answer.sequences),
        ):
            rows.append(pair(name, (NO_BOUND if count is None else f"{count:,}",), width))
        if answer.times is not None:
            rows += estimate_rows(answer.times, width) if answer.fits else [_hourly(answer, width)]
    return rows


def part_rows(detail: Detail, width: int) -> list[InkRow]:
    """What the fullest device holds, or with an engine what it allocates, in the order of what matters most."""
    scenario = detail.scenario
    if scenario is None or detail.answer.reason:
        return []
    try:
        served = serve(scenario)
        parts = device_parts(scenario, scenario.context, scenario.batch)
    except InputError:
        return []
    if served is not None:
        found = [
            ("KV tokens, as logged", f"{served.kv_cache_tokens:,}"),
            ("concurrency, as logged", f"{float(served.max_concurrency):.2f}×"),
            ("one request needs", format_bytes(served.needed_bytes)),
            ("pool", f"{'≈ ' if served.pool_is_estimate else ''}{format_bytes(served.pool_bytes)}"),
            ("weights", format_bytes(parts.weights)),
        ]
    else:
        found = [
            ("weights", format_bytes(parts.weights)),
            ("KV cache", format_bytes(parts.kv)),
            ("state", format_bytes(parts.state)),
            ("reserved, unused", format_bytes(parts.reserved_unused)),
            ("activations, overhead", f"≈ {format_bytes(parts.activation + parts.overhead)}"),
        ]
    return [pair(name, (text,), width) for name, text in found if text != format_bytes(0)]


def status_words(detail: Detail, metric: Metric) -> str:
    """The selected cell in one line, for where there is no panel."""
    words = f"{detail.model} on {detail.device}: "
    if reason := why(detail):
        return words + clean(reason, 300)
    value = metric.value(detail.answer)
    text = IMPOSSIBLE if value is None else NO_BOUND if value == float("inf") else _value(value)
    return f"{words}{metric.title} {cell_text(metric, detail.answer).text if metric.key == 'used_share' else text}"


def lever_rows(
    levers: Sequence[Lever | Idle], cursor: int | None, width: int, height: int
) -> tuple[list[InkRow], range]:
    """The levers around ``cursor`` (None: the list is not being used) in ``height`` rows, and which ones they are.

    Under a head with the figures, a row for each; below, all that the lever under the cursor changes.
    """
    at = cursor or 0
    detail = [] if cursor is None else [(Span("─" * width, Ink.FRAME),), *_detail(levers[at], width)]
    room = max(1, height - 1 - len(detail))
    first = max(0, min(at - room // 2, len(levers) - room))
    shown = range(first, min(first + room, len(levers)))
    head = "".join(f"{name:>{GAIN_WIDTH}}" for name in GAINS)
    rows: list[InkRow] = [(Span(fit("change", max(0, width - len(head))), Ink.FAINT), Span(head, Ink.FAINT))]
    rows += [_lever_row(levers[i], i == at and cursor is not None, width) for i in shown]
    rows += [()] * (height - len(rows) - len(detail)) + detail
    return rows[:height], shown


def _lever_row(lever: Lever | Idle, selected: bool, width: int) -> InkRow:
    under = Ink.SELECT if selected else Ink.NONE
    room = width - GAIN_WIDTH * len(GAINS)
    sign = Span("▶ " if selected else "  ", Ink.ACCENT, under)
    if isinstance(lever, Idle):
        words = fit(f"{lever.name}: {lever.reason}", width - 2)
        return sign, Span(words, Ink.TEXT if selected else Ink.FAINT, under)
    name = Span(fit(lever.name, room - 2), Ink.BRIGHT if selected else Ink.TEXT, under)
    if not lever.before.fits:
        return sign, name, *(_figure_span(lever, measure, under) for measure in MEASURES)
    found = {gain.figure: gain for gain in gains(lever)}
    return sign, name, *(_gain_span(found.get(m), "=" if known(lever, m) else "–", under) for m in MEASURES)


def _figure_span(lever: Lever, measure: Measure, under: Ink) -> Span:
    """What there is with the lever, of a scenario that does not fit without one: 12 is more telling than +1,100 %."""
    value = figure_after(lever, measure)
    text = "–" if value is None else "no max" if value == float("inf") else figure(value).replace(" ", "")
    return Span(f"{text:>{GAIN_WIDTH}}", Ink.FAINT if not value else Ink.GOOD if lever.after.fits else Ink.TEXT, under)


def _gain_span(gain: Gain | None, otherwise: str, under: Ink) -> Span:
    if gain is None:
        return Span(f"{otherwise:>{GAIN_WIDTH}}", Ink.FAINT, under)
    if gain.ratio == float("inf"):
        text = "no max"
    elif gain.ratio >= 10:
        text = f"×{gain.ratio:,.0f}"
    else:
        text = f"{gain.ratio - 1:+.0%}".replace("-", "−")
    text += "" if gain.better else "!"
    return Span(f"{text:>{GAIN_WIDTH}}", Ink.GOOD if gain.better else Ink.BAD, under)


def _detail(lever: Lever | Idle, width: int) -> list[InkRow]:
    if isinstance(lever, Idle):
        return wrapped(clean(f"{lever.name}: {lever.reason}", 300), width, Ink.DIM)[:4]
    rows: list[InkRow] = [(Span(cut(lever.name, width), Ink.BRIGHT),)]
    words = ", ".join(gain.words for gain in gains(lever)) or "costs nothing"
    rows += [(Span(line, Ink.TEXT),) for line in wrap(words, width)[:3]]
    if lever.caveat:
        rows += [(Span(line, Ink.WARN),) for line in wrap(clean(lever.caveat, 300), width)[:2]]
    return rows


def _layout(scenario: Scenario) -> str:
    return "" if scenario.layout.devices == 1 else f" × {scenario.layout.devices:,} ({layout_words(scenario.layout)})"


def _hourly(answer: MatrixAnswer, width: int) -> InkRow:
    """The price of the devices, which is known even where nothing fits."""
    price = None if answer.times is None else answer.times.usd_per_hour
    return pair("price", ("–" if price is None else f"${figure(price.low)}–{figure(price.high)}/h",), width)


def _times(value: float | Band | None) -> str:
    return f"✗ {figure(float(value))}×" if isinstance(value, float) else "✗"


def _value(value: float | Band) -> str:
    if isinstance(value, Band):
        if value.high >= THOUSANDS:
            return f"{figure(value.low / 1e3)}–{figure(value.high / 1e3)}k"
        low, high = figure(value.low), figure(value.high)
        return low if low == high else f"{low}–{high}"
    return f"{value:,.0f}"
