"""Elements of the tables of rotary angles that an engine makes, as config.json says them.

A table has a row for every position and a cosine and a sine for each of its angles. Scaling positions linearly makes it
as much longer, rotating a part of each head narrower, and kinds of layers with parameters of their own have one each.
Where positions have sections for time, height and width, vLLM's table is four times as long (``mrope.py``).
"""

from __future__ import annotations

from kvtui.engine.model.caches import Attention, AttentionKind
from kvtui.engine.model.spec import Layer
from kvtui.engine.sources.hf.fields import Config

SECTIONS = 4.0
_KINDS: dict[str, AttentionKind] = {"sliding_attention": "sliding_window", "full_attention": "full"}


def rotary_elements(text: Config, layers: tuple[Layer, ...], context: int | None) -> int | None:
    """Elements of all tables; None where there is one of ``context`` whole heads, or where that is not known.

    Example: Gemma 3 has heads of 256, and for 131,072 positions a table of windowed layers and one of full layers that
    is 8 times as long: 131,072 × 9 × 256. Gemma 4 has heads of 256 in windowed layers and of 512 in full ones. Qwen3.5
    rotates 64 elements of each head: 4 × 262,144 × 64.
    """
    widths = {cache.kind: cache.k_dim for layer in layers for cache in layer.caches if isinstance(cache, Attention)}
    if not widths or context is None:
        return None
    width = max(widths.values())
    said = text.raw("rope_parameters") or text.raw("rope_scaling")
    kinds = said if isinstance(said, dict) else {}
    nested = {kind: one for kind, one in kinds.items() if isinstance(one, dict)}
    own = {kind: widths.get(_KINDS.get(kind, "full"), width) for kind in nested}
    tables = [_scaled(one) * _part(text, one) * own.get(kind, width) for kind, one in (nested or {"": kinds}).items()]
    if not nested and text.raw("rope_local_base_freq") is not None:
        tables.append(width)
    return None if tables == [width] else int(sum(tables)) * context


def _scaled(table: dict[str, object]) -> float:
    """How much longer a table is: by the factor of linear scaling, and four times with sections of positions."""
    if table.get("mrope_section"):
        return SECTIONS
    factor, kind = table.get("factor"), table.get("rope_type", table.get("type"))
    return float(factor) if kind == "linear" and isinstance(factor, int | float) and factor > 0 else 1.0


def _part(text: Config, table: dict[str, object]) -> float:
    """The part of each head that is rotated; proportional tables have the rest too, as angles of 0."""
    if table.get("rope_type") == "proportional":
        return 1.0
    for value in (table.get("partial_rotary_factor"), text.raw("partial_rotary_factor"), text.raw("rotary_pct")):
        if isinstance(value, int | float) and 0 < value <= 1:
            return float(value)
    return 1.0
