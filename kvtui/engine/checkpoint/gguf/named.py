"""GGUF file types as checkpoint formats, by the names of llama.cpp and of those who publish files.

``Q4_K_M`` and ``IQ4_XS`` are what llama.cpp's quantiser makes of a model. ``Q4_K_L`` has embedding and output in Q8_0
besides. ``UD-Q4_K_XL`` is Unsloth's mixture, chosen for each model, of which only bounds are known: the upper one is
planned.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from fractions import Fraction
from typing import NamedTuple

from kvtui.engine.basis.errors import UnknownName
from kvtui.engine.checkpoint.encoding import Encoding
from kvtui.engine.checkpoint.format import CheckpointFormat, EncodingRule, Part
from kvtui.engine.checkpoint.gguf.contents import LARGER_EDGES, TypedPart, contents
from kvtui.engine.checkpoint.gguf.recipes import BASES
from kvtui.engine.checkpoint.gguf.types import UNQUANTISED, encoding
from kvtui.engine.model.spec import ModelSpec
from kvtui.engine.model.tensors import Tensor


class DynamicSize(NamedTuple):
    """Files lie between ``low`` and ``high`` per cent above those of ``file_type``."""

    file_type: str
    low: int
    high: int


BANDS = {
    "ud-q8_k_xl": DynamicSize("Q8_0", 1, 46),
    "ud-q6_k_xl": DynamicSize("Q6_K", 5, 17),
    "ud-q5_k_xl": DynamicSize("Q5_K_M", 2, 8),
    "ud-q4_k_xl": DynamicSize("Q4_K_M", -9, 7),
    "ud-q3_k_xl": DynamicSize("Q3_K_M", -8, 9),
    "ud-q2_k_xl": DynamicSize("Q2_K", -8, 4),
    "ud-iq2_m": DynamicSize("IQ2_M", -3, 3),
    "ud-iq1_s": DynamicSize("IQ1_S", -3, 26),
}
"""Unsloth's dynamic files, whose tensor types are chosen for each model, beside llama.cpp's of the same letter.

From published sizes of gemma-3-1b, Qwen3-30B, Qwen3-235B, Qwen3.5-0.8B to 397B, Qwen3-Coder-Next, Qwen3.6-27B and
DeepSeek-671B, and the size of a file of Qwen3.6-27B in a log. Of small models more stays in 16 bits: UD-Q8_K_XL of 0.8B
is 45 % above Q8_0, of 27B 23 %, of Qwen3-Coder-Next 2 %; UD-Q4_K_XL of 122B and 397B are 8 and 9 % below Q4_K_M.
"""

_ALIASES = {"q3_k": "q3_k_m", "q4_k": "q4_k_m", "q5_k": "q5_k_m"}


def _key(file_type: str) -> str:
    return f"gguf-{file_type.lower()}" if file_type in UNQUANTISED else file_type.lower()


_FILE_TYPES = {_key(name): name for name in (*BASES, *LARGER_EDGES)}
_ABSENT = Encoding(0)
_SIZED = re.compile(r"(q[2-5]_k) - (small|medium|large)")
_LOADER_NAMES = {"q2_k_m": "q2_k", "iq3_s mix": "iq3_m", "mxfp4 moe": "mxfp4_moe"}
_KEYS = {key.replace("-", "_"): key for key in (*_FILE_TYPES, *BANDS)} | _ALIASES
_NAMED = re.compile(
    rf"(?<![a-z0-9_])(?:{'|'.join(sorted((*_FILE_TYPES, *BANDS, *_ALIASES), key=len, reverse=True))})(?![a-z0-9_])"
)


def file_type_names() -> tuple[str, ...]:
    """The names of all file types; the unquantised ones begin with ``gguf-``, to tell them from other families'."""
    return (*_FILE_TYPES, *BANDS)


def file_type_keys() -> Mapping[str, str]:
    """The names of all file types by each spelling, with underscores."""
    return _KEYS


def file_type_key(name: str) -> str | None:
    """The spelling of ``name`` among ``file_type_names``; None for other names.

    Case does not matter, nor hyphens for underscores: ``Q4_K_M`` and ``q4-k-m`` are ``q4_k_m``, ``Q4_K`` is as well.
    """
    return _KEYS.get(name.strip().lower().replace("-", "_"))


def file_type_in(text: str) -> str | None:
    """The file type that a file's name tells, or a loader's line: ``Qwen3-8B-UD-Q4_K_XL.gguf``, ``Q4_K - Medium``."""
    said = _SIZED.sub(lambda found: f"{found[1]}_{found[2][0]}", text.lower())
    found = _NAMED.search(_LOADER_NAMES.get(said.partition(" - ")[0], said))
    return None if found is None else file_type_key(found[0])


def named_format(name: str, model: ModelSpec) -> CheckpointFormat:
    """The file type ``name`` of ``model``; of a dynamic one, the upper bound. Raises UnknownName."""
    key = file_type_key(name)
    if key is None:
        raise UnknownName("GGUF file type", name, file_type_names())
    if key in BANDS:
        band = BANDS[key]
        said = f"Unsloth's dynamic mixture, {band.low:+d} to {band.high:+d} % of {band.file_type}; the most is planned"
        form = _format(_key(band.file_type), band.file_type, model)
        return _scaled(form._replace(name=key, meaning=said), Fraction(100 + band.high, 100))
    return _format(key, _FILE_TYPES[key], model)


def _format(key: str, file_type: str, model: ModelSpec) -> CheckpointFormat:
    """One rule for all layers that store a tensor alike; the base type for weights that are known by number only."""
    alike: dict[tuple[Tensor, Part, tuple[TypedPart, ...]], set[int]] = {}
    layers: dict[tuple[Tensor, Part], set[int]] = {}
    for one, typed in contents(model, file_type) if model.parameters is not None else ():
        alike.setdefault((one.tensor, one.place.part, typed), set()).add(one.place.layer)
        layers.setdefault((one.tensor, one.place.part), set()).add(one.place.layer)
    rules = [EncodingRule(_ABSENT, frozenset({"tower"}))]
    for (tensor, part, typed), numbers in alike.items():
        some = part == "layer" and numbers != layers[tensor, part]
        where = frozenset(numbers) if some else None
        rules.append(
            EncodingRule(_encoding(typed), frozenset({tensor.role}), frozenset({part}), tensor=tensor, layers=where)
        )
    base = BASES[LARGER_EDGES[file_type].base if file_type in LARGER_EDGES else file_type]
    by_layer = any(rule.layers is not None for rule in rules)
    return CheckpointFormat(key, _meaning(file_type, base), encoding(base), tuple(rules), by_layer)


def _meaning(file_type: str, base: str) -> str:
    edges = f"; embedding and output in {LARGER_EDGES[file_type].edges}" if file_type in LARGER_EDGES else ""
    most = "experts in MXFP4, all else in Q8_0" if file_type == "MXFP4_MOE" else f"mostly {base}"
    return f"GGUF {file_type}, {most}{edges}; norms and routers in F32; encoders are another file, not counted"


def _encoding(typed: tuple[TypedPart, ...]) -> Encoding:
    """How a tensor is stored; of one that is several in a file, the mean."""
    if len(typed) == 1:
        return encoding(typed[0].type)
    elements = sum(one.part.number * one.part.rows * one.part.columns for one in typed)
    return Encoding(Fraction(8 * sum(one.bytes for one in typed), elements))


def _scaled(form: CheckpointFormat, factor: Fraction) -> CheckpointFormat:
    """``form`` with every tensor ``factor`` times as large."""

    def larger(held: Encoding) -> Encoding:
        return held._replace(bits=held.bits * factor)

    rules = tuple(rule._replace(encoding=larger(rule.encoding)) for rule in form.rules)
    return form._replace(plain=larger(form.plain), rules=rules)
