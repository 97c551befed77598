"""The picture as numbers: how many equal cells ("banks") each part of a memory gets."""

from __future__ import annotations

from collections.abc import Mapping
from fractions import Fraction

from kvtui.engine.basis.errors import InputError

FREE = "free"


def span_bytes(parts: Mapping[str, int], capacity: int) -> int:
    """Bytes that the whole picture stands for: the capacity, or the parts' sum where they overflow it."""
    return max(capacity, sum(parts.values()))


def bank_counts(parts: Mapping[str, int], capacity: int, banks: int) -> dict[str, int]:
    """Banks of each of ``parts`` (bytes by name, in order) and of ``free``, the rest of ``capacity`` bytes.

    Apportioned by largest remainder (Hamilton's method), ties to the earlier part: the counts sum to ``banks`` and each
    differs from its exact share by less than one, so that a part of less than a bank may have none. Parts that exceed
    the capacity are drawn whole: then a bank stands for their sum ÷ ``banks``, nothing is free, and the capacity ends
    before the picture does (``span_bytes``).

    Raises InputError for a negative part, a part called "free", and a capacity or number of banks below one.
    """
    for name, size in (("capacity", capacity), ("banks", banks)):
        if size < 1:
            raise InputError(f"{name}: {size:,} is less than 1")
    if FREE in parts:
        raise InputError(f"parts: '{FREE}' is what the parts leave over, not one of them")
    negative = [name for name, size in parts.items() if size < 0]
    if negative:
        raise InputError(f"parts: {negative[0]} has {parts[negative[0]]:,} bytes")
    span = span_bytes(parts, capacity)
    sizes = {**parts, FREE: span - sum(parts.values())}
    counts = {name: size * banks // span for name, size in sizes.items()}
    by_remainder = sorted(sizes, key=lambda name: sizes[name] * banks % span, reverse=True)
    for name in by_remainder[: banks - sum(counts.values())]:
        counts[name] += 1
    return counts


def bank_bytes(span: int, banks: int) -> Fraction:
    """Exact bytes of one of ``banks`` equal cells of ``span`` bytes. Raises InputError without banks."""
    if banks < 1:
        raise InputError(f"banks: {banks:,} is less than 1")
    return Fraction(span, banks)


def interleave(counts: Mapping[str, int], modules: int) -> list[list[str]]:
    """The names of the banks of each of ``modules``, dealt out in turn as interleaved memory is: bank i to i mod n.

    Raises InputError without modules.
    """
    if modules < 1:
        raise InputError(f"modules: {modules:,} is less than 1")
    banks = [name for name, count in counts.items() for _ in range(count)]
    return [banks[module::modules] for module in range(modules)]
