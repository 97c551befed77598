"""What the reports for people say, before anyone lays it out: labels, sentences, and numbers as text.

Text, Markdown and HTML show the same sections in the same words; nothing here knows how wide a line is.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from math import floor, log10
from typing import Any

from kvtui.engine.basis.units import GIB, counted, format_bytes, format_tokens
from kvtui.engine.planning.plan import SEARCH_DEVICES

Document = Mapping[str, Any]

SHORT_SECONDS = 120
HUGE = 10**6
CONFIDENCE = {"H": "high", "M": "medium", "L": "low"}
SAID_BY_VERDICT = {"over_capacity", "no_split", "multi_device"}
KINDS = {
    "full": "full attention",
    "sliding_window": "sliding window",
    "chunked_local": "chunked local",
    "cross_attention": "cross-attention",
    "latent": "latent (MLA)",
    "sliding_window_latent": "sliding-window latent",
    "compressed_latent": "compressed latent",
    "sparse_indexer": "sparse indexer",
    "gated_deltanet": "gated DeltaNet",
    "kda": "Kimi Delta (KDA)",
    "mamba1": "Mamba-1",
    "mamba2": "Mamba-2",
    "lightning": "lightning",
    "short_conv": "short conv",
    "shared": "shared, store nothing",
    "none": "without a cache",
}
CROWDED = {"weights", "device memory"}
"""What stops a plan with a KV pool when a device cannot hold that pool."""

UNIT_WORDS = {"gbs": "GB/s", "kv": "KV", "k": "K", "v": "V", "tp": "TP", "tdp": "TDP", "usd": "USD"}
ENGINE_FACTS = (
    ("block_size_tokens", "block", "tokens"),
    ("bytes_per_block", "one block", "B"),
    ("blocks", "blocks", ""),
    ("blocks_per_request", "blocks per request", ""),
    ("bytes_per_token", "per token", "B"),
    ("state_bytes_per_slot", "state per slot", "B"),
    ("state_slots", "state slots", ""),
    ("padding_layers", "padding layers", ""),
    ("kv_cache_tokens", "KV cache size, logged", "tokens"),
    ("max_concurrency", "maximum concurrency", "×"),
    ("pool_bytes", "pool per device", "B"),
    ("needed_bytes", "one request needs", "B"),
    ("engine_needed_bytes", "its start-up check", "B"),
)


@dataclass(frozen=True, slots=True)
class MemoryRow:
    """One part of the memory: ``total`` bytes over all devices, ``fullest`` on the most loaded one."""

    key: str
    label: str
    total: int
    fullest: int
    estimate: bool


@dataclass(frozen=True, slots=True)
class Sum:
    """A line below the parts, in bytes; ``total`` is None where only one device has it. Overflow is negative."""

    key: str
    label: str
    total: int | None
    fullest: int
    estimate: bool


@dataclass(frozen=True, slots=True)
class BankPicture:
    """The parts to draw (bytes by key), the room they are drawn in, and that room's name.

    ``whole`` says that the room is all of the usable memory.
    """

    parts: dict[str, int]
    capacity: int
    room: str
    whole: bool

    @property
    def excess(self) -> int:
        """Bytes that do not fit."""
        return max(0, sum(self.parts.values()) - self.capacity)


@dataclass(frozen=True, slots=True)
class Fact:
    """A label, its value as text, and a remark. ``style`` is a part's key where the value has that part's colour."""

    label: str
    value: str
    note: str = ""
    style: str = ""


@dataclass(frozen=True, slots=True)
class FactPanel:
    """Facts under a heading; ``note`` holds for all of them."""

    title: str
    facts: tuple[Fact, ...]
    note: str = ""


@dataclass(frozen=True, slots=True)
class Derivation:
    """How a figure came about: ``formula`` as it stands, ``filled`` with values put in, ``rest`` the values left over.

    ``result`` is the bytes it gives, None when it is no byte count.
    """

    id: str
    formula: str
    filled: str
    rest: tuple[tuple[str, str], ...]
    values: tuple[tuple[str, str], ...]
    result: int | None
    sources: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Remark:
    """A warning: its severity (critical, warning or info) and its sentence."""

    severity: str
    text: str


def title(document: Document) -> tuple[str, ...]:
    """What is planned, in words: model, devices, formats, batch, context."""
    scenario = document["scenario"]
    return (
        document["model"]["name"],
        devices(document),
        formats(document),
        f"batch {scenario['batch']:,}, {fullness(document)}",
        f"{format_tokens(scenario['context_tokens'])} context",
    )


def fullness(document: Document) -> str:
    """How full the sequences are: ``all full``, ``of an average fill``, ``each 30 % full``."""
    scenario = document["scenario"]
    if scenario["lengths_tokens"] is not None:
        return "of their own lengths"
    match scenario["fill"]:
        case "full":
            return "full" if scenario["batch"] == 1 else "all full"
        case "average":
            return "of an average fill"
    return f"each {scenario['fill'].removesuffix('%')} % full"


def devices(document: Document) -> str:
    """The devices and how they are used: ``8 × H100 SXM (tp 8)``."""
    scenario, name = document["scenario"], document["device"]["name"]
    if scenario["gpus"] == 1:
        return str(name)
    split = " ".join(f"{key} {scenario[key]}" for key in ("tp", "pp", "dp") if scenario[key] > 1)
    split += ", experts divided over all ranks" if scenario["expert_parallel"] else ""
    return f"{scenario['gpus']:,} × {name} ({split})"


def formats(document: Document) -> str:
    """Formats of weights and KV in words."""
    scenario = document["scenario"]
    weight, kv = scenario["weight_dtype"], scenario["kv_dtype"]
    if scenario["skip_weights"]:
        return f"{kv} KV, weights skipped"
    if weight == kv:
        return str(kv)
    return f"{'weights as in the file' if weight == 'file' else f'{weight} weights'}, {kv} KV"


def verdict(document: Document) -> tuple[bool, str]:
    """Whether it fits, and a sentence that says how well, or what would."""
    memory, pool = document["memory"], document["scenario"]["kv_pool_bytes"]
    count, needed = memory["devices"], memory["devices_needed"]
    if crowded(document):
        return False, f"does not fit: {_over_capacity(document)}"
    if document["engine"]["name"] != "none":
        return memory["fits"], _engine_verdict(document)
    drawn = picture(document)
    used = sum(drawn.parts.values())
    if pool is not None:
        where = "the KV pool" if count == 1 else "the KV pool of the fullest device"
        amount = f"{gib(used)} of {gib(pool)} GiB in {where}"
        return memory["fits"], f"fits: {amount}" if memory["fits"] else f"does not fit: the cache needs {amount}"
    if memory["fits"]:
        left = f"{with_unit(drawn.capacity - used)} free"
        text = f"fits on {counted(count, 'device')}, {left}{' on the fullest' if count > 1 else ''}"
        return True, text + (f"; {needed:,} would be enough" if needed is not None and needed < count else "")
    which = "the device" if count == 1 else "the fullest device"
    text = f"does not fit: {which} needs {gib(used)} of {gib(drawn.capacity)} GiB"
    if needed is None:
        return False, f"{text}, and no split over up to {SEARCH_DEVICES:,} devices holds it"
    other = "split another way would" if needed <= count else "would"
    return False, f"{text}; {counted(needed, 'device')} {other} hold it"


def _engine_verdict(document: Document) -> str:
    engine, scenario = document["engine"], document["scenario"]
    name = f"{engine['name']} {engine['version'] or ''}".rstrip()
    if not document["memory"]["fits"]:
        return f"does not fit: {_over_capacity(document)}"
    length, about = format_tokens(scenario["context_tokens"]), "≈ " if engine["pool_is_estimate"] else ""
    pool = f"{about}{gib(engine['pool_bytes'])} GiB"
    text = f"fits: one request of {length} tokens needs {gib(engine['needed_bytes'])} of {pool} of {name}'s cache"
    return f"{text}, and {engine['max_sequences']:,} run at once"


def crowded(document: Document) -> bool:
    """Whether what stops the plan is that its KV pool does not fit a device beside the weights."""
    memory, pool = document["memory"], document["scenario"]["kv_pool_bytes"]
    return pool is not None and not memory["fits"] and memory["binding_limit"] in CROWDED


def _over_capacity(document: Document) -> str:
    """The warning that says why it does not fit, and the devices that would hold it."""
    reason = next(w["text"] for w in document["warnings"] if w["id"] == "over_capacity")
    needed = document["memory"]["devices_needed"]
    more = needed is not None and needed > document["memory"]["devices"]
    return f"{reason}; {counted(needed, 'device')} would hold it" if more else str(reason)


def parts(document: Document) -> tuple[MemoryRow, ...]:
    """The parts of the memory in the order of the picture."""
    memory = document["memory"]
    fullest = memory["fullest_device"]
    named = (
        ("weights", "weights", False),
        ("kv", "KV cache", False),
        ("state", "state", False),
        ("activation", "activations", True),
        ("overhead", "overhead", True),
        ("reserved_unused", "reserved, unused", False),
        ("pool_free", "rest of the pool", True),
    )
    served = document["engine"]["name"] != "none"
    return tuple(
        MemoryRow(key, label, memory[f"{key}_bytes"], fullest[f"{key}_bytes"], estimate)
        for key, label, estimate in named
        if served or key != "pool_free"
    )


def sums(document: Document) -> tuple[Sum, ...]:
    """Total, what there is, and what is left or missing."""
    memory, scenario = document["memory"], document["scenario"]
    count, share = memory["devices"], scenario["gpu_memory_utilization"]
    total, fullest = memory["total_bytes"], memory["fullest_device"]["total_bytes"]
    usable, budget = memory["usable_bytes_per_device"], memory["budget_bytes_per_device"]
    found = [Sum("total", "total", total, fullest, True), Sum("usable", "usable", usable * count, usable, False)]
    pool = scenario["kv_pool_bytes"]
    if pool is not None:
        drawn = picture(document)
        found.append(Sum("pool", "KV pool", None, pool, False))
        if drawn.excess and crowded(document):
            found.append(Sum("over", "missing", None, drawn.excess, True))
        else:
            found.append(_left(pool - sum(drawn.parts.values()), None, "left in the pool", False))
        return tuple(found)
    if budget != usable:
        found.append(Sum("budget", f"budget, {100 * share:.4g}%", budget * count, budget, False))
    found.append(_left(budget - fullest, budget * count - total, "free", True))
    return tuple(found)


def _left(fullest: int, total: int | None, label: str, estimate: bool) -> Sum:
    return (
        Sum("free", label, total, fullest, estimate) if fullest >= 0 else Sum("over", "missing", None, -fullest, True)
    )


def picture(document: Document) -> BankPicture:
    """What to draw of the fullest device: all parts in its budget, or the cache in its pool.

    A pool that the device has no room for is drawn in the device, whole, beside the other parts.
    """
    memory, pool = document["memory"], document["scenario"]["kv_pool_bytes"]
    sizes = {part.key: part.fullest for part in parts(document)}
    cache = {key: sizes[key] for key in ("kv", "state", "reserved_unused")}
    usable, room = memory["usable_bytes_per_device"], memory["budget_bytes_per_device"]
    if pool is not None and not crowded(document):
        return BankPicture(cache, pool, "KV pool", False)
    if pool is not None:
        room = room if document["engine"]["name"] == "none" else usable
        sizes["reserved_unused"] += max(0, pool - sum(cache.values()))
    return BankPicture(sizes, room, "usable memory" if room == usable else "budget", room == usable)


def panels(document: Document) -> tuple[FactPanel, ...]:
    """The facts beside the memory table; empty panels are left out."""
    found = (
        _cache(document),
        _capacity(document),
        _kv_formats(document),
        _engine(document),
        *_memories(document),
        *_split(document),
        _estimates(document),
        _savings(document),
        *_observed(document),
    )
    return tuple(panel for panel in found if panel.facts)


def _observed(document: Document) -> tuple[FactPanel, ...]:
    """The running server whose plan this is: what it holds, who waits, and where the plan differs from it."""
    server = document.get("observed")
    if server is None:
        return ()
    from kvtui.report import observed

    facts = [Fact("server", " ".join(filter(None, observed.title(server)))), Fact("verdict", server["verdict"])]
    for rows in observed.rows_of(server).values():
        facts += [Fact(label, text) for label, text in rows]
    for label, predicted, seen, verdict in observed.plan_rows(server):
        facts.append(Fact(label, f"{predicted} planned, {seen} observed", f"{verdict}"))
    facts += [Fact("worth changing", text) for text in observed.advice(server)]
    return (FactPanel("observed", tuple(facts)),)


def _cache(document: Document) -> FactPanel:
    model, scenario = document["model"], document["scenario"]
    kinds = [f"{count} {KINDS.get(kind, kind.replace('_', ' '))}" for kind, count in model["layer_kinds"].items()]
    facts = [Fact("layers" if not i else "", kind) for i, kind in enumerate(kinds)]
    facts.append(Fact("format", scenario["kv_dtype"]))
    facts.append(Fact("per token", f"{model['kv_bytes_per_token']:,} B", style="kv"))
    for key, label, style in (
        ("indexer_bytes_per_token", "indexer, per token", "kv"),
        ("bounded_bytes_per_sequence", "windows, per sequence", "kv"),
        ("state_bytes_per_sequence", "state, per sequence", "state"),
    ):
        if model[key]:
            facts.append(Fact(label, f"{model[key]:,} B", style=style))
    facts.append(Fact("allocation", scenario["policy"]))
    return FactPanel("KV cache", tuple(facts))


def _capacity(document: Document) -> FactPanel:
    found, scenario, memory = document["capacity"], document["scenario"], document["memory"]
    served = document["engine"]["name"] != "none"
    longest, most, trained = (
        found["max_context_tokens"],
        found["max_sequences"],
        document["model"]["max_context_tokens"],
    )
    facts = [
        Fact(
            "max context, one request" if served else f"max context, batch {scenario['batch']:,}",
            "no bound" if longest is None else f"{longest:,} tokens",
            _limit(found["max_context_limit"]),
        ),
    ]
    limit, fill = _limit(found["max_sequences_limit"]), scenario["fill"]
    full, average = found["users_full"], found["users_average"]
    if fill not in ("full", "average"):
        facts.append(Fact(f"max sequences, {fullness(document)}", _bound(most), limit))
    at = f"max sequences, all at {format_tokens(scenario['context_tokens'])}"
    facts.append(Fact(at, _bound(full), limit if fill == "full" else ""))
    if average != full:
        mean = f"max sequences, {found['average_fill_percent']} % average"
        facts.append(Fact(mean, _bound(average), limit if fill == "average" else ""))
    if trained is not None:
        facts.append(Fact("model's maximum context", f"{trained:,} tokens"))
    if scenario["kv_pool_bytes"] is None or crowded(document):
        needed = memory["devices_needed"]
        facts.append(
            Fact("devices needed", f"none found up to {SEARCH_DEVICES:,}" if needed is None else f"{needed:,}")
        )
    return FactPanel("capacity", tuple(facts))


def _bound(count: int | None) -> str:
    return "no bound" if count is None else f"{count:,}"


def _limit(limit: str) -> str:
    if limit == "none":
        return ""
    return f"more than the {limit}" if limit.startswith("model's") else f"limit: {limit}"


def _kv_formats(document: Document) -> FactPanel:
    """What each format of the cache takes, the users it leaves room for, and what it saves against 16 bits."""
    facts, own = [], document["scenario"]["kv_dtype"]
    for found in document["kv_formats"]:
        saved = f"{-100 * found['saved_share']:+.0f} %".replace("-", "−") if found["saved_share"] else "–"
        users = _bound(found["max_sequences"])
        mark = ", now" if found["name"] == own else ""
        risk = "" if found["quality_risk"] in ("none", "low") else f"risk {found['quality_risk']}"
        value = f"{with_unit(found['kv_bytes'])} · {users} user{'' if users == '1' else 's'} · {saved}"
        facts.append(Fact(f"{found['name']}{mark}", value, risk))
    return FactPanel("KV formats: GiB, users, saving", tuple(facts))


def _engine(document: Document) -> FactPanel:
    engine = document["engine"]
    facts = [
        Fact(label, f"{round(engine[key], 2):,} {unit}".rstrip())
        for key, label, unit in ENGINE_FACTS
        if engine.get(key) is not None and (engine[key] or key != "padding_layers")
    ]
    for share in engine.get("shares") or ():
        kind = KINDS.get(share["kind"], share["kind"])
        value = f"{counted(share['groups'], 'group')} of {counted(share['blocks'], 'block')}"
        facts.append(Fact(kind, value, f"{counted(share['layers'], 'layer')}, {share['block_size']:,} tokens a block"))
    facts += [Fact(f"buffer {buffer['name']}", with_unit(buffer["bytes"])) for buffer in engine.get("buffers") or ()]
    return FactPanel(f"engine {engine['name']} {engine['version'] or ''}".rstrip(), tuple(facts))


def _memories(document: Document) -> tuple[FactPanel, ...]:
    """What each memory holds, where some of it is in RAM beyond the embedding."""
    found = document["engine"].get("memories") or ()
    if not _uses_ram(document):
        return ()
    panels = []
    for memory in found:
        facts = [Fact(held["cause"], with_unit(held["bytes"])) for held in memory["held"]]
        whole = memory["capacity_bytes"]
        of = "" if whole is None else f" of {gib(whole)}"
        facts.append(Fact("total", f"{gib(memory['total_bytes'])}{of} GiB"))
        title = f"{memory['name']}, {counted(memory['layers'], 'layer')}"
        panels.append(FactPanel(title, tuple(facts)))
    return tuple(panels)


def _uses_ram(document: Document) -> bool:
    """Whether RAM was spoken of, or holds more than what is looked up there anyway."""
    ram = [memory for memory in document["engine"].get("memories") or () if memory["name"] == "RAM"]
    told = document["scenario"].get("ram_bytes") is not None
    small = ("embedding", "compute buffer")
    return any(told or held["cause"] not in small for memory in ram for held in memory["held"])


def _split(document: Document) -> tuple[FactPanel, ...]:
    """The best split."""
    split = document["engine"]["split"]
    if split["gpu_layers"] is None:
        return ()
    facts = [Fact("layers on devices", f"-ngl {split['gpu_layers']}")]
    if split["cpu_moe"]:
        facts.append(Fact("experts in RAM", f"--n-cpu-moe {split['cpu_moe']}", "of so many layers, from the first"))
    facts.append(Fact("needs of RAM", with_unit(split["ram_bytes"])))
    return (FactPanel("best split" if split["fits"] else "best split, which does not fit", tuple(facts)),)


def starts(document: Document) -> tuple[tuple[str, str], ...]:
    """The programs that start the best split, each with its command line or its settings."""
    return tuple((command["program"], command["words"]) for command in document["engine"]["split"]["commands"] or ())


def _estimates(document: Document) -> FactPanel:
    performance, cost = document["performance"], document["cost"]
    facts = []
    for label, band, unit in (
        ("prefill, one sequence", performance["prefill_ms"], "time"),
        ("decode, per token", performance["decode_ms_per_token"], "time"),
        ("throughput", performance["tokens_per_second"], "tokens/s"),
        ("energy, per token", cost["joules_per_token"], "J"),
        ("price, per hour", cost["usd_per_hour_span"], "$"),
        ("cost, per million tokens", cost["usd_per_million_tokens"], "$"),
    ):
        if band is not None:
            facts.append(Fact(label, f"≈ {duration(band) if unit == 'time' else band_text(band, unit)}"))
    if performance["bound"] is not None:
        facts.insert(
            next((i + 1 for i, fact in enumerate(facts) if fact.label.startswith("decode")), 0),
            Fact("decode bound by", performance["bound"]),
        )
    most = document["at_most_users"]
    if most["batch"] not in (None, document["scenario"]["batch"]):
        many = f"{most['batch']:,} users"
        for label, key, unit in (
            ("throughput", "tokens_per_second", "tokens/s"),
            ("energy, per token", "joules_per_token", "J"),
            ("cost, per million tokens", "usd_per_million_tokens", "$"),
        ):
            if most[key] is not None:
                facts.append(Fact(f"{label}, {many}", f"≈ {band_text(most[key], unit)}"))
    notes = []
    if performance["decode_ms_per_token"] or performance["prefill_ms"]:
        notes.append(f"roofline estimates, confidence {CONFIDENCE.get(performance['confidence'], 'unknown')}")
    if performance["decode_ms_per_token"] and performance["measured_bandwidth_gbs"] is not None:
        notes.append(f"decode at {performance['measured_bandwidth_gbs']:g} GB/s per device, as measured")
    if cost["usd_per_hour_span"] is not None:
        notes.append(f"market prices of {cost['priced_on']}")
    if performance["verify_command"] is not None:
        notes.append(f"measure it: {performance['verify_command']}")
    return FactPanel("time and cost", tuple(facts), "; ".join(notes))


def _savings(document: Document) -> FactPanel:
    memory, facts = document["memory"], []
    saved = memory["flash_attention_saved_bytes"]
    if saved and document["scenario"]["flash_attention"]:
        note = "illustration: scores never written"
        facts.append(Fact("by FlashAttention", f"≈ {with_unit(saved)}", note, "saved"))
    elif saved:
        note = "illustration: scores are in activations"
        facts.append(Fact("FlashAttention would save", f"≈ {with_unit(saved)}", note, "saved"))
    if memory["prefix_shared_bytes"]:
        note = "whole blocks of the common prefix are stored once"
        facts.append(Fact("by prefix sharing", with_unit(memory["prefix_shared_bytes"]), note, "saved"))
    return FactPanel("saved, in no total", tuple(facts))


def remarks(document: Document) -> tuple[Remark, ...]:
    """The warnings that the verdict does not already state."""
    return tuple(Remark(w["severity"], w["text"]) for w in document["warnings"] if w["id"] not in SAID_BY_VERDICT)


def derivations(document: Document) -> tuple[Derivation, ...]:
    """Every explanation with its values put into its formula."""
    found = []
    for entry in document["explain"]:
        filled, used = fill(entry["formula"], entry["values"])
        values = tuple((_words(name), number(value)) for name, value in entry["values"].items())
        rest = tuple((_words(n), number(v)) for n, v in entry["values"].items() if n not in used)
        sources = tuple(entry["sources"])
        found.append(Derivation(entry["id"], entry["formula"], filled, rest, values, entry["bytes"], sources))
    return tuple(found)


def fill(formula: str, values: Mapping[str, object]) -> tuple[str, set[str]]:
    """``formula`` with each number before its name, where the name first stands, and the names that were found.

    ``layers × entries`` becomes ``32 layers × 8,192 entries``, and a factor gets its sign: ``4 × 4,096 hidden``.
    """
    used: set[str] = set()

    def put(match: re.Match[str]) -> str:
        factor, name = match[1] or "", match[2]
        value = values.get(name)
        if name in used or isinstance(value, str) or value is None:
            return match[0]
        used.add(name)
        words = _words(name)
        singular = words[:-1] if value == 1 and words.endswith("s") else words
        return f"{factor and factor + '× '}{number(value)} {singular}"

    return re.sub(r"((?<!\w)\d+ )?\b([a-z]\w*)\b", put, formula), used


def _words(name: str) -> str:
    return " ".join(UNIT_WORDS.get(word, word) for word in name.split("_"))


def gib(count: int) -> str:
    """Bytes in GiB with two digits, from a million on without; less than that is ``<0.01``."""
    if count >= GIB * HUGE:
        return f"{(count + GIB // 2) // GIB:,}"
    return "<0.01" if 0 < count < GIB / 200 else f"{count / GIB:,.2f}"


def with_unit(count: int) -> str:
    """Bytes with their unit: in GiB as ``gib`` has them, and from a million GiB on in PiB or EiB."""
    return format_bytes(count) if count >= GIB * HUGE else f"{gib(count)} GiB"


def percent(count: int, whole: int) -> str:
    """``count`` in percent of ``whole`` with one digit, without the sign; outside of what that says, the limit."""
    share = 100 * count / whole
    if share >= HUGE:
        return f">{HUGE - 1:,}"
    return "<0.1" if 0 < share < 0.05 else f"{share:,.1f}"


def number(value: object) -> str:
    """A value of an explanation: integers exact with separators, other numbers to six digits."""
    match value:
        case bool() | str():
            return str(value)
        case int():
            return f"{value:,}"
        case float():
            return f"{value:,.6g}"
        case _:
            return "–"


def three_digits(value: float) -> str:
    """``value`` to three significant digits, without an exponent where it has a plain form."""
    if value == 0:
        return "0"
    magnitude = floor(log10(abs(value)))
    if magnitude < -4:
        return f"{value:.2e}"
    return f"{round(value, 2 - magnitude):,.{max(0, 2 - magnitude)}f}"


def dollars(value: float) -> str:
    """US dollars without their sign: cents from one cent to a thousand dollars, else three significant digits."""
    return f"{value:,.2f}" if 0.01 <= value < 1000 else three_digits(value)


def span(band: Sequence[float], scale: float = 1, shown: Callable[[float], str] = three_digits) -> str:
    """A band's two ends ÷ ``scale``, each as ``shown``; one number where they agree."""
    first, last = (shown(end / scale) for end in band)
    return first if first == last else f"{first}–{last}"


def band_text(band: Sequence[float], unit: str) -> str:
    """A band with its unit; dollars stand before the number."""
    return f"${span(band, shown=dollars)}" if unit == "$" else f"{span(band)} {unit}".rstrip()


def duration(band: Sequence[float]) -> str:
    """A band of milliseconds in the unit that suits its upper end."""
    for unit, size, least in (("h", 3.6e6, 2 * 3.6e6), ("min", 6e4, SHORT_SECONDS * 1e3), ("s", 1e3, 1e3)):
        if band[1] >= least:
            return f"{span(band, size)} {unit}"
    return f"{span(band)} ms"


def bank_label(span_size: int, banks: int) -> str:
    """What one cell of a picture stands for: ``one bank = 283.2 MiB``."""
    return f"one bank = {format_bytes(round(span_size / banks), 1)}"


def source_numbers(found: tuple[Derivation, ...]) -> dict[str, int]:
    """Sources numbered from 1 in order of first mention."""
    return {source: i for i, source in enumerate(dict.fromkeys(_all_sources(found)), 1)}


def _all_sources(found: tuple[Derivation, ...]) -> Iterator[str]:
    for derivation in found:
        yield from derivation.sources
