"""What a trace asks of a prefix cache: a document, and the text, JSON, CSV and Markdown of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from statistics import mean, median
from typing import Any, NamedTuple

from kvtui import __version__
from kvtui.engine.basis.units import format_bytes
from kvtui.engine.replay.reuse import Reuse
from kvtui.engine.replay.run import ReplayOutcome, Served
from kvtui.engine.replay.traces import Trace
from kvtui.output import markdown, table
from kvtui.output.harmless import clean
from kvtui.output.json import json_text
from kvtui.output.lines import to_ascii
from kvtui.output.table import Column

SCHEMA = 1
SIZES = 12
QUANTILES = (50, 95, 99)
ENOUGH = 0.9
LATE = 1.1


class Objectives(NamedTuple):
    """Seconds that a request may take to its first token, and per token after it; None: as long as it likes."""

    first_token: float | None = None
    per_token: float | None = None

    def met(self, served: Served) -> bool:
        """Whether ``served`` took no longer."""
        first = self.first_token is None or served.first_token <= self.first_token
        return first and (self.per_token is None or (served.per_token or 0.0) <= self.per_token)


def document(
    trace: Trace,
    found: Reuse | None,
    name: str,
    pool: Mapping[str, Any] | None,
    outcomes: Mapping[str, ReplayOutcome],
    objectives: Objectives,
) -> dict[str, Any]:
    """The trace, its reuse, and what a server made of it at the fast and the slow end of its pace, as plain values.

    ``pool`` is the planned one: ``tokens``, ``bytes_per_token``, ``of`` in words, and its ``scenario`` as a command.
    """
    requests = trace.requests
    prompts = [request.prompt for request in requests]
    answers = [request.answer for request in requests]
    return {
        "schema": SCHEMA,
        "kvtui": __version__,
        "trace": {
            "name": name,
            "form": trace.form,
            "time_unit": trace.unit,
            "tokens_per_id": trace.span or None,
            "requests": len(requests),
            "unanswered": trace.unanswered,
            "seconds": round(requests[-1].arrival, 3),
            "prompt_tokens": _lengths(prompts),
            "answer_tokens": _lengths(answers),
        },
        "pool": None if pool is None else dict(pool),
        "reuse": None if found is None else _reuse(found, pool),
        "served": {end: _served(outcome, objectives) for end, outcome in outcomes.items()} or None,
    }


def _served(outcome: ReplayOutcome, objectives: Objectives) -> dict[str, Any]:
    served = outcome.served
    first = outcome.first
    return {
        "requests": len(served),
        "refused": outcome.refused,
        "left": outcome.left,
        "stuck": outcome.stuck,
        "steps": outcome.steps,
        "seconds": round(outcome.seconds, 3),
        "tokens_computed": outcome.computed,
        "prompt_tokens_looked_up": first.queries,
        "prompt_tokens_saved": first.hits,
        "evictions": outcome.evictions,
        "pool_blocks": outcome.usable,
        "pool_blocks_most": outcome.most_used,
        "pool_blocks_mean": round(outcome.mean_used, 1),
        "waiting_seconds": _quantiles([one.waited for one in served]),
        "ttft_seconds": _quantiles([one.first_token for one in served]),
        "tpot_seconds": _quantiles([one.per_token for one in served if one.per_token is not None]),
        "goodput": None if objectives == Objectives() else _share(sum(map(objectives.met, served)), len(served)),
    }


def _quantiles(seconds: list[float]) -> dict[str, float | None]:
    """The value that half, 95 % and 99 % of ``seconds`` do not exceed."""
    ordered = sorted(seconds)
    return {
        f"p{percent}": round(ordered[-(-len(ordered) * percent // 100) - 1], 6) if ordered else None
        for percent in QUANTILES
    }


def _lengths(tokens: Sequence[int]) -> dict[str, Any]:
    return {
        "total": sum(tokens),
        "mean": round(mean(tokens), 1),
        "median": median(tokens),
        "longest": max(tokens),
    }


def _reuse(found: Reuse, pool: Mapping[str, Any] | None) -> dict[str, Any]:
    half = len(found.lengths) // 2
    planned = None if pool is None else pool["tokens"] // found.block
    sizes = sorted({*_sizes(found), *([planned] if planned else [])})
    whole, warm = found.saved(sizes), found.saved(sizes, half)
    most = found.saved([found.blocks], half)[0]
    warm_tokens = found.tokens(half)
    enough = next((size for size, saved in zip(sizes, whole, strict=True) if saved >= ENOUGH * found.ceiling), None)
    return {
        "block_tokens": found.block,
        "ceiling": _share(found.ceiling, found.tokens()),
        "ceiling_with_partial_blocks": _share(found.ceiling + found.tail, found.tokens()),
        "ceiling_second_half": _share(most, warm_tokens),
        "distinct_tokens": found.distinct * found.block,
        "enough_tokens": None if enough is None else enough * found.block,
        "sizes": [
            {
                "cache_tokens": size * found.block,
                "cache_bytes": None if pool is None else size * found.block * pool["bytes_per_token"],
                "planned": size == planned,
                "saved": _share(saved, found.tokens()),
                "saved_second_half": _share(late, warm_tokens),
            }
            for size, saved, late in zip(sizes, whole, warm, strict=True)
        ],
    }


def _sizes(found: Reuse) -> list[int]:
    """Sizes in equal ratios, from where the cache first helps to where it holds all that is ever used."""
    return sorted({max(1, round(found.distinct ** (step / SIZES))) for step in range(3, SIZES + 1)})


def _share(part: int, whole: int) -> float:
    return round(part / whole, 6) if whole else 0.0


def render(
    found: Mapping[str, Any], format: str, *, width: int = 80, color: bool = False, ascii_only: bool = False
) -> str:
    """A ``document`` as text, CSV, Markdown or JSON, ending in a newline."""
    known = clean(found)
    if format == "json":
        return json_text(known)
    rows = known["reuse"]["sizes"] if known["reuse"] else []
    shown = table.render(_columns(known), rows, format, width, color, ascii_only) if rows else ""
    facts = _facts(known)
    match format:
        case "csv":
            return shown
        case "markdown":
            return "".join(f"- {head}: {markdown.escape(text)}\n" for head, text in facts) + f"\n{shown}"
    wide = max(len(head) for head, _ in facts)
    lines = "".join(f"{head:<{wide}}  {text}\n" for head, text in facts)
    return f"{to_ascii(lines) if ascii_only else lines}\n{shown}" if shown else lines


def _columns(known: Mapping[str, Any]) -> tuple[Column, ...]:
    sized = (Column("cache_bytes", "size", "right", 1, format_bytes),) if known["pool"] else ()
    return (
        Column("cache_tokens", "cache tokens", "right", 0, _count),
        *sized,
        Column("saved", "saved", "right", 0, _percent),
        Column("saved_second_half", "second half", "right", 1, _percent),
        Column("planned", "", "left", 0, lambda planned: "◀ the plan's pool" if planned else ""),
    )


def _count(tokens: int) -> str:
    """Three digits are enough to choose by: 34.1 M."""
    if tokens < 10_000:
        return f"{tokens:,}"
    return f"{tokens / 1e6:,.3g} M" if tokens >= 1e6 else f"{tokens / 1e3:.3g} k"


def _percent(share: float) -> str:
    return f"{100 * share:.1f} %"


def _facts(known: Mapping[str, Any]) -> list[tuple[str, str]]:
    trace, reuse, pool = known["trace"], known["reuse"], known["pool"]
    prompts, answers = trace["prompt_tokens"], trace["answer_tokens"]
    facts = [
        ("trace", f"{trace['name']}: {trace['requests']:,} requests in {_duration(trace['seconds'])}"),
        ("read as", _read_as(trace)),
        ("prompts", _shown_lengths(prompts)),
        ("answers", _shown_lengths(answers)),
    ]
    if trace["unanswered"]:
        facts.append(("left out", f"{trace['unanswered']:,} rows without an answer"))
    if pool:
        facts.append(("pool", f"{pool['tokens']:,} tokens, {pool['of']}"))
    facts += _served_facts(known["served"], trace) if known["served"] else []
    if not reuse:
        return [*facts, ("reuse", "unknown: the trace does not say which prompts begin alike")]
    partial = _percent(reuse["ceiling_with_partial_blocks"])
    facts += [
        ("reuse", f"at most {_percent(reuse['ceiling'])} of all prompt tokens, from a cache without bounds"),
        ("", f"in whole blocks of {reuse['block_tokens']} tokens ({partial} with partial ones)"),
    ]
    if reuse["enough_tokens"]:
        facts.append(("", f"{ENOUGH:.0%} of that from {_count(reuse['enough_tokens'])} tokens on"))
    return facts


def _served_facts(served: Mapping[str, Any], trace: Mapping[str, Any]) -> list[tuple[str, str]]:
    fast, slow = served["fast"], served["slow"]
    looked_up = slow["prompt_tokens_looked_up"]
    mean, most = (_percent(slow[f"pool_blocks_{name}"] / slow["pool_blocks"]) for name in ("mean", "most"))
    facts = [
        ("served", f"{slow['requests']:,} requests in {_duration(fast['seconds'])} to {_duration(slow['seconds'])}"),
        ("waiting", _between(fast, slow, "waiting_seconds")),
        ("TTFT", _between(fast, slow, "ttft_seconds")),
        ("TPOT", _between(fast, slow, "tpot_seconds")),
        ("use", f"{mean} of the pool on average, {most} at most; {slow['evictions']:,} requests put out"),
        ("hits", f"{_percent(_share(slow['prompt_tokens_saved'], looked_up))} of the prompt tokens"),
    ]
    if slow["goodput"] is not None:
        facts.append(("goodput", f"{_percent(slow['goodput'])} to {_percent(fast['goodput'])} of the requests"))
    if slow["refused"]:
        facts.append(("refused", f"{slow['refused']:,} prompts are longer than the context"))
    if slow["stuck"]:
        facts.append(("stuck", f"one needs more than the pool, and {slow['left'] - 1:,} wait behind it"))
    elif fast["seconds"] > LATE * trace["seconds"]:
        facts.append(("", "the server cannot keep up with this trace"))
    return facts


def _between(fast: Mapping[str, Any], slow: Mapping[str, Any], key: str) -> str:
    """Median and p95, each from the fast to the slow end."""
    return ", ".join(
        f"{name} {_seconds(fast[key][quantile])} to {_seconds(slow[key][quantile])}"
        for name, quantile in (("median", "p50"), ("p95", "p95"))
        if slow[key][quantile] is not None
    )


def _seconds(seconds: float) -> str:
    if seconds < 1:
        return f"{seconds * 1e3:.3g} ms"
    return f"{seconds:.3g} s" if seconds < 600 else _duration(seconds)


def _read_as(trace: Mapping[str, Any]) -> str:
    ids = f", {trace['tokens_per_id']} tokens for each prefix id" if trace["tokens_per_id"] else ""
    unit = {"ms": "milliseconds", "s": "seconds", "date": "dates"}[trace["time_unit"]]
    return f"{trace['form']}, times in {unit}{ids}"


def _shown_lengths(found: Mapping[str, Any]) -> str:
    return f"{found['mean']:,.0f} tokens on average, median {found['median']:,.0f}, longest {found['longest']:,}"


def _duration(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    if hours:
        return f"{hours} h {minutes:02} min"
    return f"{minutes} min {rest:02} s" if minutes else f"{seconds:.1f} s"
