"""What if: the same model with another attention, or with a compressed cache. No engine does this of itself.

A what-if changes what layers cache and nothing else: the weights stay as they are. Each has the paper that it is from:

- ``mqa``, ``gqa:8``: one, or eight, KV heads in place of the model's (Shazeer 2019, Ainslie et al. 2023);
- ``mla:512+64``: a latent of 512 elements and 64 rotary ones (DeepSeek-V2, 2024);
- ``swa:4096@5:1``: of six layers five keep 4,096 tokens (Gemma 3, 2025), without the ratio all (Mistral 7B, 2023);
- ``evict:2048``: each layer keeps the 2,048 tokens that attention met most (H2O 2023, SnapKV 2024);
- ``sinks:4+2044``: each keeps the first 4 and the last 2,044 (StreamingLLM, 2023);
- ``lowrank:256``: K and V of a layer are kept as 256 elements each (Palu, 2024);
- ``quant:2/32``: 2 bits an element, and a 16-bit scale and zero point for each 32 (KIVI, 2024).
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import NamedTuple

from kvtui.engine.basis.errors import InputError, UnknownName
from kvtui.engine.basis.units import MAX_TOKENS
from kvtui.engine.model.caches import Attention, Cache, Latent
from kvtui.engine.model.formats import Format
from kvtui.engine.model.spec import Layer, ModelSpec

MOST_SIZE = 65_536
ALL_LAYERS = (1, 0)
_NUMBER = r"([0-9]{1,9})"


class WhatIf(NamedTuple):
    """One what-if: its ``kind``, its ``numbers`` in the order they are written, and what it is ``called``."""

    kind: str
    numbers: tuple[int, ...]
    text: str

    @property
    def called(self) -> str:
        """In words: ``8 KV heads``."""
        return KINDS[self.kind].called.format(*(f"{n:,}" for n in self.numbers))

    @property
    def paper(self) -> str:
        """Whose idea it is."""
        one = KINDS[self.kind]
        return one.other_paper if self.kind == "swa" and self.numbers[1:] == ALL_LAYERS else one.paper


class WhatIfKind(NamedTuple):
    """How one kind is written, called, and where it is from; ``example`` shows all of it."""

    pattern: str
    example: str
    called: str
    paper: str
    other_paper: str = ""


KINDS: dict[str, WhatIfKind] = {
    "mqa": WhatIfKind("mqa", "mqa", "one KV head", "Shazeer 2019, arXiv:1911.02150"),
    "gqa": WhatIfKind(f"gqa:{_NUMBER}", "gqa:8", "{0} KV heads", "Ainslie et al. 2023, GQA, arXiv:2305.13245"),
    "mla": WhatIfKind(
        rf"mla:{_NUMBER}\+{_NUMBER}",
        "mla:512+64",
        "a latent of {0} + {1}",
        "DeepSeek-AI 2024, DeepSeek-V2, arXiv:2405.04434",
    ),
    "swa": WhatIfKind(
        f"swa:{_NUMBER}(?:@{_NUMBER}:{_NUMBER})?",
        "swa:4096@5:1",
        "windows of {0} tokens in {1} layers to {2} without",
        "Gemma team 2025, Gemma 3, arXiv:2503.19786",
        "Jiang et al. 2023, Mistral 7B, arXiv:2310.06825",
    ),
    "evict": WhatIfKind(
        f"evict:{_NUMBER}",
        "evict:2048",
        "{0} tokens kept in each layer",
        "Zhang et al. 2023, H2O, arXiv:2306.14048; Li et al. 2024, SnapKV, arXiv:2404.14469",
    ),
    "sinks": WhatIfKind(
        rf"sinks:{_NUMBER}\+{_NUMBER}",
        "sinks:4+2044",
        "the first {0} and the last {1} tokens kept",
        "Xiao et al. 2023, StreamingLLM, arXiv:2309.17453",
    ),
    "lowrank": WhatIfKind(
        f"lowrank:{_NUMBER}",
        "lowrank:256",
        "K and V of rank {0}",
        "Chang et al. 2024, Palu, arXiv:2407.21118",
    ),
    "quant": WhatIfKind(
        f"quant:{_NUMBER}/{_NUMBER}",
        "quant:2/32",
        "{0} bits, a scale and a zero point for {1} elements",
        "Liu et al. 2024, KIVI, arXiv:2402.02750",
    ),
}
EXAMPLES = tuple(one.example for one in KINDS.values())


def read_what_if(text: str) -> str:
    """The what-ifs of ``text``, one or several with commas, in their own spelling; empty for none.

    Raises UnknownName for a kind, InputError for numbers that it cannot have.
    """
    return ",".join(one.text for one in parsed(text))


def parsed(text: str) -> tuple[WhatIf, ...]:
    """``mqa,quant:2/32`` as what-ifs. Raises as ``read_what_if``."""
    words = [word for part in text.split(",") if (word := part.strip().casefold()) and word not in ("off", "none")]
    found = tuple(_parse(word) for word in words)
    kinds = [one.kind for one in found]
    for kind in kinds:
        if kinds.count(kind) > 1:
            raise InputError(f"what-if: {kind} twice")
    return found


def applied(model: ModelSpec, text: str) -> ModelSpec:
    """``model`` under the what-ifs of ``text``, by a name that says so; ``model`` itself without any.

    Raises InputError where one changes no layer, or one that has no such heads.
    """
    real = model.real if isinstance(model.real, ModelSpec) else model
    changed = real
    for one in parsed(text):
        changed = _changed(changed, one)
    if changed is real:
        return real
    called = ", ".join(one.called for one in parsed(text))
    return changed._replace(name=f"{real.name}, what if {called}", what_if=read_what_if(text), real=real)


def usual(model: ModelSpec) -> tuple[str, ...]:
    """One of each kind for ``model``, with half of its KV heads as groups; some may change no layer of it."""
    heads = [c.kv_heads for layer in model.layers for c in layer.caches if isinstance(c, Attention) and c.cap is None]
    half = max(1, max(heads, default=1) // 2)
    return tuple(f"gqa:{half}" if text.startswith("gqa") else text for text in EXAMPLES)


def _parse(word: str) -> WhatIf:
    kind = word.partition(":")[0]
    if kind not in KINDS:
        raise UnknownName("what-if", kind, KINDS)
    match = re.fullmatch(KINDS[kind].pattern, word)
    if match is None:
        raise InputError(f"what-if: '{word}' is not like {KINDS[kind].example}")
    numbers = tuple(int(number) for number in match.groups() if number is not None)
    if kind == "swa" and len(numbers) == 1:
        numbers += ALL_LAYERS
    most = MAX_TOKENS if kind in ("swa", "evict", "sinks") else MOST_SIZE
    zero = {"swa": (2,), "mla": (1,)}.get(kind, ())
    for i, number in enumerate(numbers):
        if not (0 if i in zero else 1) <= number <= most:
            raise InputError(f"what-if: {number:,} in '{word}' is out of range (1 to {most:,})")
    if kind == "quant" and not (numbers[0] <= 8 and numbers[0] * numbers[1] % 8 == 0):
        raise InputError(f"what-if: '{word}' gives no whole bytes of 1 to 8 bits an element")
    return WhatIf(kind, numbers, word)


def _changed(model: ModelSpec, one: WhatIf) -> ModelSpec:
    if one.kind == "quant":
        bits, group = one.numbers
        return model._replace(what_if_kv=Format(f"{bits}-bit-g{group}", group, bits * group // 8 + 4))
    change = _change(one)
    layers: list[Layer] = []
    number = changed = 0
    for layer in model.layers:
        attends = any(_grows(cache) for cache in layer.caches)
        windowed = one.kind != "swa" or number % sum(one.numbers[1:]) < one.numbers[1]
        number += attends
        caches = tuple(change(cache) if _grows(cache) and windowed else cache for cache in layer.caches)
        changed += caches != layer.caches
        layers.append(layer if caches == layer.caches else layer._replace(caches=caches))
    if not changed:
        raise InputError(f"what-if: {one.text} changes no layer of {model.name}")
    return model._replace(layers=tuple(layers))


def _grows(cache: Cache) -> bool:
    """Whether ``cache`` keeps every token of a sequence."""
    return isinstance(cache, Attention | Latent) and cache.cap is None


def _change(one: WhatIf) -> Callable[[Cache], Cache]:
    """What becomes of a cache that keeps every token."""
    match one.kind, one.numbers:
        case "mqa", _:
            return lambda cache: _heads(cache, 1)
        case "gqa", (heads,):
            return lambda cache: _heads(cache, heads)
        case "mla", (rank, rope):
            return lambda cache: cache if isinstance(cache, Latent) else Latent(cache.q_heads, rank, rope)
        case "swa", (window, *_):
            return lambda cache: _kept(cache, "sliding_window", window)
        case "evict", (budget,):
            return lambda cache: _kept(cache, "evicted", budget)
        case "sinks", (first, last):
            return lambda cache: _kept(cache, "evicted", first + last)
        case _, (rank,):
            return lambda cache: _low_rank(cache, rank)
    raise AssertionError(one)


def _heads(cache: Cache, heads: int) -> Cache:
    if not isinstance(cache, Attention):
        return cache
    if cache.q_heads % heads:
        raise InputError(f"what-if: {heads} KV heads do not divide {cache.q_heads} query heads")
    return cache._replace(kv_heads=heads)


def _kept(cache: Cache, kind: str, tokens: int) -> Cache:
    match cache:
        case Attention():
            return cache._replace(kind="evicted" if kind == "evicted" else "sliding_window", cap=tokens)
        case Latent():
            return cache._replace(cap=max(1, tokens // cache.ratio))
    return cache


def _low_rank(cache: Cache, rank: int) -> Cache:
    if not isinstance(cache, Attention) or rank >= cache.kv_heads * min(cache.k_dim, cache.v_dim):
        return cache
    return cache._replace(kv_heads=1, k_dim=rank, v_dim=rank)
