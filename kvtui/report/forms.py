"""One way for a document to become text: its lines, its table or its Markdown, chosen by the name of the format."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Protocol

from kvtui.engine.basis.errors import UnknownName
from kvtui.output.harmless import clean
from kvtui.output.lines import StyledLine, write
from kvtui.output.table import FORMATS
from kvtui.report.sections import Document


class Render(Protocol):
    """Writes a document in one of FORMATS, ending in a newline. Width, colour and ASCII matter to text alone.

    Raises UnknownName for another format.
    """

    def __call__(
        self, found: Document, format: str, *, width: int = 80, color: bool = False, ascii_only: bool = False
    ) -> str:
        """The text."""


def renderer(
    lines: Callable[[Document, int], Iterable[StyledLine]],
    csv: Callable[[Document], str],
    markdown: Callable[[Document], str],
    json: Callable[[Document], Document] = lambda found: found,
) -> Render:
    """The writer of a kind of document: ``lines`` in so many cells, and the whole of the other formats.

    ``json`` gives what of a document is printed as JSON. All of them get a document whose text is harmless.
    """

    def render(found: Document, format: str, *, width: int = 80, color: bool = False, ascii_only: bool = False) -> str:
        known = clean(found)
        match format:
            case "text":
                return write(lines(known, width), color, ascii_only)
            case "json":
                from kvtui.output.json import json_text

                return json_text(json(known))
            case "csv":
                return csv(known)
            case "markdown":
                return markdown(known)
        raise UnknownName("format", format, FORMATS)

    return render
