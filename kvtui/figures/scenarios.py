"""What figures of scenarios have in common: several models beside each other, names, axis points, and what to note."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from typing import TypeVar

import numpy as np

from kvtui.engine.basis.errors import InputError
from kvtui.engine.basis.units import GB, MAX_TOKENS, format_bytes
from kvtui.engine.basis.untrusted import plain
from kvtui.engine.model.spec import ModelSpec
from kvtui.engine.planning.grid import Tokens
from kvtui.engine.planning.parts import budget
from kvtui.engine.saying.fill import fill_words
from kvtui.engine.scenario.change import adapted
from kvtui.engine.scenario.limits import MAX_BATCH
from kvtui.engine.scenario.scenario import FULL, Scenario
from kvtui.figures.figure import Axis, AxisName, Rule

MOST_MODELS = 4
POINTS = 49
USUAL_CONTEXT = 131_072
BATCH_POINTS, USUAL_BATCH = 25, 256
Scenarios = tuple[Scenario, ...]
T = TypeVar("T")

CONTEXT = Axis("context", "tokens", "log2", "tokens")
BATCH = Axis("batch", "sequences", "log2")
MEMORY = Axis("device memory", scale="log2", ticks="bytes")
SPEED = Axis("throughput", "tokens/s", "log10")


def overlay(scenario: Scenario, models: Iterable[ModelSpec]) -> tuple[Scenarios, tuple[str, ...]]:
    """``scenario``, and the same with each of ``models``, four in all at most; and a sentence for what had to give way.

    A model that the scenario's choices contradict is left out, and said so.
    """
    found, notes = [scenario], []
    for model in models:
        if model.name in {one.model.name for one in found}:
            continue
        if len(found) == MOST_MODELS:
            notes.append(f"{plain(model.name)} is left out: {MOST_MODELS} models at most.")
            continue
        try:
            changed, gave_way = adapted(scenario, {"model": model, "model_ref": model.name})
        except InputError as error:
            notes.append(f"{plain(model.name)} is left out: {error}.")
            continue
        found.append(changed)
        notes += [f"{plain(model.name)}: {note}." for note in gave_way]
    return tuple(found), tuple(notes)


def names(scenarios: Sequence[Scenario]) -> tuple[str, ...]:
    """The models' names, harmless and all different."""
    seen: Counter[str] = Counter()
    found = []
    for scenario in scenarios:
        name = plain(scenario.model.name)
        seen[name] += 1
        found.append(name if seen[name] == 1 else f"{name} ({seen[name]})")
    return tuple(found)


def each(scenarios: Sequence[Scenario], compute: Callable[[Scenario], T]) -> tuple[dict[str, T], list[str]]:
    """``compute`` of every scenario under its model's name, and a note for each that it cannot be done for.

    Raises the InputError of the first when it cannot be done for any.
    """
    found: dict[str, T] = {}
    errors: dict[str, InputError] = {}
    for name, scenario in zip(names(scenarios), scenarios, strict=True):
        try:
            found[name] = compute(scenario)
        except InputError as error:
            errors[name] = error
    if errors and not found:
        raise next(iter(errors.values()))
    return found, [f"{name} is left out: {error}." for name, error in errors.items()]


def spaced(low: int, high: int, count: int) -> Tokens:
    """At most ``count`` different whole numbers from ``low`` to ``high``, both included, in equal ratios."""
    return np.unique(np.rint(np.geomspace(low, max(low, high), count)).astype(np.int64))


def doublings(low: int, high: int) -> Tokens:
    """``low`` and its doublings, the last at least ``high``."""
    return np.array([low << n for n in range(max(1, (max(1, high - 1) // low).bit_length() + 1))], np.int64)


def context_points(scenario: Scenario, longest: int | None, least: int = 256) -> Tokens:
    """Contexts from ``least`` to ``longest`` tokens, with the scenario's own and all powers of two among them.

    Without ``longest`` to 128K, or four times the scenario's context if that is more.
    """
    end = min(longest or max(USUAL_CONTEXT, 4 * scenario.context), MAX_TOKENS)
    round_ones = [2**n for n in range(end.bit_length())] + [scenario.context]
    inside = np.array([n for n in round_ones if min(least, end) <= n <= end], np.int64)
    return np.union1d(spaced(min(least, end), end, POINTS), inside)


def batch_points(scenario: Scenario, largest: int | None) -> Tokens:
    """Batches from 1 to ``largest``, with the scenario's own and all powers of two among them.

    Without ``largest`` to 256, or twice the scenario's batch if that is more.
    """
    end = min(largest or max(USUAL_BATCH, 2 * scenario.batch), MAX_BATCH)
    round_ones = [2**n for n in range(end.bit_length())] + [min(scenario.batch, end)]
    return np.union1d(spaced(1, end, BATCH_POINTS), round_ones)


def context_rule(scenario: Scenario, axis: AxisName = "x") -> Rule:
    """The scenario's own context."""
    return Rule(axis, float(scenario.context), "context of the scenario")


def memory_rule(scenario: Scenario, axis: AxisName = "y") -> Rule:
    """What may be planned of one device."""
    size = format_bytes(budget(scenario))
    return Rule(axis, float(budget(scenario)), f"{plain(scenario.device.name)}: {size} may be used")


def size_rules(sizes_gb: Iterable[float], axis: AxisName) -> tuple[Rule, ...]:
    """Rules at nominal device sizes in GB (10**9 bytes)."""
    return tuple(Rule(axis, float(size * GB), f"{size:g} GB") for size in sizes_gb)


def budgets(least: int, most: int, count: int) -> Tokens:
    """Bytes that may be used of a device, from ``least`` to ``most`` in equal ratios; InputError where those cross."""
    if most <= least:
        raise InputError(f"most-gb: {format_bytes(most)} is not more than {format_bytes(least)}")
    return spaced(least, most, count)


def without_pool(scenario: Scenario) -> list[str]:
    """What to note where memory varies and a fixed KV pool therefore does not count."""
    return [] if scenario.kv_pool is None else ["The scenario's KV pool is left out: the memory itself varies."]


def caveats(scenario: Scenario) -> list[str]:
    """What the arrays leave out of ``scenario``, one sentence each."""
    found = []
    if scenario.engine != "none":
        found.append(f"Plain arithmetic: what {plain(scenario.engine)} rounds and reserves is in its plan, not here.")
    if scenario.lengths is not None:
        found.append("Every sequence grows to the context; the scenario's own lengths are left out.")
    if scenario.shared_prefix:
        found.append("The shared prefix is left out.")
    if scenario.fill != FULL:
        found.append(f"Sequences are {fill_words(scenario, scenario.batch)}.")
    if scenario.skip_weights:
        found.append("Weights are skipped.")
    return found
