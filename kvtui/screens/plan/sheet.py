"""What the Plan screen knows of a table: its answers, its order, its filters, and what is worked out next."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Sequence
from contextlib import suppress
from functools import partial
from threading import Lock
from typing import Literal, NamedTuple

from kvtui.engine.advice.best import best_format
from kvtui.engine.advice.matrix import (
    SLOW_PIECE,
    UNKNOWN,
    Matrix,
    MatrixAnswer,
    MatrixPlace,
    Metric,
    Piece,
    evaluate,
    needed,
    places,
    sort_key,
)
from kvtui.engine.basis.errors import InputError
from kvtui.screens.plan.filter import chosen, device_words, model_words, named

Order = Literal["best first", "worst first"]
RowsAndColumns = tuple[Collection[int], Collection[int]]
NOWHERE: RowsAndColumns = (), ()


class SortKey(NamedTuple):
    """Rows by one figure of their answers in ``column`` (of the table), in an ``order``."""

    column: int
    metric: Metric
    order: Order = "best first"


class Wanted(NamedTuple):
    """What is to be known first: ``in_sight``, then the ``columns`` that order and filter need, then what is ``near``.

    ``best`` are the places whose best formats are shown. ``rest``: in the end all.
    """

    in_sight: RowsAndColumns = NOWHERE
    columns: Collection[int] = ()
    near: RowsAndColumns = NOWHERE
    best: Collection[MatrixPlace] = ()
    rest: bool = True


class Sheet:
    """A table with the answers that are known so far.

    With an engine, where each cell takes milliseconds, nothing is worked out but what is wanted. Without one, whole
    lines are, and in the end all of them.
    """

    def __init__(self, table: Matrix) -> None:
        self.table = table
        self.answers: dict[MatrixPlace, MatrixAnswer] = {}
        self._asked: set[MatrixPlace] = set()
        self._asked_more: set[tuple[str, MatrixPlace]] = set()
        self._lines = list(range(table.line_count))
        self._lock = Lock()

    @property
    def cells(self) -> int:
        """The number of cells of the table."""
        return len(self.table.rows) * len(self.table.columns)

    def take(self, wanted: Wanted) -> Callable[[], None] | None:
        """The next thing to work out, None when all that is wanted is known. Any thread may call this, and do it."""
        with self._lock:
            found = self._piece(wanted.in_sight) or self._piece((range(len(self.table.rows)), wanted.columns))
            if found is not None:
                return partial(self.work_out, found)
            for place in wanted.best:
                if place in self.answers and self._first_time("best", place):
                    return partial(self._find_best, place)
            if not wanted.rest:
                return None
            if (short := self._unknown_need(wanted.in_sight)) is not None:
                return partial(self._find_needed, short)
            found = self._piece(wanted.near) or self._line()
            return None if found is None else partial(self.work_out, found)

    def work_out(self, piece: Piece) -> None:
        """Answer the cells of ``piece``, in any thread."""
        self.answers.update(zip(places(self.table, piece), evaluate(self.table, piece), strict=True))

    def rows(self, wanted: str, order: Sequence[SortKey], fitting: int | None = None) -> list[int]:
        """The rows that ``wanted`` names, by the keys of ``order``; with ``fitting`` only those that fit there.

        A row of which that is not known yet is shown.
        """
        table, words = self.table, wanted.partition("/")[0]
        by_model = table.view == "models"
        shown = chosen(table.models, words, model_words) if by_model else chosen(table.devices, words, device_words)
        if fitting is not None:
            shown = [row for row in shown if self._may_fit(row, fitting)]
        for key in reversed(order):
            ranks = {row: sort_key(key.metric, self.answers.get((row, key.column))) for row in shown}
            if key.order == "worst first":
                ranks = {row: _reversed(*rank) for row, rank in ranks.items()}
            shown = sorted(shown, key=ranks.__getitem__)
        return shown

    def columns(self, wanted: str) -> list[int]:
        """The columns that ``wanted`` names behind its slash."""
        table, words = self.table, wanted.partition("/")[2]
        return chosen(table.devices, words, device_words) if table.view == "models" else named(table.columns, words)

    def _may_fit(self, row: int, column: int) -> bool:
        found = self.answers.get((row, column))
        return found is None or (found.fits and not found.beyond)

    def _piece(self, wanted: RowsAndColumns) -> Piece | None:
        """Cells of one line of ``wanted`` that nobody was asked for yet: a few where each takes long, else all."""
        by_model = self.table.view == "models"
        lines, devices = wanted if by_model else wanted[::-1]
        for line in lines:
            left = [device for device in devices if self._place(line, device) not in self._asked]
            if left:
                return self._ask(line, left if self.table.together else left[:SLOW_PIECE])
        return None

    def _line(self) -> Piece | None:
        """What is left of the next line; only where all devices take no longer than a few."""
        while self.table.together and self._lines:
            line = self._lines.pop(0)
            left = [d for d in range(len(self.table.devices)) if self._place(line, d) not in self._asked]
            if left:
                return self._ask(line, left)
        return None

    def _ask(self, line: int, devices: Iterable[int]) -> Piece:
        piece = Piece(line, tuple(devices))
        self._asked.update(places(self.table, piece))
        return piece

    def _place(self, line: int, device: int) -> MatrixPlace:
        return (line, device) if self.table.view == "models" else (device, line)

    def _unknown_need(self, sight: RowsAndColumns) -> MatrixPlace | None:
        """A place in ``sight`` whose scenario does not fit, and of which nobody asked how many devices hold it."""
        rows, columns = sight
        for place in ((row, column) for row in rows for column in columns):
            found = self.answers.get(place)
            if found is not None and not found.fits and not found.reason and self._first_time("needed", place):
                return place
        return None

    def _first_time(self, what: str, place: MatrixPlace) -> bool:
        first = (what, place) not in self._asked_more
        self._asked_more.add((what, place))
        return first

    def _find_best(self, place: MatrixPlace) -> None:
        with suppress(InputError):
            best = best_format(self.table.at(*place))
            self.answers[place] = self.answers[place]._replace(best=best)

    def _find_needed(self, place: MatrixPlace) -> None:
        count = needed(self.table.at(*place))
        self.answers[place] = self.answers[place]._replace(needed=count)


def _reversed(kind: int, value: float) -> tuple[int, float]:
    """The key of the order from behind, in which what has no figure still comes last."""
    return (kind, value) if kind >= UNKNOWN else (-kind, -value)
