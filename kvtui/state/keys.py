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
    Mode("traffic", "5", "Traffic"),
    Mode("papers", "6", "Papers & help"),
)

# The headings of the help. What a key of the first two does is the same on every screen.
SCENARIO, EVERYWHERE = "the scenario, on every screen", "on every screen"
PLAYBACK, WORKLOAD, VIEW = "playback", "steps and switches", "what is shown"
WINDOWS, BENCHMARK = "lists and windows", "benchmark"
FIGURES, READING, SPACE = "figures", "reading a figure", "pictures in space"
PLAN_TABLE = "table of the Plan screen"
SERVERS, REPLAYED = "running servers", "a replayed trace"

GLOBAL = (
    Key("model", "m", "pick_model", "model", "choose or search a model", SCENARIO, footer=True),
    Key("device", "g", "pick_device", "device", "choose or search a device", SCENARIO, footer=True),
    Key("weight-format", "w", "pick_weights", "weights", "choose the format of the weights", SCENARIO),
    Key("kv-format", "K", "pick_kv", "KV", "choose the format of K and V", SCENARIO),
    Key("context", "c", "set_context", "context", "type a context length", SCENARIO),
    Key("batch", "b", "set_batch", "batch", "type how many sequences", SCENARIO),
    Key("engine", "n", "pick_engine", "engine", "choose an engine and its release", SCENARIO),
    Key("fixes", "f", "fixes", "fix", "what would make it fit", SCENARIO, footer=True),
    Key("undo", "u", "undo", "undo", "take the last change back", SCENARIO),
    Key("redo", "U", "redo", "redo", "make it again", SCENARIO),
    Key("explain", "e", "explain", "explain", "formulas, values and sources", SCENARIO, footer=True),
    Key("filter", "/", "filter", "filter", "search, or show what is named", EVERYWHERE),
)

APP = (
    Key("export", "x", "export", "export", "save the picture or a report", EVERYWHERE, footer=True),
    Key("copy", "y", "copy", "copy", "copy this as a command line", EVERYWHERE),
    Key("palette", "ctrl+p,colon", "command_palette", "palette", "commands, any option typed", EVERYWHERE),
    *(Key(mode.name, mode.number, f"mode('{mode.name}')", mode.title, mode.title, EVERYWHERE) for mode in MODES),
    Key("theme", "t", "theme", "theme", "dark or light", EVERYWHERE),
    Key("quit", "q", "quit", "quit", "quit", EVERYWHERE),
    Key("help", "?,f1", "help", "help", "this list", EVERYWHERE, footer=True),
)

# Steps and switches of the scenario, on the screens that show nothing else under these keys.
STEPS = (
    Key("context-longer", "+,=", "next_context", "longer", "next longer context", WORKLOAD),
    Key("context-shorter", "-", "previous_context", "shorter", "next shorter context", WORKLOAD),
    Key("batch-next", ".", "next_batch", "larger batch", "next larger batch", WORKLOAD),
    Key("batch-previous", "comma", "previous_batch", "smaller batch", "next smaller batch", WORKLOAD),
    Key("devices-more", "v", "next_devices", "more devices", "more devices, up to 128", WORKLOAD),
    Key("devices-fewer", "V", "previous_devices", "fewer devices", "fewer devices", WORKLOAD),
    Key("fill", "i", "next_fill", "less full", "sequences less full", WORKLOAD),
    Key("fill-more", "I", "previous_fill", "fuller", "sequences fuller", WORKLOAD),
    Key("continuous-batching", "B", "toggle_cb", "cb", "continuous batching on or off", WORKLOAD),
    Key("paged-attention", "P", "toggle_pa", "pa", "paged attention on or off", WORKLOAD),
    Key("flash-attention", "F", "toggle_fa", "fa", "FlashAttention on or off", WORKLOAD),
    Key("skip-weights", "W", "toggle_weights", "skip", "count the weights or skip them", WORKLOAD),
)

_MEMORY_OWN = (
    Key("play", "space", "toggle_play", "play", "play or pause", PLAYBACK, footer=True),
    Key("step-back", "left,h", "step(-1)", "step back", "one step back", PLAYBACK, footer=True, together="step"),
    Key("step", "right,l", "step(1)", "step", "one step on", PLAYBACK, footer=True, together="step"),
    Key("leap-back", "shift+left", "step(-10)", "leap back", "ten steps back", PLAYBACK),
    Key("leap", "shift+right", "step(10)", "leap", "ten steps on", PLAYBACK),
    Key("first", "home", "scrub_home", "empty", "to the empty cache", PLAYBACK),
    Key("last", "end", "scrub_end", "full", "to the full context", PLAYBACK),
    Key("restart", "0", "restart", "restart", "play again from the start", PLAYBACK),
    Key("slower", "[", "slower", "slower", "slower", PLAYBACK),
    Key("faster", "]", "faster", "faster", "faster", PLAYBACK),
    Key("bank-next", "down,j", "select(1)", "next bank", "the next bank or device", VIEW),
    Key("bank-previous", "up,k", "select(-1)", "bank before", "the bank or device before", VIEW),
    Key("bank-none", "escape", "select_none", "no bank", "select nothing", VIEW),
    Key("avoided", "o", "toggle_avoided", "outline", "outline of what FA avoids", VIEW),
    Key("zoom", "z", "toggle_cluster", "zoom", "all devices, or the fullest", VIEW),
    Key("link", "L", "toggle_link", "link", "fast link or PCIe", VIEW),
    Key("drawer", "s", "toggle_drawer", "side", "show or hide the side", VIEW),
    Key("debug", "D", "toggle_debug", "debug", "how the picture is drawn", VIEW),
)
MEMORY = _MEMORY_OWN + STEPS

BENCH = (
    Key("bench-run", "r", "run_benchmark", "run", "start, or go on with the run shown", BENCHMARK, footer=True),
    Key("bench-pause", "p", "pause_benchmark", "pause", "pause after this case, or go on", BENCHMARK, footer=True),
    Key("bench-cancel", "i", "cancel_benchmark", "interrupt", "end it; what is measured stays", BENCHMARK, footer=True),
    Key("bench-size", "z", "next_size", "size", "fast, default or full", BENCHMARK),
    Key("bench-groups", "a", "all_groups", "all groups", "all groups, or none", BENCHMARK),
    Key("bench-decode", "d", "decode_benchmark", "decode", "decode by position, or the sweep", BENCHMARK),
    Key("bench-open", "o", "open_run", "open", "open another run", BENCHMARK, footer=True),
    Key("bench-compare", "C", "compare_runs", "compare", "compare with another run", BENCHMARK),
    Key("bench-back", "escape", "back", "back", "back from a comparison or an old run", BENCHMARK),
    Key("figure-previous", "[", "figure(-1)", "figure before", "figure before", BENCHMARK, True, "figure"),
    Key("figure-next", "]", "figure(1)", "figure", "next figure", BENCHMARK, True, "figure"),
    Key("figure-panel", "P", "next_panel", "panel", "next panel of the figure", BENCHMARK),
    Key("bench-view", "v", "next_view", "view", "table, figure, both, or the log", BENCHMARK, footer=True),
    Key("bench-sort", "s", "sort", "sort", "sort by the next column", BENCHMARK),
    Key("bench-descending", "S", "descending", "turn", "turn the order of the rows", BENCHMARK),
    Key("bench-drawer", "G", "toggle_groups", "groups", "show or hide the groups", BENCHMARK),
    Key("bench-bandwidth", "B", "bandwidth", "use GB/s", "plan with the measured GB/s, or not", BENCHMARK),
)

_PLAN_OWN = (
    Key("cell-take", "enter", "take", "take", "take the cell or lever into the scenario", PLAN_TABLE, footer=True),
    Key("levers", "tab", "switch", "levers", "to the levers, or to the table", PLAN_TABLE, footer=True),
    Key("mark", "space", "mark", "mark", "mark a cell, up to four", PLAN_TABLE, footer=True),
    Key("compare", "C", "compare", "compare", "what is marked, side by side", PLAN_TABLE, footer=True),
    Key("metric-before", "[", "metric(-1)", "figure before", "the figure before", PLAN_TABLE, True, "figure"),
    Key("metric", "]", "metric(1)", "figure", "the next figure", PLAN_TABLE, True, "figure"),
    Key("view", "r", "view", "rows", "models, KV or weight formats", PLAN_TABLE),
    Key("order", "o", "order", "sort", "sort by the column, worst first, or not", PLAN_TABLE),
    Key("order-also", "O", "order_also", "then by", "sort what is alike by this column too", PLAN_TABLE),
    Key("hardware", "D", "hardware", "own device", "a device by its memory and bandwidth", PLAN_TABLE),
    Key("fitting", "a", "fitting", "what fits", "only what fits on the device, or all", PLAN_TABLE, footer=True),
    Key("cell-up", "up,k", "move(-1, 0)", "up", "one row up", PLAN_TABLE),
    Key("cell-down", "down,j", "move(1, 0)", "down", "one row down", PLAN_TABLE),
    Key("cell-left", "left,h", "move(0, -1)", "left", "one column to the left", PLAN_TABLE),
    Key("cell-right", "right,l", "move(0, 1)", "right", "one column to the right", PLAN_TABLE),
    Key("cell-page-up", "pageup", "move(-10, 0)", "page up", "ten rows up", PLAN_TABLE),
    Key("cell-page-down", "pagedown", "move(10, 0)", "page down", "ten rows down", PLAN_TABLE),
    Key("cell-own", "home", "own", "own cell", "to the scenario's own cell", PLAN_TABLE),
    Key("filter-end", "escape", "unfilter", "all", "show all rows and columns", PLAN_TABLE),
)
_DRAWER = tuple(key for key in _MEMORY_OWN if key.id == "drawer")
PLAN = _PLAN_OWN + _DRAWER + STEPS

SURFACE = (
    Key("turn-left", "left", "turn(-1, 0)", "turn left", "the eye goes left", SPACE, True, "turn"),
    Key("turn-right", "right", "turn(1, 0)", "turn", "the eye goes right", SPACE, True, "turn"),
    Key("turn-up", "up", "turn(0, 1)", "higher", "the eye goes up", SPACE),
    Key("turn-down", "down", "turn(0, -1)", "lower", "the eye goes down", SPACE),
    Key("turn-zoom-in", "+,=", "zoom(1)", "larger", "larger", SPACE, True, "zoom"),
    Key("turn-zoom-out", "-", "zoom(-1)", "zoom", "smaller", SPACE, True, "zoom"),
    Key("turn-x", "X", "view('x')", "along x", "along x", SPACE),
    Key("turn-y", "Y", "view('y')", "along y", "along y", SPACE),
    Key("turn-z", "Z", "view('z')", "view", "from above", SPACE),
    Key("turn-reset", "r", "reset", "reset", "as at first", SPACE),
    Key("turn-by-itself", "space", "spin", "spin", "turn by itself, or stop", SPACE),
    Key("point-left", "shift+left,h", "point(-1, 0)", "point left", "the next value on the left", SPACE),
    Key("point-right", "shift+right,l", "point(1, 0)", "point", "the next value on the right", SPACE),
    Key("point-up", "shift+up,k", "point(0, 1)", "point behind", "the next value behind", SPACE),
    Key("point-down", "shift+down,j", "point(0, -1)", "point before", "the next value in front", SPACE),
    Key("point-none", "escape", "no_point", "no value", "point at nothing", SPACE),
)

FIGURE = (
    Key("read-left", "left,h", "point(-1, 0)", "left", "read out to the left", READING),
    Key("read-right", "right,l", "point(1, 0)", "right", "read out to the right", READING),
    Key("read-up", "up,k", "point(0, -1)", "up", "read out higher", READING),
    Key("read-down", "down,j", "point(0, 1)", "down", "read out lower", READING),
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
    Key("explore-overlay", "a", "overlay", "add model", "one more model, up to four", FIGURES, footer=True),
    Key("explore-alone", "A", "alone", "one model", "draw the scenario's model alone", FIGURES),
    Key("explore-panel", "]", "next_panel", "panel", "the next panel alone, then all", FIGURES, footer=True),
    Key("explore-sheet", "s", "sheet", "sheet", "the next sheet in space alone, then all", FIGURES, footer=True),
    Key("explore-full", "z", "full", "full", "the figure alone, or the list too", FIGURES),
    Key("explore-unfilter", "escape", "unfilter", "all", "end the filter and list all figures", FIGURES),
    Key("explore-run", "o", "open_run", "run", "draw another measured run", FIGURES),
)
EXPLORE = _EXPLORE_OWN + STEPS

TRAFFIC = (
    Key("traffic-hold", "space", "hold", "pause", "stop at this moment, or go on", SERVERS, footer=True),
    Key("traffic-back", "left,h", "scrub(-1)", "back", "an earlier moment", SERVERS, True, "time"),
    Key("traffic-on", "right,l", "scrub(1)", "time", "a later moment", SERVERS, True, "time"),
    Key("traffic-far-back", "shift+left", "scrub(-10)", "far back", "a much earlier moment", SERVERS),
    Key("traffic-far-on", "shift+right", "scrub(10)", "far on", "a much later moment", SERVERS),
    Key("traffic-first", "home", "scrub(-1000000)", "first", "the first moment", SERVERS),
    Key("traffic-last", "end", "scrub(1000000)", "last", "the newest moment", SERVERS),
    Key("traffic-longer", "-", "zoom_time(1)", "longer", "a longer stretch of time", SERVERS, True, "zoom"),
    Key("traffic-shorter", "+,=", "zoom_time(-1)", "zoom", "a shorter stretch of time", SERVERS, True, "zoom"),
    Key("traffic-slower", "[", "speed(-1)", "slower", "a recording slower", SERVERS),
    Key("traffic-faster", "]", "speed(1)", "faster", "a recording faster", SERVERS),
    Key("traffic-down", "down,j", "row(1)", "down", "the next server", SERVERS),
    Key("traffic-up", "up,k", "row(-1)", "up", "the server before", SERVERS),
    Key("traffic-enter", "enter", "open_server", "open", "one server of several, whole", SERVERS, footer=True),
    Key("traffic-all", "escape", "all_servers", "all", "back to all servers", SERVERS),
    Key("traffic-plan", "p", "take_plan", "plan it", "plan with this server's numbers", SERVERS, footer=True),
    Key("traffic-find", "a", "watch('')", "find", "look on this machine's usual ports", SERVERS, footer=True),
    Key("traffic-watch", "o", "watch_typed", "watch", "watch an address, or play a recording", SERVERS, footer=True),
    Key(
        "traffic-replay", "r", "replay_typed", "replay", "replay a trace on the scenario's server", SERVERS, footer=True
    ),
    Key("traffic-demo", "d", "watch('demo')", "demo", "play a recording that comes with kvtui", SERVERS, footer=True),
)

FILM = (
    Key("film-hold", "space", "hold", "play", "play, or stop at this step", REPLAYED, footer=True),
    Key("film-back", "left", "step(-1)", "back", "one step back", REPLAYED, True, "film-step"),
    Key("film-on", "right", "step(1)", "step", "one step on", REPLAYED, True, "film-step"),
    Key("film-far-back", "shift+left", "step(-10)", "far back", "ten steps back", REPLAYED),
    Key("film-far-on", "shift+right", "step(10)", "far on", "ten steps on", REPLAYED),
    Key("film-first", "home", "first", "first", "the first step", REPLAYED),
    Key("film-last", "end", "last", "last", "the last step", REPLAYED),
    Key("film-preemption", "p", "event('preemption')", "preempted", "the next preemption", REPLAYED, footer=True),
    Key("film-eviction", "v", "event('eviction')", "evicted", "the next eviction", REPLAYED, footer=True),
    Key("film-up", "up,k", "request(-1)", "up", "the request before", REPLAYED, True, "film-request"),
    Key("film-down", "down,j", "request(1)", "request", "the next request", REPLAYED, True, "film-request"),
    Key("film-block-back", "h", "block(-1)", "block before", "the block before", REPLAYED, True, "film-block"),
    Key("film-block", "l", "block(1)", "block", "its next block", REPLAYED, True, "film-block"),
    Key("film-side", "tab", "side", "other", "the other policy", REPLAYED, footer=True),
    Key("film-replica", "r", "replica", "replica", "the next replica of the server", REPLAYED),
    Key("film-slower", "[", "speed(-1)", "slower", "slower", REPLAYED),
    Key("film-faster", "]", "speed(1)", "faster", "faster", REPLAYED),
    Key("film-longer", "-", "zoom_time(1)", "longer", "a longer stretch of time", REPLAYED),
    Key("film-shorter", "+,=", "zoom_time(-1)", "shorter", "a shorter stretch of time", REPLAYED),
    Key("film-none", "escape", "choose_none", "no request", "no block, no request, then go back", REPLAYED),
)

PAPERS = (
    Key("page-line-up", "up,k", "scroll_lines(-1)", "up", "one line up", READING, True, "scroll"),
    Key("page-line-down", "down,j", "scroll_lines(1)", "scroll", "one line down", READING, True, "scroll"),
    Key("page-up", "pageup", "scroll_lines(-10)", "page up", "ten lines up", READING),
    Key("page-down", "pagedown", "scroll_lines(10)", "page down", "ten lines down", READING),
    Key("page-back", "escape", "app.mode('memory')", "back", "back to the picture", READING),
)

# Beside the arrows, in lists that have the arrows from Textual.
LIST = (
    Key("list-cursor-up", "k", "cursor_up", "up", "one line up", WINDOWS),
    Key("list-cursor-down", "j", "cursor_down", "down", "one line down", WINDOWS),
)
TABLE = (
    *LIST,
    Key("list-cursor-left", "h", "cursor_left", "left", "one column to the left", WINDOWS),
    Key("list-cursor-right", "l", "cursor_right", "right", "one column to the right", WINDOWS),
)

SCROLLING = (
    Key("scroll-up", "k", "move(-1)", "up", "one line up", WINDOWS),
    Key("scroll-down", "j", "move(1)", "down", "one line down", WINDOWS),
)

WINDOW = (
    Key("window-close", "escape", "dismiss", "close", "close", WINDOWS),
    Key("list-up", "up", "move(-1)", "up", "one line up", WINDOWS),
    Key("list-down", "down", "move(1)", "down", "one line down", WINDOWS),
    Key("list-page-up", "pageup", "move(-10)", "page up", "ten lines up", WINDOWS),
    Key("list-page-down", "pagedown", "move(10)", "page down", "ten lines down", WINDOWS),
)

# The keys of a screen itself (the film stands in Traffic's place), and of its widgets that have keys while in use.
TABLES = {
    "memory": MEMORY,
    "explore": EXPLORE,
    "plan": PLAN,
    "bench": BENCH,
    "traffic": TRAFFIC,
    "film": FILM,
    "papers": PAPERS,
}
WITHIN = {"explore": (FIGURE, SURFACE, LIST), "bench": (TABLE,)}
# What the help and a [keymap] know: each key once.
ALL = tuple(
    dict.fromkeys(
        GLOBAL
        + APP
        + MEMORY
        + EXPLORE
        + FIGURE
        + SURFACE
        + PLAN
        + BENCH
        + TRAFFIC
        + FILM
        + TABLE
        + PAPERS
        + SCROLLING
        + WINDOW
    )
)
PANELS = {
    "memory": "explain",
    "formula": "explain",
    "estimate": "explain",
    "room for": "explain",
    "cell": "explain",
    "take care": "fixes",
    "levers": "levers",
    "parameters": "explore-parameters",
    "models": "explore-overlay",
    "size": "bench-size",
    "machine": "bench-bandwidth",
}
"""The key that belongs to a panel, by how its title begins."""

SECTIONS = tuple(dict.fromkeys(key.section for key in ALL))


def of_screen(name: str) -> tuple[Key, ...]:
    """Every key that does something on the screen that TABLES calls ``name``, those of its windows too."""
    within = tuple(key for table in WITHIN.get(name, ()) for key in table)
    return TABLES[name] + within + GLOBAL + APP + WINDOW + SCROLLING


def keys_of(key: Key, keymap: Mapping[str, str]) -> tuple[str, ...]:
    """The key names that start ``key``'s action once ``keymap`` (id → keys) is applied."""
    return tuple(part.strip() for part in keymap.get(key.id, key.keys).split(","))


def key_of(id: str) -> Key:
    """The key called ``id``."""
    return next(key for key in ALL if key.id == id)


def clash(keymap: Mapping[str, str]) -> tuple[str, str, str] | None:
    """A key name that ``keymap`` gives to two actions of one place, and the ids of both; None if there is none."""
    from textual.keys import format_key

    within = (SURFACE + APP, FIGURE + APP, TABLE + GLOBAL + APP, WINDOW + SCROLLING)
    for table in (*(own + GLOBAL + APP for own in TABLES.values()), *within):
        taken: dict[str, str] = {}
        for key in table:
            for name in keys_of(key, keymap):
                other = taken.setdefault(format_key(name), key.id)
                if other != key.id:
                    return name, other, key.id
    return None
