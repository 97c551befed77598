"""The picture of the machine's RAM: what lies there of a model, in banks as large as those of the device beside it."""

from __future__ import annotations

from fractions import Fraction

from kvtui.engine.basis.units import GIB, format_bytes
from kvtui.engine.engines.placement import MemoryUse
from kvtui.engine.picture.bank_map import FIRST_SEQUENCE, Code
from kvtui.engine.picture.banks import bank_counts

CODES = {
    "KV cache": FIRST_SEQUENCE,
    "states": Code.STATE,
    "compute buffer": Code.WORKING,
    "finished prompts": Code.RESERVED,
}
"""What a bank is by its cause; every other cause is weights."""


def ram_codes(ram: MemoryUse, bank_bytes: Fraction) -> bytes:
    """A code for each bank of all that ``ram`` holds, of ``bank_bytes`` each, and of what it has left, or lacks.

    Example: 9 GiB of experts and 1 GiB of caches are 90 and 10 banks of 0.1 GiB.
    """
    parts: dict[int, int] = {}
    for cause, size in ram.held:
        code = int(CODES.get(cause, Code.WEIGHTS))
        parts[code] = parts.get(code, 0) + size
    banks = -(-ram.total // bank_bytes)
    counts = bank_counts({str(code): size for code, size in parts.items()}, max(1, ram.total), max(1, int(banks)))
    codes = b"".join(bytes([code]) * counts[str(code)] for code in parts)
    over = min(len(codes), int(ram.missing / bank_bytes))
    left = 0 if ram.capacity is None else int(max(0, ram.capacity - ram.total) / bank_bytes)
    return codes[: len(codes) - over] + bytes([Code.OVERFLOW]) * over + bytes([Code.FREE]) * min(left, len(codes))


def ram_words(ram: MemoryUse) -> tuple[str, ...]:
    """How much the RAM holds and of what, from the longest to the shortest words."""
    of = "" if ram.capacity is None else f" of {ram.capacity / GIB:.3g}"
    whole = f"RAM {ram.total / GIB:.3g}{of} GiB"
    held = sorted(ram.held, key=lambda one: -one[1])
    return f"{whole}: {', '.join(f'{cause} {format_bytes(size)}' for cause, size in held)}", whole, "RAM"
