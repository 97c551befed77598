"""What training keeps on each device: its parts by how they are sharded, and the peak over the number of devices."""

from __future__ import annotations

from kvtui.engine.basis.units import counted, format_tokens
from kvtui.engine.basis.untrusted import plain
from kvtui.engine.model.spec import ModelSpec
from kvtui.engine.model.training import (
    CHECKPOINTING,
    OPTIMIZERS,
    PRECISIONS,
    STAGES,
    Checkpointing,
    TrainingSetup,
    training_memory,
)
from kvtui.engine.scenario.scenario import Scenario
from kvtui.figures.figure import Axis, Bars, Figure, Line, Panel, Rule, floats

TRAINING_MEMORY = ("training-memory", "Training memory by sharding", "What does sharding save, and what remains?")
NAMES = ("no sharding", "ZeRO-1", "ZeRO-2", "ZeRO-3, FSDP")
PARTS = {
    "weights": ("weights", "master"),
    "gradients": ("gradients", "joined"),
    "optimizer states": ("states",),
    "gathered layer": ("gathered",),
    "activations": ("activations", "recomputed"),
    "logits": ("logits",),
}
DEVICES = tuple(2**n for n in range(11))
USUAL = 8


def by_sharding(model: ModelSpec, setup: TrainingSetup, memory: int | None = None) -> Figure:
    """The parts under each stage of ZeRO over ``setup``'s devices (8 where it has one), and peaks over devices.

    ``memory`` is what a device has.
    """
    devices = setup.devices if setup.devices > 1 else USUAL
    staged = [training_memory(model, setup._replace(stage=stage, devices=devices)) for stage in STAGES]
    bars = [
        Bars(name, floats([sum(getattr(found, part) for part in parts) for found in staged]))
        for name, parts in PARTS.items()
    ]
    size = Axis("memory of each device", ticks="bytes")
    lines = [
        Line(
            name,
            floats(DEVICES),
            floats([training_memory(model, setup._replace(stage=stage, devices=n)).peak for n in DEVICES]),
            points=True,
        )
        for stage, name in zip(STAGES, NAMES, strict=True)
    ]
    rules = () if memory is None else (Rule("y", float(memory), "device"),)
    shown = tuple(bar for bar in bars if bar.values.any())
    panels = (
        Panel(f"parts on {devices:,} devices", Axis("sharding"), size, shown, categories=NAMES, stacked=True),
        Panel(
            "peak by number of devices",
            Axis("devices", scale="log2"),
            Axis("peak of each device", scale="log2", ticks="bytes"),
            tuple(lines),
            rules=rules,
        ),
    )
    how = f"{plain(model.name)}, {setup.optimizer}, {setup.precision} precision, checkpointing {setup.checkpointing}"
    notes = (
        f"{how}, {counted(setup.batch, 'sequence')} of {format_tokens(setup.context)} tokens on each device.",
        "The peak is less than all parts: gradients come while activations go.",
    )
    return Figure(*TRAINING_MEMORY, panels, notes)


def of_scenario(
    scenario: Scenario,
    context: int = 2048,
    batch: int = 1,
    optimizer: str = "adamw",
    precision: str = "mixed",
    checkpointing: Checkpointing = "none",
    devices: int = USUAL,
) -> Figure:
    """The same for a scenario's model and device. Raises InputError where the model's layers are not known enough."""
    setup = TrainingSetup(
        batch, context, optimizer, precision, "full" if checkpointing == "full" else "none", 0, devices
    )
    return by_sharding(scenario.model, setup, scenario.device.usable_bytes)


CHOICES = {
    "optimizer": ("adamw", *(name for name in OPTIMIZERS if name != "adamw")),
    "precision": ("mixed", *(name for name in PRECISIONS if name != "mixed")),
    "checkpointing": CHECKPOINTING,
}
"""The words that an option may be, the usual one first."""
