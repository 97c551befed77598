"""llama.cpp's slots: what each holds, and what that tells of the pool behind them.

The server does not say whether its slots share one pool. Split, each slot has its own ``n_ctx``; unified, the
``n_ctx`` of every slot is the whole pool. What it holds can tell: slots that hold more than one ``n_ctx`` together are
split. Otherwise the pool's size stays unknown unless someone says it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from kvtui.engine.live.snapshot import ServedSlot, ServerPool

MOST_SLOTS = 4096
MOST_TOKENS = 2**40


def read_slots(listed: Any) -> tuple[ServedSlot, ...] | None:
    """The slots of ``/slots``; None for what is no list of them."""
    if not isinstance(listed, list) or not all(isinstance(one, dict) and "n_ctx" in one for one in listed):
        return None
    return tuple(_slot(one, number) for number, one in enumerate(listed[:MOST_SLOTS]))


def slots_pool(slots: Sequence[ServedSlot], unified: bool | None) -> ServerPool:
    """The pool of ``slots``, which share it if ``unified``; None leaves that to what they hold.

    Example: four slots of 1,024 that hold 359 tokens each hold 1,436 together, so the pool is of 4,096; while they hold
    200 each, its size is not known.
    """
    if not slots:
        return ServerPool("token")
    used, limits = sum(slot.tokens for slot in slots), [slot.limit for slot in slots]
    if unified is None and (len(slots) == 1 or used > max(limits)):
        unified = False
    size = None if unified is None else max(limits) if unified else sum(limits)
    running = sum(slot.tokens for slot in slots if slot.phase != "idle")
    if size is not None:
        # A slot counts the token that was sampled last, which is not in the cache yet.
        used, running = min(used, size), min(running, size)
    empty = None if size is None else size - used
    return ServerPool("token", size, running, used - running, empty, block_size=1, tokens=size)


def _slot(one: Mapping[str, Any], number: int) -> ServedSlot:
    after = one.get("next_token")
    if isinstance(after, list):
        after = after[0] if after else None
    generated = _count(after, "n_decoded") if isinstance(after, dict) else 0
    phase = "idle"
    if one.get("is_processing") is True:
        phase = "generating" if generated else "prompt"
    return ServedSlot(
        number=_count(one, "id") if "id" in one else number,
        limit=_count(one, "n_ctx"),
        tokens=_count(one, "n_prompt_tokens"),
        phase=phase,  # type: ignore[arg-type]
        prompt_done=_count(one, "n_prompt_tokens_processed"),
        reused=_count(one, "n_prompt_tokens_cache"),
        generated=generated if phase == "generating" else 0,
    )


def _count(values: Mapping[str, Any], key: str) -> int:
    value = values.get(key)
    return value if isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= MOST_TOKENS else 0
