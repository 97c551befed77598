"""Make it fit: the cheapest changes, alone or two and three together, under which a scenario that does not fit does.

Every fix is a scenario that was planned, and that fits. A change that is not needed is in none of them: what remains
without it does not fit. Of two fixes, one that is nowhere better is left out. The order is by ``burden``, a sum over
the changes of what each asks of a person: a flag the least, an fp8 cache little, twice the devices or half the context
much, a format that risks the answers' quality the most.

Example: Llama-3.1-70B in bf16 does not fit one H100 at 32K. fp8 weights alone leave no room for the cache; "fp8 KV +
fp8 weights", "tp 2", and "on H200 SXM + fp8 KV" are among its fixes.

A server that ran and refused to start has ``reconcile.remedies``: flags for its own command, by what its log measured.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from heapq import heappop, heappush
from itertools import islice, product
from math import inf, log2
from typing import Any, Literal, NamedTuple

from kvtui.engine.advice.changes import (
    LARGER,
    QUALITY,
    engine_levers,
    kv_changes,
    larger_devices,
    prefix_changes,
)
from kvtui.engine.advice.matrix import MatrixAnswer, answer
from kvtui.engine.advice.risk import NO_RISK, Risk, cache_risk, weights_risk
from kvtui.engine.basis.errors import InputError
from kvtui.engine.basis.units import format_tokens
from kvtui.engine.device.catalogue import all_devices
from kvtui.engine.device.spec import OWN, DeviceSpec
from kvtui.engine.engines.result import Serving
from kvtui.engine.planning.capacity import most_sequences
from kvtui.engine.planning.parts import device_parts, holds, shortage
from kvtui.engine.planning.search import most
from kvtui.engine.planning.serve import serve
from kvtui.engine.scenario.change import adapted, fit_layout, layout_words
from kvtui.engine.scenario.scenario import FILE_WEIGHTS, NODE_DEVICES, Scenario
from kvtui.engine.serving.candidates import Candidate

FixAxis = Literal["weights", "cache", "devices", "setting", "prefix", "context", "batch"]
FixKind = Literal["weights", "cache", "layout", "device", "prefix", "setting"]

MOST_FIXES, MOST_CHANGES = 12, 3
COUNTS = (2, 4, 8, 16, 32, 64, 128)
RUNS_GGUF = "llama.cpp"
GGUF_WEIGHTS = ("q8_0", "q6_k", "q5_k_m", "q4_k_m")
GGML_CACHE, SERVER_CACHE = ("q8_0", "q4_0"), ("fp8", "nvfp4")
FEW_BITS = 5.0
"""Of a model that is published with fewer, nobody offers other formats that are smaller."""

ALIKE = ("w4a16",)
"""Formats that take as many bytes as another that is tried."""

AT_HOME = ("consumer", "workstation", "unified")
CONTEXT_STEP = 1024
LEAST_SHARE = 1 / 32
STEPS_DOWN = (1.0, 0.98, 0.95, 0.9, 0.8, 0.65, 0.5)
"""Shares of the context by which an engine is asked how much of it fits in its own units."""

TOGETHER: tuple[tuple[FixKind, ...], ...] = (
    ("weights",),
    ("cache",),
    ("layout",),
    ("device",),
    ("prefix",),
    ("setting",),
    ("weights", "cache"),
    ("weights", "layout"),
    ("weights", "device"),
    ("weights", "prefix"),
    ("weights", "setting"),
    ("cache", "layout"),
    ("cache", "device"),
    ("cache", "prefix"),
    ("cache", "setting"),
    ("layout", "setting"),
    ("weights", "cache", "layout"),
    ("weights", "cache", "device"),
    ("weights", "cache", "prefix"),
    ("weights", "cache", "setting"),
)
"""The kinds of changes that are made together."""

BEFORE_LESS: tuple[tuple[FixKind, ...], ...] = ((), ("weights",), ("cache",), ("weights", "cache"))
"""The kinds of changes with which less context or fewer sequences are tried."""

LESS: tuple[FixAxis, ...] = ("context", "batch")
"""What is given up only where it need not be kept."""

BURDENS: Mapping[FixAxis, float] = {
    "weights": 0.5,
    "cache": 0.25,
    "devices": 1.0,
    "setting": 0.5,
    "prefix": 2.0,
    "context": 1.0,
    "batch": 1.0,
}
"""What a change of each kind asks for in itself. More is added by what it costs and risks."""

RISK_BURDENS = (0.0, 0.75, 1.25, 2.5, 4.0)
"""What each level of risk adds."""

HALVING, DOUBLING, OTHER_DEVICE = 3.0, 1.5, 1.5
"""What is added when the context or the batch is halved, when the devices cost twice as much, and for another kind."""


class FixChange(NamedTuple):
    """One change: its ``axis``, its ``name`` for people, the ``fields`` of the scenario, and what to know before.

    ``reach`` orders the changes of a kind by how far they go: of two that are enough, the nearer one is a fix.
    """

    axis: FixAxis
    name: str
    fields: Mapping[str, Any]
    caveat: str = ""
    risk: Risk = NO_RISK
    reach: int = 0


@dataclass(frozen=True)
class Fix:
    """``changes`` that make a scenario fit, the ``scenario`` that they make, and its ``answer``.

    ``fields`` are those of all changes together. ``free_bytes`` are left on the fullest device. ``risk`` is the
    highest of the formats that change. ``burden`` says how much is asked, 0 for nothing. ``notes`` say what else gives
    way.
    """

    changes: tuple[FixChange, ...]
    scenario: Scenario
    answer: MatrixAnswer
    free_bytes: int
    risk: Risk
    burden: float
    notes: tuple[str, ...]

    @property
    def name(self) -> str:
        """The changes in words: ``fp8 KV + tp 2``; an engine that they need stands behind them."""
        engines = [change.name for change in self.changes if change.fields.keys() == {"engine"}]
        others = (change.name for change in self.changes if change.fields.keys() != {"engine"})
        return ", ".join([" + ".join(others), *engines])

    @property
    def fields(self) -> dict[str, Any]:
        """The fields of the scenario that change."""
        return {name: value for change in self.changes for name, value in change.fields.items()}


def fixes(scenario: Scenario, kept: frozenset[FixAxis] = frozenset()) -> tuple[Fix, ...]:
    """At most a dozen fixes of ``scenario``, the least change first; none if it fits, or has no answer at all.

    Of "context" and "batch" what is ``kept`` does not get less: somebody wished for it.
    """
    now = answer(scenario)
    if now.fits or now.reason:
        return ()
    found = list(islice(_Search(scenario, kept).run(), MOST_FIXES))
    if at_home(scenario):
        found = sorted([*found, *_under_llama_cpp(scenario, kept)], key=lambda fix: fix.burden)[:MOST_FIXES]
    return tuple(undominated(scenario, found))


def at_home(scenario: Scenario) -> bool:
    """Whether smaller formats are those of GGUF files though no engine is named: where people run such files."""
    return scenario.engine == "none" and (
        scenario.weight_dtype == FILE_WEIGHTS or scenario.device.family in AT_HOME or scenario.device.vendor == OWN
    )


def _under_llama_cpp(scenario: Scenario, kept: frozenset[FixAxis]) -> Iterator[Fix]:
    """The fixes in formats of GGUF files, planned with the memory of the engine that runs them, which is named."""
    try:
        named = adapted(scenario, {"engine": RUNS_GGUF})[0]
    except InputError:
        return
    engine = FixChange("setting", f"with {RUNS_GGUF}", {"engine": RUNS_GGUF})
    for fix in islice(_Search(named, kept).run(), MOST_FIXES):
        if any(change.axis in ("weights", "cache") for change in fix.changes):
            changes = *fix.changes, engine
            notes = adapted(scenario, {**fix.fields, **engine.fields})[1]
            yield replace(fix, changes=changes, notes=notes, burden=burden(scenario, changes))


def undominated(scenario: Scenario, found: list[Fix]) -> list[Fix]:
    """Those of ``found`` for ``scenario`` than which no other is better somewhere and nowhere worse."""
    scores = [criteria(scenario, fix) for fix in found]
    return [
        fix
        for fix, own in zip(found, scores, strict=True)
        if not any(other != own and all(o <= s for o, s in zip(other, own, strict=True)) for other in scores)
    ]


def burden(scenario: Scenario, changes: tuple[FixChange, ...]) -> float:
    """How much ``changes`` ask of a person who has ``scenario``: 0 for nothing, and more for every change more."""
    fields = {name: value for change in changes for name, value in change.fields.items()}
    asked = sum(BURDENS[change.axis] + RISK_BURDENS[change.risk.level] for change in changes)
    device, layout = fields.get("device", scenario.device), fields.get("layout", scenario.layout)
    if device is not scenario.device:
        asked += OTHER_DEVICE
    times = layout.devices / scenario.layout.devices
    if inf in (_price(device), _price(scenario.device)):
        times *= device.usable_bytes / scenario.device.usable_bytes
    else:
        times *= _price(device) / _price(scenario.device)
    asked += DOUBLING * max(0.0, log2(times))
    for field in ("context", "batch"):
        asked += HALVING * log2(getattr(scenario, field) / fields.get(field, getattr(scenario, field)))
    return asked


def criteria(scenario: Scenario, fix: Fix) -> tuple[float, ...]:
    """What fixes are compared by, less being better: what is asked and risked, devices, cost, and what is given up.

    A change of the same devices is never left out because another device would be cheaper.

    The last two are the users and the context that become possible, negated.
    """
    after, answered = fix.scenario, fix.answer
    return (
        len(fix.changes),
        fix.risk.level,
        after.device is not scenario.device,
        after.layout.devices,
        after.device is not scenario.device,
        _hourly(after),
        scenario.context - after.context,
        scenario.batch - after.batch,
        sum(change.axis == "prefix" for change in fix.changes),
        -_unbounded(answered.sequences),
        -_unbounded(answered.context),
    )


class _Search:
    """The sets of up to three changes of ``scenario`` under which it fits, in the order of their burden.

    A set stands behind all its parts, since every change asks for something. So what is found first is the cheapest,
    and a set that has a part which is enough, or goes farther than one that is, is never looked at.
    """

    def __init__(self, scenario: Scenario, kept: frozenset[FixAxis]) -> None:
        self.scenario = scenario
        self.given_up: tuple[FixAxis, ...] = tuple(axis for axis in LESS if axis not in kept)
        self.enough: list[dict[str, FixChange]] = []
        self.queue: list[tuple[float, int, tuple[FixChange, ...], FixAxis | None]] = []
        self.queued = 0
        self.known: dict[Scenario, Serving | None] = {}

    def run(self) -> Iterator[Fix]:
        """The fixes, the least burden first."""
        kinds = _kinds(self.scenario)
        for group in TOGETHER:
            options = [kinds[kind] for kind in group]
            if len(group) == 1 or self.hopeful(options):
                for changes in product(*options):
                    self.put(changes)
        for group in BEFORE_LESS:
            for changes in product(*(kinds[kind] for kind in group)):
                for axis in self.given_up:
                    self.put(changes, axis)
        while self.queue:
            _, _, changes, less = heappop(self.queue)
            if self.more_than_enough(changes):
                continue
            changed = _changed(self.scenario, changes)
            if changed is None:
                continue
            if less is not None:
                smaller = self.smaller(changed, less)
                if smaller is not None:
                    self.put((*changes, smaller))
            elif _held(changed):
                found = answer(changed)
                if found.fits:
                    self.enough.append({_kind(change): change for change in changes})
                    yield _fix(self.scenario, changes, changed, found)
                elif (fewer := _fewer_at_once(changed, changes)) is not None:
                    self.put((*changes, fewer))

    def put(self, changes: tuple[FixChange, ...], less: FixAxis | None = None) -> None:
        """Look at ``changes`` when it is their turn; with ``less``, at what else must be given up then."""
        asked = burden(self.scenario, changes) + (0 if less is None else BURDENS[less])
        self.queued += 1
        heappush(self.queue, (asked, self.queued, changes, less))

    def smaller(self, changed: Scenario, axis: FixAxis) -> FixChange | None:
        """Less context, or fewer sequences, under which ``changed`` fits."""
        try:
            if changed not in self.known:
                self.known[changed] = serve(changed)
            served = self.known[changed]
            return _shorter(changed, served) if axis == "context" else _fewer(changed, served)
        except InputError:
            return None

    def more_than_enough(self, changes: tuple[FixChange, ...]) -> bool:
        """Whether a part of ``changes`` is enough, or changes of the same kinds that go less far."""
        own = {_kind(change): change for change in changes}
        return any(
            all(kind in own and change.reach <= own[kind].reach for kind, change in part.items())
            for part in self.enough
        )

    def hopeful(self, options: list[list[FixChange]]) -> bool:
        """Whether the farthest of all ``options`` together would fit; if not, nothing nearer does."""
        if not all(options):
            return False
        changed = _changed(self.scenario, tuple(choice[-1] for choice in options))
        return changed is not None and _held(changed)


def format_changes(scenario: Scenario) -> tuple[list[FixChange], list[FixChange]]:
    """Formats of the weights, and of the cache, that take fewer bytes than those of ``scenario``; the farthest last.

    Those that its engine and its device run; without an engine, what people use on such a device.
    """
    engine = engine_levers(scenario)
    if scenario.engine == "none":
        engine = engine._replace(kv=GGML_CACHE if scenario.device.family in AT_HOME else SERVER_CACHE)
    changes = kv_changes(scenario, engine)
    return _weights(scenario), [_format("cache", c, scenario) for c in changes if isinstance(c, Candidate)]


def _kind(change: FixChange) -> str:
    """What only one change of a set can be of."""
    return "/".join(sorted(change.fields))


def _kinds(scenario: Scenario) -> dict[FixKind, list[FixChange]]:
    """The changes of each kind, the farthest last."""
    engine = engine_levers(scenario)
    # Formats of GGUF files are planned with the engine that runs them: see _under_llama_cpp.
    weights, cache = ([], []) if at_home(scenario) else format_changes(scenario)
    found: dict[FixKind, list[FixChange]] = {
        "weights": weights,
        "cache": cache,
        "layout": _layouts(scenario),
        "device": _devices(scenario),
        "prefix": [_taken("prefix", c) for c in prefix_changes(scenario) if isinstance(c, Candidate)],
        "setting": [_taken("setting", c) for c in engine.switches(scenario) if isinstance(c, Candidate)],
    }
    return {kind: [change._replace(reach=i) for i, change in enumerate(options)] for kind, options in found.items()}


def _taken(axis: FixAxis, candidate: Candidate) -> FixChange:
    return FixChange(axis, candidate.name, candidate.fields, candidate.caveat)


def _format(axis: FixAxis, candidate: Candidate, scenario: Scenario) -> FixChange:
    """A change of format, whose caveat is its risk."""
    (name,) = candidate.fields.values()
    risk = weights_risk(name, scenario.model) if axis == "weights" else cache_risk(name)
    caveat = "" if candidate.caveat == QUALITY else candidate.caveat
    return FixChange(axis, f"{name} {'weights' if axis == 'weights' else 'KV'}", candidate.fields, caveat, risk)


def _weights(scenario: Scenario) -> list[FixChange]:
    """Formats of the weights that the engine and the device run, with fewer bits, the fewest last.

    Without an engine, those of GGUF files where people run them, and what the other engines take in a data centre.
    """
    as_published = scenario.weight_dtype == scenario.model.published_weights
    if scenario.skip_weights or (as_published and scenario.weight_bits < FEW_BITS):
        return []
    engine, device, own_file = engine_levers(scenario), scenario.device, scenario.weight_dtype == FILE_WEIGHTS
    if own_file or at_home(scenario):
        names = list(GGUF_WEIGHTS if at_home(scenario) else engine.weights)
        caveat = "another file" if own_file else ""
        candidates = [Candidate("", {"weight_dtype": name}, caveat) for name in names]
    else:
        eight = "w8a8" if device.peak("fp8") is not None else "fp8"
        names = [name for name in engine.weights if name not in (eight, *ALIKE)]
        names += [name for name in (scenario.model.published_weights,) if name is not None and name not in names]
        candidates = [Candidate("", {"weight_dtype": name}) for name in names]
    changes = [_format("weights", candidate, scenario) for candidate in candidates]
    if device.peak("fp4") is None:
        changes = [change for change in changes if change.fields["weight_dtype"] not in ("nvfp4", "mxfp4")]
    bits = {change.name: scenario._replace(**change.fields).weight_bits for change in changes}
    smaller = (change for change in changes if bits[change.name] < scenario.weight_bits)
    return sorted(smaller, key=lambda change: -bits[change.name])


def _layouts(scenario: Scenario) -> list[FixChange]:
    """More devices of the same kind, in powers of two, split as ``fit_layout`` does."""
    whole = engine_levers(scenario).whole_layers
    found: dict[int, FixChange] = {}
    for count in (count for count in COUNTS if not whole or count <= NODE_DEVICES):
        layout = fit_layout(scenario.model, count, scenario.batch, scenario.engine)
        if layout.devices > scenario.layout.devices and layout.devices not in found:
            words = f"{layout.devices} devices" if whole else f"{layout.devices} devices ({layout_words(layout)})"
            found[layout.devices] = FixChange("devices", words, {"layout": layout})
    return list(found.values())


def _devices(scenario: Scenario) -> list[FixChange]:
    """Other devices of the same maker: the next and the largest of the kind, and what costs least for its memory."""
    now, found = scenario.device, list(larger_devices(scenario.device))
    priced = sorted(
        (d for d in all_devices() if d.vendor == now.vendor and d.price is not None and _more(d, now)),
        key=lambda d: (_price(d), -d.usable_bytes),
    )
    held = 0
    for device in priced:
        if device.usable_bytes > LARGER * held:
            held = device.usable_bytes
            found.append(device)
    found = sorted(dict.fromkeys(found), key=lambda d: d.usable_bytes)
    return [
        FixChange("devices", f"on {d.name}", {"device": d}, "" if d.price is not None else "no price is known")
        for d in found
    ]


def _more(device: DeviceSpec, now: DeviceSpec) -> bool:
    return device.allocatable_bytes > now.allocatable_bytes and device.usable_bytes > now.usable_bytes


def _changed(scenario: Scenario, changes: tuple[FixChange, ...]) -> Scenario | None:
    """``scenario`` with all of ``changes``; None where they contradict it or each other."""
    fields = {name: value for change in changes for name, value in change.fields.items()}
    if len(fields) < sum(len(change.fields) for change in changes):
        return None
    try:
        return adapted(scenario, fields)[0]
    except InputError:
        return None


def _held(scenario: Scenario) -> bool:
    """Whether the bytes alone fit. An engine's own units take more, so that it is asked only where this holds."""
    try:
        return holds(scenario, device_parts(scenario, scenario.context, scenario.batch))
    except InputError:
        return False


def _shorter(scenario: Scenario, served: Serving | None) -> FixChange | None:
    """The longest context, in whole KiB of tokens, at which ``scenario`` fits; None if it is hardly any.

    An engine says how long a single sequence may be. Of several, a little less than the bytes alone allow may be all
    that is tried.
    """
    steps = (scenario.context - 1) // CONTEXT_STEP

    def at(count: int) -> Scenario:
        return scenario._replace(context=count * CONTEXT_STEP, lengths=None, shared_prefix=0)

    if served is not None and served.max_context is not None:
        steps = min(steps, served.max_context // CONTEXT_STEP)
    found: int | None = steps
    if steps and (served is None or scenario.batch > 1):
        found = most(lambda count: count == 0 or _held(at(count)), steps, steps)
    found = steps if found is None else found
    if served is not None and found:
        found = next((n for n in (int(found * share) for share in STEPS_DOWN) if n and answer(at(n)).fits), 0)
    tokens = found * CONTEXT_STEP
    if tokens < scenario.context * LEAST_SHARE or not tokens:
        return None
    return FixChange("context", f"context {format_tokens(tokens)}", {"context": tokens})


def _fewer_at_once(scenario: Scenario, changes: tuple[FixChange, ...]) -> FixChange | None:
    """As many sequences at once as the engine has slots of state for, where it refuses more after ``changes``."""
    if len(changes) >= MOST_CHANGES or any("serving" in change.fields for change in changes):
        return None
    try:
        served = serve(scenario)
    except InputError:
        return None
    if served is None or not served.refusals or not served.state_slots or scenario.batch > served.state_slots:
        return None
    fewer = scenario.serving._replace(max_seqs=served.state_slots)
    return FixChange("setting", f"at most {served.state_slots:,} sequences", {"serving": fewer}, "more of them wait")


def _fewer(scenario: Scenario, served: Serving | None) -> FixChange | None:
    """The most sequences of the scenario's context that fit; None if it is not one."""
    found = most_sequences(scenario._replace(lengths=None)) if served is None else served.max_sequences
    if not found or found >= scenario.batch:
        return None
    return FixChange("batch", f"batch {found:,}", {"batch": found})


def _fix(scenario: Scenario, changes: tuple[FixChange, ...], changed: Scenario, found: MatrixAnswer) -> Fix:
    if changed.shared_prefix:
        found = found._replace(sequences=most_sequences(changed._replace(lengths=None)))
    notes = adapted(scenario, {name: value for change in changes for name, value in change.fields.items()})[1]
    return Fix(
        changes=changes,
        scenario=changed,
        answer=found,
        free_bytes=-shortage(changed, device_parts(changed, changed.context, changed.batch)),
        risk=max((change.risk for change in changes), key=lambda risk: risk.level),
        burden=burden(scenario, changes),
        notes=notes,
    )


def _hourly(scenario: Scenario) -> float:
    return _price(scenario.device) * scenario.layout.devices


def _price(device: DeviceSpec) -> float:
    return inf if device.price is None else (device.price.low + device.price.high) / 2


def _unbounded(count: int | None) -> float:
    return inf if count is None else count
