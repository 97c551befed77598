"""What would make the scenario fit, the least changes first; a line above takes a wish."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial

from rich.text import Text
from textual import on
from textual.app import ComposeResult
from textual.containers import Vertical
from textual.content import Content
from textual.widgets import DataTable, Input, Static
from textual.worker import get_current_worker

from kvtui.canvas.memory.panels.numbers import figure
from kvtui.engine.advice.fixes import LESS, Fix, FixAxis, fixes
from kvtui.engine.basis.errors import InputError
from kvtui.engine.basis.units import GIB, format_tokens
from kvtui.engine.basis.untrusted import plain
from kvtui.engine.planning.plan import plan
from kvtui.engine.planning.roofline import Band
from kvtui.engine.scenario.scenario import Scenario
from kvtui.engine.scenario.setting import said_options, wished
from kvtui.screens.windows.window import Window
from kvtui.state.session import Session
from kvtui.widgets.ink import ink

ABSENT = "–"
NO_BOUND = "any"
COLUMNS = (("change", 0), ("risk", 10), ("free GiB", 8), ("context", 9), ("users", 7), ("tok/s", 11), ("$/M", 11))
GIVING_WAY = ("free GiB", "tok/s", "context")
"""The columns that go, one after the other, where the changes would be cut too short."""

RISK_INKS = ("success", "success", "warning", "warning", "error")
NARROW, WIDEST, MARGINS, LEAST_NAME = 100, 110, 8, 32


class FixesScreen(Window):
    """The fixes of the session's scenario, or of what is wished for; enter takes the one under the cursor."""

    def __init__(self, session: Session) -> None:
        super().__init__()
        self._session = session
        self._wished: Scenario | None = session.scenario
        self._kept: frozenset[FixAxis] = frozenset()
        self._found: tuple[Fix, ...] = ()
        self._input = Input(placeholder="a wish, such as: users 35, context 128K")
        self._table: DataTable[Text] = DataTable(cursor_type="row", cell_padding=1)
        self._table.can_focus = False
        self._hint = Static("looking for what fits", classes="hint", markup=False)
        self._box = Vertical(self._input, self._table, self._hint, classes="box")

    def compose(self) -> ComposeResult:
        """The wish, the table, and what to know about the fix under the cursor."""
        keys = self.legend(("move", "list-up", "list-down"), ("close", "window-close"))
        self._box.border_subtitle = f"enter take   {keys}   {self.legend(('take it back later', 'undo'))}"
        yield self._box

    def on_mount(self) -> None:
        """Look for fixes."""
        self._work()

    def on_resize(self) -> None:
        """Set up the columns for the new width, with what was found and the cursor where it was."""
        row = self._table.cursor_row
        self._table.clear(columns=True)
        self._set_columns()
        self._show(self._found)
        self._table.move_cursor(row=row, animate=False)

    def _set_columns(self) -> None:
        columns = self.app.size.width
        room = (min(WIDEST, columns * 9 // 10) if columns >= NARROW else columns) - MARGINS
        kept = dict(COLUMNS)
        for title in GIVING_WAY:
            if _name_cells(kept, room) < LEAST_NAME:
                del kept[title]
        for title, width in kept.items():
            self._table.add_column(
                Text(title, justify="left" if title in ("change", "risk") else "right"),
                width=width or _name_cells(kept, room),
                key=title,
            )

    def action_move(self, rows: int) -> None:
        """Move the cursor by ``rows``."""
        row = max(0, min(len(self._found) - 1, self._table.cursor_row + rows))
        self._table.move_cursor(row=row, animate=False)

    @on(Input.Changed)
    def wish(self, event: Input.Changed) -> None:
        """Look for what the scenario with the wish needs."""
        try:
            self._wished, self._kept = wished(self._session.scenario, event.value), kept_of(event.value)
        except InputError as error:
            self._wished = None
            self._show(())
            self._say(str(error), wrong=True)
        else:
            self._work()

    @on(Input.Submitted)
    @on(DataTable.RowSelected)
    def take(self) -> None:
        """Put the wish and the fix under the cursor into the scenario."""
        try:
            wish = wished(self._session.scenario, self._input.value)
            row = self._table.cursor_row
            after = self._found[row].scenario if row < len(self._found) else wish
            self._session.take(after)
        except InputError as error:
            self._say(str(error), wrong=True)
        else:
            self.dismiss()

    @on(DataTable.RowHighlighted)
    def describe(self) -> None:
        """Say what to know about the fix under the cursor."""
        row = self._table.cursor_row
        if row < len(self._found):
            self._say(about(self._found[row]))

    def _work(self) -> None:
        if self._wished is not None:
            self.run_worker(partial(self._look, self._wished, self._kept), thread=True, exclusive=True)

    def _look(self, scenario: Scenario, kept: frozenset[FixAxis]) -> None:
        """In a thread: the fixes of ``scenario`` that leave what is to be ``kept``."""
        worker = get_current_worker()
        try:
            fits, found = plan(scenario).fits, fixes(scenario, kept)
        except InputError as error:
            fits, found, words = False, (), str(error)
        else:
            words = (
                "it fits as it is: enter takes it" if fits else "" if found else "nothing that was tried makes it fit"
            )

        def act() -> None:
            if self.is_attached and scenario == self._wished and kept == self._kept:
                self._show(found)
                if words:
                    self._say(words, wrong=not fits)

        if not worker.is_cancelled:
            self.app.call_from_thread(act)

    def _show(self, found: tuple[Fix, ...]) -> None:
        self._found = found
        count = f": {len(found)} ways, the least change first" if found else ""
        wish = "what is wished for" if self._wished is None else what(self._wished)
        self._box.border_title = f"make {wish} fit{count}"
        table = self._table
        table.clear()
        for number, fix in enumerate(found):
            cells = self._cells(fix)
            table.add_row(*(cells[str(key.value)] for key in table.columns), key=str(number), height=None)

    def _cells(self, fix: Fix) -> dict[str, Text]:
        answer, times = fix.answer, fix.answer.times
        texts = {
            "free GiB": f"{fix.free_bytes / GIB:,.1f}",
            "context": NO_BOUND if answer.context is None else format_tokens(answer.context),
            "users": NO_BOUND if answer.sequences is None else f"{answer.sequences:,}",
            "tok/s": _band(times and times.tokens_per_second),
            "$/M": _band(times and times.usd_per_million_tokens),
        }
        return {
            "change": Text(fix.name, overflow="fold"),
            "risk": Text(fix.risk.word.replace(" to ", "–"), style=ink(self.app, RISK_INKS[fix.risk.level])),
            **{title: Text(text, justify="right") for title, text in texts.items()},
        }

    def _say(self, message: str, wrong: bool = False) -> None:
        self._hint.update(Content(message).stylize("$text-error" if wrong else "$foreground-muted"))


def kept_of(text: str) -> frozenset[FixAxis]:
    """What a wish says of context and sequences, which no fix of it may take back. Raises InputError."""
    keys = {option.key for option, _ in said_options(text)}
    return frozenset(axis for axis in LESS if axis in keys or (axis == "batch" and "lengths" in keys))


def _name_cells(columns: Mapping[str, int], room: int) -> int:
    """The cells that ``columns`` leave of ``room`` for the changes; each has a blank on either side."""
    return room - sum(width + 2 for width in columns.values())


def what(scenario: Scenario) -> str:
    """What is to fit, in few words: ``8 × 32K on 1 RTX 4090``."""
    users, context = f"{scenario.batch:,}", format_tokens(scenario.context)
    return f"{users} × {context} on {scenario.layout.devices:,} {plain(scenario.device.name, 24)}"


def about(fix: Fix) -> str:
    """The changes in full, the source of each risk, and what else to know."""
    said = [fix.name]
    said += [
        f"{change.name}: {change.risk.word} risk, {change.risk.source}" for change in fix.changes if change.risk.source
    ]
    said += [f"{change.name}: {change.caveat}" for change in fix.changes if change.caveat]
    return "\n".join([*said, *fix.notes])


def _band(band: Band | None) -> str:
    return ABSENT if band is None else f"{figure(band.low)}–{figure(band.high)}".replace(" ", "")
