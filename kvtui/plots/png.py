"""A drawing as PNG: any SVG that kvtui draws, by resvg where it is installed (the extra ``images``)."""

from __future__ import annotations

from functools import cache
from io import BytesIO
from typing import TYPE_CHECKING

from kvtui.plots.installed import NotInstalled

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

ZOOM = 2.0
FAMILIES = ("DejaVu Sans Mono", "Menlo", "Consolas", "Liberation Mono", "Noto Sans Mono", "Courier New", "Monaco")
_SHEET = '<svg xmlns="http://www.w3.org/2000/svg" width="20" height="20">{}</svg>'
_LETTER = '<text x="2" y="16" font-family="{}">M</text>'


def png(svg: str, zoom: float = ZOOM) -> bytes:
    """``svg`` as a picture, ``zoom`` times as many dots wide and high as its own units.

    Raises NotInstalled without resvg, and on a machine without a font of FAMILIES, where letters would be left out.
    """
    try:
        from resvg_py import svg_to_bytes
    except ImportError:
        raise NotInstalled("png: resvg is not installed; pip install 'kvtui[images]', or take svg") from None
    family = _family()
    if family is None:
        raise NotInstalled("png: no monospaced font was found here, so that letters would be missing; take svg")
    return bytes(svg_to_bytes(svg_string=svg, zoom=zoom, font_family=family, monospace_family=family))


@cache
def _family() -> str | None:
    """The first of FAMILIES with which a letter leaves a mark."""
    from resvg_py import svg_to_bytes

    blank = bytes(svg_to_bytes(svg_string=_SHEET.format("")))
    sheets = ((family, _SHEET.format(_LETTER.format(family))) for family in FAMILIES)
    return next((family for family, sheet in sheets if bytes(svg_to_bytes(svg_string=sheet)) != blank), None)


def colors_of(file: bytes) -> npt.NDArray[np.uint8]:
    """Red, green and blue of the pixels (height, width, 3) of a PNG ``file``. Raises NotInstalled without Pillow."""
    try:
        from PIL import Image
    except ImportError:
        raise NotInstalled("png: Pillow is not installed; pip install 'kvtui[images]'") from None
    import numpy as np

    with Image.open(BytesIO(file)) as image:
        return np.asarray(image.convert("RGB"))
