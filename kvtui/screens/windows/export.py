"""Saving the picture on screen, or a report, to a file."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from textual import on
from textual.app import ComposeResult
from textual.containers import Vertical
from textual.content import Content
from textual.widgets import Input, OptionList, Static
from textual.widgets.option_list import Option

from kvtui.engine.basis.files import write_whole
from kvtui.engine.basis.places import confined
from kvtui.engine.basis.untrusted import plain
from kvtui.engine.scenario.scenario import Scenario
from kvtui.plots.installed import NotInstalled
from kvtui.plots.png import png
from kvtui.report import render
from kvtui.report.document import document
from kvtui.screens.windows.window import Window
from kvtui.widgets.paged_list import PagedList

MAX_NAME = 80


@dataclass(frozen=True, slots=True)
class Form:
    """A kind of file: its ``ending``, the report format or None for the picture, and what it is.

    ``make`` gives the contents of a form that a screen has of its own.
    """

    ending: str
    report: str | None
    text: str
    make: Callable[[], str | bytes] | None = None


CARD = "card"

FORMS = (
    Form("svg", None, "picture of the screen, for any browser or document"),
    Form("screen.png", None, "the picture in dots, by resvg"),
    Form("card.svg", CARD, "slide, 16:9: verdict, memory, frontier, fixes"),
    Form("card.png", CARD, "the slide in dots, by resvg"),
    Form("html", "html", "report with the memory drawn, one page to pass on"),
    Form("txt", "text", "report as plain text"),
    Form("md", "markdown", "report as Markdown tables"),
    Form("json", "json", "all numbers with units, formulas and sources"),
    Form("csv", "csv", "all numbers in one row"),
)


class ExportScreen(Window):
    """Asks for a kind of file and a name; a file that exists is only replaced when that is confirmed.

    ``own`` are the forms of the screen that is exported, after its picture.
    """

    def __init__(self, scenario: Scenario, picture: str, own: Sequence[Form] = ()) -> None:
        super().__init__()
        self._scenario = scenario
        self._picture = picture
        self._confirmed: Path | None = None
        self._known = (*FORMS[:1], *own, *FORMS[1:])
        self._forms = PagedList(*(Option(_prompt(form)) for form in self._known))
        self._forms.can_focus = False
        self._field = Input(default_name(scenario, self._known[0].ending))
        self._hint = Static(classes="hint", markup=False)

    def compose(self) -> ComposeResult:
        """The kinds of file, the name, and what will happen."""
        with Vertical(classes="box") as box:
            box.border_title = "export"
            keys = self.legend(("choose", "list-up", "list-down"), ("close", "window-close"))
            box.border_subtitle = f"enter save   {keys}"
            yield self._forms
            yield self._field
            yield self._hint

    def on_mount(self) -> None:
        """Begin with the picture."""
        self._forms.highlighted = 0

    @property
    def _form(self) -> Form:
        return self._known[self._forms.highlighted or 0]

    def action_move(self, rows: int) -> None:
        """Choose another kind of file."""
        self._forms.highlighted = min(max(0, (self._forms.highlighted or 0) + rows), len(self._known) - 1)

    @on(OptionList.OptionHighlighted)
    def rename(self) -> None:
        """Give the name the ending of its kind."""
        name = self._field.value
        endings = sorted((form.ending for form in self._known), key=len, reverse=True)
        known = next((ending for ending in endings if name.endswith(f".{ending}")), None)
        stem = name if known is None else name.removesuffix(f".{known}")
        self._field.value = f"{stem}.{self._form.ending}"
        self._field.cursor_position = len(self._field.value)

    @on(Input.Changed)
    def describe(self) -> None:
        """Say where the file will be."""
        self._confirmed = None
        folder = self._path().parent
        self._say(f"in {plain(str(folder), 200)}")

    @on(OptionList.OptionSelected)
    def click(self) -> None:
        """A click chooses; saving stays with enter."""
        self._field.focus()

    @on(Input.Submitted)
    def save(self) -> None:
        """Write the file, after asking where one is there already."""
        path = self._path()
        try:
            if not self._field.value.strip() or path.is_dir():
                self._say("give the file a name", wrong=True)
            elif path.exists() and self._confirmed != path:
                self._confirmed = path
                self._say(f"{plain(path.name)} exists: enter again replaces it", wrong=True)
            else:
                write_whole(path, self._contents(self._form))
                self.dismiss()
                self.app.notify(plain(str(path), 400), title="saved", markup=False)
                if self.app.is_web:
                    self.app.deliver_binary(path, open_method="download")
        except (OSError, ValueError, NotInstalled) as error:
            reason = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
            self._say(f"not saved: {plain(reason)}", wrong=True)

    def _contents(self, form: Form) -> str | bytes:
        if form.make is not None:
            return form.make()
        made = self._picture if form.report is None else report(self._scenario, form.report)
        return png(made) if form.ending.endswith("png") else made

    def _path(self) -> Path:
        name = self._field.value.strip()
        if confined() is not None:
            return Path.cwd() / Path(name).name
        try:
            return (Path.cwd() / Path(name).expanduser()).absolute()
        except (OSError, RuntimeError):
            return Path(name)

    def _say(self, message: str, wrong: bool = False) -> None:
        self._hint.update(Content(message).stylize("$text-warning" if wrong else "$foreground-muted"))


def report(scenario: Scenario, form: str) -> str:
    """The report of ``scenario`` in a format of ``kvtui.report``, or its slide. Raises InputError."""
    if form == CARD:
        from kvtui.plots.card import card

        return card(scenario)
    return render(document(scenario), form)


def default_name(scenario: Scenario, ending: str) -> str:
    """A file name of letters, digits, dots and hyphens that says which scenario it is."""
    words = f"kvtui {scenario.model.name} {scenario.device.name}"
    kept = "".join(c if c.isascii() and (c.isalnum() or c == ".") else "-" for c in words)
    return f"{'-'.join(part for part in kept.split('-') if part)[:MAX_NAME]}.{ending}"


def _prompt(form: Form) -> Content:
    return Content.assemble((f"{form.ending:11}", "$accent"), form.text)
