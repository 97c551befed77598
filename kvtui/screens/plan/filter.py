"""What is typed to filter the table: words, alternatives and sizes, read against names, makers, uses and licences.

``qwen moe, gemma <30b / mac >=64gb`` shows what has both words, or the third and fewer than 30 billion parameters, on
devices of Apple's with at least 64 GB. What is typed for devices is read against names, makers, kinds and vendors.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import NamedTuple, TypeVar

from kvtui.engine.device.spec import DeviceSpec
from kvtui.engine.model.labels import labels
from kvtui.engine.model.spec import ModelSpec
from kvtui.engine.scenario.scenario import has_experts

T = TypeVar("T")

_SIZE = re.compile(r"(<=|>=|<|>|=)([0-9]{1,6}(?:\.[0-9]{1,3})?)(b|gb)?", re.IGNORECASE)
_TESTS: dict[str, Callable[[float, float], bool]] = {
    "<": lambda size, limit: size < limit,
    ">": lambda size, limit: size > limit,
    "<=": lambda size, limit: size <= limit,
    ">=": lambda size, limit: size >= limit,
    "=": lambda size, limit: round(size, 1) == limit,
}
_OTHER_NAMES = {
    "Apple": "mac macbook metal",
    "NVIDIA": "cuda geforce",
    "AMD": "rocm radeon instinct",
    "Google": "tpu",
    "datacentre": "datacenter server",
    "consumer": "gaming desktop",
}


class Findable(NamedTuple):
    """All ``words`` that something is found by, and its ``size``: billions of parameters, or GB; None if unknown."""

    words: str
    size: float | None


@lru_cache(maxsize=4096)
def model_words(model: ModelSpec) -> Findable:
    """What a model is found by: names, who published it, use, licence, kinds of layers, and its parameters."""
    known = labels(model.name)
    kinds = [kind.replace("_", " ") for kind in model.layer_kinds]
    shapes = ["moe" if has_experts(model) else "dense", *(["mla"] if "latent" in model.layer_kinds else ())]
    shapes += ["hybrid"] if model.state_bytes() else []
    words = (model.name, *model.aliases, known.licence, *known.uses, *kinds, *shapes)
    return Findable(" ".join(words), None if model.parameters is None else model.parameters / 1e9)


@lru_cache(maxsize=4096)
def device_words(device: DeviceSpec) -> Findable:
    """What a device is found by: names, maker, kind, memory and software, and its size on the box."""
    words = (device.name, *device.aliases, device.vendor, device.family, device.memory.kind, device.platform)
    others = (_OTHER_NAMES.get(device.vendor, ""), _OTHER_NAMES.get(device.family, ""))
    return Findable(" ".join((*words, *others)), device.nominal_gb)


def chosen(things: Sequence[T], wanted: str, described: Callable[[T], Findable]) -> list[int]:
    """The places of the ``things`` that have all words and sizes of one of the alternatives; all for nothing."""
    choices = _choices(wanted)
    if not choices:
        return list(range(len(things)))
    found = [described(thing) for thing in things]
    return [place for place, one in enumerate(found) if any(_has(one, choice) for choice in choices)]


def named(names: Sequence[str], wanted: str) -> list[int]:
    """The places of the ``names`` that have all words of one of the alternatives between commas; all for nothing."""
    return chosen(names, wanted, lambda name: Findable(name, None))


def _choices(wanted: str) -> list[list[str]]:
    return [choice.split() for choice in wanted.casefold().split(",") if choice.strip()]


def _has(one: Findable, choice: list[str]) -> bool:
    words = one.words.casefold()
    return all(_is_size(one.size, word) if _SIZE.fullmatch(word) else word in words for word in choice)


def _is_size(size: float | None, word: str) -> bool:
    found = _SIZE.fullmatch(word)
    assert found is not None
    return size is not None and _TESTS[found[1]](size, float(found[2]))
