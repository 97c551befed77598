"""A Hugging Face config.json, alone or in a model's folder → ModelSpec.

The steps: the JSON object is read; the part of it that describes the language model is found; its ``model_type`` says
which family reads it (``families.FAMILIES``); the reader gives what each layer caches and weighs (``shape.Body``); and
what the reader did not look at is held against the tables of ``hints``. For example, a config of model_type qwen3 is
read by ``plain(_QWEN3, qwen)``, which asks for heads, window and widths; were there a ``kv_lora_rank`` besides, the
file would be refused with the words "a latent cache".

The file is untrusted: it may be anything, and says nothing that is believed before it is checked. A model type that is
not known is read only as a plain decoder, and only if no field of it speaks of another kind of cache.
"""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from kvtui.engine.basis.errors import InputError
from kvtui.engine.basis.files import read_text, unreadable
from kvtui.engine.basis.json_object import parse_object, shown
from kvtui.engine.basis.units import MAX_BYTES
from kvtui.engine.basis.untrusted import plain
from kvtui.engine.checkpoint.format import CheckpointFormat
from kvtui.engine.checkpoint.weights import file_bytes
from kvtui.engine.model import parameters
from kvtui.engine.model.spec import Layer, ModelSpec
from kvtui.engine.model.tensors import weight_count
from kvtui.engine.sources.hf.attention import context_of
from kvtui.engine.sources.hf.classes import NO_CLASS, ConfigClass, class_of, release
from kvtui.engine.sources.hf.families import ARCHITECTURES, UNKNOWN, family_name, find_family, reason_to_refuse
from kvtui.engine.sources.hf.fields import CONTEXT, DIM, LAYERS, VOCAB, Config
from kvtui.engine.sources.hf.quantization import format_from_config
from kvtui.engine.sources.hf.rotary import rotary_elements
from kvtui.engine.sources.hf.shape import Body, ConfigFamily, uncounted
from kvtui.engine.sources.hf.towers import largest_image, tower_weights

MAX_CONFIG_BYTES = 8 * 2**20
MAX_INDEX_BYTES = 64 * 2**20
CONFIG = "config.json"
INDEX = "model.safetensors.index.json"

_NESTED = ("text_config", "language_config", "llm_config", "thinker_config")
_OTHER_NAMES = {
    "hidden_size": "n_embd",
    "num_hidden_layers": "n_layer",
    "num_attention_heads": "n_head",
    "num_key_value_heads": "num_kv_heads",
    "head_dim": "kv_channels",
    "max_position_embeddings": "n_positions",
}
_KV_HEADS = re.compile(r"key_value_heads|kv_heads|head_kv|query_groups|attention_groups")
_HEADS = re.compile(r"attention_heads|n_heads?$|num_heads")
_HEAD_SIZES = re.compile(r"head_dim|head_size|kv_channels|d_kv|dim_head")
_LOOPS = re.compile(r"num_loops|loop_num|num_passes|recurrent_loops|ut_steps|num_recurr")
_REMEDY = "; give the cache's shape with `kvtui estimate`, or an entry in models.toml: `kvtui models --template`"
_PATTERNS = (  # from which a file's layer_types were made
    "sliding_window_pattern",
    "_sliding_window_pattern",
    "prefix_dense_sliding_window_pattern",
    "global_attn_every_n_layers",
)
_SIZES = ("num_hidden_layers", "num_attention_heads")
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._+-]{1,79}")
_HASH = re.compile(r"[0-9a-f]{16,}")
_HUB_FOLDER = re.compile(r"models--[A-Za-z0-9._-]+--([A-Za-z0-9][A-Za-z0-9._-]{0,95})")
_QUANTIZED = {"fp8": "fp8", "fbgemm_fp8": "fp8", "mxfp4": "mxfp4"}
_ALGORITHMS = {"nvfp4": "nvfp4", "w4a16_nvfp4": "nvfp4", "fp8": "fp8"}


def read_config(path: Path) -> ModelSpec:
    """The model that the config.json at ``path``, or in the folder ``path``, describes.

    The exact weight bytes are taken from the safetensors index beside it, if there is one; without, those of quantised
    weights follow from what the file says of them. Raises InputError naming
    the file and what is wrong with it.
    """
    folder = _mode(path, "no such file or folder")
    file = path / CONFIG if stat.S_ISDIR(folder) else path
    where = _shown(file)
    _mode(file, f"the folder has no {CONFIG}")
    config = _read_object(file, where, MAX_CONFIG_BYTES)
    spec = model_from_config(config, _fallback_name(file), where)
    index = file.parent / INDEX
    if file.name == CONFIG and os.path.exists(index):
        size = _total_size(_read_object(index, _shown(index), MAX_INDEX_BYTES), index)
        return spec if size is None else spec._replace(weight_bytes=size)
    return spec


def model_from_config(config: Mapping[str, object], name: str, where: str) -> ModelSpec:
    """The model that the parsed ``config`` describes.

    ``name`` is used where the file does not say what it is called, ``where`` is the file as shown in errors. Raises
    InputError naming the field that is missing, wrong, contradictory or not understood.
    """
    outer = _outermost(config, where)
    parts = _unwrapped(outer)
    text = parts[-1]
    model_type = text.model_type
    family = find_family(model_type) or _by_architecture(parts)
    source = f"config.json (model_type {plain(model_type, 60)})"
    _check_known_kinds(parts)
    body = _read_known(text, family, model_type) if family else _read_unknown(text, model_type)
    towers = tower_weights(parts, text.maybe("hidden_size", "d_model"), text.notes)
    spec = _assemble(text, body, _tied(parts, (family or UNKNOWN).tied), towers)
    if text.defaulted:
        shape = ", ".join(f"{field} {shown(text.of.defaults.get(field))}" for field in dict.fromkeys(text.defaulted))
        text.notes.append(f"not in the file, so class defaults of {plain(model_type, 60)} ({release()}): {shape}")
    stored, size = _stored(spec, parts, text.notes)
    return spec._replace(
        stored=stored,
        weight_bytes=size,
        name=_own_name(outer) or plain(name, 80) or "model",
        source=source,
        confidence=(family or UNKNOWN).confidence,
        published_weights=_published(parts),
        notes=tuple(dict.fromkeys(text.notes)),
        family=plain(family_name(model_type), 60),
        encoder=largest_image(parts) if towers else None,
    )


def _outermost(config: Mapping[str, object], where: str) -> Config:
    """The whole file, with the class of its model_type."""
    model_type = Config(config, where).text("model_type") or ""
    return Config(config, where, "", model_type, class_of(model_type) or NO_CLASS)


def _unwrapped(outer: Config) -> list[Config]:
    """``outer`` and, inside it, the part that describes the language model, the innermost last.

    A vision-language model has it under ``text_config``, an omni model under ``thinker_config.text_config``; a plain
    one is itself that part. A part that the class has and the file has not is all class defaults; but a file that
    states the language model's sizes outermost, as those of Qwen2-VL do, is that part itself. Raises InputError where
    two fields could be it.
    """
    parts = [outer]
    while len(parts) <= 3:
        last = parts[-1]
        fields = dict.fromkeys((*last.of.parts, *_NESTED))
        found = [field for field in fields if isinstance(last.raw(field), dict) and last.raw(field)]
        if len(found) > 1:
            raise last.error(found[1], f"and {found[0]} are both there: which is the language model is unclear")
        if found:
            parts.append(last.part(found[0]))
        elif not last.of.parts:
            break
        elif any(last.raw(field) is not None for field in _SIZES):
            kind = next(iter(last.of.parts.values())) or last.model_type
            parts[-1] = Config(last.values, last.where, last.prefix, kind, class_of(kind) or NO_CLASS)
            break
        else:
            parts.append(last.part(next(iter(last.of.parts))))
    return parts


def _by_architecture(parts: list[Config]) -> ConfigFamily | None:
    """The family of the first architecture that the file names, for released files with a model_type of their own."""
    for part in reversed(parts):
        names = part.words("architectures") or ()
        if names and names[0] in ARCHITECTURES:
            return find_family(ARCHITECTURES[names[0]])
    return None


def _check_known_kinds(parts: list[Config]) -> None:
    """Raises InputError for a model type that is refused by name, be it the file's or that of the part inside."""
    for part in parts:
        reason = reason_to_refuse(part.model_type)
        if reason is not None:
            raise InputError(f"{part.where}: model_type {plain(part.model_type, 60)} is not read: {reason}{_REMEDY}")


def _read_known(text: Config, family: ConfigFamily, model_type: str) -> Body:
    """The body as ``family`` reads it. Raises InputError where a field that it did not read speaks of another cache."""
    body = family.read(text)
    text.ignore("lm_head_bias", "use_parallel_residual")
    hints = text.cache_hints()
    if hints:
        what = f"model_type {plain(model_type, 60)} is known, but not with {', '.join(hints[:4])}"
        raise InputError(f"{text.where}: {what}{_bounds(text)}{_REMEDY}")
    for field in text.weight_hints():
        text.uncounted.append(f"{field} is not understood")
    assumed = [field for field in text.defaulted if field in (*_SIZES, "hidden_size")]
    strange = text.strange() if assumed else []
    if strange:
        raise text.error(assumed[0], f"is missing, and {', '.join(strange[:4])} is not understood, which may be it")
    return body


def _read_unknown(text: Config, model_type: str) -> Body:
    """The body of a model type that no family reads, by the general rule, with a note.

    It is read if it states heads and sizes, if its layer_types hold full and sliding attention only, and if every other
    number in it is known to change no cache. Its weights are not counted: what its code builds is not in the file.
    Raises InputError, with the bounds of what it may cache, where anything else could be meant.
    """
    kind = f"unknown model_type '{plain(model_type, 60)}'" if model_type else "no model_type"
    text = Config(text.values, text.where, text.prefix, text.model_type, _usual(text.of)).sharing(text)
    text.ignore(*_OTHER_NAMES)
    slides = text.raw("layer_types") is not None and "sliding_attention" in (text.words("layer_types") or ())
    if text.raw("use_sliding_window") is False and not slides:
        text.ignore("sliding_window", "max_window_layers")
    try:
        if slides:
            text.need("num_key_value_heads", "head_dim")
            text.ignore("use_sliding_window", "max_window_layers", *_PATTERNS)
        hints = _hints_of_unknown(text)
        if not hints:
            body = UNKNOWN.read(text)
            hints = text.strange()
    except InputError as error:
        problem = str(error).removeprefix(f"{text.where}: ")
        raise InputError(f"{text.where}: {kind}: {problem}{_bounds(text)}{_REMEDY}") from None
    if hints:
        raise InputError(f"{text.where}: {kind} with {', '.join(hints[:4])}: not understood{_bounds(text)}{_REMEDY}")
    text.notes.append(f"{kind} read by the general rule, as a plain decoder")
    return body


def _usual(of: ConfigClass) -> ConfigClass:
    """``of`` with the other names that fields of unknown models have."""
    return replace(of, aliases={**_OTHER_NAMES, **of.aliases})


def _hints_of_unknown(text: Config) -> list[str]:
    """Fields of an unknown model that speak of another cache; layer_types of full and sliding attention are none."""
    kinds = set(text.words("layer_types") or ())
    hints = text.cache_hints(except_for=("sliding_window",) if "sliding_attention" in kinds else ())
    if kinds - {"full_attention", "sliding_attention"}:
        listed = f"{text.prefix}layer_types={shown(text.raw('layer_types'))} (layers of several kinds)"
        return [listed, *hints]
    return hints


def _bounds(text: Config) -> str:
    """Least and most bytes per token, from what can be read of ``text``; empty if too little can.

    The least is no cache at all, the most is full attention in every layer, with the most heads of the largest size
    that the file has, as often as layers may run: 20 layers with 4 KV heads of 128 elements keep 20 · 2 · 4 · 128
    elements of 2 bytes, or 40,960 bytes.
    """
    text = Config(text.values, text.where, text.prefix, text.model_type, _usual(text.of))
    try:
        layers = text.maybe("num_hidden_layers", most=LAYERS)
        q, hidden = text.maybe("num_attention_heads"), text.maybe("hidden_size")
    except InputError:
        return ""
    kv = _most(text, _KV_HEADS) or _most(text, _HEADS)
    dim = max(_most(text, _HEAD_SIZES), hidden // q if hidden and q else 0)
    if not (layers and kv and dim):
        return ""
    caching = _runs(text, layers)
    most = 4 * caching * kv * dim
    every = f"all {layers}" if caching == layers else f"{caching} runs of layers"
    return f"; between 0 (no layer caches) and {most:,} (full attention in {every}) bytes per token at bf16"


def _most(text: Config, names: re.Pattern[str]) -> int:
    """The largest whole number, alone or in a list, under a field that ``names`` finds, here or further in."""
    found, objects = [0], [{**text.of.defaults, **text.values}]
    while objects:
        for field, value in objects.pop().items():
            if isinstance(value, dict):
                objects.append(value)
            elif names.search(str(field)):
                found += [item for item in (value if isinstance(value, list) else [value]) if type(item) is int]
    return min(max(found), DIM)


def _runs(text: Config, layers: int) -> int:
    """How often layers run for a token, those that loop counted as often as the largest number of loops says."""
    loops = max(1, _most(text, _LOOPS))
    first, end = text.values.get("loop_layer_index_start"), text.values.get("loop_layer_index_end")
    looping = end - first if type(first) is int and type(end) is int and 0 <= first <= end <= layers else layers
    return layers + looping * (loops - 1)


def _assemble(text: Config, body: Body, tied: bool, towers: int) -> ModelSpec:
    """The specification of ``body`` with its embeddings and ``towers``; name and source are filled in later."""
    hidden = text.maybe("hidden_size", "d_model")
    vocab = text.maybe("vocab_size", most=VOCAB)
    if vocab is None or hidden is None:
        text.uncounted.append(f"{text.prefix}vocab_size is missing")
    layers, mtp = body.layers(), tuple(layer for layer in body.mtp if layer.caches)
    context = context_of(text) or text.maybe("max_target_positions", most=CONTEXT)
    model = ModelSpec(
        name="",
        source="",
        confidence="",
        layers=uncounted(layers),
        hidden=hidden,
        vocab=vocab,
        max_context=context,
        parameters=None,
        active_parameters=None,
        parameters_from="unknown",
        mtp=uncounted(mtp),
        rotary_elements=rotary_elements(text, layers, context),
    )
    if text.uncounted:
        text.notes.append(f"parameters unknown: {text.uncounted[0]}")
        return model
    if body.mtp:
        text.notes.append("parameters leave out the multi-token-prediction layers")
    biases = _router_biases(layers)
    if biases:
        text.notes.append(f"parameters include {biases:,} biases of routers, which transformers keeps as buffers")
    head = parameters.embeddings(vocab or 0, hidden or 0, tied=tied, bias=text.flag("lm_head_bias"))
    return parameters.counted(
        model._replace(layers=layers, mtp=mtp, outside=(*head, *body.outside, *parameters.lump("tower", towers)))
    )


def _router_biases(layers: tuple[Layer, ...]) -> int:
    """Weights that correct a router's scores: its bias, where the experts have none."""
    scored = (
        layer for layer in layers if layer.experts and not any(t.role == "expert_bias" for t in layer.experts.tensors)
    )
    return weight_count(tensor for layer in scored for tensor in layer.tensors or () if tensor.role == "router_bias")


def _tied(parts: list[Config], default: bool) -> bool:
    """Whether output and input embeddings are one matrix: the outermost statement counts, else the classes'."""
    for part in parts:
        for field in ("tie_word_embeddings", "tie_embedding"):
            if part.values.get(field) is not None:
                return part.flag(field)
    if parts[-1].of.defaults.get("tie_word_embeddings"):
        parts[-1].defaulted.append("tie_word_embeddings")
    stated = [part.of.defaults.get("tie_word_embeddings") for part in parts]
    return any(stated) if any(value is not None for value in stated) else default


def _stored(spec: ModelSpec, parts: list[Config], notes: list[str]) -> tuple[CheckpointFormat | None, int | None]:
    """How the file says that its weights are stored, and what that comes to where they are quantised."""
    try:
        form = format_from_config(parts[0].values, parts[0].where)
    except InputError as error:
        notes.append(f"how the weights are stored is not understood: {error}")
        return None, None
    quantised = form.rules and spec.parameters is not None
    return form, file_bytes(spec, form) if quantised else None


def _published(parts: list[Config]) -> str | None:
    """The format of the published weights where the file says it; None for 16 bits and for mixtures."""
    if any(part.text("expert_dtype") == "fp4" for part in parts):
        return "mxfp4"
    for part in parts:
        quantization = part.inner("quantization_config")
        if quantization is not None:
            return _quantization(quantization)
    return None


def _quantization(config: Config) -> str | None:
    """The weight format of a quantization_config, None where the file leaves it open or it is none of ours.

    quant_method names it (fp8, mxfp4) or the method, whose bits it depends on: awq with 4 bits are int4 weights, and so
    are compressed-tensors whose first group has the type int and 4 bits.
    """
    method = (config.text("quant_method") or "").lower()
    algorithm = (config.text("quant_algo") or "").lower()
    if method in _QUANTIZED:
        return _QUANTIZED[method]
    if algorithm in _ALGORITHMS:
        return _ALGORITHMS[algorithm]
    if method in ("awq", "gptq"):
        return {4: "int4", 8: "int8"}.get(config.maybe("bits", "w_bit") or 0)
    if method != "compressed-tensors":
        return None
    layout = config.text("format") or ""
    for known in ("mxfp4", "nvfp4"):
        if layout.startswith(known):
            return known
    groups = config.inner("config_groups")
    group = groups.inner("group_0") if groups is not None else None
    weights = group.inner("weights") if group is not None else None
    if weights is None:
        return None
    return {("int", 4): "int4", ("int", 8): "int8", ("float", 8): "fp8"}.get(
        (weights.text("type") or "", weights.maybe("num_bits") or 0)
    )


def _own_name(config: Config) -> str | None:
    """The last part of _name_or_path, if it is a model's name and not a hash or a checkpoint number."""
    path = config.text("_name_or_path") or ""
    last = re.split(r"[/\\]", path[-400:].rstrip("/\\"))[-1]
    plausible = _NAME.fullmatch(last) and not _HASH.fullmatch(last) and not last.startswith("checkpoint")
    return last if plausible else None


def _fallback_name(file: Path) -> str:
    """The folder's name for a config.json, else the file's; in the hub's cache, the repository's."""
    if file.name != CONFIG:
        return file.stem
    folder = file.absolute().parent
    hub = _HUB_FOLDER.fullmatch(folder.parent.parent.name) if folder.parent.name == "snapshots" else None
    return hub[1] if hub else folder.name or "model"


def _shown(path: Path) -> str:
    return plain(str(path), 400)


def _mode(path: Path, missing: str) -> int:
    """The file mode of ``path``. Raises InputError if it cannot be had, ``missing`` if there is nothing."""
    try:
        return path.stat().st_mode
    except FileNotFoundError:
        raise InputError(f"{_shown(path)}: {missing}") from None
    except (OSError, ValueError) as error:
        raise unreadable(path, error) from None


def _read_object(path: Path, where: str, most: int) -> dict[str, object]:
    """The JSON object in the regular file at ``path`` of at most ``most`` bytes."""
    try:
        return parse_object(read_text(path, most), where)
    except FileNotFoundError as error:
        raise unreadable(path, error) from None


def _total_size(index: dict[str, object], path: Path) -> int | None:
    """metadata.total_size of a safetensors index; older files write it as a whole float."""
    metadata = index.get("metadata")
    size = metadata.get("total_size") if isinstance(metadata, dict) else None
    if isinstance(size, float) and size.is_integer() and size <= 2**53:
        size = int(size)
    if size is None:
        return None
    if type(size) is not int or not 1 <= size <= MAX_BYTES:
        raise InputError(f"{_shown(path)}: metadata.total_size: {shown(size)} is not a number of bytes")
    return size
