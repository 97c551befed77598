"""The groups of the sweep to choose from, each with its rows and the cases that it adds, and the decode benchmark."""

from __future__ import annotations

from typing import ClassVar

from textual.binding import Binding, BindingType
from textual.content import Content
from textual.widgets.option_list import Option

from kvtui.cases.groups import GROUPS, NAMES
from kvtui.screens.bench.choice import Choice
from kvtui.widgets.paged_list import PagedList

NAME_CELLS = 16


class GroupList(PagedList):
    """One line per group; enter or space chooses."""

    DECODE = "decode"
    BINDINGS: ClassVar[list[BindingType]] = [Binding("space", "select", "choose", show=False)]

    def __init__(self, *, id: str) -> None:
        super().__init__(*(Option(name, id=name) for name in (*NAMES, self.DECODE)), id=id, markup=False)
        self.border_title = "groups"
        self.border_subtitle = "rows, new cases"

    def show(self, choice: Choice) -> None:
        """Mark what is chosen."""
        shares = choice.shares
        for group in GROUPS:
            share = shares[group.name]
            chosen = group.name in choice.groups and not choice.decode
            counts = f"{share.rows:>4} {share.cases:>+5}"
            self.replace_option_prompt(group.name, _prompt(group.name, counts, chosen))
        self.replace_option_prompt(self.DECODE, _prompt("decode", "by position", choice.decode))


def _prompt(name: str, counts: str, chosen: bool) -> Content:
    if chosen:
        return Content.assemble(("● ", "$accent"), f"{name:<{NAME_CELLS}}", (counts, "$foreground-muted"))
    return Content.assemble((f"○ {name:<{NAME_CELLS}}{counts}", "$foreground-muted"))
