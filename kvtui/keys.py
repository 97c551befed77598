"""Every key of the app, as data: the bindings, the help, the footer and the remapping of keys come from here."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple


class Key(NamedTuple):
    """One action and the keys that start it.

    ``id`` is what a ``[keymap]`` names, ``keys`` are characters or Textual's names of keys, separated by commas, and
    ``action`` is a Textual action. ``label`` is the footer's word, ``text`` the sentence of the help under the heading
    ``section``. Neighbours in the footer with the same ``together`` share that word.
    """

    id: str
    keys: str
    action: str
    label: str
    text: str
    section: str
    footer: bool = False
    together: str = ""


class Mode(NamedTuple):
    """A screen of its own that a key switches to."""

    name: str
    number: str
    title: str


MODES = (Mode("memory", "1", "Memory"), Mode("papers", "5", "Papers & help"))

PLAYBACK, MODEL_AND_DEVICE, WORKLOAD, VIEW = "playback", "model and device", "workload and formats", "what is shown"
SCREENS, WINDOWS = "screens", "lists and windows"

MEMORY = (
    Key("play", "space", "toggle_play", "play", "play or pause", PLAYBACK, footer=True),
    Key("step-back", "left", "step(-1)", "step back", "one step back", PLAYBACK, footer=True, together="step"),
    Key("step", "right", "step(1)", "step", "one step on", PLAYBACK, footer=True, together="step"),
    Key("leap-back", "shift+left", "step(-10)", "leap back", "ten steps back", PLAYBACK),
    Key("leap", "shift+right", "step(10)", "leap", "ten steps on", PLAYBACK),
    Key("first", "home", "scrub_home", "empty", "to the empty cache", PLAYBACK),
    Key("last", "end", "scrub_end", "full", "to the full context", PLAYBACK),
    Key("restart", "0", "restart", "restart", "play again from the start", PLAYBACK),
    Key("slower", "[", "slower", "slower", "slower", PLAYBACK, footer=True, together="speed"),
    Key("faster", "]", "faster", "faster", "faster", PLAYBACK, footer=True, together="speed"),
    Key("model", "m,/", "pick_model", "model", "choose or search a model", MODEL_AND_DEVICE, footer=True),
    Key("model-next", "n", "next_model", "next model", "next model", MODEL_AND_DEVICE),
    Key("model-previous", "N", "previous_model", "previous model", "previous model", MODEL_AND_DEVICE),
    Key("device", "g", "pick_device", "device", "choose or search a device", MODEL_AND_DEVICE, footer=True),
    Key("device-next", "h", "next_device", "next device", "next device", MODEL_AND_DEVICE),
    Key("device-previous", "H", "previous_device", "previous device", "previous device", MODEL_AND_DEVICE),
    Key("devices-more", "v", "next_devices", "more devices", "more devices, 1 to 128", MODEL_AND_DEVICE),
    Key("devices-fewer", "V", "previous_devices", "fewer devices", "fewer devices", MODEL_AND_DEVICE),
    Key("link", "L", "toggle_link", "link", "fast link or PCIe", MODEL_AND_DEVICE),
    Key("context", "c", "set_context", "context", "type a context length", WORKLOAD),
    Key("context-longer", "+,=", "next_context", "longer", "next longer context", WORKLOAD),
    Key("context-shorter", "-", "previous_context", "shorter", "next shorter context", WORKLOAD),
    Key("batch-next", "b,.", "next_batch", "batch", "next batch size", WORKLOAD),
    Key("batch-previous", "comma", "previous_batch", "smaller batch", "previous batch size", WORKLOAD),
    Key("dtype", "d", "next_dtype", "dtype", "next format of weights and KV", WORKLOAD),
    Key("kv-dtype", "k", "next_kv_dtype", "KV dtype", "next format of KV alone", WORKLOAD),
    Key("continuous-batching", "B", "toggle_cb", "cb", "continuous batching on or off", WORKLOAD),
    Key("paged-attention", "P", "toggle_pa", "pa", "paged attention on or off", WORKLOAD),
    Key("flash-attention", "F", "toggle_fa", "fa", "FlashAttention on or off", WORKLOAD),
    Key("skip-weights", "W", "toggle_weights", "weights", "count the weights or skip them", WORKLOAD),
    Key("explain", "e", "explain", "explain", "formulas, values and sources", VIEW, footer=True),
    Key("bank-next", "down", "select(1)", "next bank", "the next bank or device", VIEW),
    Key("bank-previous", "up", "select(-1)", "bank before", "the bank or device before", VIEW),
    Key("bank-none", "escape", "select_none", "no bank", "select nothing", VIEW),
    Key("zoom", "z", "toggle_cluster", "zoom", "all devices, or the fullest", VIEW),
    Key("drawer", "s", "toggle_drawer", "panel", "show or hide the scenario", VIEW),
    Key("debug", "D", "toggle_debug", "debug", "how the picture is drawn", VIEW),
)

APP = (
    Key("export", "x", "export", "export", "save the picture or a report", VIEW, footer=True),
    Key("copy", "y", "copy", "copy", "copy this as a command line", VIEW),
    Key("theme", "t", "theme", "theme", "dark or light", VIEW),
    Key("help", "?,f1", "help", "help", "this list", VIEW, footer=True),
    *(Key(mode.name, mode.number, f"mode('{mode.name}')", mode.title, mode.title, SCREENS) for mode in MODES),
    Key("palette", "ctrl+p", "command_palette", "palette", "commands, any option typed", SCREENS),
    Key("quit", "q", "quit", "quit", "quit", SCREENS),
)

WINDOW = (
    Key("window-close", "escape", "dismiss", "close", "close", WINDOWS),
    Key("list-up", "up", "move(-1)", "up", "one line up", WINDOWS),
    Key("list-down", "down", "move(1)", "down", "one line down", WINDOWS),
    Key("list-page-up", "pageup", "move(-10)", "page up", "ten lines up", WINDOWS),
    Key("list-page-down", "pagedown", "move(10)", "page down", "ten lines down", WINDOWS),
)

ALL = MEMORY + APP + WINDOW


def keys_of(key: Key, keymap: Mapping[str, str]) -> tuple[str, ...]:
    """The key names that start ``key``'s action once ``keymap`` (id → keys) is applied."""
    return tuple(part.strip() for part in keymap.get(key.id, key.keys).split(","))


def key_of(id: str) -> Key:
    """The key called ``id``."""
    return next(key for key in ALL if key.id == id)


def clash(keymap: Mapping[str, str]) -> tuple[str, str, str] | None:
    """A key name that ``keymap`` gives to two actions of one place, and the ids of both; None if there is none."""
    from textual.keys import format_key

    for table in (MEMORY + APP, WINDOW):
        taken: dict[str, str] = {}
        for key in table:
            for name in keys_of(key, keymap):
                other = taken.setdefault(format_key(name), key.id)
                if other != key.id:
                    return name, other, key.id
    return None
