"""A figure as files beside the results that it shows."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path

from kvtui.engine.basis.files import write_whole
from kvtui.figures.figure import Figure


def keep(folder: Path, name: str, figure: Figure) -> None:
    """Put ``figure`` into ``folder`` under ``name``: as SVG, and as PNG too where that can be drawn."""
    from kvtui.plots import vector
    from kvtui.plots.installed import NotInstalled
    from kvtui.plots.png import png

    svg = vector.render(figure)
    write_whole(folder / f"{name}.svg", svg)
    with suppress(NotInstalled):
        write_whole(folder / f"{name}.png", png(svg))
