"""The facts of a report beside its table of the memory: cache, capacity, formats, engine, split, time and cost."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from kvtui.engine.basis.units import counted, format_tokens
from kvtui.engine.planning.plan import SEARCH_DEVICES
from kvtui.report.amounts import band_text, duration, gib, with_unit
from kvtui.report.sections import Document, crowded, fullness

CONFIDENCE = {"H": "high", "M": "medium", "L": "low"}
KINDS = {
    "full": "full attention",
    "sliding_window": "sliding window",
    "chunked_local": "chunked local",
    "evicted": "evicted to a budget",
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


def panels(document: Document) -> tuple[FactPanel, ...]:
    """The facts beside the memory table; empty panels are left out."""
    found = (
        _what_if(document),
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
    from kvtui.report.observed import facts as observed

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
    changed = document["what_if"]
    facts.append(Fact("format", (changed and changed["kv_format"]) or scenario["kv_dtype"]))
    facts.append(Fact("per token", f"{model['kv_bytes_per_token']:,} B", style="kv"))
    slots = document["engine"].get("state_bytes_per_slot")
    for key, label, style in (
        ("indexer_bytes_per_token", "indexer, per token", "kv"),
        ("bounded_bytes_per_sequence", "windows, per sequence", "kv"),
        ("state_bytes_per_sequence", "state, per sequence", "state"),
    ):
        if model[key] and not (slots and style == "state"):
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
        split = f"as {memory['split_needed']}" if needed is not None and needed > 1 else ""
        count = f"none found up to {SEARCH_DEVICES:,}" if needed is None else f"{needed:,}"
        facts.append(Fact("devices needed", count, split))
    alone = (
        ""
        if document["engine"]["name"] != "none"
        else "without an engine, an upper bound: each keeps memory of its own"
    )
    return FactPanel("capacity", tuple(facts), alone)


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
    facts += _speculation(performance["speculation"])
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
        notes.append(f"decode at {performance['measured_bandwidth_gbs']:g} GB/s per device, as given")
    if cost["usd_per_hour_span"] is not None:
        notes.append("price as given" if cost["priced_on"] is None else f"market prices of {cost['priced_on']}")
    if document["memory"]["fits"]:
        facts += [Fact("left out", text) for text in performance["left_out"]]
    if performance["verify_command"] is not None:
        notes.append(f"measure it: {performance['verify_command']}")
    return FactPanel("time and cost", tuple(facts), "; ".join(notes))


def _speculation(found: Mapping[str, Any] | None) -> list[Fact]:
    if found is None:
        return []
    assumed = ", assumed" if found["acceptance_assumed"] else ""
    share = ["", ""] if found["draft_share"] is None else [f"{100 * end:.0f}" for end in found["draft_share"]]
    drafting = f"{share[0]} %" if share[0] == share[1] else f"{share[0]} to {share[1]} %"
    return [
        Fact("speculation", f"{found['drafted_tokens']} drafted, {100 * found['acceptance']:.0f} % accepted{assumed}"),
        Fact("tokens per step", f"{found['tokens_per_step']:.2f}", f"drafting takes {drafting} of it"),
        Fact("faster by", f"≈ {band_text(found['speedup'], '×')}", "than without speculation"),
    ]


def _what_if(document: Document) -> FactPanel:
    found = document["what_if"]
    if found is None:
        return FactPanel("what if", ())
    facts = [Fact("what if", one["called"], one["paper"]) for one in found["parts"]]
    facts.append(Fact("cache as it is", with_unit(found["real_cache_bytes"])))
    facts.append(Fact("cache, what if", with_unit(found["cache_bytes"]), "", "kv"))
    freed = found["freed_bytes"]
    facts.append(Fact("frees" if freed >= 0 else "takes", with_unit(abs(freed)), "on the fullest device"))
    return FactPanel("what if", tuple(facts), found["note"])


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
