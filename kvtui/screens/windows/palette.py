"""The command palette: every key's action, every model and device by name, and any option, named or with its value."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from io import BytesIO
from textwrap import wrap
from typing import ClassVar, Protocol, runtime_checkable

from rich.cells import cell_len
from textual.binding import Binding, BindingType
from textual.command import DiscoveryHit, Hit, Hits, Provider
from textual.content import Content
from textual.widgets import Input

from kvtui.engine.basis.errors import InputError, SeveralNames, UnknownName
from kvtui.engine.basis.units import format_bytes, parse_tokens
from kvtui.engine.basis.untrusted import plain
from kvtui.engine.device.catalogue import device_names
from kvtui.engine.model.catalogue import model_names
from kvtui.engine.picture.film import SPEEDS
from kvtui.engine.planning.cluster import ClusterPreset, all_clusters, preset_fields
from kvtui.engine.planning.plan import plan
from kvtui.engine.scenario.change import adapted
from kvtui.engine.scenario.options import OPTIONS
from kvtui.engine.scenario.scenario import Scenario
from kvtui.engine.scenario.setting import find_option, said_options, typed_option, wished
from kvtui.engine.scenario.values import to_values
from kvtui.engine.sources.names import known_name
from kvtui.screens.windows.option_values import values_of
from kvtui.state import keys
from kvtui.state.host import Host, host_of
from kvtui.state.settings import MOTIONS, PIXELS
from kvtui.widgets.key_name import key_name
from kvtui.widgets.textual_private import ClosesOnce, PagedPalette

TITLE_CELLS, LEAST_WORD_CELLS, MOST_CELLS, AROUND_CELLS = 30, 20, 100, 6
MOST_VALUES = 16
MORE_THAN_ONE = 2
REFUSING = "KV cache is needed"
SAID, NAMED = 0.9, 100.0
"""Scores of a command that has what was typed among its words, though not in its title, and of one that is called so.

What is typed as an option with a value comes before all that only looks like it, whose scores have no bound.
"""

CALLED = {
    "cost": ("price", "dollars", "usd"),
    "energy": ("power", "watts", "joules"),
    "decode": ("speed", "tpot", "tokens per second"),
    "prefill": ("ttft",),
}
"""Figures by the words that people ask for them with, beside their own names."""

_REFERENCE = re.compile(r"(?:https?://)?(?:huggingface\.co|hf\.co|ollama\.com)/\S+|[\w./-]+:[\w.-]+", re.IGNORECASE)
"""What stands for a model elsewhere: an address of the Hub, a tag of Ollama."""


class Palette(PagedPalette, ClosesOnce, inherit_bindings=False):
    """The command palette with the keys of all windows; it opens with ``text`` typed."""

    BINDINGS: ClassVar[list[BindingType]] = [
        *(
            Binding(keys.key_of(id).keys, action, show=False, id=id, priority=id.startswith("list-"))
            for id, action in (
                ("window-close", "escape"),
                ("list-up", "command_list('cursor_up')"),
                ("list-down", "cursor_down"),
                ("list-page-up", "command_list('page_up')"),
                ("list-page-down", "command_list('page_down')"),
            )
        ),
        Binding("ctrl+home", "command_list('first')", show=False),
        Binding("ctrl+end", "command_list('last')", show=False),
    ]

    def __init__(self, text: str = "") -> None:
        super().__init__(
            placeholder="search, type an option (context 1M), or paste a server's command",
            id="--command-palette",
        )
        self._text = text

    def on_mount(self) -> None:
        """Begin with the text."""
        self.query_one(Input).value = self._text


@runtime_checkable
class Playing(Protocol):
    """A screen that plays the film: the palette sets its position and its speed."""

    def set_tokens(self, tokens: int) -> None:
        """Go to the position of ``tokens``."""

    def set_speed(self, speed: float) -> None:
        """Play at ``speed`` times the normal rate."""


@dataclass(frozen=True, slots=True)
class Command:
    """A line of the palette, a word on it (the key, or what would change), what it does, and what it is called too."""

    title: str
    word: str
    run: Callable[[], object]
    names: tuple[str, ...] = ()


class Commands(Provider):
    """Finds commands for the screen that the palette was opened on."""

    async def discover(self) -> Hits:
        """Before anything is typed: every option with its value, then every key's action."""
        for command in (*self._options(None), *self._actions()):
            yield DiscoveryHit(self._line(Content(command.title), command), command.run, text=command.title)

    async def search(self, query: str) -> Hits:
        """What was pasted, or an option with its value, first; then its other values, then what matches.

        Where an option is named and its value is not known, what may have been meant is first.
        """
        typed = self._pasted(query) or self._typed(query)
        first = [*([typed] if typed is not None else ()), *self._values(query, typed)]
        near = [] if first else list(self._guesses(query))
        if typed_option(query)[0] is not None:
            first, near = first or near, []
        for number, command in enumerate(first):
            line = self._line(Content(command.title), command)
            yield Hit(1.0 - number / 10_000, line, command.run, text=command.title)
        matcher, found = self.matcher(query), bool(first)
        for command in (
            *self._actions(),
            *self._options(typed),
            *self._preferences(),
            *self._explanations(),
            *self._catalogues(),
        ):
            score = self._score(query, command, matcher.match(command.title))
            if score > 0:
                found = True
                line = self._line(matcher.highlight(command.title), command)
                yield Hit(SAID * score / (1.0 + score), line, command.run, text=command.title)
        for command in () if found else near:
            yield Hit(0.5, self._line(Content(command.title), command), command.run, text=command.title)

    @staticmethod
    def _score(query: str, command: Command, alike: float) -> float:
        """How well ``query`` matches: the whole name of a command best, then what its title is ``alike``."""
        asked = query.casefold().strip()
        return NAMED if asked in command.names else alike or SAID * (asked in command.word.casefold())

    @property
    def _host(self) -> Host:
        return host_of(self.app)

    def _actions(self) -> Iterator[Command]:
        """The actions of the keys that this screen and the app have."""
        own = keys.TABLES[self._host.key_table]
        for table, owner in ((keys.GLOBAL + own, self.screen), (keys.APP, self.app)):
            for key in table:
                name = key.action.partition("(")[0]
                if hasattr(owner, f"action_{name}") and key.id != "palette":
                    names = keys.keys_of(key, self._host.settings.keymap)
                    shown = "  ".join(key_name(self._host, name) for name in names)
                    run = partial(owner.run_action, key.action)
                    yield Command(key.text, shown, run, (key.id, key.label.casefold()))

    def _options(self, typed: Command | None) -> Iterator[Command]:
        """Every option with its value and what it is for: a switch is turned over, any other asks for a value."""
        values = to_values(self._host.session.scenario)
        for option in OPTIONS:
            now = f"{_shown(values, option.key)} now: " if option.key in values else ""
            names = option.name, option.key.replace("_", " "), *option.aliases
            if option.switch:
                if typed is None or typed.title != option.name:
                    yield Command(option.name, f"{now}{option.help}", partial(self._set, option.key, ""), names)
            else:
                title = f"{option.name} {option.metavar}"
                yield Command(title, f"{now}{option.help}", partial(self._begin, option.name), names)

    def _values(self, query: str, typed: Command | None) -> Iterator[Command]:
        """Values that an option may have and that contain what was typed after its name, each with what it changes."""
        option, text = typed_option(query)
        if option is None:
            return
        scenario, count = self._host.session.scenario, 0
        for value in values_of(option, scenario):
            title = f"{option.name} {value}"
            if text.casefold() not in value.casefold() or (typed is not None and typed.title == title):
                continue
            command = self._typed(title)
            if command is not None:
                yield command
                count += 1
            if count == MOST_VALUES:
                return

    def _guesses(self, query: str) -> Iterator[Command]:
        """What may have been meant by an option, or by a value of one, that is not known."""
        words = query.replace("=", " ", 1).split()
        option, text = typed_option(query)
        try:
            if option is not None:
                self._host.session.preview(option.key, text)
            elif words:
                find_option(words[0])
        except (UnknownName, SeveralNames) as error:
            for near in error.near:
                line = f"{option.name} {near}" if option is not None else " ".join((near, *words[1:]))
                yield Command(line, "did you mean this?", partial(self._begin, line))
            if option is not None and not error.near:
                yield Command(f"{option.name} {text}", str(error), partial(self._host.tell_error, error))
        except InputError:
            return

    def _explanations(self) -> Iterator[Command]:
        """What each figure of the plan is worked out from: found by its name and by what goes into it."""
        if not hasattr(self.screen, "action_explain"):
            return
        for found in self._host.session.explanations:
            words = f"{found.formula}: {', '.join(name for name, _ in found.values)}"
            run = partial(self.screen.run_action, f"explain('{found.id}')")
            yield Command(
                f"explain {found.id.replace('_', ' ')}",
                words.replace("_", " "),
                run,
                (found.id, *CALLED.get(found.id, ())),
            )

    def _preferences(self) -> Iterator[Command]:
        for name in self.app.available_themes:
            yield Command(f"theme {name}", "", partial(setattr, self.app, "theme", name))
        for name in MOTIONS:
            run = partial(self._host.change_settings, motion=name)
            yield Command(f"motion {name}", "until kvtui ends", run)
        yield Command("slide", "the plan on one slide, in pixels", self._slide)
        for name in PIXELS:
            yield Command(f"pixels {name}", "until kvtui ends", partial(self._host.change_settings, pixels=name))

    def _slide(self) -> None:
        from kvtui.screens.windows.slide import SlideScreen

        self._host.open(SlideScreen(self._host.session.scenario))

    def _catalogues(self) -> Iterator[Command]:
        for name in model_names():
            yield Command(f"model {name}", "", partial(self._set, "model", name))
        for name in device_names():
            yield Command(f"device {name}", "", partial(self._set, "gpu", name))
        for preset in all_clusters():
            word = f"{preset.devices:,} × {preset.device}, {preset.model}"
            for name in (preset.name, *preset.aliases):
                yield Command(f"cluster {name}", word, partial(self._take, preset))

    def _typed(self, query: str) -> Command | None:
        """What ``query`` sets if it begins with an option, or with tokens or speed where there is a film."""
        words = query.split()
        if len(words) == 2 and words[0] in ("tokens", "speed") and isinstance(self.screen, Playing):
            return self._playback(self.screen, *words)
        if (several := self._several(query)) is not None:
            return several
        option, text = typed_option(query)
        if option is None or not (text or option.switch):
            return None
        title = f"{option.name} {text}".strip()
        try:
            change = self._host.session.preview(option.key, text)
        except (UnknownName, SeveralNames):
            return None
        except InputError as error:
            return Command(title, str(error), partial(self._host.tell_error, error))
        return Command(title, self._changes(change.after), partial(self._set, option.key, text))

    def _several(self, query: str) -> Command | None:
        """What several options at once set, such as ``gpu 4090, context 32K``; None where there is one or none.

        Where they cannot hold together, or one of them is none, the line gives the reason.
        """
        session = self._host.session
        if typed_option(query)[0] is None:
            return None
        try:
            if len(said_options(query)) < MORE_THAN_ONE:
                return None
            after = wished(session.scenario, query)
        except InputError as error:
            return Command(plain(query, TITLE_CELLS), str(error), partial(self._host.tell_error, error))
        return Command(plain(query, TITLE_CELLS), self._changes(after), partial(session.take, after))

    def _changes(self, after: Scenario) -> str:
        """What would be other than now, and whether that fits."""
        before = self._host.session.scenario
        word = difference(before, after)
        return word if after == before else f"{word}; {'fits' if plan(after).fits else 'does not fit'}"

    def _pasted(self, query: str) -> Command | None:
        """What a server's command line, a tag of Ollama or an address of the Hub would make of the scenario."""
        session = self._host.session
        try:
            if _REFERENCE.fullmatch(query.strip()):
                model = known_name(query.strip())
                if model is None:
                    return None
                ref = query.strip()
                after = adapted(session.scenario, {"model": model, "model_ref": ref})[0]
                return Command(ref, self._changes(after), lambda: session.set_model(model, ref))
            from kvtui.engine.reconcile.command import understood

            found = understood(query, {})
            if found is None:
                return self._refused(query)
            after = adapted(found.scenario, {"device": session.scenario.device})[0]
        except InputError as error:
            return Command(plain(query, TITLE_CELLS), str(error), partial(self._host.tell_error, error))
        title = f"{found.command.launch.engine}: {found.scenario.ref}"
        return Command(plain(title, TITLE_CELLS), self._changes(after), partial(session.take, after))

    def _refused(self, query: str) -> Command | None:
        """What the sizes in a server's refusal lead to: its flags, which are copied when they are taken."""
        if REFUSING not in query:
            return None
        from kvtui.engine.reconcile.read_log import read_log
        from kvtui.engine.reconcile.refusal import refusal_of

        refused = refusal_of(read_log(BytesIO(query.encode())))
        if refused is None or not refused.answers:
            return None
        first, *others = (answer.flags for answer in refused.answers)
        missing = format_bytes(refused.needed - refused.available)
        word = f"{missing} are missing{'; or ' if others else ''}{', or '.join(others)}"
        return Command(first, word, partial(self._copy, first))

    def _copy(self, flags: str) -> None:
        self.app.copy_to_clipboard(flags)
        self._host.tell(f"copied: {flags}")

    def _playback(self, screen: Playing, what: str, text: str) -> Command | None:
        try:
            if what == "tokens":
                tokens = parse_tokens(text, "tokens")
                return Command(f"tokens {text}", f"go to {tokens:,} tokens", partial(screen.set_tokens, tokens))
            speed = float(text)
        except ValueError:
            return None
        if not SPEEDS[0] <= speed <= SPEEDS[-1]:
            return None
        return Command(f"speed {text}", "how fast the film plays", partial(screen.set_speed, speed))

    def _take(self, preset: ClusterPreset) -> None:
        session = self._host.session
        try:
            session.change(**preset_fields(preset, session.scenario.batch))
        except InputError as error:
            self._host.tell_error(error)

    def _begin(self, line: str) -> None:
        """Open the palette again with ``line``, for an option's value."""
        self.app.push_screen(Palette(f"{line} "))

    def _line(self, title: Content, command: Command) -> Content:
        """The title, and the word beside it in a column of its own."""
        width = max(LEAST_WORD_CELLS, min(self.app.size.width, MOST_CELLS) - TITLE_CELLS - AROUND_CELLS)
        lines = wrap(command.word, width) or [""]
        gap = " " * max(2, TITLE_CELLS - cell_len(title.plain))
        word = f"\n{' ' * TITLE_CELLS}".join(lines)
        return Content.assemble(title, (f"{gap}{word}" if command.word else "", "$foreground-muted not bold"))

    def _set(self, key: str, text: str) -> None:
        try:
            self._host.session.set_text(key, text)
        except InputError as error:
            self._host.tell_error(error)


def difference(before: Scenario, after: Scenario) -> str:
    """The options that differ, each with its value before and after."""
    old, new = to_values(before), to_values(after)
    changed = [key for key in {**old, **new} if old.get(key) != new.get(key)]
    if not changed:
        return "as it is now"
    return ", ".join(f"{key.replace('_', '-')}: {_shown(old, key)} to {_shown(new, key)}" for key in changed)


def _shown(values: Mapping[str, str | bool], key: str) -> str:
    value = values.get(key, "default")
    match value:
        case bool():
            return "on" if value else "off"
        case text if text.isdecimal():
            return f"{int(text):,}"
    return plain(value)
