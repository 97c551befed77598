"""What a trace asks of a prefix cache and of servers: a document, and all formats of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from statistics import mean, median
from textwrap import fill, wrap
from typing import Any, NamedTuple

from kvtui import __version__
from kvtui.engine.basis.units import format_bytes
from kvtui.engine.replay.caches import BlockUses
from kvtui.engine.replay.request import Request
from kvtui.engine.replay.reuse import Reuse, reuse
from kvtui.engine.replay.run import Instant, ReplayOutcome, Served
from kvtui.engine.replay.traces import Trace
from kvtui.output import markdown, table
from kvtui.output.harmless import clean
from kvtui.output.json import json_text
from kvtui.output.lines import to_ascii
from kvtui.output.markup import tag
from kvtui.output.table import Column
from kvtui.report.page import html_page

SCHEMA = 1
SIZES = 12
QUANTILES = (50, 95, 99)
ENOUGH = 0.9
LATE = 1.1
GRACE_SECONDS = 30.0
MOST_INSTANTS = 128
LEAST_WRAP = 40


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
    name: str,
    pool: Mapping[str, Any] | None,
    outcomes: Mapping[str, Mapping[str, Any]],
    compared: Sequence[Mapping[str, Any]] = (),
    search: Mapping[str, Any] | None = None,
    complete: bool = True,
    objectives: Objectives | None = None,
) -> dict[str, Any]:
    """The trace, its reuse, and what a server made of it at the fast and the slow end of its pace, as plain values.

    ``pool`` is the planned one: ``tokens``, ``bytes_per_token``, ``of`` in words, and its ``scenario`` as a command.
    ``outcomes`` are documents made by :func:`served`; those ``compared`` have a ``name`` and one for each end, or a
    ``problem``. ``search`` is what was ``sought``, the ``answer`` and the ``rows`` that were tried. What was stopped is
    not ``complete``.
    """
    requests = trace.requests
    prompts, answers = requests.columns.prompts.tolist(), requests.columns.answers.tolist()
    return {
        "schema": SCHEMA,
        "kvtui": __version__,
        "complete": complete,
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
        "objectives": None
        if objectives is None or objectives == Objectives()
        else {"ttft_seconds": objectives.first_token, "tpot_seconds": objectives.per_token},
        "pool": None if pool is None else dict(pool),
        "reuse": reuse_of(trace.requests, pool),
        "served": dict(outcomes) or None,
        "compared": [dict(row) for row in compared] or None,
        "search": None if search is None else dict(search),
    }


def served(outcome: ReplayOutcome, objectives: Objectives) -> dict[str, Any]:
    """What became of a trace at one end of the pace, as plain values."""
    done = outcome.served
    first = outcome.first
    return {
        "requests": len(done),
        "refused": outcome.refused,
        "failed": outcome.failed,
        "left": outcome.left,
        "stuck": outcome.stuck,
        "steps": outcome.steps,
        "seconds": round(outcome.seconds, 3),
        "tokens_computed": outcome.computed,
        "tokens_computed_again": outcome.again.queries - outcome.again.hits,
        "tokens_padding": outcome.padding,
        "tokens_per_second": round(sum(one.answer for one in done) / outcome.seconds, 3) if outcome.seconds else 0.0,
        "prompt_tokens_looked_up": first.queries,
        "prompt_tokens_saved": first.hits,
        "evictions": outcome.evictions,
        "pool_blocks": outcome.usable,
        "pool_blocks_most": outcome.most_used,
        "pool_blocks_mean": round(outcome.mean_used, 1),
        "empty_slots": round(outcome.empty_slots, 6),
        "short_seconds": {kind.value: round(seconds, 3) for kind, seconds in outcome.short.items()},
        "waiting_seconds": _quantiles([one.waited for one in done]),
        "ttft_seconds": _quantiles([one.first_token for one in done]),
        "tpot_seconds": _quantiles([one.per_token for one in done if one.per_token is not None]),
        "goodput": None if objectives == Objectives() else _share(sum(map(objectives.met, done)), len(done)),
        "course": [_instant(one) for one in outcome.course[:: -(-len(outcome.course) // MOST_INSTANTS) or 1]],
    }


def _instant(one: Instant) -> dict[str, Any]:
    return {
        "seconds": round(one.seconds, 3),
        "running": one.running,
        "waiting": one.waiting,
        "pool_blocks_used": one.used,
        "prompt_tokens_looked_up": one.looked_up,
        "prompt_tokens_saved": one.saved,
        "evictions": one.evictions,
    }


def holds(result: Mapping[str, Any], seconds: float, wanted: float) -> bool:
    """Whether a server that was asked for ``seconds`` did well.

    That is: nobody failed or is left, and the share ``wanted`` of the requests met the objectives; where there are
    none, it was done not much later than the last request came.
    """
    if result.get("problem") or result["failed"] or result["left"] or not result["requests"]:
        return False
    if result["goodput"] is not None:
        return bool(result["goodput"] >= wanted)
    return bool(result["seconds"] <= LATE * seconds + GRACE_SECONDS)


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


def reuse_of(requests: Sequence[Request], pool: Mapping[str, Any] | None = None) -> dict[str, Any] | None:
    """What caches of all sizes save of ``requests``, by several orders; None where they tell no prefixes.

    The planned ``pool`` is among the sizes.
    """
    found, served_alone = reuse(requests), reuse(requests, answers=True)
    if found is None or served_alone is None:
        return None
    half = len(found.lengths) // 2
    planned = None if pool is None else pool["tokens"] // found.block
    sizes = sorted({*_sizes(found), *([planned] if planned else [])})
    whole, warm = found.saved(sizes), found.saved(sizes, half)
    most = found.saved([found.blocks], half)[0]
    warm_tokens = found.tokens(half)
    uses = BlockUses(requests)
    engine = zip(served_alone.saved(sizes), served_alone.saved(sizes, half), strict=True)
    others = {
        "engine": list(engine),
        "fifo": [uses.first_in_first_out(size, half) for size in sizes],
        "best": [uses.best(size, half) for size in sizes],
    }
    enough = next((size for size, saved in zip(sizes, whole, strict=True) if saved >= ENOUGH * found.ceiling), None)
    return {
        "block_tokens": found.block,
        "ceiling": _share(found.ceiling, found.tokens()),
        "ceiling_with_partial_blocks": _share(found.ceiling + found.tail, found.tokens()),
        "ceiling_second_half": _share(most, warm_tokens),
        "distinct_tokens": found.distinct * found.block,
        "knee_tokens": None if found.knee is None else found.knee * found.block,
        "missed": {why: _share(tokens, found.tokens()) for why, tokens in found.missed._asdict().items()},
        "enough_tokens": None if enough is None else enough * found.block,
        "sizes": [
            {
                "cache_tokens": size * found.block,
                "cache_bytes": None if pool is None else size * found.block * pool["bytes_per_token"],
                "planned": size == planned,
                "saved": _share(saved, found.tokens()),
                "saved_second_half": _share(late, warm_tokens),
                **{f"saved_{order}": _share(found_[at][0], found.tokens()) for order, found_ in others.items()},
                **{
                    f"saved_{order}_second_half": _share(found_[at][1], warm_tokens) for order, found_ in others.items()
                },
                "evicted": _share(found.ceiling - saved, found.tokens()),
            }
            for at, (size, saved, late) in enumerate(zip(sizes, whole, warm, strict=True))
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
    """A ``document`` as text, CSV, Markdown, HTML or JSON, ending in a newline.

    CSV has one table: of what was sought or compared, else of the cache's sizes.
    """
    known = clean(found)
    if format == "json":
        return json_text(known)
    facts, tables = _facts(known), _tables(known)
    match format:
        case "csv":
            return table.render(tables[0].columns, tables[0].rows, "csv") if tables else ""
        case "html":
            return _page(known, facts, tables)
        case "markdown":
            listed = "".join(f"- {head}: {markdown.escape(text)}\n" for head, text in facts)
            return listed + "".join(
                f"\n## {markdown.escape(one.title)}\n\n{table.render(one.columns, one.rows, format)}" for one in tables
            )
    wide = max(len(head) for head, _ in facts)
    lines = "".join(
        f"{head if not at else '':<{wide}}  {line}\n"
        for head, text in facts
        for at, line in enumerate(wrap(text, max(width - wide - 2, LEAST_WRAP)))
    )
    parts = [to_ascii(lines) if ascii_only else lines]
    parts += [
        f"{fill(to_ascii(one.title) if ascii_only else one.title, width)}\n"
        + table.render(one.columns, one.rows, format, width, color, ascii_only)
        for one in tables
    ]
    return "\n".join(parts)


class _Titled(NamedTuple):
    title: str
    columns: tuple[Column, ...]
    rows: Sequence[Mapping[str, Any]]


def _tables(known: Mapping[str, Any]) -> list[_Titled]:
    tables = []
    if known["search"]:
        search = known["search"]
        first = Column("value", search["sought"], "right", 0, lambda value: f"{value:,.4g}")
        holds = Column("holds", "holds", "left", 0, lambda held: "yes" if held else "no")
        rows = [{"value": row["value"], "holds": row["holds"], **_row(row)} for row in search["rows"]]
        tables.append(_Titled(f"{search['sought']}: {search['in_words']}", (first, holds, *_SERVED), rows))
    if known["compared"]:
        rows = [{"name": row["name"], **_row(row)} for row in known["compared"]]
        tables.append(_Titled("side by side, at the slow end", (Column("name", "server"), *_SERVED, _PROBLEM), rows))
    if known["reuse"] and not tables:
        tables.append(_Titled("what a cache of each size saves", _columns(known), known["reuse"]["sizes"]))
    return tables


def _row(row: Mapping[str, Any]) -> dict[str, Any]:
    """What a table says of one replay, at the slow end where there are two."""
    one = row["slow"] or {}
    looked_up = one.get("prompt_tokens_looked_up")
    return {
        "problem": row["problem"],
        "requests": one.get("requests"),
        "seconds": one.get("seconds"),
        "waiting_p95": one["waiting_seconds"]["p95"] if one else None,
        "ttft_p95": one["ttft_seconds"]["p95"] if one else None,
        "tpot_p95": one["tpot_seconds"]["p95"] if one else None,
        "goodput": one.get("goodput"),
        "hits": _share(one["prompt_tokens_saved"], looked_up) if looked_up else None,
        "evictions": one.get("evictions"),
        "failed": one.get("failed"),
        "most_used": one["pool_blocks_most"] / one["pool_blocks"] if one else None,
        "empty_slots": one.get("empty_slots"),
        "tokens_padding": one.get("tokens_padding"),
        "tokens_computed": one.get("tokens_computed"),
    }


def _page(known: Mapping[str, Any], facts: Sequence[tuple[str, str]], tables: Sequence[_Titled]) -> str:
    """One self-contained page."""
    listed = tag("table", [tag("tr", tag("th", head, scope="row"), tag("td", text)) for head, text in facts])
    cards = [tag("section", tag("h2", "the trace and its server"), listed, class_="card")]
    cards += [
        tag(
            "section",
            tag("h2", one.title),
            tag(
                "table",
                tag("tr", [tag("th", column.title, scope="col") for column in one.columns]),
                [tag("tr", [tag("td", column.show(row[column.key])) for column in one.columns]) for row in one.rows],
            ),
            class_="card",
        )
        for one in tables
    ]
    return html_page(
        f"{known['trace']['name']} · replay · kvtui",
        tag("header", tag("h1", known["trace"]["name"]), tag("p", facts[0][1], class_="under")),
        cards,
        tag("footer", f"kvtui {known['kvtui']}, replay schema {known['schema']}"),
    )


_SHORT = {"tokens": "room in a step", "sequences": "a place among the sequences", "blocks": "blocks"}


def _columns(known: Mapping[str, Any]) -> tuple[Column, ...]:
    sized = (Column("cache_bytes", "size", "right", 1, format_bytes),) if known["pool"] else ()
    return (
        Column("cache_tokens", "cache tokens", "right", 0, _count),
        *sized,
        Column("saved", "saved", "right", 0, _percent),
        Column("saved_second_half", "second half", "right", 1, _percent),
        Column("saved_engine", "with answers", "right", 3, _percent),
        Column("saved_fifo", "oldest out", "right", 4, _percent),
        Column("saved_best", "at best", "right", 2, _percent),
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
    trace, reused, pool = known["trace"], known["reuse"], known["pool"]
    prompts, answers = trace["prompt_tokens"], trace["answer_tokens"]
    facts = [
        ("trace", f"{trace['name']}: {trace['requests']:,} requests in {_duration(trace['seconds'])}"),
        ("read as", _read_as(trace)),
        ("prompts", _shown_lengths(prompts)),
        ("answers", _shown_lengths(answers)),
    ]
    if not known["complete"]:
        facts.append(("stopped", "what follows was worked out until then"))
    if trace["unanswered"]:
        facts.append(("left out", f"{trace['unanswered']:,} rows without an answer"))
    if pool:
        facts.append(("pool", f"{pool['tokens']:,} tokens, {pool['of']}"))
    facts += _served_facts(known["served"], trace) if known["served"] else []
    if not reused:
        return [*facts, ("reuse", "unknown: the trace does not say which prompts begin alike")]
    partial = _percent(reused["ceiling_with_partial_blocks"])
    facts += [
        ("reuse", f"at most {_percent(reused['ceiling'])} of all prompt tokens, from a cache without bounds"),
        ("", f"in whole blocks of {reused['block_tokens']} tokens ({partial} with partial ones)"),
    ]
    facts.append(("missed", _missed(reused["missed"])))
    if reused["knee_tokens"]:
        facts.append(("knee", f"at {_count(reused['knee_tokens'])} tokens: from there on more brings less"))
    if reused["enough_tokens"]:
        facts.append(("", f"{ENOUGH:.0%} of that from {_count(reused['enough_tokens'])} tokens on"))
    return facts


def _missed(missed: Mapping[str, float]) -> str:
    """Why tokens are never saved, the most frequent reason first."""
    parts = [f"{_percent(share)} {_WHY[why]}" for why, share in sorted(missed.items(), key=lambda item: -item[1])]
    return ", ".join(parts[:3])


_WHY = {
    "last": "in the block of a last token",
    "straddling": "in blocks that are not full",
    "short": "in prompts of less than a block",
    "new": "in prompts that begin with something new",
    "diverged": "after a prefix that was seen",
}


def _served_facts(ends: Mapping[str, Any], trace: Mapping[str, Any]) -> list[tuple[str, str]]:
    fast, slow = ends["fast"], ends["slow"]
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
    facts += _waste_facts(slow)
    if slow["goodput"] is not None:
        facts.append(("goodput", f"{_percent(slow['goodput'])} to {_percent(fast['goodput'])} of the requests"))
    if slow["refused"]:
        facts.append(("refused", f"{slow['refused']:,} prompts are longer than the context"))
    if slow["failed"]:
        facts.append(("failed", f"{slow['failed']:,} got an error when the pool was full"))
    if slow["stuck"]:
        facts.append(("stuck", f"one needs more than the pool, and {slow['left'] - 1:,} wait behind it"))
    elif fast["seconds"] > LATE * trace["seconds"]:
        facts.append(("", "the server cannot keep up with this trace"))
    return facts


def _waste_facts(slow: Mapping[str, Any]) -> list[tuple[str, str]]:
    """What binds when, and what is computed or kept for nothing."""
    short = {kind: seconds for kind, seconds in slow["short_seconds"].items() if seconds > 0}
    facts = []
    if short:
        parts = ", ".join(
            f"{_SHORT[kind]} {_percent(min(1.0, seconds / slow['seconds']))}"
            for kind, seconds in sorted(short.items(), key=lambda item: -item[1])
        )
        facts.append(("binds", f"of the time requests waited for {parts}"))
    waste = [f"{_percent(slow['empty_slots'])} of the slots in tables are empty"]
    if slow["tokens_computed_again"]:
        again = _percent(_share(slow["tokens_computed_again"], slow["tokens_computed"]))
        waste.append(f"{again} of the tokens are computed again")
    if slow["tokens_padding"]:
        padded = _share(slow["tokens_padding"], slow["tokens_padding"] + slow["tokens_computed"])
        waste.append(f"{_percent(padded)} are padding")
    return [*facts, ("waste", ", ".join(waste))]


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


_SERVED = (
    Column("requests", "served", "right", 0, lambda count: f"{count:,}"),
    Column("seconds", "done in", "right", 1, _duration),
    Column("waiting_p95", "wait p95", "right", 2, _seconds),
    Column("ttft_p95", "TTFT p95", "right", 0, _seconds),
    Column("tpot_p95", "TPOT p95", "right", 0, _seconds),
    Column("goodput", "goodput", "right", 0, _percent),
    Column("hits", "hits", "right", 1, _percent),
    Column("evictions", "put out", "right", 2, lambda count: f"{count:,}"),
    Column("failed", "failed", "right", 4, lambda count: f"{count:,}"),
    Column("most_used", "pool", "right", 3, _percent),
    Column("empty_slots", "empty", "right", 4, _percent),
    Column("tokens_padding", "padding", "right", 4, _count),
    Column("tokens_computed", "computed", "right", 5, _count),
)
_PROBLEM = Column("problem", "", "left", 1, lambda problem: problem or "")
