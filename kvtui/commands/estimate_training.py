"""``kvtui estimate training``: what training a model keeps on each device, part by part."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from kvtui import __version__
from kvtui.commands.described import described
from kvtui.engine.basis.errors import InputError
from kvtui.engine.basis.units import GB, GIB, counted, format_bytes, format_tokens
from kvtui.engine.basis.untrusted import plain
from kvtui.engine.model.spec import ModelSpec
from kvtui.engine.model.training import OPTIMIZERS, TrainingMemory, TrainingSetup, training_memory
from kvtui.engine.sources.load import load_model
from kvtui.output.table import Column, TableRows

if TYPE_CHECKING:
    from kvtui.figures.figure import Figure

SCHEMA = 1
NAMES = {
    "weights": "weights",
    "master": "fp32 master weights",
    "gradients": "gradients",
    "states": "optimizer states",
    "gathered": "layer gathered whole, with its gradient",
    "activations": "activations",
    "recomputed": "layer computed again",
    "logits": "logits and their gradients, fp32",
    "joined": "a tied embedding's gradients before they are one",
    "resting": "between steps",
    "peak": "peak of a step",
}
NOT_COUNTED = "device context, fragmentation and communication buckets are not counted"

TrainingValues = Mapping[str, Any]


def setup_of(values: TrainingValues) -> tuple[ModelSpec, TrainingSetup]:
    """The model and how it is trained, by the options' ``values``. Raises InputError."""
    if values["model"] is None:
        raise InputError("--model: training needs it: a name, a config.json, a folder or a GGUF file")
    if values["fsdp"] and values["zero"] not in (None, 3):
        raise InputError("--fsdp: shards all, as --zero 3 does; give one of the two")
    stage = 3 if values["fsdp"] else values["zero"] or 0
    devices = values["devices"] or 1
    if stage and devices == 1:
        raise InputError("--devices: sharding needs two at least")
    words = {name: values[name] for name in ("optimizer", "precision", "checkpointing") if values[name] is not None}
    setup = TrainingSetup(
        batch=values["batch_size"] or 1,
        context=values["context_length"] or 2048,
        **words,
        stage=stage,
        devices=devices,
        accumulate=bool(values["accumulate"]),
        fused_attention=not values["no_fa"],
    )
    return load_model(values["model"]), setup


def facts_of(model: ModelSpec, setup: TrainingSetup) -> tuple[tuple[str, str], ...]:
    """What is trained and how, in words."""
    sharded = {
        0: "nothing is sharded",
        1: "ZeRO-1 shards optimizer states",
        2: "ZeRO-2 shards optimizer states and gradients",
        3: "ZeRO-3 (FSDP) shards optimizer states, gradients and weights",
    }[setup.stage]
    attention = "" if setup.fused_attention else ", attention keeps its scores"
    checkpointing = {"none": "all are kept", "full": "each layer keeps its input alone"}[setup.checkpointing]
    return (
        ("model", f"{plain(model.name)}, {model.parameters or 0:,} weights"),
        ("a pass", f"{counted(setup.batch, 'sequence')} of {format_tokens(setup.context)} tokens on each device"),
        ("optimizer", f"{setup.optimizer}, {setup.precision} precision"),
        ("devices", f"{setup.devices:,}: {sharded}"),
        ("activations", f"{checkpointing}, as fused kernels do{attention}"),
        ("gradients", "added over several passes" if setup.accumulate else "of one pass"),
        ("apart", NOT_COUNTED),
    )


def columns() -> tuple[Column, ...]:
    """The table's columns."""
    return (
        Column("name", "on each device"),
        Column("bytes", "bytes", "right", 0, lambda n: f"{n:,}"),
        Column("gib", "size", "right", 0, lambda n: format_bytes(round(n * GIB))),
        Column("gb", "GB", "right", 2, lambda n: f"{n:,.2f}"),
        Column("devices", "shared by", "right", 1, lambda n: "–" if n == 1 else f"{n:,}"),
        Column("percent_of_peak", "of peak", "right", 1, lambda n: f"{n:.1f} %"),
    )


def rows(found: TrainingMemory, setup: TrainingSetup) -> TableRows:
    """A row for each part that is there, what is there between steps, and the peak."""
    sizes = {name: int(getattr(found, name)) for name in NAMES}
    stages = {"weights": 3, "gradients": 2, "master": 1, "states": 1}
    return [
        {
            "name": NAMES[part],
            "bytes": size,
            "gib": size / GIB,
            "gb": round(size / GB, 6),
            "devices": setup.devices if setup.stage >= stages.get(part, 4) else 1,
            "percent_of_peak": round(100 * size / found.peak, 2),
        }
        for part, size in sizes.items()
        if size
    ]


def render(values: TrainingValues, form: str, width: int, color: bool, ascii_only: bool) -> str:
    """The estimate as text, CSV, Markdown, JSON or HTML, ending in a newline. Raises InputError."""
    model, setup = setup_of(values)
    found = training_memory(model, setup)
    facts, listed = facts_of(model, setup), rows(found, setup)
    if form == "json":
        from kvtui.output.json import json_text

        return json_text(
            {
                "schema": SCHEMA,
                "kvtui": __version__,
                "kind": "training",
                "facts": dict(facts),
                "setup": {"model": plain(model.name), "parameters": model.parameters, **setup._asdict()},
                "items": [{column.key: row[column.key] for column in columns()} for row in listed],
            }
        )
    return described("training memory", facts, columns(), listed, form, width, color, ascii_only)


def figure(values: TrainingValues) -> Figure:
    """The parts by sharding, and the peak over devices."""
    from kvtui.figures.training_memory import by_sharding

    return by_sharding(*setup_of(values))


def options() -> Iterator[tuple[str, str, str]]:
    """Options of this estimate alone that take a word: name, what stands for it, help."""
    yield "model", "MODEL", "training: a name, a config.json, a folder or a GGUF file"
    yield "optimizer", "O", f"training: {', '.join(OPTIMIZERS)} (default adamw)"
    yield "precision", "P", "training: mixed (default: 16 bits, and fp32 states and master weights), fp32, bf16"
    yield "checkpointing", "C", "training: none (default), or full: a layer keeps its input and is computed again"
    yield "zero", "STAGE", "training: ZeRO 1, 2 or 3 over --devices"
    yield "devices", "N", "training: data-parallel devices (default 1)"
