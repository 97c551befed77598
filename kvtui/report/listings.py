"""The catalogues as tables: which columns, and one row per model or device; and a model's size in every format."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from kvtui.engine.basis.errors import UnknownName
from kvtui.engine.basis.units import GIB, format_bytes, format_count, format_tokens
from kvtui.engine.checkpoint.gguf.files import file_size
from kvtui.engine.checkpoint.gguf.named import file_type_key
from kvtui.engine.checkpoint.known import checkpoint_format, weight_names
from kvtui.engine.checkpoint.weights import file_bytes
from kvtui.engine.device.catalogue import all_devices
from kvtui.engine.device.spec import DeviceSpec
from kvtui.engine.device.words import searched
from kvtui.engine.model.catalogue import all_models
from kvtui.engine.model.formats import FORMATS
from kvtui.engine.model.spec import ModelSpec
from kvtui.engine.sources.load import load_model
from kvtui.output.table import Column, TableRows


def _size(count: int) -> str:
    return format_bytes(count, 1) if count else "–"


MODEL_COLUMNS = (
    Column("name", "model", priority=0),
    Column("layers", "layers", align="right", priority=4),
    Column("layer_kinds", "kinds", priority=6),
    Column("kv_bytes_per_token", "KV B/token", align="right", priority=1, format=lambda n: f"{n:,}"),
    Column("bounded_bytes_per_sequence", "windows", align="right", priority=3, format=_size),
    Column("state_bytes_per_sequence", "state", align="right", priority=3, format=_size),
    Column("max_context_tokens", "context", align="right", priority=2, format=format_tokens),
    Column("parameters", "params", align="right", priority=1, format=format_count),
    Column("active_parameters", "active", align="right", priority=5, format=format_count),
    Column("confidence", "conf", priority=5),
)

DEVICE_COLUMNS = (
    Column("name", "device", priority=0),
    Column("nominal_gb", "GB", align="right", priority=2, format=lambda n: f"{n:g}"),
    Column("usable_bytes", "usable", align="right", priority=1, format=lambda n: f"{n / GIB:,.2f} GiB"),
    Column("memory_type", "memory", priority=4),
    Column("modules", "modules", align="right", priority=6),
    Column("bandwidth_gbs", "GB/s", align="right", priority=1, format=lambda n: f"{n:,.0f}"),
    Column("bf16_tflops", "bf16 TFLOP/s", align="right", priority=3, format=lambda n: f"{n:,g}"),
    Column("tdp_watts", "W", align="right", priority=5, format=lambda n: f"{n:,.0f}"),
    Column("usd_per_hour", "$/h", align="right", priority=3),
    Column("confidence", "conf", priority=6),
)

FORMAT_COLUMNS = (
    Column("name", "format", priority=0),
    Column("file_bytes", "file", align="right", priority=0, format=lambda n: format_bytes(n, 2)),
    Column("least_bytes", "at least", align="right", priority=2, format=lambda n: format_bytes(n, 2)),
    Column("bits_per_weight", "bits/weight", align="right", priority=1, format=lambda n: f"{n:.2f}"),
    Column("meaning", "what is stored", priority=3),
)


def listing(kind: str, search: str | None) -> tuple[Sequence[Column], TableRows]:
    """Columns and rows of the ``models`` or ``devices`` that are found by all words of ``search``.

    Raises UnknownName when none does.
    """
    if kind == "models":
        return MODEL_COLUMNS, _models(search)
    return DEVICE_COLUMNS, _devices(search)


def found_models(search: str | None) -> Sequence[ModelSpec]:
    """The models with all words of ``search`` in their names. Raises UnknownName when there is none."""
    words = (search or "").casefold().split()
    models = [m for m in all_models() if all(word in " ".join((m.name, *m.aliases)).casefold() for word in words)]
    if not models:
        raise UnknownName("model", search or "", [m.name for m in all_models()])
    return models


def found_devices(search: str | None) -> Sequence[DeviceSpec]:
    """The devices that ``search`` finds. Raises UnknownName when there is none."""
    devices = [d for d in all_devices() if search is None or searched(d, search)]
    if not devices:
        raise UnknownName("device", search or "", [d.name for d in all_devices()])
    return devices


def formats(name: str) -> tuple[Sequence[Column], TableRows]:
    """Columns, and a row for every weight format with the size of the files of the model ``name``, largest first.

    ``least_bytes`` is given where only bounds of a format are known.
    Raises UnknownName, and InputError when the weights of the model are unknown.
    """
    return FORMAT_COLUMNS, [size._asdict() for size in format_sizes(load_model(name))]


class FormatSize(NamedTuple):
    """What a model is in one weight format; ``least_bytes`` where only bounds are known, of which the larger counts."""

    name: str
    file_bytes: int
    least_bytes: int | None
    bits_per_weight: float
    meaning: str


def format_sizes(model: ModelSpec) -> tuple[FormatSize, ...]:
    """``model`` in every weight format, the largest first. Raises InputError when its weights are unknown.

    A format that leaves all its weights in 16 bits, such as ``-experts`` without experts, is none of its own.
    """
    sizes = {form: _file_sizes(model, form) for form in weight_names()}
    plain = sizes["bf16"]
    sizes = {form: size for form, size in sizes.items() if size != plain or form in FORMATS}
    return tuple(
        FormatSize(
            form,
            size,
            least if least < size else None,
            8 * size / (model.parameters or 1),
            checkpoint_format(form, model).meaning,
        )
        for form, (size, least) in sorted(sizes.items(), key=lambda item: -item[1][0])
    )


def _file_sizes(model: ModelSpec, form: str) -> tuple[int, int]:
    """Bytes of the files of ``model``, and the least that they may be."""
    if file_type_key(form):
        gguf = file_size(model, form)
        return gguf.bytes, gguf.least
    size = file_bytes(model, checkpoint_format(form, model))
    return size, size


def _models(search: str | None) -> TableRows:
    kv = FORMATS["bf16"]
    return [
        {
            "name": m.name,
            "layers": len(m.layers),
            "layer_kinds": ", ".join(f"{count} {kind.replace('_', ' ')}" for kind, count in m.layer_kinds.items()),
            "kv_bytes_per_token": m.bytes_per_token(kv),
            "bounded_bytes_per_sequence": m.bounded_bytes(kv),
            "state_bytes_per_sequence": m.state_bytes(),
            "max_context_tokens": m.max_context,
            "parameters": m.parameters,
            "active_parameters": m.active_parameters,
            "confidence": m.confidence,
        }
        for m in found_models(search)
    ]


def _devices(search: str | None) -> TableRows:
    return [
        {
            "name": d.name,
            "nominal_gb": d.nominal_gb,
            "usable_bytes": d.usable_bytes,
            "memory_type": d.memory.kind,
            "modules": d.memory.modules,
            "bandwidth_gbs": d.bandwidth_gbs,
            "bf16_tflops": d.peak("bf16"),
            "tdp_watts": d.tdp_watts,
            "usd_per_hour": None if d.price is None else f"{d.price.low:g}–{d.price.high:g}",
            "confidence": d.confidence,
        }
        for d in found_devices(search)
    ]
