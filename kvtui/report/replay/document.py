"""What a trace asks of a prefix cache and of servers, as one document of plain values."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from statistics import mean, median
from typing import Any, NamedTuple

from kvtui import __version__
from kvtui.engine.replay.caches import BlockUses
from kvtui.engine.replay.costs import StepCosts
from kvtui.engine.replay.request import Request
from kvtui.engine.replay.reuse import Reuse, reuse
from kvtui.engine.replay.run import Instant, ReplayOutcome, Served
from kvtui.engine.replay.traces import Trace

SCHEMA = 1
SIZES = 12
QUANTILES = (50, 95, 99)
ENOUGH = 0.9
LATE = 1.1
GRACE_SECONDS = 30.0
MOST_INSTANTS = 128


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
    reused: Mapping[str, Any] | None,
    compared: Sequence[Mapping[str, Any]] = (),
    search: Mapping[str, Any] | None = None,
    complete: bool = True,
    objectives: Objectives | None = None,
    costs: StepCosts | None = None,
) -> dict[str, Any]:
    """The trace, its reuse, and what a server made of it at the fast and the slow end of its pace, as plain values.

    ``pool`` is the planned one: ``tokens``, ``bytes_per_token``, ``of`` in words, and its ``scenario`` as a command.
    ``outcomes`` are documents made by :func:`served`, and ``reused`` is one of :func:`reuse_of`; those ``compared``
    have a ``name`` and one for each end, or a ``problem``. ``search`` is what was ``sought``, the ``answer`` and the
    ``rows`` that were tried. What was stopped is not ``complete``. ``costs`` were measured; without them the roofline
    gives the pace.
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
        "pace": None
        if costs is None
        else {
            "source": costs.source,
            "step_seconds": costs.step,
            "token_seconds": costs.token,
            "byte_seconds": costs.byte,
            "operation_seconds": costs.operation,
            "fast": round(costs.fast, 6),
            "slow": round(costs.slow, 6),
        },
        "pool": None if pool is None else dict(pool),
        "reuse": None if reused is None else dict(reused),
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
        "goodput": None if objectives == Objectives() else share_of(sum(map(objectives.met, done)), len(done)),
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
    enough = next((size for size, saved in zip(sizes, whole, strict=True) if 0 < saved >= ENOUGH * found.ceiling), None)
    return {
        "block_tokens": found.block,
        "ceiling": share_of(found.ceiling, found.tokens()),
        "ceiling_with_partial_blocks": share_of(found.ceiling + found.tail, found.tokens()),
        "ceiling_second_half": share_of(most, warm_tokens),
        "distinct_tokens": found.distinct * found.block,
        "knee_tokens": None if found.knee is None else found.knee * found.block,
        "missed": {why: share_of(tokens, found.tokens()) for why, tokens in found.missed._asdict().items()},
        "enough_tokens": None if enough is None else enough * found.block,
        "sizes": [
            {
                "cache_tokens": size * found.block,
                "cache_bytes": None if pool is None else size * found.block * pool["bytes_per_token"],
                "planned": size == planned,
                "saved": share_of(saved, found.tokens()),
                "saved_second_half": share_of(late, warm_tokens),
                **{f"saved_{order}": share_of(found_[at][0], found.tokens()) for order, found_ in others.items()},
                **{
                    f"saved_{order}_second_half": share_of(found_[at][1], warm_tokens)
                    for order, found_ in others.items()
                },
                "evicted": share_of(found.ceiling - saved, found.tokens()),
            }
            for at, (size, saved, late) in enumerate(zip(sizes, whole, warm, strict=True))
        ],
    }


def _sizes(found: Reuse) -> list[int]:
    """Sizes in equal ratios, from where the cache first helps to where it holds all that is ever used."""
    return sorted({max(1, round(found.distinct ** (step / SIZES))) for step in range(3, SIZES + 1)})


def share_of(part: int, whole: int) -> float:
    """``part`` of ``whole``, in six digits; nothing of nothing is 0."""
    return round(part / whole, 6) if whole else 0.0
