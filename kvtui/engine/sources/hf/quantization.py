"""What a config.json says of how the weights beside it are stored → CheckpointFormat.

Files say it under ``quantization_config`` (MLX also under ``quantization``), each method with fields of its own. A
method or scheme that is not known is an error that names it: no size may be given for it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from fractions import Fraction

from kvtui.engine.basis.json_object import shown
from kvtui.engine.basis.untrusted import plain as harmless
from kvtui.engine.checkpoint.encoding import Encoding
from kvtui.engine.checkpoint.format import CheckpointFormat, EncodingRule
from kvtui.engine.checkpoint.hf import recipes
from kvtui.engine.checkpoint.hf.named import exl, mlx
from kvtui.engine.checkpoint.hf.usual import EXPERTS, MATRICES
from kvtui.engine.model.tensors import Role
from kvtui.engine.sources.hf.fields import Config
from kvtui.engine.sources.hf.quantization_fields import (
    EVERYWHERE,
    LINEAR,
    block,
    group_size,
    made,
    modules,
    shown_group,
    tells_layers_apart,
)
from kvtui.engine.sources.hf.quantized_groups import compressed_tensors, modelopt

QUANTIZATION = "quantization_config"
_FIELDS = (QUANTIZATION, "compression_config", "quantization")
_NESTED = ("text_config", "language_config", "llm_config", "thinker_config")


def format_from_config(config: Mapping[str, object], where: str) -> CheckpointFormat:
    """How the checkpoint that has the parsed ``config`` stores its weights; ``where`` is the file as shown in errors.

    Without a quantisation every weight has the file's ``torch_dtype``, 16 bits where it does not say. Raises InputError
    naming the field that is wrong or not understood.
    """
    outer = Config(config, where)
    parts = [outer, *(inner for field in _NESTED if (inner := outer.inner(field)) is not None)]
    experts = next((rule for part in parts if (rule := _expert_rule(part)) is not None), None)
    for part in parts:
        for field in _FIELDS:
            found = part.inner(field)
            if found is not None:
                return _quantized(found, experts)
    dtype = next(
        (text for part in parts for field in ("torch_dtype", "dtype") if (text := part.text(field))), "bfloat16"
    )
    bits = 32 if dtype.removeprefix("torch.") == "float32" else 16
    return CheckpointFormat({32: "fp32", 16: "bf16"}[bits], f"every weight in {bits} bits", recipes.plain(bits))


def _expert_rule(part: Config) -> EncodingRule | None:
    """DeepSeek-V4's files say apart from the quantisation that experts have 4 bits."""
    dtype = part.text("expert_dtype")
    if dtype is None:
        return None
    if dtype != "fp4":
        raise part.error("expert_dtype", f"{shown(dtype)} is not understood")
    return EncodingRule(recipes.mxfp4(), EXPERTS, EVERYWHERE)


def _quantized(config: Config, experts: EncodingRule | None) -> CheckpointFormat:
    apart = config.inner("quantization")
    if apart is not None:
        return _quantized(apart, experts)
    method = (config.text("quant_method") or "").lower()
    if not method:
        method = "modelopt" if config.raw("quant_algo") is not None else "mlx" if config.raw("bits") is not None else ""
    reader = _METHODS.get(method)
    if reader is None:
        raise config.error(
            "quant_method", f"'{harmless(method, 40)}' is not understood; known are {', '.join(_METHODS)}"
        )
    found = reader(config)
    if experts is None:
        return found
    return found._replace(meaning=f"MXFP4 experts, the rest {found.meaning}", rules=(experts, *found.rules))


def _awq(config: Config) -> CheckpointFormat:
    bits, group = config.count("bits", "w_bit", most=8), group_size(config, "group_size", "q_group_size")
    said = f"AWQ, {bits} bits with a scale and a zero per {shown_group(group)}"
    return made(config, "awq", said, (EncodingRule(recipes.awq(bits, group), MATRICES),), "modules_to_not_convert")


def _gptq(config: Config) -> CheckpointFormat:
    bits, group = config.count("bits", most=8), group_size(config, "group_size")
    symmetric, ordered = config.flag("sym", True), config.flag("desc_act")

    def encoding(bits: int, group: int) -> Encoding:
        return recipes.gptq(bits, group, symmetric=symmetric, ordered=ordered)

    roles: frozenset[Role] = MATRICES.union(("head",)) if config.flag("lm_head") else MATRICES
    rules = (*_gptq_overrides(config, encoding, bits, group), EncodingRule(encoding(bits, group), roles))
    said = f"GPTQ, {bits} bits with a scale and a zero per {shown_group(group)}"
    return made(config, "gptq" if bits == 4 else f"gptq-int{bits}", said, rules, "modules_to_not_convert")


def _gptq_overrides(
    config: Config, encoding: Callable[[int, int], Encoding], bits: int, group: int
) -> tuple[EncodingRule, ...]:
    """The rules of ``dynamic``: patterns of modules, ``-:`` left alone, others with bits and groups of their own."""
    dynamic = config.inner("dynamic")
    if dynamic is None:
        return ()
    rules = []
    for key in dynamic.values:
        named = modules(config, "dynamic", [f"re:{key.removeprefix('+:').removeprefix('-:')}"])
        other = dynamic.inner(key)
        if key.startswith("-:") or other is None:
            rules.append(EncodingRule(recipes.plain(), None, EVERYWHERE, named))
        else:
            own = other.maybe("bits", most=8) or bits, group_size(other, "group_size", usual=group)
            rules.append(EncodingRule(encoding(*own), MATRICES, named=named))
    return tuple(rules)


def _fp8(config: Config) -> CheckpointFormat:
    scheme = config.text("activation_scheme") or "dynamic"
    if config.raw("weight_block_size") is None:
        name, said, encoding = "fp8-tensor", "FP8 with one scale per matrix", recipes.per_tensor(scheme == "static")
    else:
        rows, columns = block(config, "weight_block_size")
        name, said = "fp8-block", f"FP8 with a scale per block of {rows} × {columns}"
        encoding = recipes.blocks(rows, columns)
    rules = (EncodingRule(encoding, MATRICES.union(("tower",)), EVERYWHERE),)
    return made(config, name, said, rules, "modules_to_not_convert", "ignored_layers")


def _fbgemm(config: Config) -> CheckpointFormat:
    said = "FP8 with a scale per output channel"
    return made(
        config, "fp8-channel", said, (EncodingRule(recipes.per_channel(32), MATRICES),), "modules_to_not_convert"
    )


def _mxfp4(config: Config) -> CheckpointFormat:
    rules = (EncodingRule(recipes.mxfp4(), EXPERTS, EVERYWHERE),)
    return made(config, "mxfp4", "MXFP4 experts, the rest in 16 bits", rules, "modules_to_not_convert")


def _bitsandbytes(config: Config) -> CheckpointFormat:
    skipped = "llm_int8_skip_modules"
    if config.flag("load_in_8bit") or config.flag("_load_in_8bit"):
        rules = (EncodingRule(recipes.per_channel(32), LINEAR),)
        return made(config, "bnb-8bit", "bitsandbytes int8, an fp32 scale per output channel", rules, skipped)
    double = config.flag("bnb_4bit_use_double_quant")
    kind = harmless(config.text("bnb_4bit_quant_type") or "fp4", 20)
    said = f"bitsandbytes {kind} {'with' if double else 'without'} double quantisation"
    rules = (EncodingRule(recipes.nf4(double=double), LINEAR),)
    return made(config, "nf4" if double else "nf4-single", said, rules, skipped)


def _hqq(config: Config) -> CheckpointFormat:
    settings = config.inner("quant_config")
    if settings is None:
        raise config.error("quant_config", "is missing")
    settings = settings.inner("weight_quant_params") or settings
    bits, group = settings.count("nbits", most=8), group_size(settings, "group_size")
    said = f"HQQ, {bits} bits with a scale and a zero per {shown_group(group)}"
    rules = (EncodingRule(recipes.affine(bits, group), LINEAR),)
    return made(config, f"hqq-{bits}bit", said, rules, "skip_modules", "modules_to_not_convert")


def _torchao(config: Config) -> CheckpointFormat:
    kind, settings = _torchao_type(config)
    match kind:
        case "int4_weight_only" | "Int4WeightOnlyConfig":
            group = group_size(settings, "group_size", usual=128)
            name, said = "int4wo", f"int4 with a scale and a zero per {shown_group(group)}"
            encoding = recipes.affine(4, group)
        case "int8_weight_only" | "Int8WeightOnlyConfig":
            name, said, encoding = "int8wo", "int8 with a scale per output channel", recipes.per_channel()
        case "int8_dynamic_activation_int8_weight" | "Int8DynamicActivationInt8WeightConfig":
            name, said, encoding = "w8a8", "int8 with a scale per output channel", recipes.per_channel()
        case "float8_weight_only" | "Float8WeightOnlyConfig" | "Float8DynamicActivationFloat8WeightConfig":
            name, said, encoding = "fp8-channel", "FP8 with a scale per output channel", recipes.per_channel(32)
        case _:
            raise config.error("quant_type", f"'{harmless(kind, 60)}' is not understood")
    rules = (EncodingRule(encoding, LINEAR),)
    return made(config, name, f"torchao {said}", rules, "modules_to_not_convert")


def _torchao_type(config: Config) -> tuple[str, Config]:
    """The scheme's name and its settings, which stand in one of two ways."""
    if isinstance(config.raw("quant_type"), str):
        empty = Config({}, config.where, config.prefix)
        return config.text("quant_type") or "", config.inner("quant_type_kwargs") or empty
    kind = config.inner("quant_type")
    default = None if kind is None else kind.inner("default")
    if default is None:
        raise config.error("quant_type", "names no scheme for all modules")
    return default.text("_type") or "", default.inner("_data") or default


def _exl(config: Config) -> CheckpointFormat:
    method = config.text("quant_method") or ""
    bits = Fraction(config.number("bits", 0.0) or 0).limit_denominator(1000)
    if not 1 <= bits <= 16:
        raise config.error("bits", "is missing or not between 1 and 16")
    head = Fraction(config.number("lm_head_bits" if method == "exl2" else "head_bits", 6.0)).limit_denominator(1000)
    return exl(f"{method}-{float(bits):g}bpw", method, bits, head)


def _mlx(config: Config) -> CheckpointFormat:
    name, encoding = _mlx_encoding(config, 4, 64)
    usual = config.maybe("bits", most=8) or 4, config.maybe("group_size") or 64
    apart: dict[Encoding, list[str]] = {}
    for key, value in config.values.items():
        if value is False:
            apart.setdefault(recipes.plain(), []).append(key)
        elif isinstance(value, dict) and (other := config.inner(key)) is not None:
            apart.setdefault(_mlx_encoding(other, *usual)[1], []).append(key)
    found = mlx(f"mlx-{name}", encoding)
    rules = tuple(EncodingRule(own, None, named=modules(config, "overrides", keys)) for own, keys in apart.items())
    return found._replace(rules=(*rules, *found.rules), by_layer=tells_layers_apart(rules))


def _mlx_encoding(config: Config, bits: int, group: int) -> tuple[str, Encoding]:
    mode = config.text("mode") or "affine"
    bits, group = config.maybe("bits", most=8) or bits, config.maybe("group_size") or group
    if mode == "affine":
        return f"{bits}bit", recipes.affine(bits, group)
    if mode not in ("mxfp4", "nvfp4", "mxfp8"):
        raise config.error("mode", f"{shown(mode)} is not understood")
    return mode, recipes.scaled(bits, group)


_METHODS: dict[str, Callable[[Config], CheckpointFormat]] = {
    "awq": _awq,
    "gptq": _gptq,
    "compressed-tensors": compressed_tensors,
    "fp8": _fp8,
    "fbgemm_fp8": _fbgemm,
    "modelopt": modelopt,
    "modelopt_fp4": modelopt,
    "mxfp4": _mxfp4,
    "bitsandbytes": _bitsandbytes,
    "hqq": _hqq,
    "torchao": _torchao,
    "exl2": _exl,
    "exl3": _exl,
    "mlx": _mlx,
}
