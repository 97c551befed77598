"""Papers and help: how to read the picture, every key, and where the techniques come from."""

from __future__ import annotations

from collections.abc import Iterator
from typing import ClassVar

from textual.app import ComposeResult
from textual.binding import BindingType
from textual.containers import Container, VerticalScroll
from textual.content import Content
from textual.widgets import Static

from kvtui.canvas.memory.board import look_of
from kvtui.canvas.palette import ASCII, hex_color
from kvtui.engine.picture.bank_map import FIRST_SEQUENCE, Code
from kvtui.engine.saying.papers import TECHNIQUES, Paper, active_techniques, all_papers
from kvtui.screens import bindings
from kvtui.screens.scenario_actions import ScenarioActions
from kvtui.screens.windows.help import key_columns
from kvtui.state import keys
from kvtui.state.host import Host
from kvtui.state.session import Session

LEGEND = (
    (Code.WEIGHTS, "weights of the model, all experts included"),
    (FIRST_SEQUENCE, "K and V, one colour per sequence"),
    (Code.STATE, "state of recurrent layers, the same at any context"),
    (Code.PREFIX, "a prefix that sequences share, stored once"),
    (Code.RESERVED, "set aside for a sequence, not yet used"),
    (Code.PADDING, "the unused end of a sequence's last block"),
    (Code.WORKING, "activations and overhead, an estimate"),
    (Code.SAVED, "scores that FlashAttention does not write out"),
    (Code.FREED, "what the model as it is would have of cache, beside a what-if"),
    (Code.FREE, "free"),
    (Code.OVERFLOW, "more than the device holds"),
)
READING = (
    (
        "Every bank stands for the same number of bytes; the line under the board says how many. Banks of a kind add "
        "up to its figure in the table."
    ),
    "The board is the fullest device. Its banks run over the memory modules in turn, as addresses are interleaved.",
    (
        "The film goes from an empty cache to the full context. Left and right step through it, home and end go to its "
        "ends, and the diagonal's dot is where it stands."
    ),
    "Bytes are exact. What carries ≈ is an estimate; e shows how each number came about.",
)
KEYMAP = (
    'The last column is what a [keymap] in config.toml calls a key: quit = "ctrl+q". kvtui doctor says where that '
    "file is."
)


class PapersScreen(ScenarioActions):
    """One page to scroll: the picture and the keys at the left, the papers at the right."""

    MODE = "papers"
    BINDINGS: ClassVar[list[BindingType]] = bindings.PAPERS

    def __init__(self, session: Session) -> None:
        super().__init__(session)
        self._reading = Static(id="reading", classes="first", markup=False)
        self._papers = Static(id="papers", markup=False)

    def body(self) -> ComposeResult:
        """The page."""
        with VerticalScroll(), Container(classes="columns"):
            yield self._reading
            yield self._papers

    def on_mount(self) -> None:
        """Write the page."""
        self.redraw()

    def resized(self) -> None:
        """The page breaks its lines by itself."""

    def action_scroll_lines(self, rows: int) -> None:
        """Scroll by ``rows``."""
        self.query_one(VerticalScroll).scroll_relative(y=rows, animate=False, immediate=True)

    def redraw(self) -> None:
        """Write the page anew: the legend is in the theme's colours, and papers at work in the scenario are marked."""
        first, second = key_columns(self.host, keys.ALL, ids=True)
        self._reading.update(Content("\n\n").join([_reading(self.host), first, second, Content(KEYMAP)]))
        active = active_techniques(self.session.scenario)
        self._papers.update(Content("\n").join(_papers(active)))


def _reading(host: Host) -> Content:
    lines = [Content.styled("how to read the picture", "bold $primary")]
    plain = host.canvas_ascii or host.canvas_depth == "none"
    for code, text in LEGEND:
        glyph, ink = look_of(code, plain)
        shown = (glyph * 2).translate(ASCII) if host.canvas_ascii else glyph * 2
        lines.append(Content.assemble(" ", (shown, hex_color(ink, host.canvas_look)), f"  {text}"))
    for paragraph in READING:
        lines += [Content(), Content(paragraph)]
    return Content("\n").join(lines)


def _papers(active: tuple[str, ...]) -> Iterator[Content]:
    yield Content.styled("papers", "bold $primary")
    for technique, (_, name) in TECHNIQUES.items():
        papers = [paper for paper in all_papers() if paper.techniques[0] == technique]
        if papers:
            mark = "  at work in this scenario" if technique in active else ""
            yield Content()
            yield Content.assemble((name, "bold $accent"), (mark, "$success"))
            for paper in papers:
                yield from _paper(paper)


def _paper(paper: Paper) -> Iterator[Content]:
    yield Content(paper.title)
    where = paper.reference if paper.arxiv is None else f"{paper.venue} {paper.year}, {paper.reference}"
    link = Content.styled(where, "$foreground-muted").stylize(f"@click=app.open('{paper.link}')")
    yield Content.assemble((f"{paper.authors}, ", "$foreground-muted"), link)
