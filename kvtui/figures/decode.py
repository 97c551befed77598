"""The decode comparison as three panels: time to first token, step latency by position, tokens per second by position.

The results are a mapping of variants as a published benchmark of model ensembles writes them (``results.json``): for
each variant ``ttft`` and ``decode`` → ``per_position`` → position, and for speculative decoding ``per_gamma``. Any part
may be missing. ``results_of`` gives the same for one of our own runs.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from math import isfinite
from typing import TYPE_CHECKING, Any

from kvtui.cases.statistics import percentile, without_outliers
from kvtui.engine.basis.untrusted import plain
from kvtui.figures.figure import Axis, Figure, Histogram, Line, Panel, floats
from kvtui.figures.measured import ResultRows, figure, machine, many_machines, number, word

if TYPE_CHECKING:
    from kvtui.cases.table import Measured

Results = Mapping[str, Any]

POSITION = Axis("tokens in the cache", "tokens", ticks="tokens")
LATENCY = Axis("decode step, median", "ms")
SPEED = Axis("throughput", "tokens/s")
NO_VARIANTS = {"metadata", "config", "kvtui"}
OF_RESULTS = {"baseline", "hydra", "hydra_naive", "hydra_poe", "speculative"}
"""Variants of which a file of results has at least one."""
ABOUT = ("decode", "Decode by position", "How does a step slow down as the cache fills?")


def panels(results: Results) -> Figure:
    """The three panels; bands run from p20 to p80, and what speculation reaches is a dashed line."""
    variants = {plain(str(name)): _part(value) for name, value in results.items() if name not in NO_VARIANTS}
    notes: list[str] = []
    first = tuple(mark for name, part in variants.items() if (mark := _histogram(name, part, notes)))
    curves = {name: points for name, part in variants.items() if (points := _curve(part))}
    ends = sorted(at for points in curves.values() for at in points) or [0.0, 1.0]
    drafts = [draft for name, part in variants.items() for draft in _drafts(name, part, notes)]
    slow = [_flat(f"{name} (per token)", ends, ms) for name, ms, _, _ in drafts if ms]
    fast = [_flat(f"{name}{said}", ends, rate) for name, _, rate, said in drafts if rate]
    shown = (
        Panel("time to first token", Axis("time to first token", "ms"), Axis("density", "per ms"), first),
        Panel("latency", POSITION, LATENCY, (*(_line(*one) for one in curves.items()), *slow)),
        Panel("throughput", POSITION, SPEED, (*(_line(*one, rate=True) for one in curves.items()), *fast)),
    )
    if not any(panel.marks for panel in shown):
        notes.append("No times to first token and no steps by position; kvtui bench decode measures them.")
    return figure(*ABOUT, shown, notes)


def results_of(rows: ResultRows, measured: Iterable[Measured]) -> Results:
    """A run of ``kvtui bench decode`` as results: its table ``rows`` name the variants that were ``measured``."""
    samples: dict[tuple[object, object], Measured] = {(one.case, one.repeat): one for one in measured}
    apart = many_machines(rows)
    named = {
        (
            f"{word(row, 'label')}, {machine(row)}" if apart else word(row, "label"),
            row.get("case"),
            row.get("repeat"),
        ): row
        for row in rows
    }
    found: dict[str, Any] = {}
    for (label, case, repeat), row in named.items():
        one = samples.get((case, repeat))
        if one is None:
            continue
        variant = found.setdefault(label, {"ttft": {"raw_ms": []}, "decode": {"per_position": {}}})
        variant["ttft"]["raw_ms"] += _numbers(one.samples.get("ttft"))
        batch = number(row, "batch_size") or 1.0
        for point in one.curve:
            at = variant["decode"]["per_position"].setdefault(f"{point['position']:g}", {"raw_ms": [], "batch": batch})
            at["raw_ms"] += _numbers(one.samples.get(f"curve_{point['position']:g}"))
            at |= (
                {"median_ms": point["p50"], "p20_ms": point["p20"], "p80_ms": point["p80"]} if not at["raw_ms"] else {}
            )
    return found


def _histogram(name: str, part: Results, notes: list[str]) -> Histogram | None:
    first = _part(part.get("ttft"))
    raw, kept = _numbers(first.get("raw_ms")), _numbers(first.get("filtered_ms"))
    if not kept and raw:
        kept = without_outliers(sorted(raw))
    if not kept:
        return None
    if len(kept) < len(raw):
        notes.append(f"{name}: {len(raw) - len(kept)} of {len(raw)} first tokens lie far outside and are not drawn.")
    return Histogram(name, floats(kept))


Curve = dict[float, tuple[float, float | None, float | None, float]]
"""Position → median, p20 and p80 in ms, and how many tokens a step gives."""


def _curve(part: Results) -> Curve:
    """The steps by position, ascending as numbers."""
    found: Curve = {}
    for key, value in _part(_part(part.get("decode")).get("per_position")).items():
        point = _part(value)
        at, middle = _position(key), number(point, "median_ms")
        low, high = number(point, "p20_ms"), number(point, "p80_ms")
        raw = sorted(_numbers(point.get("raw_ms")))
        if middle is None and raw:
            middle, low, high = (percentile(raw, q) for q in (50, 20, 80))
        if at is not None and middle is not None and middle > 0:
            found[at] = (middle, low, high, number(point, "batch") or 1.0)
    return dict(sorted(found.items()))


def _line(name: str, points: Curve, rate: bool = False) -> Line:
    """Milliseconds by position, or tokens per second if ``rate``."""
    rows = list(points.values())
    band = all(low and high for _, low, high, _ in rows)
    middles, lows, highs, batches = (floats(column) for column in zip(*rows, strict=True))
    if rate:
        middles, lows, highs = 1e3 * batches / middles, 1e3 * batches / highs, 1e3 * batches / lows
    return Line(name, floats(points), middles, lows if band else None, highs if band else None, points=True)


def _drafts(name: str, part: Results, notes: list[str]) -> list[tuple[str, float | None, float | None, str]]:
    """For each gamma: its name, ms per token, tokens per second, and how many of them were drawn again, in words."""
    found = []
    gammas = {_position(key): _part(value) for key, value in _part(part.get("per_gamma")).items()}
    for gamma in sorted(known for known in gammas if known is not None):
        run = gammas[gamma]
        accepted, middle = number(run, "avg_accepted_tokens_per_call"), number(run, "median_ms")
        label = f"{name}, gamma {gamma:g}"
        if not accepted:
            notes.append(f"{label}: no token was accepted, so there is no time per token.")
            continue
        again = number(run, "resample_rate")
        said = "" if again is None else f" ({again:.0%} drawn again)"
        found.append((label, None if middle is None else middle / accepted, number(run, "effective_tps"), said))
    return found


def _flat(name: str, positions: Sequence[float], height: float) -> Line:
    ends = floats([positions[0], positions[-1]])
    return Line(name, ends, floats([height, height]), dash="dashed")


def _part(value: object) -> Results:
    return value if isinstance(value, Mapping) else {}


def _numbers(values: object) -> list[float]:
    """The finite numbers above 0 of a list; none of anything else."""
    if not isinstance(values, list):
        return []
    return [
        float(one)
        for one in values
        if isinstance(one, int | float) and not isinstance(one, bool) and isfinite(one) and one > 0
    ]


def _position(key: object) -> float | None:
    try:
        found = float(str(key))
    except ValueError:
        return None
    return found if isfinite(found) and found >= 0 else None
