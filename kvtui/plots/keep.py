"""A figure as files beside the results that it shows."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path

from kvtui.engine.basis.files import write_whole
from kvtui.figures.figure import Figure


def keep(folder: Path, name: str, figure: Figure) -> None:
    """Put ``figure`` into ``folder`` under ``name``: as SVG, and as PNG too where matplotlib is installed."""
    from kvtui.plots import image, vector

    write_whole(folder / f"{name}.svg", vector.render(figure))
    if find_spec("matplotlib") is not None:
        write_whole(folder / f"{name}.png", image.render(figure, "png"))
