"""Checkpoint formats by the names that people use: ``awq``, ``gptq-int8``, ``fp8``, ``nvfp4``, ``mlx-4bit``.

A name stands for what the usual producer of such files makes of a model: which matrices it quantises and which stay in
16 bits. ``-g32`` after a name sets the group size where the method has one, and ``-experts``, ``-mlp`` or ``-linear16``
say that the producer quantised less.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from fractions import Fraction

from kvtui.engine.basis.errors import UnknownName
from kvtui.engine.checkpoint.encoding import Encoding
from kvtui.engine.checkpoint.format import CheckpointFormat, EncodingRule
from kvtui.engine.checkpoint.hf import recipes
from kvtui.engine.checkpoint.hf.usual import KEPT, MATRICES, PARTIAL, fp8, mxfp4, nvfp4, partial, uniform
from kvtui.engine.model.spec import ModelSpec
from kvtui.engine.model.tensors import Role

Maker = Callable[[ModelSpec, str], CheckpointFormat]
Grouped = Callable[[int], Encoding]

_GROUP = re.compile(r"(.+)-g([1-9][0-9]{0,4})")
_BPW = re.compile(r"(exl[23])-([1-9](?:\.[0-9]{1,3})?)bpw")
_BITS = re.compile(r"(mlx|hqq)-([2-68])bit")
_HEAD_BITS = Fraction(6)
_ROUTER = recipes.affine(8, 64)
_NARROW: frozenset[Role] = frozenset({"embedding", "head", "recurrent_gate", "indexer_gate", "per_layer", "compressor"})


def _whole(bits: int) -> Maker:
    return lambda model, name: CheckpointFormat(name, f"every weight in {bits} bits", recipes.plain(bits))


def _same(meaning: str, encoding: Encoding) -> Maker:
    return lambda model, name: uniform(name, f"{meaning}; {KEPT}", encoding)


_FIXED: dict[str, Maker] = {
    "bf16": _whole(16),
    "fp16": _whole(16),
    "fp32": _whole(32),
    "fp8": fp8,
    "fp8-block": _same("FP8 with a scale per block of 128 × 128", recipes.blocks()),
    "fp8-channel": _same("FP8 with a scale per output channel", recipes.per_channel()),
    "fp8-tensor": _same("FP8 with one scale per matrix and one for its input", recipes.per_tensor()),
    "w8a8": _same("int8 with a scale per output channel", recipes.per_channel()),
    "nvfp4": nvfp4,
    "mxfp4": mxfp4,
    "nf4": _same("bitsandbytes NF4 with double quantisation", recipes.nf4()),
    "nf4-single": _same("bitsandbytes NF4 without double quantisation", recipes.nf4(double=False)),
    "bnb-8bit": _same("bitsandbytes int8, an fp32 scale per output channel", recipes.per_channel(32)),
}
_GROUPED: dict[str, tuple[str, int, Grouped]] = {
    "awq": ("AWQ, 4 bits with a scale and a zero per {group}", 128, lambda group: recipes.awq(4, group)),
    "gptq": ("GPTQ, 4 bits with a scale and a zero per {group}", 128, lambda group: recipes.gptq(4, group)),
    "gptq-int8": ("GPTQ, 8 bits with a scale and a zero per {group}", 128, lambda group: recipes.gptq(8, group)),
    "w4a16": ("compressed-tensors int4 with a scale per {group}", 128, lambda group: recipes.packed(4, group)),
    "w8a16": ("compressed-tensors int8 with a scale per {group}", 128, lambda group: recipes.packed(8, group)),
    "int4wo": ("torchao int4 with a scale and a zero per {group}", 128, lambda group: recipes.affine(4, group)),
}
_ALIASES = {
    "bfloat16": "bf16",
    "float16": "fp16",
    "half": "fp16",
    "f16": "fp16",
    "float32": "fp32",
    "f32": "fp32",
    "gptq-int4": "gptq",
    "fp8-dynamic": "fp8-channel",
    "bnb-4bit": "nf4",
    "bnb-nf4": "nf4",
    "hqq": "hqq-4bit",
    "mlx": "mlx-4bit",
}
_EXAMPLES = ("mlx-4bit", "mlx-mxfp4", "mlx-nvfp4", "mlx-mxfp8", "hqq-4bit", "exl2-4.0bpw", "exl3-4.0bpw")
_PARTIAL_EXAMPLES = ("nvfp4-mlp", "nvfp4-linear16", "w4a16-g32-experts")
_MLX_MODES = {"mlx-mxfp4": (4, 32), "mlx-nvfp4": (4, 16), "mlx-mxfp8": (8, 32)}


def format_names() -> tuple[str, ...]:
    """The names of formats; of those with a number of bits in the name, one each."""
    return (*_FIXED, *_GROUPED, *_PARTIAL_EXAMPLES, *_EXAMPLES)


def known_key(name: str) -> str:
    """The spelling of a format's ``name`` that is looked up: case and underscores do not matter."""
    key = name.strip().lower().replace("_", "-")
    return _ALIASES.get(key, key)


def named_format(name: str, model: ModelSpec) -> CheckpointFormat:
    """The format ``name`` of ``model``.

    ``fp8``, ``nvfp4`` and ``mxfp4`` are what is usual for the model; ``meaning`` of the result says what that is.
    Raises UnknownName.
    """
    key = known_key(name)
    base, _, ending = key.rpartition("-")
    if base and ending in PARTIAL:
        return partial(named_format(base, model), key, ending)
    if key in _FIXED:
        return _FIXED[key](model, key)
    if key in _MLX_MODES:
        return mlx(key, recipes.scaled(*_MLX_MODES[key]))
    found = _GROUP.fullmatch(key)
    base, group = (_ALIASES.get(found[1], found[1]), int(found[2])) if found else (key, None)
    if base in _GROUPED:
        said, usual, encoding = _GROUPED[base]
        return uniform(key, f"{said.format(group=group or usual)}; {KEPT}", encoding(group or usual))
    made = _numbered(key, base, group)
    if made is None:
        raise UnknownName("weight format", name, format_names())
    return made


def _numbered(key: str, base: str, group: int | None) -> CheckpointFormat | None:
    """The format of a name with a number in it, as in ``mlx-4bit`` or ``exl3-3.5bpw``."""
    if bits := _BITS.fullmatch(base):
        encoding = recipes.affine(int(bits[2]), group or 64)
        if bits[1] == "mlx":
            return mlx(key, encoding)
        return uniform(key, f"HQQ, {bits[2]} bits with a scale and a zero per {group or 64}; {KEPT}", encoding)
    if (rate := _BPW.fullmatch(base)) and group is None:
        return exl(key, rate[1], Fraction(rate[2]))
    return None


def mlx(name: str, encoding: Encoding) -> CheckpointFormat:
    """MLX: embeddings and head too, routers in 8 bits, and no prediction layers; unfit rows stay in 16 bits."""
    said = "MLX, embeddings and head quantised too; routers in 8 bits; norms and towers in 16; no prediction layers"
    rules = (
        EncodingRule(recipes.absent(), roles=None, parts=frozenset({"mtp"})),
        EncodingRule(_ROUTER, frozenset({"router", "shared_router"}), whole=True),
        EncodingRule(encoding, MATRICES | _NARROW, whole=True),
    )
    return CheckpointFormat(name, said, recipes.plain(), rules)


def exl(name: str, method: str, bits: Fraction, head: Fraction = _HEAD_BITS) -> CheckpointFormat:
    """ExLlama: ``bits`` per weight in the layers, ``head`` in the head, 16 elsewhere, and no prediction layers."""
    encoding = recipes.exl2 if method == "exl2" else recipes.exl3
    said = f"{method.upper()}, {float(bits):g} bits per weight of the layers, {float(head):g} of the head"
    rules = (
        EncodingRule(recipes.absent(), roles=None, parts=frozenset({"mtp"})),
        EncodingRule(encoding(head), frozenset({"head"})),
        EncodingRule(encoding(bits), MATRICES),
    )
    return CheckpointFormat(name, said, recipes.plain(), rules)
