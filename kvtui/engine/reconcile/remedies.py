"""What would let a server start that refused to, in its engine's own flags; every answer was planned, and starts.

The plans have the overheads that the log shows, so that they leave the cache that the server had. Changes are tried one
by one, and two together where none is enough by itself. Example: 131,072 tokens need 8.18 GiB, and 7.04 are left.
``--max-model-len 112896`` starts, as do ``--kv-cache-dtype fp8`` and ``--tensor-parallel-size 2``.

Not ``advice.fixes``, which makes a plan fit: that has whole rows to choose from, devices, formats, engines and offload
alike, and no server yet. Here one has run: its memory was measured, its engine and checkpoint stay, and what is asked
for are flags to add to its command, a share or a pool to the last step that its log allows, limits that it printed.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import combinations
from typing import Any, NamedTuple

from kvtui.engine.basis.errors import InputError
from kvtui.engine.basis.units import format_bytes
from kvtui.engine.bootlog.observed import BootLog
from kvtui.engine.engines.known import part
from kvtui.engine.model.caches import Recurrent
from kvtui.engine.model.spec import has
from kvtui.engine.planning.serve import serve
from kvtui.engine.reconcile.refusal import answerable
from kvtui.engine.scenario.change import adapted
from kvtui.engine.scenario.scenario import FILE_WEIGHTS, Scenario, valid_tps
from kvtui.engine.serving.candidates import USUAL_WEIGHTS, windowed
from kvtui.engine.serving.launching import Launch

CONTEXT_STEP, LEAST_CONTEXT = 16, 512
MOST_SHARE, SHARE_STEP = 0.97, 0.01
POOL_STEP = 2**20
SEQUENCES = (512, 256, 128, 64, 32, 16, 8)
STEP_TOKENS = (8192, 4096, 2048, 1024, 512)
MUCH, SOME = 0.75, 0.25
BURDENS = {
    "hybrid_manager": 0.2,
    "kv_pool": 1.5,
    "gpu_memory_utilization": 1.5,
    "eager": 2.0,
    "max_batched_tokens": 2.2,
    "max_seqs": 2.4,
    "prefix_caching": 2.6,
    "kv_dtype": 3.0,
    "tp": 4.0,
    "weight_dtype": 5.0,
}
CONTEXT_BURDENS = ((MUCH, 1.0), (SOME, 3.5), (0.0, 5.5))
"""What a shorter context asks for, if at least such a share of it remains."""

SLOTS_BURDEN = 0.3
CLEARLY = 1.1
MOST = 8
ALONE = ("tp", "weight_dtype")
"""Changes that no other goes with: they are as much as anyone wants to change."""


class Remedy(NamedTuple):
    """Changes under which the server starts: ``flags`` are the engine's own, empty where it has none.

    ``words`` say what they mean, ``scenario`` is the start that was planned, with the memory that it leaves for the
    cache, and ``burden`` is what they ask, little first.
    """

    flags: str
    words: str
    scenario: Scenario
    burden: float


class _Change(NamedTuple):
    """One change: the option's ``key`` and ``value``, ``words``, and the ``fields`` of the scenario."""

    key: str
    value: str | bool
    words: str
    fields: Mapping[str, Any]
    burden: float


def remedies(log: BootLog, start: Scenario, *, fixed_pool: bool) -> tuple[Remedy, ...]:
    """What lets ``start``, which ``log`` refuses, begin: ranked, and none where it refuses nothing or needs nothing.

    ``start`` has the log's overheads. With a ``fixed_pool`` its memory is given and no change to it is tried.
    """
    launch: Launch = part(log.engine, "flags").LAUNCH
    share = None if fixed_pool else _free_share(log)
    logged = _logged_limits(log, start)
    if "error" not in log.words or not answerable(launch) or (_starts(start) and share is None and not logged):
        return ()
    base = start if share is None else start._replace(memory_utilization=share)
    attempt = _Attempt(launch, base, () if share is None else (_utilization(share),))
    pool = log.least("pool") if share is None else None
    as_it_is = attempt.remedy(logged, None if pool is None else pool.high) if share is not None or logged else None
    found = [as_it_is]
    if as_it_is is None:
        kinds: dict[str, list[_Change]] = {}
        for change in _changes(base, fixed_pool=fixed_pool, most=_most_share(log) if share is None else 0.0):
            kinds.setdefault(change.key, []).append(change)
        alone = {key: attempt.first([change] for change in kinds[key]) for key in kinds}
        shorter = attempt.shorter([], log)
        found = [shorter, *alone.values()]
        rest = [key for key in kinds if alone[key] is None and key not in ALONE]
        if not any(remedy is not None and remedy.burden < BURDENS["kv_dtype"] for remedy in found):
            for one, other in combinations(rest, 2):
                found.append(attempt.first([kinds[one][-1], change] for change in kinds[other]))
            found += [attempt.shorter([kinds[key][-1]], log, beyond=shorter) for key in rest]
    known = sorted((remedy for remedy in found if remedy is not None), key=lambda remedy: remedy.burden)
    return tuple(known[:MOST])


def _logged_limits(log: BootLog, start: Scenario) -> list[_Change]:
    """What the engine says it would have accepted: sequences for its slots of state, a context that it was made for."""
    slots, trained = log.counts.get("state_slots"), log.counts.get("trained_context")
    limits = []
    if slots:
        limits.append(_sequences(slots, SLOTS_BURDEN))
    if trained is not None and LEAST_CONTEXT <= trained < start.context:
        limits.append(_context_of(trained, start))
    return limits


class _Attempt(NamedTuple):
    """Changes to ``base``, whose remedies also have the ``given`` ones in their flags."""

    launch: Launch
    base: Scenario
    given: tuple[_Change, ...]

    def remedy(self, changes: Sequence[_Change], pool: int | None = None) -> Remedy | None:
        """The ``changes`` as a remedy, if the server starts with them, in a ``pool`` of bytes where it is given.

        A server that refuses more sequences than it has slots of state is told how many it has, too.
        """
        every = [*self.given, *changes]
        base = self.base if pool is None else self.base._replace(kv_pool=pool)
        changed = _changed(base, changes)
        fewer = None if changed is None else _fewer_sequences(changed)
        if changed is not None and fewer is not None:
            every.append(fewer)
            changed = _changed(changed, [fewer])
        if changed is None or not _starts(changed):
            return None
        flags = " ".join(filter(None, (_flag(self.launch, change) for change in every)))
        words = ", ".join(change.words for change in every)
        served = serve(changed)
        held = None if served is None else served.pool_bytes
        planned = changed._replace(kv_pool=held, serving=changed.serving._replace(measured=None))
        return Remedy(flags, words, planned, sum(change.burden for change in every))

    def first(self, tries: Iterable[Sequence[_Change]]) -> Remedy | None:
        """The first of ``tries`` that is enough."""
        return next((found for found in map(self.remedy, tries) if found is not None), None)

    def shorter(self, changes: Sequence[_Change], log: BootLog, beyond: Remedy | None = None) -> Remedy | None:
        """The ``changes`` with the longest context that they leave room for, if it is clearly longer than ``beyond``.

        The engine's own figure for it is taken where the memory that the log prints may hold it.
        """
        changed = _changed(self.base, changes)
        change = None if changed is None else _context(changed)
        logged, pool = log.counts.get("max_context"), log.least("pool")
        if not changes and logged is not None and pool is not None and LEAST_CONTEXT <= logged < self.base.context:
            found = self.remedy([_context_of(logged, self.base)], pool.high)
            if found is not None:
                return found
        if change is None or (beyond is not None and int(change.value) < CLEARLY * beyond.scenario.context):
            return None
        return self.remedy([*changes, change])


def _changed(base: Scenario, changes: Sequence[_Change]) -> Scenario | None:
    scenario = base
    for change in changes:
        fields = dict(change.fields)
        if "serving" in fields:
            fields["serving"] = scenario.serving._replace(**fields["serving"])
        try:
            scenario, notes = adapted(scenario, fields)
        except InputError:
            return None
        if notes and change.key == "kv_dtype":
            return None
    return scenario


def _starts(scenario: Scenario) -> bool:
    """Whether the engine starts, by its own checks and with room for a request."""
    try:
        found = serve(scenario)
    except InputError:
        return False
    return found is not None and found.fits and not found.refusals


def _fewer_sequences(scenario: Scenario) -> _Change | None:
    """As many sequences as there are slots of recurrent state, where the engine refuses more; else None."""
    try:
        found = serve(scenario)
    except InputError:
        return None
    if found is None or not found.refusals or not found.state_slots:
        return None
    return _sequences(found.state_slots, SLOTS_BURDEN)


def _flag(launch: Launch, change: _Change) -> str:
    """The engine's own words for a change; empty where it has none."""
    return " ".join(launch.written(change.key, change.value) or ())


def _free_share(log: BootLog) -> float | None:
    """The share of the device that was free, where that is less than the engine was to use; None where it was not."""
    free, total, requested = log.least("free_before"), log.most("total"), log.most("requested")
    if free is None or total is None or requested is None or free.bytes >= requested.bytes:
        return None
    return int(100 * free.bytes / total.bytes) / 100 or None


def _most_share(log: BootLog) -> float:
    """The largest share of the device worth asking for: no more than was free, where the log says that."""
    free, total = log.least("free_before"), log.most("total")
    if free is None or total is None or not total.bytes:
        return MOST_SHARE
    return min(MOST_SHARE, int(100 * free.bytes / total.bytes) / 100)


def _utilization(share: float) -> _Change:
    words = f"{share:.0%} of the memory".replace("%", " %")
    return _Change(
        "gpu_memory_utilization", f"{share:g}", words, {"memory_utilization": share}, BURDENS["gpu_memory_utilization"]
    )


def _context(scenario: Scenario) -> _Change | None:
    """The longest context with which ``scenario`` starts, whole steps of it; None if there is none worth having."""
    try:
        found = serve(scenario)
    except InputError:
        return None
    longest = 0 if found is None else found.max_context or 0
    trained = scenario.model.max_context
    longest = min(longest, scenario.context - 1, trained or longest) // CONTEXT_STEP * CONTEXT_STEP
    return _context_of(longest, scenario) if longest >= LEAST_CONTEXT else None


def _context_of(tokens: int, scenario: Scenario) -> _Change:
    left = tokens / scenario.context
    burden = next(cost for share, cost in CONTEXT_BURDENS if left >= share)
    return _Change("context", str(tokens), f"{int(100 * left)} % of the context", {"context": tokens}, burden)


def _sequences(most: int, burden: float) -> _Change:
    return _Change(
        "max_seqs", str(most), f"at most {most:,} sequences at once", {"serving": {"max_seqs": most}}, burden
    )


def _changes(base: Scenario, *, fixed_pool: bool, most: float) -> Iterator[_Change]:
    """What may be changed besides the context, of each kind the smallest change first, up to ``most`` of the memory."""
    serving, model = base.serving, base.model
    if serving.hybrid_manager is False and windowed(model):
        yield _switch("hybrid_manager", True, "windows free what they no longer need", {"hybrid_manager": None})
    if serving.prefix_caching is not False and has(model, Recurrent):
        yield _switch("prefix_caching", False, "no prompt is used again", {"prefix_caching": False})
    if base.kv.name in ("bf16", "fp16", "fp32"):
        yield _Change("kv_dtype", "fp8", "check the answers' quality", {"kv_dtype": "fp8"}, BURDENS["kv_dtype"])
    if fixed_pool and base.kv_pool is not None:
        yield from _larger_pool(base)
    if fixed_pool:
        return
    count = int((most - base.memory_utilization) / SHARE_STEP + 1e-6)
    for step in range(1, count + 1):
        yield _utilization(round(base.memory_utilization + step * SHARE_STEP, 2))
    if not serving.eager:
        yield _switch("eager", True, "no CUDA graphs, slower steps", {"eager": True})
    for tokens in STEP_TOKENS:
        if tokens < base.max_batched_tokens:
            fields = {"max_batched_tokens": tokens}
            words = f"prefill in steps of {tokens:,} tokens"
            yield _Change("max_batched_tokens", str(tokens), words, fields, BURDENS["max_batched_tokens"])
    for seqs in SEQUENCES:
        if serving.max_seqs is None or seqs < serving.max_seqs:
            yield _sequences(seqs, BURDENS["max_seqs"])
    for tp in valid_tps(model):
        if tp > base.layout.tp:
            layout = base.layout._replace(tp=tp)
            yield _Change("tp", str(tp), f"{layout.devices} devices", {"layout": layout}, BURDENS["tp"] + tp / 100)
    if base.weight_dtype != FILE_WEIGHTS and not base.skip_weights:
        for form in USUAL_WEIGHTS:
            if form != base.weight_dtype:
                yield _Change(
                    "weight_dtype", form, f"a checkpoint in {form}", {"weight_dtype": form}, BURDENS["weight_dtype"]
                )


def _larger_pool(base: Scenario) -> Iterator[_Change]:
    """As much memory for the cache as a request needs, in whole steps."""
    try:
        found = serve(base)
    except InputError:
        return
    if found is not None:
        needed = max(found.needed_bytes, found.engine_needed_bytes or 0)
        for size in (needed, needed + (found.bytes_per_block or 0)):
            pool = -(-size // POOL_STEP) * POOL_STEP
            words = f"{format_bytes(pool)} for the cache"
            yield _Change("kv_pool", str(pool), words, {"kv_pool": pool}, BURDENS["kv_pool"])


def _switch(key: str, value: bool, words: str, serving: Mapping[str, Any]) -> _Change:
    return _Change(key, value, words, {"serving": serving}, BURDENS[key])
