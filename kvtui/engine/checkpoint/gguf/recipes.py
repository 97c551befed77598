"""The type that llama.cpp's quantiser gives each tensor of a file type.

The rules are those of ``llama_tensor_get_type_impl`` in llama-quant.cpp (llama.cpp 007dbbf3), for all architectures but
Falcon. A file type has a base type; the output, values, attention's output and down-projections are what most of
them store in more bits. Example: in Q4_K_M, whose base is Q4_K, half of the values and down-projections are Q6_K.

Some file types depend on an importance matrix. IQ3_XXS, which needs one, and IQ4_XS and IQ4_NL are taken to be made
with one, as the usual quantisers publish them; Q4_0 and Q5_0 without (with one, an eighth of the down-projections is
Q4_1 or Q5_1, which adds 0.4 %).
"""

from __future__ import annotations

from typing import NamedTuple

from kvtui.engine.checkpoint.gguf.tensors import Category
from kvtui.engine.checkpoint.gguf.types import BLOCKS, UNQUANTISED, fitting

BASES = {
    "F32": "F32",
    "F16": "F16",
    "BF16": "BF16",
    "Q8_0": "Q8_0",
    "Q6_K": "Q6_K",
    "Q5_K_M": "Q5_K",
    "Q5_K_S": "Q5_K",
    "Q5_1": "Q5_1",
    "Q5_0": "Q5_0",
    "Q4_K_M": "Q4_K",
    "Q4_K_S": "Q4_K",
    "Q4_1": "Q4_1",
    "Q4_0": "Q4_0",
    "IQ4_NL": "IQ4_NL",
    "IQ4_XS": "IQ4_XS",
    "MXFP4_MOE": "MXFP4",
    "Q3_K_L": "Q3_K",
    "Q3_K_M": "Q3_K",
    "Q3_K_S": "Q3_K",
    "IQ3_M": "IQ3_S",
    "IQ3_S": "IQ3_S",
    "IQ3_XS": "IQ3_S",
    "IQ3_XXS": "IQ3_XXS",
    "Q2_K": "Q2_K",
    "Q2_K_S": "Q2_K",
    "IQ2_M": "IQ2_S",
    "IQ2_S": "IQ2_XS",
    "IQ2_XS": "IQ2_XS",
    "IQ2_XXS": "IQ2_XXS",
    "TQ2_0": "TQ2_0",
    "TQ1_0": "TQ1_0",
    "IQ1_M": "IQ1_M",
    "IQ1_S": "IQ1_S",
}
"""File types, with the type of most of their tensors."""

FEW_BITS = frozenset({"IQ1_S", "IQ1_M", "IQ2_XXS", "IQ2_XS", "IQ2_S", "IQ2_M"})
_ONE_BIT = frozenset({"IQ1_S", "IQ1_M"})
_TWO_BITS = frozenset({"IQ2_S", "IQ2_M"})
_OUTPUT = dict.fromkeys((*FEW_BITS, "IQ3_XXS"), "Q5_K")
_EMBEDDING = {
    **dict.fromkeys(("IQ1_S", "IQ1_M", "IQ2_XXS", "IQ2_XS"), "Q2_K"),
    **dict.fromkeys(("IQ2_S", "IQ2_M", "IQ3_XXS"), "IQ3_S"),
    **dict.fromkeys(("TQ1_0", "TQ2_0"), "Q4_K"),
}
_VALUES = {"IQ3_M": "Q4_K", "Q3_K_L": "Q5_K", "Q2_K": "Q3_K"}
_VALUES_OF_FOUR = {
    **dict.fromkeys(("Q2_K", "Q2_K_S", "IQ3_XXS", "IQ3_XS", "IQ3_S"), "Q4_K"),
    **dict.fromkeys(("IQ4_NL", "IQ4_XS"), "Q5_K"),
}
_QUERIES_AND_KEYS = {"IQ3_XS": "IQ3_XXS", "IQ3_XXS": "IQ2_S"}
_QUERIES_KEYS_AND_VALUES = {
    **dict.fromkeys(("Q3_K_M", "Q3_K_L", "IQ3_M"), "Q4_K"),
    "Q4_K_M": "Q5_K",
    "Q5_K_M": "Q6_K",
}
_ATTENTION_OUTPUT = {"Q2_K": "Q3_K", "IQ3_XXS": "IQ3_S", "Q3_K_M": "Q4_K", "Q3_K_L": "Q5_K", "IQ3_M": "Q4_K"}
_ATTENTION_OUTPUT_OF_EIGHT = frozenset(
    ("Q2_K", "IQ3_XXS", "IQ3_XS", "IQ3_S", "IQ3_M", "Q3_K_S", "Q3_K_M", "IQ4_NL", "IQ4_XS", "Q4_K_S", "Q4_K_M")
)
_DOWN = {"Q2_K": "Q3_K", "Q3_K_M": "Q4_K", "Q3_K_L": "Q5_K"}
_FIRST_DOWN = {"Q2_K_S": "Q4_K", "IQ3_M": "Q4_K", "Q4_K_S": "Q5_K"}
_MORE_BITS = frozenset({"Q4_K_M", "Q5_K_M"})
_MIXTRAL_EXPERTS = 8


class Whole(NamedTuple):
    """What the rules ask of a model.

    ``layers``, prediction layers in the file included, and those with ``values`` (attn_v or attn_qkv); query heads per
    KV head, ``grouped``; routed ``experts`` of a layer; whether it is of the ``large`` shape of Llama-70B, and whether
    the output is ``tied`` to the embedding.
    """

    layers: int
    values: int
    grouped: int
    experts: int
    large: bool
    tied: bool


class Position(NamedTuple):
    """Where a tensor stands among those of its kind.

    ``block`` is its layer in models with experts, and otherwise as ``running``: how many of its category came before.
    """

    block: int
    running: int


def more_bits(index: int, number: int) -> bool:
    """Whether the tensor at ``index`` of ``number`` gets more bits: the first and last eighth, and every third between.

    Example: of 32 layers those are 0 to 3, 6, 9 … 27, and 28 to 31.
    """
    eighth = number // 8
    return index < eighth or index >= 7 * number // 8 or (index - eighth) % 3 == 2


def tensor_type(file_type: str, category: Category, columns: int, at: Position, model: Whole, stacked: bool) -> str:
    """The type of one tensor with rows of ``columns`` elements; ``stacked`` are experts, several matrices in one."""
    base = BASES[file_type]
    if category == "small":
        return "F32"
    if base in UNQUANTISED:
        return base
    if category == "source":
        return "F16"
    if _is_output(category, model) and columns % BLOCKS[base].elements:
        return fitting("Q8_0", columns)
    return fitting(_wanted(file_type, category, at, model, stacked), columns)


def _is_output(category: Category, model: Whole) -> bool:
    """Whether a tensor makes the scores of tokens."""
    return category == "output" or (category == "embedding" and model.tied)


def _wanted(file_type: str, category: Category, at: Position, model: Whole, stacked: bool) -> str:
    base = BASES[file_type]
    if _is_output(category, model):
        return "Q8_0" if file_type in ("MXFP4_MOE", "Q8_0") else _OUTPUT.get(file_type, "Q6_K")
    if file_type == "MXFP4_MOE":
        return base if stacked else "Q8_0"
    if category == "embedding":
        return _EMBEDDING.get(file_type, base)
    if file_type in FEW_BITS:
        return _of_few_bits(file_type, category, at, model)
    match category:
        case "v":
            return _values(file_type, at, model)
        case "q" | "k":
            if category == "k" and model.experts == _MIXTRAL_EXPERTS:
                return "Q8_0"
            return _QUERIES_AND_KEYS.get(file_type, base)
        case "qkv":
            return _QUERIES_KEYS_AND_VALUES.get(file_type, base)
        case "o" if model.experts == _MIXTRAL_EXPERTS:
            return "Q5_K" if file_type in _ATTENTION_OUTPUT_OF_EIGHT else base
        case "o":
            return _ATTENTION_OUTPUT.get(file_type, base)
        case "down":
            return _down(file_type, at, model)
        case "gate" | "up" if file_type == "IQ3_XS":
            return "IQ3_XXS" if model.layers // 8 <= at.block < 7 * model.layers // 8 else base
    return base


def _of_few_bits(file_type: str, category: Category, at: Position, model: Whole) -> str:
    wider = "IQ3_S" if file_type in _TWO_BITS else "Q2_K"
    match category:
        case "v":
            return "Q4_K" if model.grouped >= 4 or model.experts >= 4 else wider
        case "k" if model.experts == _MIXTRAL_EXPERTS:
            return "Q4_K"
        case "down" if at.running < model.layers // 8:
            return wider
        case "o" if model.experts == _MIXTRAL_EXPERTS:
            return "Q5_K"
        case "o" if file_type in _ONE_BIT:
            return "IQ2_XXS"
        case "o" if file_type in _TWO_BITS:
            return "IQ3_S"
    return BASES[file_type]


def _values(file_type: str, at: Position, model: Whole) -> str:
    found = _VALUES.get(file_type, BASES[file_type])
    if file_type == "Q3_K_M":
        found = "Q5_K" if at.running < 2 else "Q4_K"
    elif file_type == "Q4_K_S" and at.running < 4:
        found = "Q5_K"
    elif file_type in _MORE_BITS and more_bits(at.running, model.values):
        found = "Q6_K"
    elif model.grouped >= 4:
        found = _VALUES_OF_FOUR.get(file_type, found)
    if model.large and found in ("Q3_K", "Q4_K"):
        found = "Q5_K"
    return "Q8_0" if model.experts == _MIXTRAL_EXPERTS else found


def _down(file_type: str, at: Position, model: Whole) -> str:
    base = BASES[file_type]
    if file_type == "Q3_K_M" and at.block < model.layers // 16:
        return "Q5_K"
    if at.block < model.layers // 8 and file_type in _FIRST_DOWN:
        return _FIRST_DOWN[file_type]
    if more_bits(at.block, model.layers):
        if file_type in _MORE_BITS:
            return "Q6_K"
        if file_type == "IQ3_M" and model.experts == _MIXTRAL_EXPERTS:
            return "Q4_K"
    return _DOWN.get(file_type, base)
