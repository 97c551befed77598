"""The list of figures under headings that fold; those that draw several models, or have no data yet, are marked."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from itertools import groupby

from textual.content import Content
from textual.widgets.option_list import Option

from kvtui.figures.catalogue import ENTRIES, CatalogueFigure
from kvtui.screens.explore.state import matching
from kvtui.widgets.paged_list import PagedList

HEADINGS = {
    "memory": "memory",
    "speed": "speed and users",
    "estimates": "estimates of made-up shapes",
    "shapes": "families of shapes",
    "latent": "latent attention",
    "sweep": "measured: the sweep",
    "trained": "measured: trained models",
    "replay": "replayed traffic",
}
OPEN, FOLDED = "▾", "▸"
GROUP = "group:"


class FigureList(PagedList):
    """One line per figure under its heading; of a folded heading only the number of figures is shown.

    ``missing`` are the kinds of measured data that there are none of yet, ``makes`` the keys that measure.
    """

    def __init__(self, *, id: str) -> None:
        super().__init__(id=id, markup=False)
        self.border_title = "figures"
        self.unfolded = {ENTRIES[0].group}
        self.missing: Collection[str] = ()
        self.makes = ""
        self._query = ""

    def fill(self, query: str, current: CatalogueFigure | None = None) -> None:
        """List the figures that have all words of ``query``, and go to ``current`` if it is among them.

        With a query all headings are open.
        """
        found = matching(query)
        self._query = query
        if current is not None and not query:
            self.unfolded.add(current.group)
        self._list(found)
        self.border_subtitle = f"{len(found)} of {len(ENTRIES)}"
        listed = [entry for entry in found if query or entry.group in self.unfolded]
        if listed:
            chosen = current if current in listed else listed[0]
            self.highlighted = self.get_option_index(chosen.id)

    def fold(self, id: str) -> bool:
        """Open or fold the heading of that option; whether it is one."""
        if not id.startswith(GROUP):
            return False
        if not self._query:
            self.unfolded ^= {id.removeprefix(GROUP)}
            self._list(ENTRIES)
            self.highlighted = self.get_option_index(id)
        return True

    def _list(self, found: Sequence[CatalogueFigure]) -> None:
        self.clear_options()
        for group, members in groupby(found, lambda entry: entry.group):
            entries = list(members)
            opened = bool(self._query) or group in self.unfolded
            self.add_option(Option(_heading(group, len(entries), opened), id=f"{GROUP}{group}"))
            if opened:
                self.add_options(Option(self._prompt(entry), id=entry.id) for entry in entries)

    def _prompt(self, entry: CatalogueFigure) -> Content:
        if entry.reads in self.missing:
            return Content.assemble(("  ", ""), (f"{entry.title}  {self.makes}", "$foreground-muted"))
        return Content.assemble(("+ " if entry.source == "models" else "  ", "$accent"), entry.title)


def _heading(group: str, count: int, opened: bool) -> Content:
    name = HEADINGS.get(group, group)
    return Content.assemble((f"{OPEN if opened else FOLDED} {name}", "$foreground-muted"), (f"  {count}", "$accent"))
