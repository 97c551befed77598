"""One value of a comparison: its text, and how it differs from the first scenario's."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

NONE = "–"


@dataclass(frozen=True, slots=True)
class ComparedValue:
    """A value as text, and its signed difference to the first scenario, empty where there is none to state.

    ``style`` is a name of ``output.lines.STYLES`` where the value itself is good or bad news. ``differs``: it is not
    the first scenario's; ``verdict`` says whether it is "better" or "worse" than that, empty where it is neither.
    """

    text: str
    change: str = ""
    style: str = ""
    differs: bool = False
    verdict: Literal["better", "worse", ""] = ""

    @property
    def marked_change(self) -> str:
        """The difference, with a sign for better or worse."""
        sign = {"better": " ✓", "worse": " ✗", "": ""}[self.verdict]
        return f"{self.change}{sign}".strip()
