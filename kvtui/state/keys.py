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


MODES = (
    Mode("memory", "1", "Memory"),
    Mode("explore", "2", "Explore"),
    Mode("plan", "3", "Plan"),
    Mode("bench", "4", "Bench"),
    Mode("papers", "5", "Papers & help"),
)

# The headings of the help.
PLAYBACK, MODEL_AND_DEVICE, WORKLOAD, VIEW = "playback", "model and device", "workload and formats", "what is shown"
SCREENS, WINDOWS, BENCHMARK = "screens", "lists and windows", "benchmark"
FIGURES, READING, SPACE = "figures", "reading a figure", "pictures in space"
PLAN_TABLE = "table of the Plan screen"
CHANGES = "changes and fixes"

MEMORY = (
    Key("play", "space", "toggle_play", "play", "play or pause", PLAYBACK, footer=True),
    Key("step-back", "left", "step(-1)", "step back", "one step back", PLAYBACK, footer=True, together="step"),
    Key("step", "right", "step(1)", "step", "one step on", PLAYBACK, footer=True, together="step"),
    Key("leap-back", "shift+left", "step(-10)", "leap back", "ten steps back", PLAYBACK),
    Key("leap", "shift+right", "step(10)", "leap", "ten steps on", PLAYBACK),
    Key("first", "home", "scrub_home", "empty", "to the empty cache", PLAYBACK),
    Key("last", "end", "scrub_end", "full", "to the full context", PLAYBACK),
    Key("restart", "0", "restart", "restart", "play again from the start", PLAYBACK),
    Key("slower", "[", "slower", "slower", "slower", PLAYBACK),
    Key("faster", "]", "faster", "faster", "faster", PLAYBACK),
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
    Key("fill", "i", "next_fill", "fill", "how full the sequences are", WORKLOAD),
    Key("dtype", "d", "next_dtype", "dtype", "next format of weights and KV", WORKLOAD),
    Key("weight-format", "w", "pick_weights", "format", "choose a weight format", WORKLOAD),
    Key("kv-dtype", "k", "next_kv_dtype", "KV dtype", "next format of KV alone", WORKLOAD),
    Key("continuous-batching", "B", "toggle_cb", "cb", "continuous batching on or off", WORKLOAD),
    Key("paged-attention", "P", "toggle_pa", "pa", "paged attention on or off", WORKLOAD),
    Key("flash-attention", "F", "toggle_fa", "fa", "FlashAttention on or off", WORKLOAD),
    Key("skip-weights", "W", "toggle_weights", "weights", "count the weights or skip them", WORKLOAD),
    Key("fixes", "f", "fixes", "fix", "what would make it fit", CHANGES, footer=True),
    Key("undo", "u", "undo", "undo", "take the last change back", CHANGES),
    Key("redo", "U", "redo", "redo", "make it again", CHANGES),
    Key("explain", "e", "explain", "explain", "formulas, values and sources", VIEW, footer=True),
    Key("bank-next", "down", "select(1)", "next bank", "the next bank or device", VIEW),
    Key("bank-previous", "up", "select(-1)", "bank before", "the bank or device before", VIEW),
    Key("bank-none", "escape", "select_none", "no bank", "select nothing", VIEW),
    Key("zoom", "z", "toggle_cluster", "zoom", "all devices, or the fullest", VIEW),
    Key("drawer", "s", "toggle_drawer", "panel", "show or hide the scenario", VIEW),
    Key("debug", "D", "toggle_debug", "debug", "how the picture is drawn", VIEW),
)

BENCH = (
    Key("bench-run", "r", "run_benchmark", "run", "start, or go on with the run shown", BENCHMARK, footer=True),
    Key("bench-pause", "p", "pause_benchmark", "pause", "pause after this case, or go on", BENCHMARK, footer=True),
    Key("bench-cancel", "c", "cancel_benchmark", "cancel", "end it; what was measured stays", BENCHMARK, footer=True),
    Key("bench-size", "z", "next_size", "size", "fast, default or full", BENCHMARK),
    Key("bench-groups", "a", "all_groups", "all groups", "all groups, or none", BENCHMARK),
    Key("bench-decode", "d", "decode_benchmark", "decode", "decode by position, or the sweep", BENCHMARK),
    Key("bench-open", "o,/", "open_run", "open", "open another run", BENCHMARK, footer=True),
    Key("bench-compare", "m", "compare_runs", "compare", "compare with another run", BENCHMARK),
    Key("bench-back", "escape", "back", "back", "back from a comparison or an old run", BENCHMARK),
    Key("figure-previous", "[", "figure(-1)", "figure before", "figure before", BENCHMARK, True, "figure"),
    Key("figure-next", "]", "figure(1)", "figure", "next figure", BENCHMARK, True, "figure"),
    Key("figure-panel", "n", "next_panel", "panel", "next panel of the figure", BENCHMARK),
    Key("bench-view", "v", "next_view", "view", "table, figure, both, or the log", BENCHMARK, footer=True),
    Key("bench-sort", "s", "sort", "sort", "sort by the next column", BENCHMARK),
    Key("bench-descending", "S", "descending", "turn", "turn the order of the rows", BENCHMARK),
    Key("bench-drawer", "g", "toggle_groups", "groups", "show or hide the groups", BENCHMARK),
    Key("bench-bandwidth", "b", "bandwidth", "use GB/s", "plan with the measured GB/s, or not", BENCHMARK),
)

_PLAN_OWN = (
    Key("cell-take", "enter", "take", "take", "take the cell or lever into the scenario", PLAN_TABLE, footer=True),
    Key("levers", "tab", "switch", "levers", "to the levers, or to the table", PLAN_TABLE, footer=True),
    Key("mark", "space", "mark", "mark", "mark a cell, up to four", PLAN_TABLE, footer=True),
    Key("compare", "c", "compare", "compare", "what is marked, side by side", PLAN_TABLE, footer=True),
    Key("metric-before", "[", "metric(-1)", "figure before", "the figure before", PLAN_TABLE, True, "figure"),
    Key("metric", "]", "metric(1)", "figure", "the next figure", PLAN_TABLE, True, "figure"),
    Key("view", "w", "view", "view", "models, KV or weight formats", PLAN_TABLE),
    Key("order", "o", "order", "sort", "sort by the column, worst first, or not", PLAN_TABLE),
    Key("filter", "/", "filter", "filter", "show rows / columns by name", PLAN_TABLE, footer=True),
    Key("engine", "E", "pick_engine", "engine", "choose an engine and its release", PLAN_TABLE),
    Key("option", "colon", "set_option", "option", "type any option with its value", PLAN_TABLE),
    Key("cell-up", "up", "move(-1, 0)", "up", "one row up", PLAN_TABLE),
    Key("cell-down", "down", "move(1, 0)", "down", "one row down", PLAN_TABLE),
    Key("cell-left", "left", "move(0, -1)", "left", "one column to the left", PLAN_TABLE),
    Key("cell-right", "right", "move(0, 1)", "right", "one column to the right", PLAN_TABLE),
    Key("cell-page-up", "pageup", "move(-10, 0)", "page up", "ten rows up", PLAN_TABLE),
    Key("cell-page-down", "pagedown", "move(10, 0)", "page down", "ten rows down", PLAN_TABLE),
    Key("cell-own", "home", "own", "own cell", "to the scenario's own cell", PLAN_TABLE),
    Key("filter-end", "escape", "unfilter", "all", "show all rows and columns", PLAN_TABLE),
)
# Plan and Explore change the scenario with the keys of Memory, but for those that mean something else there.
_PLAN_SHARED = tuple(
    key._replace(keys="m" if key.id == "model" else key.keys, footer=False)
    for key in MEMORY
    if key.id in ("explain", "drawer")
    or key.section == CHANGES
    or (key.section in (MODEL_AND_DEVICE, WORKLOAD) and key.id not in ("link", "context", "weight-format"))
)
PLAN = _PLAN_OWN + _PLAN_SHARED

SURFACE = (
    Key("turn-left", "left", "turn(-1, 0)", "turn left", "the eye goes left", SPACE, True, "turn"),
    Key("turn-right", "right", "turn(1, 0)", "turn", "the eye goes right", SPACE, True, "turn"),
    Key("turn-up", "up", "turn(0, 1)", "higher", "the eye goes up", SPACE),
    Key("turn-down", "down", "turn(0, -1)", "lower", "the eye goes down", SPACE),
    Key("turn-zoom-in", "+,=", "zoom(1)", "larger", "larger", SPACE, True, "zoom"),
    Key("turn-zoom-out", "-", "zoom(-1)", "zoom", "smaller", SPACE, True, "zoom"),
    Key("turn-x", "X", "view('x')", "along x", "along x", SPACE),
    Key("turn-y", "Y", "view('y')", "along y", "along y", SPACE),
    Key("turn-z", "z,Z", "view('z')", "view", "from above", SPACE),
    Key("turn-reset", "r", "reset", "reset", "as at first", SPACE),
    Key("turn-by-itself", "space", "spin", "spin", "turn by itself, or stop", SPACE),
    Key("point-left", "shift+left,h", "point(-1, 0)", "point left", "the next value on the left", SPACE),
    Key("point-right", "shift+right,l", "point(1, 0)", "point", "the next value on the right", SPACE),
    Key("point-up", "shift+up,k", "point(0, 1)", "point behind", "the next value behind", SPACE),
    Key("point-down", "shift+down,j", "point(0, -1)", "point before", "the next value in front", SPACE),
    Key("point-none", "escape", "no_point", "no value", "point at nothing", SPACE),
)

FIGURE = (
    Key("read-left", "left", "point(-1, 0)", "left", "read out to the left", READING),
    Key("read-right", "right", "point(1, 0)", "right", "read out to the right", READING),
    Key("read-up", "up", "point(0, -1)", "up", "read out higher", READING),
    Key("read-down", "down", "point(0, 1)", "down", "read out lower", READING),
    Key("read-far-left", "pageup", "point(-8, 0)", "far left", "eight cells to the left", READING),
    Key("read-far-right", "pagedown", "point(8, 0)", "far right", "eight cells to the right", READING),
    Key("read-none", "escape", "no_point", "no value", "read out nothing", READING),
    Key("zoom-in", "+,=", "zoom(1)", "larger", "enlarge around the cursor", READING, True, "zoom"),
    Key("zoom-out", "-", "zoom(-1)", "zoom", "make smaller", READING, True, "zoom"),
    Key("pan-left", "shift+left", "pan(-1, 0)", "pan left", "what is to the left", READING),
    Key("pan-right", "shift+right", "pan(1, 0)", "pan", "what is to the right", READING),
    Key("pan-up", "shift+up", "pan(0, 1)", "pan up", "what is above", READING),
    Key("pan-down", "shift+down", "pan(0, -1)", "pan down", "what is below", READING),
    Key("zoom-reset", "r", "reset", "all", "show all of it", READING, footer=True),
)

_EXPLORE_OWN = (
    Key("explore-focus", "tab", "switch", "figure", "to the figure, or to the list", FIGURES, footer=True),
    Key("explore-parameters", "p", "parameters", "parameters", "type the figure's parameters", FIGURES, footer=True),
    Key("explore-overlay", "o", "overlay", "add model", "one more model, up to four", FIGURES, footer=True),
    Key("explore-alone", "O", "alone", "one model", "draw the scenario's model alone", FIGURES),
    Key("explore-panel", "]", "next_panel", "panel", "the next panel alone, then all", FIGURES, footer=True),
    Key("explore-full", "f", "full", "full", "the figure alone, or the list too", FIGURES),
    Key("explore-filter", "/", "filter", "filter", "find a figure by its words", FIGURES),
    Key("explore-run", "u", "open_run", "run", "draw another measured run", FIGURES),
)
_EXPLORE_SHARED = tuple(
    key._replace(keys="m" if key.id == "model" else key.keys, footer=False)
    for key in MEMORY
    if key.id == "explain" or (key.section in (MODEL_AND_DEVICE, WORKLOAD) and key.id != "link")
)
EXPLORE = _EXPLORE_OWN + _EXPLORE_SHARED

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

# What the help and a [keymap] know: each key once, with the keys it has on the screen it belongs to.
ALL = MEMORY + APP + _EXPLORE_OWN + FIGURE + _PLAN_OWN + BENCH + SURFACE + WINDOW
# The keys of a mode's screen itself, and of the widgets on it that have keys while they are used.
TABLES = {"memory": MEMORY, "explore": EXPLORE, "plan": PLAN, "bench": BENCH}
WITHIN = {"explore": (FIGURE, SURFACE)}
SECTIONS = tuple(dict.fromkeys(key.section for key in ALL))


def of_mode(mode: str) -> tuple[Key, ...]:
    """Every key that does something on the screen of ``mode``, those of its windows too; all keys elsewhere."""
    if mode not in TABLES:
        return ALL
    within = tuple(key for table in WITHIN.get(mode, ()) for key in table)
    return TABLES[mode] + within + APP + WINDOW


def keys_of(key: Key, keymap: Mapping[str, str]) -> tuple[str, ...]:
    """The key names that start ``key``'s action once ``keymap`` (id → keys) is applied."""
    return tuple(part.strip() for part in keymap.get(key.id, key.keys).split(","))


def key_of(id: str) -> Key:
    """The key called ``id``."""
    return next(key for key in ALL if key.id == id)


def clash(keymap: Mapping[str, str]) -> tuple[str, str, str] | None:
    """A key name that ``keymap`` gives to two actions of one place, and the ids of both; None if there is none."""
    from textual.keys import format_key

    for table in (*(own + APP for own in TABLES.values()), SURFACE + APP, FIGURE + APP, WINDOW):
        taken: dict[str, str] = {}
        for key in table:
            for name in keys_of(key, keymap):
                other = taken.setdefault(format_key(name), key.id)
                if other != key.id:
                    return name, other, key.id
    return None
