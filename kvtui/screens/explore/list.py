"""The list of figures under their headings; figures that can draw several models are marked."""

from __future__ import annotations

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
}


class FigureList(PagedList):
    """One line per figure."""

    def __init__(self, *, id: str) -> None:
        super().__init__(id=id, markup=False)
        self.border_title = "figures"

    def fill(self, query: str, current: CatalogueFigure | None = None) -> None:
        """List the figures that have all words of ``query``, and go to ``current`` if it is among them."""
        found = matching(query)
        self.clear_options()
        for group, entries in groupby(found, lambda entry: entry.group):
            self.add_option(Option(Content.styled(HEADINGS.get(group, group), "$foreground-muted"), disabled=True))
            self.add_options(Option(_prompt(entry), id=entry.id) for entry in entries)
        self.border_subtitle = f"{len(found)} of {len(ENTRIES)}"
        if found:
            chosen = current if current in found else found[0]
            self.highlighted = self.get_option_index(chosen.id)


def _prompt(entry: CatalogueFigure) -> Content:
    mark = "+ " if entry.source == "models" else "  "
    return Content.assemble((mark, "$accent"), entry.title)
