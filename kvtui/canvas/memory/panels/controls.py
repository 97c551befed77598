"""The scenario panel: what can be changed, its key, and the action that a click runs."""

from __future__ import annotations

from collections.abc import Mapping

from kvtui.canvas.cells import InkRow, Span
from kvtui.canvas.memory.panels.text import clean, cut, first_fit, pair
from kvtui.canvas.palette import Ink
from kvtui.engine.basis.units import format_tokens
from kvtui.engine.scenario.scenario import Scenario

KEY_WIDTH = 3
KEYS = {
    "pick_model": "m",
    "pick_device": "g",
    "next_devices": "v",
    "toggle_link": "L",
    "pick_weights": "w",
    "pick_kv": "K",
    "set_batch": "b",
    "next_fill": "i",
    "set_context": "c",
    "faster": "[ ]",
    "toggle_cb": "B",
    "toggle_pa": "P",
    "toggle_fa": "F",
    "toggle_weights": "W",
}
SWITCH = {True: "━●", False: "●━"}

ActionRow = tuple[InkRow, str | None]


def scenario_rows(
    scenario: Scenario,
    playing: bool,
    speed: float,
    width: int,
    keys: Mapping[str, str] | None = None,
    link: str = "",
) -> list[ActionRow]:
    """Rows with their action, in the order of the keys; an empty row without one parts values from switches.

    ``keys`` are the labels of keys by action, where they differ from KEYS; ``link`` is what joins several devices.
    """
    shown = {**KEYS, **(keys or {})}
    play = f"▶ {speed_text(speed)}" if playing else f"paused · {speed_text(speed)}"
    values: tuple[tuple[str, str, tuple[str, ...]], ...] = (
        ("pick_model", "model", (clean(scenario.model.name),)),
        ("pick_device", "device", (clean(scenario.device.name),)),
        ("next_devices", "devices", _layout(scenario)),
        *([("toggle_link", "link", (link,))] if link else []),
        ("pick_weights", "weights", (scenario.weight_dtype,)),
        ("pick_kv", "KV", (scenario.kv.name,)),
        ("set_batch", "batch", (f"{scenario.batch:,}",)),
        ("next_fill", "fill", (scenario.fill,)),
        ("set_context", "context", (f"{format_tokens(scenario.context)} tokens", format_tokens(scenario.context))),
        ("faster", "speed", (play, speed_text(speed))),
    )
    switches = (
        ("toggle_cb", ("continuous batching", "cont. batching", "CB"), scenario.continuous_batching),
        ("toggle_pa", ("paged attention", "paged attn", "PA"), scenario.paged_attention),
        ("toggle_fa", ("FlashAttention", "flash attn", "FA"), scenario.flash_attention),
        ("toggle_weights", ("skip weights", "no weights"), scenario.skip_weights),
    )
    return [
        *((_value(shown[action], label, texts, width), action) for action, label, texts in values),
        ((), None),
        *((_switch(shown[action], labels, on, width), action) for action, labels, on in switches),
    ]


def speed_text(speed: float) -> str:
    """A speed of the film: ``0.5×``, ``10×``."""
    return f"{speed:g}×"


def _layout(scenario: Scenario) -> tuple[str, ...]:
    layout = scenario.layout
    count = f"{layout.devices:,}"
    if layout.devices == 1:
        return (count,)
    split = " × ".join(
        f"{name} {size:,}" for name, size in (("TP", layout.tp), ("PP", layout.pp), ("DP", layout.dp)) if size > 1
    )
    return f"{count} · {split}", count


def _key(text: str) -> tuple[Span, Span]:
    return Span(cut(text, KEY_WIDTH).rjust(KEY_WIDTH), Ink.WARN), Span(" ")


def _value(key: str, label: str, texts: tuple[str, ...], width: int) -> InkRow:
    return *_key(key), *pair(label, texts, width - KEY_WIDTH - 1)


def _switch(key: str, labels: tuple[str, ...], on: bool, width: int) -> InkRow:
    room = width - KEY_WIDTH - 1
    label = first_fit(labels, room - len(SWITCH[on]) - 1)
    ink, label_ink = (Ink.GOOD, Ink.TEXT) if on else (Ink.DIM, Ink.DIM)
    return *_key(key), *pair(label, (SWITCH[on],), room, ink, label_ink)
