"""Every name that a weight format may have: those of checkpoint formats, and of element formats.

An element format such as ``int8`` stores every weight alike. A name that is both, such as ``mxfp4`` or ``q8_0``, is the
checkpoint format: what its usual producer makes of the model. The two families of recipes are loaded when one of their
names is asked for: most scenarios, and every start, have whole elements.
"""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING

from kvtui.engine.basis.errors import UnknownName
from kvtui.engine.checkpoint.encoding import Encoding
from kvtui.engine.checkpoint.format import CheckpointFormat
from kvtui.engine.model.formats import FORMATS, WEIGHT_FORMATS, canonical
from kvtui.engine.model.spec import ModelSpec

if TYPE_CHECKING:
    from fractions import Fraction

WHOLE = {"bf16": 16, "fp16": 16, "fp32": 32}
"""Formats that store every weight as one element, with its bits."""


def weight_names() -> tuple[str, ...]:
    """The names of all weight formats; of those with a number of bits in the name, one each."""
    from kvtui.engine.checkpoint.gguf.named import file_type_names
    from kvtui.engine.checkpoint.hf.named import format_names

    checkpoints = (*WHOLE, *format_names(), *file_type_names())
    return (*checkpoints, *(name for name in WEIGHT_FORMATS if name not in checkpoints))


def format_key(name: str) -> str:
    """The spelling of a format's ``name`` that stands in a scenario: ``FLOAT16`` becomes ``fp16``, ``Q4_K`` q4_k_m.

    Unknown names stay as they are but for case.
    """
    element = canonical(name)
    if element in WEIGHT_FORMATS:
        return element
    from kvtui.engine.checkpoint.gguf.named import file_type_key
    from kvtui.engine.checkpoint.hf.named import known_key

    return file_type_key(name) or known_key(name)


@lru_cache(maxsize=512)
def checkpoint_format(name: str, model: ModelSpec) -> CheckpointFormat:
    """How the weights of ``model`` are stored in the format ``name``: ``AWQ`` and ``awq-g64``, ``Q4_K_M`` and ``f16``.

    Raises UnknownName.
    """
    key = format_key(name)
    if key in WHOLE:
        return _alike(key, WHOLE[key])
    from kvtui.engine.checkpoint.gguf.named import file_type_key
    from kvtui.engine.checkpoint.gguf.named import named_format as gguf_format
    from kvtui.engine.checkpoint.hf.named import format_names, named_format

    if file_type_key(key) is not None:
        return gguf_format(key, model)
    if key in WEIGHT_FORMATS and key not in format_names():
        from fractions import Fraction

        form = FORMATS[key]
        return _alike(key, Fraction(8 * form.block_bytes, form.block))
    try:
        return named_format(key, model)
    except UnknownName:
        raise UnknownName("weight-dtype", name, weight_names(), listed=True) from None


def _alike(name: str, bits: int | Fraction) -> CheckpointFormat:
    return CheckpointFormat(name, f"every weight in {float(bits):g} bits", Encoding(bits))
