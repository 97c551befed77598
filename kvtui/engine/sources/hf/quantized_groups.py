"""Quantisation configs that give groups of modules schemes of their own: compressed-tensors and modelopt."""

from __future__ import annotations

from kvtui.engine.basis.json_object import shown
from kvtui.engine.basis.untrusted import plain as harmless
from kvtui.engine.checkpoint.encoding import ALL, Encoding
from kvtui.engine.checkpoint.format import CheckpointFormat, EncodingRule
from kvtui.engine.checkpoint.hf import recipes
from kvtui.engine.model.tensors import Role
from kvtui.engine.sources.hf.fields import Config
from kvtui.engine.sources.hf.quantization_fields import EVERYWHERE, LINEAR, block, entries, group_size, made, modules

_WITH_HEAD: frozenset[Role] = LINEAR.union(("head",))


def compressed_tensors(config: Config) -> CheckpointFormat:
    """Compressed-tensors: groups of modules, each with a scheme, and a list of those left alone."""
    groups = config.inner("config_groups")
    if groups is None:
        raise config.error("config_groups", "is missing")
    layout = config.text("format") or ""
    named, classes, names = [], [], []
    for key in groups.values:
        group = groups.inner(key)
        weights = None if group is None else group.inner("weights")
        if group is None or weights is None:
            continue
        name, encoding = _weights(weights, group.text("format") or layout, _static(group))
        names.append(name)
        targets = entries(group, "targets") or ("Linear",)
        wanted = tuple(target for target in targets if target.startswith("re:") or "." in target)
        if wanted:
            named.append(EncodingRule(encoding, _WITH_HEAD, named=modules(group, "targets", wanted)))
        if len(wanted) < len(targets):
            classes.append(EncodingRule(encoding, _WITH_HEAD))
    if not names:
        raise config.error("config_groups", "says of no weights how they are stored")
    said = f"compressed-tensors {' and '.join(dict.fromkeys(names))}"
    return made(config, names[0] if len(set(names)) == 1 else "mixed", said, (*named, *classes), "ignore")


def _static(group: Config) -> bool:
    """Whether inputs have a scale in the file."""
    inputs = group.inner("input_activations")
    return inputs is not None and inputs.raw("dynamic") is not True


def _weights(weights: Config, layout: str, static: bool) -> tuple[str, Encoding]:
    """The name and the encoding of a group's ``weights`` in compressed-tensors."""
    bits, kind, strategy = weights.count("num_bits", most=8), weights.text("type"), weights.text("strategy")
    group = group_size(weights, "group_size", usual=ALL)
    match kind, bits, strategy:
        case "float", 4, _:
            return ("mxfp4", recipes.mxfp4(group)) if group == 32 else ("nvfp4", recipes.nvfp4(group or 16))
        case "float", 8, "tensor":
            return "fp8-tensor", recipes.per_tensor(static)
        case "float", 8, "channel":
            return "fp8-channel", recipes.per_channel()
        case "float", 8, "block":
            return "fp8-block", recipes.blocks(*block(weights, "block_structure"), scale_bits=16)
        case "int", 8, "tensor":
            return "w8a8", recipes.per_tensor(static)
        case "int", 8, "channel" | None if layout != "pack-quantized":
            return "w8a8", recipes.per_channel()
        case "int", _, "group" | "channel" | None:
            return f"w{bits}a16", recipes.packed(bits, group, symmetric=weights.flag("symmetric", True))
    raise weights.error("type", f"{shown(kind)} of {bits} bits with strategy {shown(strategy)} is not understood")


def modelopt(config: Config) -> CheckpointFormat:
    """NVIDIA modelopt: one algorithm for all modules but those left alone, or one for each."""
    algorithm = (config.text("quant_algo") or "").upper()
    skipped = "ignore", "exclude_modules"
    if algorithm != "MIXED_PRECISION":
        name, encoding = _algorithm(config, algorithm)
        return made(config, name, f"modelopt {algorithm}", (EncodingRule(encoding, _WITH_HEAD),), *skipped)
    layers = config.inner("quantized_layers")
    if layers is None:
        raise config.error("quantized_layers", "is missing")
    by_encoding: dict[Encoding, list[str]] = {}
    for key in layers.values:
        entry = layers.inner(key)
        if entry is not None:
            encoding = _algorithm(entry, (entry.text("quant_algo") or "").upper())[1]
            by_encoding.setdefault(encoding, []).append(key)
    rules = tuple(
        EncodingRule(encoding, _WITH_HEAD, EVERYWHERE, modules(config, "quantized_layers", names))
        for encoding, names in by_encoding.items()
    )
    return made(config, "mixed", "modelopt, several schemes", rules, *skipped)


def _algorithm(config: Config, algorithm: str) -> tuple[str, Encoding]:
    match algorithm:
        case "NVFP4" | "NVFP4_AWQ" | "W4A16_NVFP4":
            return "nvfp4", recipes.nvfp4(config.maybe("group_size") or 16)
        case "FP8":
            return "fp8-tensor", recipes.per_tensor()
        case "FP8_PER_CHANNEL_PER_TOKEN":
            return "fp8-channel", recipes.per_channel(32)
        case "FP8_PB_WO":
            return "fp8-block", recipes.blocks()
        case "W4A16_AWQ" | "W4A8_AWQ":
            return "w4a16", recipes.packed(4, config.maybe("group_size") or 128)
    raise config.error("quant_algo", f"'{harmless(algorithm, 40)}' is not understood")
