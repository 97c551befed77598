"""Scenarios recorded from vLLM's own scheduler: read, run again here, and told in the same form, to lay side by side.

A recorded scenario is a JSON object with ``config`` (the server's limits), ``requests`` (each with the step at which it
arrives and its prompt as ranges of token numbers, ``[[100, 40]]`` for tokens 100 to 139), and usually the ``steps``
that were seen. Each step names the tokens that it computes, who was admitted with which hit, who runs, waits, was put
out and finished, how many blocks are free and how many keys can be found, and the tables that changed.
"""

from __future__ import annotations

import re
from collections import Counter, deque
from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

from kvtui import __version__
from kvtui.engine.basis.errors import InputError
from kvtui.engine.basis.tables import Fields
from kvtui.engine.basis.untrusted import plain
from kvtui.engine.replay.content import PromptContent, Told, Unknown
from kvtui.engine.replay.groups import CacheGroup, Chunked, Full, Sliding, States
from kvtui.engine.replay.request import Request
from kvtui.engine.replay.scheduling import LiveRequest, Lookups, SchedulerStep
from kvtui.engine.replay.standstill import Standstill
from kvtui.engine.replay.vllm import Limits, Scheduler, order_of

MOST_BLOCKS = 2**24
MOST_TOKENS = 2**24
MOST_STEPS = 2**20
POLICIES = ("fcfs", "priority")

_GROUP = re.compile(r"(full|mamba|sliding|chunked)\(block([0-9]{1,7})(?:,(?:window|chunk)([0-9]{1,7}))?\)")
_RELEASE = re.compile(r"vllm ([0-9]{1,4})\.([0-9]{1,4})")
_INTERVAL = "prefix_cache_retention_interval"


class Recorded(NamedTuple):
    """A scenario; ``limits`` and ``requests`` as they were written are in ``document``."""

    document: Mapping[str, Any]
    limits: Limits
    requests: tuple[Request, ...]


def read_recorded(document: Mapping[str, Any], where: str) -> Recorded:
    """The scenario in ``document``. Raises InputError, which names ``where`` and the field that is wrong."""
    root = Fields(document, where)
    limits = _limits(root.table("config"), document)
    requests = tuple(_request(fields) for fields in root.tables("requests"))
    if not requests:
        raise root.error("requests", "is empty: there is nothing to replay")
    names = Counter(request.name for request in requests)
    twice = next((name for name, count in names.items() if count > 1), None)
    if twice is not None:
        raise root.error("requests", f"'{plain(twice, 60)}' is there twice")
    return Recorded(document, limits, tuple(sorted(requests, key=lambda request: request.arrival)))


def run_recorded(recorded: Recorded) -> dict[str, Any]:
    """``recorded`` with the ``steps`` and the ``summary`` that the rules here give, in the same form.

    It ends when all requests have finished, or with ``"stuck": true`` when nothing can ever run again: a request at the
    head of the line needs more blocks than there are. Where the document has steps, as many are told.
    """
    scheduler = Scheduler(recorded.limits)
    teller = _Teller(recorded.limits)
    seen = len(recorded.document.get("steps") or ())
    coming = deque(recorded.requests)
    steps: list[dict[str, Any]] = []
    standstill, stuck = Standstill(), False
    while (coming or not scheduler.idle) and not (stuck and len(steps) >= seen):
        if len(steps) == MOST_STEPS:
            raise InputError(f"the replay has not ended after {MOST_STEPS:,} steps")
        while coming and coming[0].arrival <= len(steps):
            scheduler.add(coming.popleft())
        step = scheduler.schedule()
        row = teller.row(len(steps), scheduler, step)
        scheduler.finish(step)
        teller.ended(row, scheduler, step)
        steps.append(row)
        standstill.look(step, empty=bool(step.evicted) and not scheduler.running)
        stuck = not coming and (standstill.reached or not (step.tokens or step.evicted or scheduler.idle))
    kept = {key: recorded.document[key] for key in ("name", "note", "config", "requests") if key in recorded.document}
    return {
        **kept,
        "engine": f"kvtui {__version__}, rules of vLLM",
        "summary": teller.summary(scheduler, steps),
        "steps": steps,
        "stuck": stuck,
    }


class _Teller:
    """Tells steps as the recordings do, and counts what their summary counts."""

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._tables: dict[str, list[list[int]]] = {}
        self._evicted: Counter[str] = Counter()
        self._first: dict[str, int] = {}
        self._finished: dict[str, int] = {}
        self._most_used = 0

    def row(self, number: int, scheduler: Scheduler, step: SchedulerStep) -> dict[str, Any]:
        """The step as it was scheduled."""
        names = [live.request.name for live in step.tokens]
        now = {live.request.name: [list(table) for table in live.tables] for live in step.tokens}
        changed = {name: tables for name, tables in now.items() if self._tables.get(name) != tables}
        self._tables.update(now)
        evicted = _names(step.evicted)
        self._evicted.update(evicted)
        for name in names:
            self._first.setdefault(name, number)
        self._most_used = max(self._most_used, scheduler.pool.used)
        told = step.hits if self._limits.order.resumed_are_told else [live for live in step.hits if not live.evicted]
        return {
            "step": number,
            "sched": dict(zip(names, step.tokens.values(), strict=True)),
            "hit": {live.request.name: step.hits[live] for live in told},
            "running": _names(scheduler.running),
            "waiting": _names(scheduler.waiting),
            "preempted": sorted(evicted),
            "free": scheduler.pool.free,
            "cached": scheduler.pool.cached,
            **({"blocks": changed} if changed else {}),
        }

    def ended(self, row: dict[str, Any], scheduler: Scheduler, step: SchedulerStep) -> None:
        """What ``row`` says after its tokens were computed."""
        row["finished"] = sorted(_names(step.finished))
        row["free_after"] = scheduler.pool.free
        for name in row["finished"]:
            self._finished[name] = row["step"]

    def summary(self, scheduler: Scheduler, steps: list[dict[str, Any]]) -> dict[str, Any]:
        """Totals over all steps."""
        first, again = scheduler.first, scheduler.again
        return {
            "steps": len(steps),
            "scheduled_tokens": sum(sum(row["sched"].values()) for row in steps),
            "peak_used_blocks": self._most_used,
            "preemptions": dict(self._evicted),
            "preemptions_total": self._evicted.total(),
            "prefix": {**_counts("", first), **_counts("preempted_", again)},
            "events": {"BlockStored_blocks": scheduler.pool.stored, "BlockRemoved_blocks": scheduler.pool.removed},
            "first_step": self._first,
            "finish_step": self._finished,
        }


def _counts(prefix: str, lookups: Lookups) -> dict[str, int]:
    return {
        f"{prefix}requests": lookups.requests,
        f"{prefix}queries": lookups.queries,
        f"{prefix}hits": lookups.hits,
    }


def _names(requests: Iterable[LiveRequest]) -> list[str]:
    return [live.request.name for live in requests]


def _limits(config: Fields, document: Mapping[str, Any]) -> Limits:
    release = _RELEASE.search(str(document.get("engine", "")))
    groups = tuple(_group(name, config) for name in config.texts("groups"))
    policy = config.maybe(config.choice, "policy", allowed=POLICIES)
    dense = document["config"].get(_INTERVAL, 0) is None
    states = [group.block for group in groups if isinstance(group, States)]
    return Limits(
        blocks=config.integer("num_blocks", 2, MOST_BLOCKS),
        groups=groups or (Full(config.integer("block_size", most=MOST_TOKENS)),),
        sequences=config.integer("max_num_seqs", most=MOST_BLOCKS),
        budget=config.integer("max_num_batched_tokens", most=MOST_TOKENS),
        longest=config.integer("max_model_len", most=MOST_TOKENS),
        priority=policy == "priority",
        caching=_flag(config, "prefix_caching"),
        watermark=config.maybe(config.number, "watermark", least=0, most=1) or 0.0,
        reserve=_flag(config, "scheduler_reserve_full_isl"),
        threshold=config.maybe(config.integer, "long_prefill_token_threshold", least=0, most=MOST_TOKENS) or 0,
        chunked=_flag(config, "enable_chunked_prefill"),
        ahead=config.maybe(config.integer, "num_lookahead_tokens", least=0, most=MOST_TOKENS) or 0,
        interval=None if dense else config.maybe(config.integer, _INTERVAL, least=0, most=MOST_TOKENS) or 0,
        whole_blocks=max(states, default=0),
        order=order_of(tuple(map(int, release.groups())) if release else ()),
    )


def _flag(config: Fields, key: str) -> bool:
    """A flag that vLLM sets unless told otherwise."""
    return config.flag(key) if key in config else True


def _group(name: str, config: Fields) -> CacheGroup:
    match = _GROUP.fullmatch(name)
    if match is None or (match[1] in ("full", "mamba")) != (match[3] is None):
        known = "full(block16), sliding(block16,window64), chunked(block16,chunk8192) or mamba(block16)"
        raise config.error("groups", f"'{plain(name, 60)}' is not a group of layers such as {known}")
    block, reach = int(match[2]), int(match[3] or 1)
    if not block or not reach:
        raise config.error("groups", f"'{plain(name, 60)}' has a length of 0")
    match match[1]:
        case "full":
            return Full(block)
        case "mamba":
            return States(block)
        case "sliding":
            return Sliding(block, reach)
        case _:
            return Chunked(block, reach)


def _request(fields: Fields) -> Request:
    prompt = fields.integer("prompt_len", most=MOST_TOKENS)
    return Request(
        name=fields.text("id"),
        arrival=fields.maybe(fields.integer, "arrive_step", least=0, most=MOST_STEPS) or 0,
        prompt=prompt,
        answer=fields.integer("max_tokens", most=MOST_TOKENS),
        content=_content(fields, prompt),
        priority=fields.maybe(fields.integer, "priority", least=-(2**31), most=2**31) or 0,
    )


def _content(fields: Fields, prompt: int) -> PromptContent:
    if "prompt" not in fields:
        return Unknown(prompt)
    spans = fields.pairs("prompt")
    if sum(length for _, length in spans) != prompt:
        raise fields.error("prompt", f"its ranges do not add up to prompt_len, which is {prompt:,}")
    return Told(spans)
