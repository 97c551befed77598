"""The levers of the Plan screen: in the order of the figure that is shown, with a cursor when they are used."""

from __future__ import annotations

from collections.abc import Sequence

from kvtui.engine.advice.levers import MEASURES, Lever, Measure, ranked
from kvtui.engine.advice.matrix import Metric
from kvtui.engine.scenario.scenario import Scenario
from kvtui.engine.serving.candidates import Idle


class LeverList:
    """The levers ``found`` for a scenario (``of``; None while they are still to come).

    ``at`` is the place of the cursor, None while the cursor keys move in the table.
    """

    def __init__(self) -> None:
        self.found: list[Lever | Idle] = []
        self.of: Scenario | None = None
        self.at: int | None = None

    def clear(self) -> None:
        """Forget the levers of another scenario."""
        self.found, self.of, self.at = [], None, None

    def take(self, scenario: Scenario, found: Sequence[Lever | Idle], by: Metric) -> None:
        """Take the levers of ``scenario``."""
        self.of, self.found = scenario, list(found)
        self.rank(by)

    def rank(self, by: Metric) -> None:
        """Order the levers by what they do to a figure, or to the sequences; those that gain nothing come last."""
        measure: Measure = next((measure for measure in MEASURES if measure == by.key), "max_sequences")
        idle = [lever for lever in self.found if isinstance(lever, Idle)]
        self.found = [*ranked(self.found, measure), *idle]

    def use(self, at: int | None) -> None:
        """Put the cursor on a lever, the last one if there are fewer; with None, or without levers, take it away."""
        self.at = None if at is None or not self.found else min(at, len(self.found) - 1)

    def move(self, rows: int) -> None:
        """Move the cursor by ``rows``, no further than to the ends."""
        if self.at is not None:
            self.use(max(0, self.at + rows))

    @property
    def selected(self) -> Lever | Idle | None:
        """The lever under the cursor."""
        return None if self.at is None else self.found[self.at]
