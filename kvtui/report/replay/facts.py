"""What a document of a replay says in words, line by line."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from kvtui.report.replay.document import ENOUGH, LATE, share_of
from kvtui.report.replay.quantities import brief, duration, percent, rounded

_SHORT = {"tokens": "room in a step", "sequences": "a place among the sequences", "blocks": "blocks"}


def facts_of(known: Mapping[str, Any]) -> list[tuple[str, str]]:
    """What ``known`` says, each line with its head; a line without one belongs to the head before."""
    trace, reused, pool = known["trace"], known["reuse"], known["pool"]
    prompts, answers = trace["prompt_tokens"], trace["answer_tokens"]
    facts = [
        ("trace", f"{trace['name']}: {trace['requests']:,} requests in {duration(trace['seconds'])}"),
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
    if known["pace"]:
        facts.append(("pace", _paced(known["pace"])))
    facts += _served_facts(known["served"], trace) if known["served"] else []
    if not reused and not known["complete"]:
        return [*facts, ("reuse", "not worked out, since it was stopped")]
    if not reused:
        return [*facts, ("reuse", "unknown: the trace does not say which prompts begin alike")]
    partial = percent(reused["ceiling_with_partial_blocks"])
    facts += [
        ("reuse", f"at most {percent(reused['ceiling'])} of all prompt tokens, from a cache without bounds"),
        ("", f"in whole blocks of {reused['block_tokens']} tokens ({partial} with partial ones)"),
    ]
    facts.append(("missed", _missed(reused["missed"])))
    if reused["knee_tokens"]:
        facts.append(("knee", f"at {rounded(reused['knee_tokens'])} tokens: from there on more brings less"))
    if reused["enough_tokens"]:
        facts.append(("", f"{ENOUGH:.0%} of that from {rounded(reused['enough_tokens'])} tokens on"))
    return facts


def _missed(missed: Mapping[str, float]) -> str:
    """Why tokens are never saved, the most frequent reason first."""
    parts = [f"{percent(share)} {_WHY[why]}" for why, share in sorted(missed.items(), key=lambda item: -item[1])]
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
    mean, most = (percent(slow[f"pool_blocks_{name}"] / slow["pool_blocks"]) for name in ("mean", "most"))
    facts = [
        (
            "served",
            f"{slow['requests']:,} requests in {duration(fast['seconds'])} to {duration(slow['seconds'])}",
        ),
        ("waiting", _between(fast, slow, "waiting_seconds")),
        ("TTFT", _between(fast, slow, "ttft_seconds")),
        ("TPOT", _between(fast, slow, "tpot_seconds")),
        ("use", f"{mean} of the pool on average, {most} at most; {slow['evictions']:,} requests put out"),
        ("hits", f"{percent(share_of(slow['prompt_tokens_saved'], looked_up))} of the prompt tokens"),
    ]
    facts += _waste_facts(slow)
    if slow["goodput"] is not None:
        facts.append(("goodput", f"{percent(slow['goodput'])} to {percent(fast['goodput'])} of the requests"))
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
            f"{_SHORT[kind]} {percent(min(1.0, seconds / slow['seconds']))}"
            for kind, seconds in sorted(short.items(), key=lambda item: -item[1])
        )
        facts.append(("binds", f"of the time requests waited for {parts}"))
    waste = [f"{percent(slow['empty_slots'])} of the slots in tables are empty"]
    if slow["tokens_computed_again"]:
        again = percent(share_of(slow["tokens_computed_again"], slow["tokens_computed"]))
        waste.append(f"{again} of the tokens are computed again")
    if slow["tokens_padding"]:
        padded = share_of(slow["tokens_padding"], slow["tokens_padding"] + slow["tokens_computed"])
        waste.append(f"{percent(padded)} are padding")
    return [*facts, ("waste", ", ".join(waste))]


def _paced(pace: Mapping[str, Any]) -> str:
    """What was measured, and how far it scattered."""
    parts = [f"{brief(pace[f'{one}_seconds'])} for each {one}" for one in ("step", "token") if pace[f"{one}_seconds"]]
    if pace["byte_seconds"]:
        parts.append(f"{1e-9 / pace['byte_seconds']:.4g} GB/s")
    if pace["operation_seconds"]:
        parts.append(f"{1e-12 / pace['operation_seconds']:.3g} TFLOP/s")
    return f"{', '.join(parts)} (×{pace['fast']:.2f} to ×{pace['slow']:.2f}), as {pace['source']} has it"


def _between(fast: Mapping[str, Any], slow: Mapping[str, Any], key: str) -> str:
    """Median and p95, each from the fast to the slow end."""
    return ", ".join(
        f"{name} {brief(fast[key][quantile])} to {brief(slow[key][quantile])}"
        for name, quantile in (("median", "p50"), ("p95", "p95"))
        if slow[key][quantile] is not None
    )


def _read_as(trace: Mapping[str, Any]) -> str:
    ids = f", {trace['tokens_per_id']} tokens for each prefix id" if trace["tokens_per_id"] else ""
    unit = {"ms": "milliseconds", "s": "seconds", "date": "dates"}[trace["time_unit"]]
    paired = "; lengths as the server counted them, in no order of theirs" if trace["form"] == "recording" else ""
    return f"{trace['form']}, times in {unit}{ids}{paired}"


def _shown_lengths(found: Mapping[str, Any]) -> str:
    return f"{found['mean']:,.0f} tokens on average, median {found['median']:,.0f}, longest {found['longest']:,}"
