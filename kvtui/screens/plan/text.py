"""The words of the Plan screen: cells, the selected cell, levers, and the lines around the table."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from kvtui.canvas.cells import InkRow, Span, fit
from kvtui.canvas.memory.panels.info import dtypes
from kvtui.canvas.memory.panels.numbers import cost_row, estimate_rows, figure
from kvtui.canvas.memory.panels.text import clean, cut, pair, wrap, wrapped
from kvtui.canvas.palette import RAMP, RAMP_STEPS, WASHED, Ink
from kvtui.engine.advice.levers import MEASURES, Gain, Lever, Measure, figure_after, gains, known
from kvtui.engine.advice.matrix import BEST_FORMAT, MOST_NEEDED, BestFormat, MatrixAnswer, Metric
from kvtui.engine.advice.risk import LEVELS
from kvtui.engine.basis.errors import InputError
from kvtui.engine.basis.units import format_bytes, format_tokens
from kvtui.engine.engines.known import span
from kvtui.engine.planning.estimate import Estimate, most_users
from kvtui.engine.planning.parts import budget, crowded, device_parts
from kvtui.engine.planning.roofline import Band
from kvtui.engine.planning.serve import serve
from kvtui.engine.saying.called import called
from kvtui.engine.saying.fill import fill_words
from kvtui.engine.saying.flags import flag_words
from kvtui.engine.saying.left_out import left_out
from kvtui.engine.saying.notices import beside_pool, unserved
from kvtui.engine.saying.verify import verifying
from kvtui.engine.scenario.change import layout_words
from kvtui.engine.scenario.scenario import Scenario
from kvtui.engine.serving.candidates import Idle

PENDING, IMPOSSIBLE, NO_BOUND = "·", "–", "no max"
WIDTHS = {"tokens_per_second": 9, "usd_per_million_tokens": 9, "joules_per_token": 9, "best_context_tokens": 18}
USUAL_WIDTH = 7
SHORTER = (
    ("Apple ", ""),
    ("Instinct ", ""),
    ("Radeon ", ""),
    ("Cerebras ", ""),
    ("Qualcomm ", ""),
    ("Graphcore ", ""),
    ("AWS Trainium", "Train"),
    ("AWS Inferentia", "Infer"),
    ("CPU ", ""),
    ("dual-channel", "2ch"),
    ("-channel", "ch"),
    ("Blackwell", "BW"),
    ("-", " "),
)
GAINS = ("seqs", "ctx", "tok/s", "$/M")
GAIN_WIDTH, ALL_GAINS = 7, 44
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


def cell_text(metric: Metric, answer: MatrixAnswer | None, context: int) -> Span:
    """A cell: its figure on a ground as warm as it is good, or how many devices it needs where it does not fit.

    ``context`` is the scenario's: a best format that allows less says both. A context beyond the model's own maximum is
    no success: ``≤ 4K`` says the maximum. A device with room for more than that has ``4K+``.
    """
    if answer is None:
        return Span(PENDING, Ink.DIM)
    if answer.reason:
        return Span(IMPOSSIBLE, Ink.DIM)
    if metric == BEST_FORMAT:
        return _best_cell(answer.best, context)
    if not answer.fits:
        return Span(needed_words(answer.needed), Ink.DIM)
    value = metric.value(answer)
    if value is None:
        return Span(IMPOSSIBLE, Ink.DIM)
    if answer.trained is not None:
        if metric.key == "max_context_tokens" and not isinstance(value, Band) and value > answer.trained:
            return Span(f"{_tokens(answer.trained)}+", Ink.TEXT, heat(1.0))
        if answer.beyond:
            return Span(f"≤ {_tokens(answer.trained)}", Ink.WARN)
    good = metric.goodness(answer)
    ground = Ink.NONE if good is None else heat(good)
    if metric.key == "used_share":
        return Span(f"✓{value:.0%}", Ink.TEXT, ground)
    return Span(NO_BOUND if value == float("inf") else _short(value, metric), Ink.TEXT, ground)


def needed_words(needed: int | None) -> str:
    """How many devices hold what does not fit, in seven characters: ``needs 4``; nothing where that is not known."""
    if needed is None:
        return ""
    return f"> {MOST_NEEDED}" if not needed else f"need {needed}" if needed > 9 else f"needs {needed}"


def heat(good: float) -> int:
    """The ground of a cell whose value is ``good`` from 0 to 1."""
    return WASHED + RAMP + round(good * (RAMP_STEPS - 1))


def short_name(name: str) -> str:
    """A device's or format's name for a narrow head: ``M4 Max 64GB``, ``PRO W7800 48GB``."""
    for long, short in SHORTER:
        name = name.replace(long, short)
    words = name.split()
    return " ".join(word.replace("_", " ") if len(word) > USUAL_WIDTH else word for word in words).strip()


def _best_cell(best: BestFormat | None, context: int) -> Span:
    if best is None:
        return Span(PENDING, Ink.DIM)
    if not best.context:
        return Span("none", Ink.DIM)
    names = best.words.removesuffix(" KV").replace(" ", "").removesuffix("+bf16")
    less = best.context < context
    text = f"{names} {'→ ' if less else ''}{_tokens(best.context)}"
    return Span(text, Ink.WARN) if less else Span(text, Ink.TEXT, heat(1 - best.risk / 4))


def allowed_words(allowed: int, context: int) -> str:
    """A context that is allowed; where it is less than what was asked for, both: ``128K → 106K``."""
    return f"{_tokens(context)} → {_tokens(allowed)}" if allowed < context else _tokens(allowed)


def _tokens(count: int) -> str:
    """Tokens in four characters or five, never more than there are: ``512``, ``109K``, ``1.2M``."""
    for size, unit in ((2**20, "M"), (2**10, "K")):
        if count >= size:
            whole = count // size
            tenth = count * 10 // size % 10
            return f"{whole}.{tenth}{unit}" if whole < 10 and tenth else f"{whole:,}{unit}"
    return str(count)


def _short(value: float | Band, metric: Metric) -> str:
    if isinstance(value, Band):
        return _value(value)
    if metric.key == "max_context_tokens":
        return _tokens(int(value))
    return f"{value:,.0f}" if value < THOUSANDS else f"{int(value / 1000):,}k"


def metric_title(metric: Metric, scenario: Scenario) -> str:
    """What the table shows, with what it depends on."""
    batch, context = f"batch {scenario.batch:,}", format_tokens(scenario.context)
    match metric.key:
        case "max_context_tokens":
            return f"{metric.title}, tokens at {batch}"
        case "max_sequences":
            return f"{metric.title} at {context}"
        case "best_context_tokens":
            return f"{metric.title}, and the context it allows, for {context} × {batch}"
    return f"{metric.title} at {context} × {batch}"


def title_row(scenario: Scenario, answer: MatrixAnswer | None, width: int) -> InkRow:
    """The scenario, and at the right whether it fits."""
    verdict, ink = verdict_words(answer)
    fields = [
        (clean(called(scenario)), Ink.BRIGHT),
        (f"{clean(scenario.device.name)}{_layout(scenario)}", Ink.TEXT),
        (dtypes(scenario), Ink.DIM),
        (f"{format_tokens(scenario.context)} × batch {scenario.batch:,}", Ink.ACCENT),
        (engine_words(scenario), Ink.TEXT if scenario.engine != "none" else Ink.DIM),
        *((clean(words), Ink.WARN) for words in flag_words(scenario)),
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
    if answer.fits and answer.beyond and answer.trained is not None:
        return f"! beyond {_tokens(answer.trained)}", Ink.WARN
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
    if answer.fits and answer.beyond and scenario is not None:
        own = format_tokens(answer.trained or 0)
        return f"the bytes fit, but {format_tokens(scenario.context)} is beyond the model's own maximum of {own}"
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
    """The selected cell: whether it fits and why not, the formats that would, how far it goes, and at which rate.

    Below the rate stands the command that measures it.
    """
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
        if answer.needed:
            rows.append(pair("devices needed", (f"{answer.needed:,}",), width))
        rows.append(_best_row(answer.best, scenario.context, width))
        rows.append(_context_row(answer, scenario.batch, width))
        fill = fill_words(scenario, answer.sequences or 1)
        rows.append(pair(f"max sequences, {fill}", (_count(answer.sequences),), width))
        if answer.times is not None:
            rows += _rates(scenario, answer, answer.times, width) if answer.fits else [_hourly(answer, width)]
        if answer.fits:
            rows += wrapped(f"measure it: {clean(verifying(scenario), 400)}", width, Ink.DIM)[:3]
    return rows


def _context_row(answer: MatrixAnswer, batch: int, width: int) -> InkRow:
    """The longest context that fits, and the model's own maximum where that is less."""
    most, own = _count(answer.context), answer.trained
    beyond = own is not None and (answer.context is None or answer.context > own)
    told = (f"{most}, the model's {own:,}", f"{most}, its own {own:,}", most) if beyond else (most,)
    return pair(f"max context at batch {batch:,}", told, width)


def _count(most: int | None) -> str:
    return NO_BOUND if most is None else f"{most:,}"


def _rates(scenario: Scenario, answer: MatrixAnswer, times: Estimate, width: int) -> list[InkRow]:
    """Time, cost and energy at the scenario's batch, and the cost at as many sequences as there is room for."""
    rows = estimate_rows(times, width, f" at batch {scenario.batch:,}", left_out(scenario))
    found = most_users(scenario, answer.sequences)
    if found is not None and found[0] != scenario.batch:
        rows.insert(4, cost_row(found[1], width, f" at {found[0]:,} sequences"))
    return rows


def _best_row(best: BestFormat | None, context: int, width: int) -> InkRow:
    """The least lossy formats that fit, and the context that they allow."""
    if best is None or not best.context:
        return pair("best that fits", (PENDING if best is None else "none",), width)
    allowed = allowed_words(best.context, context)
    risk = f", risk {LEVELS[best.risk]}" if best.risk else ""
    return pair("best that fits", (f"{best.words}, {allowed}{risk}", f"{best.words}, {allowed}", best.words), width)


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


def status_words(detail: Detail, metric: Metric, context: int) -> str:
    """The selected cell in one line, for where there is no panel."""
    words, answer = f"{detail.model} on {detail.device}: ", detail.answer
    if metric == BEST_FORMAT and answer.best is not None and not answer.reason:
        return f"{words}{answer.best.words}, {allowed_words(answer.best.context, context)}"
    if reason := why(detail):
        more = f"; {needed_words(answer.needed)} devices" if answer.needed else ""
        return words + clean(reason, 300) + more
    value = metric.value(answer)
    text = IMPOSSIBLE if value is None else NO_BOUND if value == float("inf") else _value(value)
    return f"{words}{metric.title} {f'{value:.0%}' if metric.key == 'used_share' and value is not None else text}"


def lever_rows(
    levers: Sequence[Lever | Idle], cursor: int | None, width: int, height: int
) -> tuple[list[InkRow], range]:
    """The levers around ``cursor`` (None: the list is not being used) in ``height`` rows, and which ones they are.

    Under a head with the figures, a row for each: tokens per second at the batch typed, the cost of a million at the
    most sequences, which the words of a lever name. Below, all that the lever under the cursor changes.
    """
    at = cursor or 0
    detail = [] if cursor is None else [(Span("─" * width, Ink.FRAME),), *_detail(levers[at], width)]
    room = max(1, height - 1 - len(detail))
    first = max(0, min(at - room // 2, len(levers) - room))
    shown = range(first, min(first + room, len(levers)))
    head = "".join(f"{name:>{GAIN_WIDTH}}" for name, _ in _gain_columns(width))
    better = any(isinstance(lever, Lever) and lever.before.fits for lever in levers)
    name = fit("change, ! is worse" if better else "change", max(0, width - len(head)))
    rows: list[InkRow] = [(Span(name, Ink.DIM), Span(head, Ink.DIM))]
    rows += [_lever_row(levers[i], i == at and cursor is not None, width) for i in shown]
    rows += [()] * (height - len(rows) - len(detail)) + detail
    return rows[:height], shown


def _gain_columns(width: int) -> tuple[tuple[str, Measure], ...]:
    """The figures that levers are shown with: the context gives way first to the names of the changes."""
    columns = tuple(zip(GAINS, MEASURES, strict=True))
    return columns if width >= ALL_GAINS else tuple(column for column in columns if column[0] != "ctx")


def _lever_row(lever: Lever | Idle, selected: bool, width: int) -> InkRow:
    under = Ink.SELECT if selected else Ink.NONE
    measures = [measure for _, measure in _gain_columns(width)]
    room = width - GAIN_WIDTH * len(measures)
    sign = Span("▶ " if selected else "  ", Ink.ACCENT, under)
    if isinstance(lever, Idle):
        words = fit(f"{lever.name}: {lever.reason}", width - 2)
        return sign, Span(words, Ink.TEXT if selected else Ink.DIM, under)
    name = Span(fit(lever.name, room - 2), Ink.BRIGHT if selected else Ink.TEXT, under)
    if not lever.before.fits:
        return sign, name, *(_figure_span(lever, measure, under) for measure in measures)
    found = {gain.figure: gain for gain in gains(lever)}
    return sign, name, *(_gain_span(found.get(m), "=" if known(lever, m) else "–", under) for m in measures)


def _figure_span(lever: Lever, measure: Measure, under: Ink) -> Span:
    """What there is with the lever, of a scenario that does not fit without one: 12 is more telling than +1,100 %."""
    value = figure_after(lever, measure)
    text = "–" if value is None else "no max" if value == float("inf") else figure(value).replace(" ", "")
    return Span(f"{text:>{GAIN_WIDTH}}", Ink.DIM if not value else Ink.GOOD if lever.after.fits else Ink.TEXT, under)


def _gain_span(gain: Gain | None, otherwise: str, under: Ink) -> Span:
    if gain is None:
        return Span(f"{otherwise:>{GAIN_WIDTH}}", Ink.DIM, under)
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


def _value(value: float | Band) -> str:
    if isinstance(value, Band):
        if value.high >= THOUSANDS:
            return f"{figure(value.low / 1e3)}–{figure(value.high / 1e3)}k"
        low, high = figure(value.low), figure(value.high)
        return low if low == high else f"{low}–{high}"
    return f"{value:,.0f}"
