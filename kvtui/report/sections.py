"""What the reports for people say, before anyone lays it out: labels, sentences, and numbers as text.

Text, Markdown and HTML show the same sections in the same words; nothing here knows how wide a line is.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from kvtui.engine.basis.units import counted, format_tokens
from kvtui.engine.planning.plan import SEARCH_DEVICES
from kvtui.report.amounts import gib, with_unit

Document = Mapping[str, Any]
SAID_BY_VERDICT = {"over_capacity", "no_split", "multi_device"}
CROWDED = {"weights", "device memory"}
"""What stops a plan with a KV pool when a device cannot hold that pool."""


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
class Remark:
    """A warning: its severity (critical, warning or info) and its sentence."""

    severity: str
    text: str


def title(document: Document) -> tuple[str, ...]:
    """What is planned, in words: model, devices, formats, batch, context."""
    scenario = document["scenario"]
    return (
        document["model"]["called"],
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
    needed, split = document["memory"]["devices_needed"], document["memory"]["split_needed"]
    engine = document["engine"]
    enough = engine["refusals"] and (engine["pool_bytes"] or 0) >= engine["needed_bytes"]
    more = needed is not None and needed > document["memory"]["devices"] and not enough
    return f"{reason}; {counted(needed, 'device')} ({split}) would hold it" if more else str(reason)


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


def starts(document: Document) -> tuple[tuple[str, str], ...]:
    """The programs that start the best split, each with its command line or its settings."""
    return tuple((command["program"], command["words"]) for command in document["engine"]["split"]["commands"] or ())


def remarks(document: Document) -> tuple[Remark, ...]:
    """The warnings that the verdict does not already state."""
    return tuple(Remark(w["severity"], w["text"]) for w in document["warnings"] if w["id"] not in SAID_BY_VERDICT)
