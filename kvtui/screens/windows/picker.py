"""A modal list to search while typing: what is in it is a Source's business."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial

from rich.text import Text
from textual import on
from textual.app import ComposeResult
from textual.containers import Vertical
from textual.content import Content
from textual.events import Resize
from textual.widgets import DataTable, Input, Static
from textual.worker import get_current_worker

from kvtui.engine.basis.errors import InputError
from kvtui.screens.windows.window import Window
from kvtui.widgets.ink import ink

FITS_AT_ONCE = 24
NARROW = 100
WIDEST = 110
MARGINS = 7


@dataclass(frozen=True, slots=True)
class PickerColumn:
    """A column's title and width in cells; one that is not ``always`` there goes first where it is narrow."""

    title: str
    width: int
    right: bool = True
    always: bool = True


@dataclass(frozen=True, slots=True)
class Entry:
    """A row: its ``name``, all words it is found by, its cells after the name, and a line about it.

    One that is ``last`` is dim: it can be taken, and is not what one would take here.
    """

    name: str
    words: str
    cells: tuple[str, ...]
    about: str
    last: bool = False


@dataclass(frozen=True, slots=True)
class Fit:
    """Whether a row's choice would fit, in a few words."""

    fits: bool
    text: str


@dataclass(frozen=True, slots=True)
class Source:
    """What a picker shows and does.

    ``entries`` and ``fit`` run in a thread; ``take`` applies a name and may raise InputError. ``typed``, where there
    is one, makes of text that matches no row something to ``take``, in a thread too; it ``reads`` such things.
    ``meant`` are the names that a command line understands by a text.
    """

    title: str
    placeholder: str
    columns: tuple[PickerColumn, ...]
    current: str
    entries: Callable[[], Iterable[Entry]]
    fit: Callable[[str], Fit]
    take: Callable[[str], None]
    typed: Callable[[str], Callable[[], None]] | None = None
    meant: Callable[[str], Sequence[str]] = lambda text: ()
    reads: str = "a file, a folder or hf:ORG/NAME"


class Picker(Window):
    """Lists the entries of ``source``; arrows move while text is typed, enter takes, escape closes."""

    def __init__(self, source: Source) -> None:
        super().__init__()
        self._source = source
        self._entries: tuple[Entry, ...] = ()
        self._shown: list[Entry] = []
        self._fits: dict[str, Fit] = {}
        self._widths: dict[int, int] = {}
        self._input = Input(placeholder=source.placeholder)
        self._table: DataTable[Text] = DataTable(cursor_type="row", cell_padding=1)
        self._table.can_focus = False
        self._hint = Static(classes="hint", markup=False)
        self._box = Vertical(self._input, self._table, self._hint, classes="box")

    def compose(self) -> ComposeResult:
        """A search line, the table, and two lines about the row under the cursor."""
        self._box.border_title = self._source.title
        keys = self.legend(("move", "list-up", "list-down"), ("close", "window-close"))
        self._box.border_subtitle = f"enter take   {keys}"
        yield self._box

    def on_mount(self) -> None:
        """Set up the columns, and fetch the rows."""
        self._set_columns(self.app.size.width)
        self._say("working it out")
        self.run_worker(self._fetch, thread=True, exclusive=True)

    def on_resize(self, event: Resize) -> None:
        """Show the columns that the new width has room for, and stay on the row."""
        if self._widths != self._fitting(event.size.width):
            row = self._table.cursor_row
            self._table.clear(columns=True)
            self._set_columns(event.size.width)
            self._fill(self._input.value)
            self._table.move_cursor(row=row, scroll=False)

    def _set_columns(self, width: int) -> None:
        self._widths = self._fitting(width)
        for index, cells in self._widths.items():
            column = self._source.columns[index]
            title = Text(column.title, justify="right" if column.right else "left")
            self._table.add_column(title, width=cells, key=str(index))

    def _fitting(self, width: int) -> dict[int, int]:
        """The columns, by number, that a terminal of ``width`` cells has room for, each with its width.

        The name has what the others leave.
        """
        wide = width >= NARROW
        box = min(WIDEST, width * 9 // 10) if wide else width
        shown = {i: column.width for i, column in enumerate(self._source.columns) if wide or column.always}
        others = sum(cells + 2 for i, cells in shown.items() if i)
        return {**shown, 0: max(12, box - MARGINS - others - 2)}

    def _fetch(self) -> None:
        """In a thread: the rows, then in small lots whether each would fit."""
        worker = get_current_worker()
        try:
            entries = tuple(self._source.entries())
        except InputError as error:
            self._from_thread(partial(self._say, str(error), True))
            return
        self._from_thread(partial(self._take_entries, entries))
        lot: dict[str, Fit] = {}
        for number, entry in enumerate(entries, 1):
            if worker.is_cancelled:
                return
            lot[entry.name] = self._source.fit(entry.name)
            if number % FITS_AT_ONCE == 0 or number == len(entries):
                self._from_thread(partial(self._take_fits, lot))
                lot = {}

    def _from_thread(self, action: Callable[[], None]) -> None:
        """Let the app do ``action`` if the picker is still there by then."""

        def act() -> None:
            if self.is_attached:
                action()

        if not get_current_worker().is_cancelled:
            self.app.call_from_thread(act)

    def _take_entries(self, entries: tuple[Entry, ...]) -> None:
        self._entries = entries
        self._fill(self._input.value)

    def _take_fits(self, lot: Mapping[str, Fit]) -> None:
        self._fits |= lot
        column = str(len(self._source.columns) - 1)
        for entry in self._shown:
            if entry.name in lot:
                self._table.update_cell(entry.name, column, self._fit_text(entry.name))

    def _fill(self, query: str) -> None:
        """Show the entries with all words of ``query``: those that a command line means by it first."""
        asked = query.casefold().strip()
        words = asked.split()
        meant = tuple(self._source.meant(query.strip())) if words else ()
        found = [entry for entry in self._entries if entry.name in meant or all(word in entry.words for word in words)]
        if words:
            found.sort(key=lambda entry: _rank(entry, asked, meant))
        self._shown = found
        table = self._table
        table.clear()
        for entry in found:
            style = ink(self.app, "foreground-muted") if entry.last else ""
            texts = [Text(entry.name, overflow="ellipsis", no_wrap=True, style=style)]
            for column, cell in zip(self._source.columns[1:], entry.cells, strict=False):
                texts.append(Text(cell, justify="right" if column.right else "left", style=style))
            texts.append(self._fit_text(entry.name))
            kept = [text for index, text in enumerate(texts) if str(index) in table.columns]
            table.add_row(*kept, key=entry.name)
        names = [entry.name for entry in found]
        row = names.index(self._source.current) if not words and self._source.current in names else 0
        if found:
            table.move_cursor(row=row, scroll=False)
            self.call_after_refresh(self._centre)
        self._count()
        self._describe()

    def _centre(self) -> None:
        """Scroll so that the row under the cursor is in the middle."""
        table = self._table
        table.scroll_to(y=table.cursor_row - table.size.height // 2, animate=False)

    def _count(self) -> None:
        shown = f"{len(self._shown)} of {len(self._entries)}"
        self._box.border_title = f"{self._source.title}   {shown}"

    def _fit_text(self, name: str) -> Text:
        fit = self._fits.get(name)
        if fit is None:
            return Text("…", justify="right", style=ink(self.app, "foreground-muted"))
        return Text(fit.text, justify="right", style=ink(self.app, "success" if fit.fits else "error"))

    def _describe(self) -> None:
        entry = self._under_cursor()
        if entry is not None:
            self._say(entry.about)
        elif self._source.typed is not None and self._input.value.strip():
            self._say(f"no such name; enter reads it as {self._source.reads}")
        else:
            self._say("nothing of that name" if self._entries else "working it out")

    def _say(self, message: str, wrong: bool = False) -> None:
        self._hint.update(Content(message).stylize("$text-error" if wrong else "$foreground-muted"))

    def _under_cursor(self) -> Entry | None:
        row = self._table.cursor_row
        return self._shown[row] if 0 <= row < len(self._shown) else None

    def action_move(self, rows: int) -> None:
        """Move the cursor by ``rows``."""
        table = self._table
        table.move_cursor(row=max(0, min(len(self._shown) - 1, table.cursor_row + rows)), animate=False)

    @on(Input.Changed)
    def search(self, event: Input.Changed) -> None:
        """Show what matches."""
        self._fill(event.value)

    @on(DataTable.RowHighlighted)
    def describe(self) -> None:
        """Say something about the row under the cursor."""
        self._describe()

    @on(DataTable.RowSelected)
    def take_clicked(self) -> None:
        """Take the row that was clicked on."""
        self._take()

    @on(Input.Submitted)
    def take_entered(self) -> None:
        """Take the row under the cursor, or what was typed."""
        self._take()

    def _take(self) -> None:
        entry, typed = self._under_cursor(), self._input.value.strip()
        if entry is not None:
            self._finish(lambda: self._source.take(entry.name))
        elif typed and self._source.typed is not None:
            self._say("reading")
            self.run_worker(lambda: self._read(typed), thread=True, exclusive=True)

    def _read(self, typed: str) -> None:
        """In a thread: make something of ``typed``."""
        read = self._source.typed
        assert read is not None
        try:
            take = read(typed)
        except InputError as error:
            self._from_thread(partial(self._say, str(error), True))
            return
        self._from_thread(partial(self._finish, take))

    def _finish(self, take: Callable[[], None]) -> None:
        try:
            take()
        except InputError as error:
            self._say(str(error), True)
        else:
            self.dismiss()


def _rank(entry: Entry, asked: str, meant: tuple[str, ...]) -> tuple[bool, int, bool]:
    """What stands first: the very name ``asked`` for, what is ``meant`` by it, and what begins so."""
    at = meant.index(entry.name) if entry.name in meant else len(meant)
    return entry.name.casefold() != asked, at, not entry.words.startswith(asked)
