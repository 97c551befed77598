"""One value of a comparison: its text, and how it differs from the first scenario's."""

from __future__ import annotations

from dataclasses import dataclass

NONE = "–"


@dataclass(frozen=True, slots=True)
class ComparedValue:
    """A value as text, and its signed difference to the first scenario, empty where there is none to state.

    ``style`` is a name of ``output.lines.STYLES`` where the value itself is good or bad news.
    """

    text: str
    change: str = ""
    style: str = ""
