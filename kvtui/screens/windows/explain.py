"""Every number of the plan with its formula, the values put in, and where they come from."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from textual.app import ComposeResult
from textual.binding import BindingType
from textual.containers import Vertical, VerticalScroll
from textual.content import Content
from textual.widgets import Static

from kvtui.engine.basis.units import format_bytes
from kvtui.engine.basis.untrusted import plain
from kvtui.engine.saying.explain import ExplainedValue, Explanation
from kvtui.screens import bindings
from kvtui.screens.windows.window import Window
from kvtui.state.session import Session


class ExplainScreen(Window):
    """The explanations of the session's plan, opened at the one whose id is ``about`` or begins with it."""

    BINDINGS: ClassVar[list[BindingType]] = [*bindings.closing("explain", "quit"), *bindings.SCROLLING]

    def __init__(self, session: Session, about: str | None = None) -> None:
        super().__init__()
        self._session = session
        self._explained: Sequence[Explanation] = ()
        self.about = about

    def compose(self) -> ComposeResult:
        """One block per number, to scroll through."""
        # A key may change the scenario before this screen is mounted: what is explained is that of now.
        scenario, self._explained = self._session.scenario, self._session.explanations
        with Vertical(classes="box") as box:
            box.border_title = f"where the numbers come from: {plain(scenario.model.name, 50)}"
            box.border_subtitle = self.legend(("scroll", "list-up", "list-down"), ("close", "window-close"))
            with VerticalScroll():
                for explanation in self._explained:
                    yield Static(heading(explanation), classes="explanation", markup=False)
                    yield Static(body(explanation), classes="body", markup=False)

    def on_mount(self) -> None:
        """Go to what was asked about."""
        about = self.about
        if about is None:
            return
        for explanation, block in zip(self._explained, self.query(".explanation"), strict=True):
            if explanation.id == about or explanation.id.startswith(f"{about}."):
                self.call_after_refresh(block.scroll_visible, animate=False, top=True)
                return


def heading(explanation: Explanation) -> Content:
    """The number's name and its bytes."""
    title = explanation.id.replace("_", " ").replace(".", ": ")
    result = "" if explanation.bytes is None else f"  {_bytes(explanation.bytes)}"
    return Content.assemble((title, "bold $primary"), (result, "bold"))


def body(explanation: Explanation) -> Content:
    """The formula, the values put in, and the sources."""
    lines = [Content(explanation.formula)]
    if explanation.values:
        shown = [
            Content.assemble((f"{name}=", "$foreground-muted"), (_value(name, value), "$accent"))
            for name, value in explanation.values
        ]
        lines.append(Content("   ").join(shown))
    lines.append(Content.styled("; ".join(explanation.sources), "$foreground-muted"))
    return Content("\n").join(lines)


def _value(name: str, value: ExplainedValue) -> str:
    match value:
        case int() if name.endswith("bytes") and value >= 1024:
            return f"{value:,} ({format_bytes(value)})"
        case int():
            return f"{value:,}"
        case float():
            return f"{value:,.4g}"
    return plain(value)


def _bytes(count: int) -> str:
    exact = f"{count:,} B"
    return exact if abs(count) < 1024 else f"{format_bytes(count)}  =  {exact}"
